from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

import interpretkit as ik
from interpretkit.testing import check_visualizer, tiny_images, tiny_model
from interpretkit_repvgg.branches import Branches
from interpretkit_repvgg.equivalence import Equivalence
from interpretkit_repvgg.network import RepVGG, TrainingBlock
from interpretkit_repvgg.reparameterize import reparameterize
from interpretkit_repvgg.shift import Shift
from interpretkit_repvgg.variants import Variant

# stage4 has two blocks, so that the last one has all three branches.
VARIANT = Variant(blocks=(2, 2, 1, 2), multipliers=(0.125, 0.125, 0.125, 0.0625))
BLOCKS = ["stage0", "stage1.0", "stage1.1", "stage2.0", "stage2.1", "stage3.0", "stage4.0", "stage4.1"]


def wrapped(network, **more):
    return ik.Model(module=network, name="small", aliases=network.last_blocks, **more)


@pytest.fixture
def network():
    """A small network in float64 whose normalisations all do something, of both signs."""
    generator = torch.Generator().manual_seed(1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = RepVGG(VARIANT, num_classes=5).double().eval()
    with torch.no_grad():
        for part in network.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.weight.normal_(1, 0.7, generator=generator)
                part.bias.normal_(0, 0.5, generator=generator)
                part.running_mean.normal_(0, 0.1, generator=generator)
                part.running_var.uniform_(0.5, 1.5, generator=generator)
    return network


@pytest.fixture
def model(network):
    return wrapped(network)


@pytest.fixture(scope="module")
def images():
    return torch.randn(3, 3, 64, 96, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


@torch.no_grad()
def branches_by_hand(network, images):
    """Return what the branches of each block return, block after block, without a hook."""
    found, values = {}, images
    for path in BLOCKS:
        block = network.get_submodule(path)
        found[path] = {"3x3": block.rbr_dense(values), "1x1": block.rbr_1x1(values)}
        if block.has_identity:
            found[path]["identity"] = block.rbr_identity(values)
        values = sum(found[path].values()).clamp(min=0)
    return found


# Branches


def test_shares_equal_numpys_covariances_channel_by_channel(network, model, images):
    table = ik.visualize(model, images, "repvgg_branches").tables["branches"]
    expected = branches_by_hand(network, images)
    assert len(table) == 3 * (8 * 2 + 3)
    for image, block, depth, branch, share, spread in table.rows():
        position = int(image.removeprefix("image"))
        parts = {name: each[position].flatten(1).numpy() for name, each in expected[block].items()}
        covariances = [np.cov(one, total) for one, total in zip(parts[branch], sum(parts.values()), strict=True)]
        own, common, total = (sum(each[at] for each in covariances) for at in ((0, 0), (0, 1), (1, 1)))
        assert depth == BLOCKS.index(block)
        assert share == pytest.approx(common / total, abs=1e-12)
        assert spread == pytest.approx(np.sqrt(own / total), rel=1e-12)


def test_shares_of_a_block_sum_to_one(model, images):
    table = ik.visualize(model, images, "repvgg_branches").tables["branches"]
    sums = {}
    for image, block, _, _, share, _ in table.rows():
        sums[image, block] = sums.get((image, block), 0.0) + share
    assert len(sums) == 3 * 8
    assert list(sums.values()) == pytest.approx([1.0] * 24, abs=1e-12)


def test_a_branch_that_cancels_another_has_a_negative_share(network, model, images):
    block = network.stage1[1]
    with torch.no_grad():
        block.rbr_dense.bn.weight.zero_()
        block.rbr_1x1.conv.weight.copy_(-0.25 * torch.eye(8).double()[:, :, None, None])
        for norm in (block.rbr_1x1.bn, block.rbr_identity):
            norm.weight.fill_(1.0)
            norm.running_var.fill_(1.0)
    rows = ik.visualize(model, images, "repvgg_branches", blocks=["stage1"]).tables["branches"]
    rows = rows.where("block", "stage1.1").where("image", "image0")
    assert rows["branch"].tolist() == ["3x3", "1x1", "identity"]
    assert rows["share"] == pytest.approx([0, -1 / 3, 4 / 3], abs=1e-12)
    assert rows["relative_std"] == pytest.approx([0, 1 / 3, 4 / 3], abs=1e-12)


def test_a_constant_of_the_normalisation_has_no_share(network, model, images):
    before = ik.visualize(model, images, "repvgg_branches").tables["branches"].where("block", "stage0")
    with torch.no_grad():
        network.stage0.rbr_1x1.bn.bias += 100.0
    after = ik.visualize(model, images, "repvgg_branches").tables["branches"].where("block", "stage0")
    np.testing.assert_allclose(after["share"], before["share"], atol=1e-10)


@pytest.mark.parametrize("target", ["predicted", 3, {"for": 1, "against": 4}])
def test_the_maps_of_the_last_block_and_the_bias_sum_to_the_logit(network, model, images, target):
    spec = ik.Contrast.model_validate(target) if isinstance(target, dict) else target
    found = ik.visualize(model, images, "repvgg_branches", target=spec)
    assert list(found.maps) == [f"stage4.1.{part}" for part in ("rbr_dense", "rbr_1x1", "rbr_identity")]
    with torch.no_grad():
        logits = network(images).numpy()
    bias = network.linear.bias.detach().numpy()
    for position, each in enumerate(found.targets):
        total = sum(part.values[position].sum() for part in found.maps.values())
        constant = bias[each.index] - (0 if each.against is None else bias[each.against])
        logit = logits[position, each.index] - (0 if each.against is None else logits[position, each.against])
        assert total + constant == pytest.approx(logit, abs=1e-12)
        parts = found.tables["logit"].where("image", f"image{position}")
        assert parts["part"].tolist() == ["3x3", "1x1", "identity", "rest"]
        assert parts["value"][-1] == pytest.approx(constant, abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_each_map_is_the_class_weighted_sum_of_its_branch_where_the_relu_lets_it_through(network, images, dtype):
    # On 2×2 cells the mean is exact, so that nothing is rounded in float32 but what the network itself rounds.
    network, images = network.to(dtype), images[:, :, :, :64].to(dtype)
    found = ik.visualize(wrapped(network), images, "repvgg_branches", target=2)
    parts = branches_by_hand(network, images)["stage4.1"]
    mask = sum(parts.values()) > 0
    weight = network.linear.weight[2].detach().double()[:, None, None]
    for part, each in zip(parts.values(), found.maps.values(), strict=True):
        expected = (weight * mask * part.double()).sum(1) / 4
        np.testing.assert_allclose(each.values, expected.numpy(), atol=1e-12)
        assert each.polarity == "signed"


def test_the_maps_sum_to_grad_cam(model, images):
    found = ik.visualize(model, images, "repvgg_branches", target=2)
    cam = ik.visualize(model, images, "grad_cam", layers=["stage4"], target=2).maps["stage4"].values
    np.testing.assert_allclose(sum(each.values for each in found.maps.values()), cam, atol=1e-12)


class GatedBlock(TrainingBlock):
    """A block with something like squeeze-and-excitation before its ReLU."""

    def forward(self, inputs):
        total = self.rbr_sum(self.rbr_dense(inputs), self.rbr_1x1(inputs))
        return self.nonlinearity(total * total.mean((2, 3), keepdim=True).sigmoid())


def test_a_gate_between_the_sum_and_the_relu_is_held_and_the_maps_still_sum_to_the_logit(network, images):
    gated = GatedBlock(32, 32, stride=2).double().eval()
    network.stage4 = nn.Sequential(gated)
    network.linear = nn.Linear(32, 5).double()
    found = ik.visualize(ik.wrap(network), images, "repvgg_branches", target=1)
    total = sum(each.values.sum((1, 2)) for each in found.maps.values()) + network.linear.bias[1].item()
    np.testing.assert_allclose(total, network(images).detach().numpy()[:, 1], atol=1e-12)


def test_on_a_grid_of_one_cell_shares_are_undefined(model):
    small = torch.randn(1, 3, 16, 16, dtype=torch.float64)
    found = ik.visualize(model, small, "repvgg_branches")
    table = found.tables["branches"]
    assert np.isnan(table.where("block", "stage4.1")["share"]).all()
    assert not np.isnan(table.where("block", "stage2.1")["share"]).any()
    chart, _ = Branches(Branches.Options()).draw(found)
    assert "undefined in 3 of 8 blocks" in chart.caption


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["**"], BLOCKS),
        (["stage2", "stage0"], ["stage0", "stage2.1", "stage4.1"]),
        (["stage1.*"], ["stage1.0", "stage1.1", "stage4.1"]),
        (["**", "!stage1", "!stage[23].*"], ["stage0", "stage1.0", "stage4.0", "stage4.1"]),
    ],
)
def test_blocks_are_chosen_by_patterns_in_the_order_of_the_network(model, images, patterns, expected):
    table = ik.visualize(model, images[:1], "repvgg_branches", blocks=patterns).tables["branches"]
    assert list(dict.fromkeys(table["block"].tolist())) == expected


@pytest.mark.parametrize("name", ["repvgg_branches", "repvgg_shift"])
def test_what_has_no_branches_is_refused_before_anything_is_run(network, images, name):
    deployed = wrapped(reparameterize(network), notes=("reparameterized",))
    with pytest.raises(
        ik.RecipeError,
        match=r"this model has been re-parameterised; branches no longer exist.*load the training-form weights",
    ):
        ik.visualize(deployed, images, name)
    with pytest.raises(ik.RecipeError, match="no blocks of branches"):
        ik.visualize(tiny_model(), tiny_images(), name)
    with pytest.raises(ik.RecipeError, match="name no block"):
        ik.visualize(wrapped(network), images, name, blocks=["linear"])


def test_the_figures_say_how_the_logit_adds_up(model, images):
    found = ik.visualize(model, images, "repvgg_branches", target=2).select("image1")
    shares, logit = Branches(Branches.Options()).draw(found)
    assert "Median over 8 blocks" in shares.caption
    for _, part, value in found.tables["logit"].rows():
        assert f"{part} {ik.figures.number(value)}" in logit.caption


def test_branches_keep_the_contract(model, images):
    check_visualizer(Branches, model=model, images=images[:2], target=0)


# Equivalence


def both(model, images, **options):
    return (
        ik.visualize(model, images, "feature_grid", layers=["stage1", "stage4"], **options),
        ik.visualize(model, images, "grad_cam", layers=["stage4"], target=0),
    )


def paired(first, second):
    return {"a_features": first[0], "b_features": second[0], "a_cam": first[1], "b_cam": second[1]}


def test_both_forms_are_equivalent_to_rounding_and_a_planted_difference_is_found(network, model, images):
    deployed = wrapped(reparameterize(network))
    ours, theirs = both(model, images), both(deployed, images)
    table = ik.visualize(model, images, "repvgg_equivalence", of=paired(ours, theirs)).tables["equivalence"]
    assert table.where("image", "image0")["map"].tolist() == ["stage1", "stage4", "stage4"]
    assert (table["relative_difference"] <= 1e-11).all()
    assert (table["relative_difference"] > 0).any()
    with torch.no_grad():
        deployed.module.stage4[0].rbr_reparam.weight[:, :, 1, 1] *= 1.001
    planted = ik.visualize(model, images, "repvgg_equivalence", of=paired(ours, both(deployed, images)))
    table = planted.tables["equivalence"]
    assert (table.where("map", "stage1")["relative_difference"] <= 1e-11).all()
    assert (table.where("map", "stage4")["relative_difference"] > 1e-6).all()


def test_differences_equal_a_slow_derivation_and_the_worst_channels_are_kept(model, images):
    ours = both(model, images)
    noise = np.random.default_rng(0).standard_normal(ours[0].maps["stage4"].values.shape)
    changed = replace(ours[0].maps["stage4"], values=ours[0].maps["stage4"].values + noise)
    theirs = replace(ours[0], maps={**ours[0].maps, "stage4": changed})
    of = {"a": ours[0], "b": theirs}
    found = ik.visualize(model, images, "repvgg_equivalence", of=of, top=3)
    assert (found.tables["equivalence"].where("map", "stage1")["relative_difference"] == 0).all()
    for position in range(3):
        first, second = ours[0].maps["stage4"].values[position], changed.values[position]
        rows = found.tables["equivalence"].where("image", f"image{position}").where("map", "stage4")
        assert rows["relative_difference"][0] == abs(second - first).max() / abs(first).max()
        assert (rows["least"][0], rows["greatest"][0]) == (
            min(first.min(), second.min()),
            max(first.max(), second.max()),
        )
        worst = sorted(range(len(first)), key=lambda k: -abs(second[k] - first[k]).max())[:3]
        shown = found.tables["channels"].where("image", f"image{position}").where("map", "stage4")
        assert shown["channel"].tolist() == worst
        for end, values in {"first": first, "second": second, "difference": second - first}.items():
            np.testing.assert_array_equal(found.maps[f"stage4, a and b, {end}"].values[position], values[worst])


def test_values_that_are_not_finite_are_equal_only_to_their_like(model, images):
    first = both(model, images[:1])[1]
    spoilt = first.maps["stage4"].values.copy()
    spoilt[0, 0, 0] = np.nan
    broken = replace(first, maps={"stage4": replace(first.maps["stage4"], values=spoilt)})
    for of, expected in (({"a": first, "b": broken}, np.inf), ({"a": broken, "b": broken}, 0.0)):
        found = ik.visualize(model, images[:1], "repvgg_equivalence", of=of)
        assert found.tables["equivalence"]["relative_difference"].tolist() == [expected]
        summary, each = Equivalence(Equivalence.Options()).draw(found)
        assert ("∞" in summary.caption or "inf" in summary.caption) == (expected == np.inf)
        assert ("No cell differs" in each.caption) == (expected == 0)


def test_maps_of_different_targets_say_so(model, images):
    cams = [ik.visualize(model, images[:1], "grad_cam", layers=["stage4"], target=target) for target in (0, 1)]
    found = ik.visualize(model, images[:1], "repvgg_equivalence", of=dict(zip("ab", cams, strict=True)))
    _, figure = Equivalence(Equivalence.Options()).draw(found)
    assert "NOT THE SAME TARGET: '0' and '1'" in figure.caption


def test_what_does_not_pair_up_is_refused(model, images):
    features, cam = both(model, images)
    other = ik.visualize(model, images, "grad_cam", layers=["stage3"], target=0)
    lower = ik.visualize(model, images[:, :, :32], "grad_cam", layers=["stage4"], target=0)
    # As a model that is fed the same images at another size would leave it.
    lower = replace(lower, images=cam.images)
    for of, message in (
        ({"a": cam, "b": cam, "c": cam}, "3 steps do not pair up: a, b, c"),
        ({"a": features, "b": cam}, "do not have the same maps: stage1"),
        ({"a": cam, "b": other}, "do not have the same maps: stage3, stage4"),
        ({"a": cam, "b": lower}, "map stage4 is 2×3 in step a and 1×3 in step b"),
    ):
        with pytest.raises(ik.StepError, match=re.escape(message)):
            ik.visualize(model, images, "repvgg_equivalence", of=of)


def test_equivalence_keeps_the_contract(network, model, images):
    of = paired(both(model, images), both(wrapped(reparameterize(network)), images))
    check_visualizer(Equivalence, of=of, model=model, images=images, top=2)


# Shift


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_the_shift_equals_numpys_whatever_the_batches(network, model, images, batch_size):
    found = ik.visualize(model, images, "repvgg_shift", batch_size=batch_size)
    channels = found.tables["channels"]
    assert len(channels) == int(found.tables["branches"]["channels"].sum())
    assert set(found.tables["branches"]["images"].tolist()) == {3}
    for block, branches in branches_by_hand(network, images).items():
        for branch, values in branches.items():
            part = network.get_submodule(block).get_submodule(
                {"3x3": "rbr_dense.bn", "1x1": "rbr_1x1.bn", "identity": "rbr_identity"}[branch]
            )
            gamma, beta = part.weight.detach().numpy(), part.bias.detach().numpy()
            rows = channels.where("block", block).where("branch", branch)
            mean, variance = values.numpy().mean((0, 2, 3)), values.numpy().var((0, 2, 3))
            np.testing.assert_allclose(rows["shift_sigma"], (mean - beta) / abs(gamma), rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(rows["variance_ratio"], variance / gamma**2, rtol=1e-9, atol=1e-20)
            assert set(rows["count"].tolist()) == {values[:, 0].numel()}


def test_merging_is_associative(model, images):
    shift = Shift(Shift.Options())
    a, b, c = (ik.visualize(model, images[position : position + 1], "repvgg_shift") for position in range(3))
    left, right = (
        each.tables["channels"] for each in (shift.merge(shift.merge(a, b), c), shift.merge(a, shift.merge(b, c)))
    )
    for column in ("shift_sigma", "variance_ratio", "count"):
        np.testing.assert_allclose(left[column], right[column], rtol=1e-12, atol=1e-14)


def test_images_with_the_statistics_of_the_training_are_not_shifted(network, model, images):
    with torch.no_grad():
        for part in (network.stage0.rbr_dense, network.stage0.rbr_1x1):
            raw = part.conv(images)
            part.bn.running_mean.copy_(raw.mean((0, 2, 3)))
            part.bn.running_var.copy_(raw.var((0, 2, 3), correction=0) - part.bn.eps)
    rows = ik.visualize(model, images, "repvgg_shift").tables["channels"].where("block", "stage0")
    np.testing.assert_allclose(rows["shift_sigma"], 0, atol=1e-12)
    np.testing.assert_allclose(rows["variance_ratio"], 1, rtol=1e-12)
    brighter = ik.visualize(model, images + 10, "repvgg_shift").tables["channels"].where("block", "stage0")
    assert np.median(np.abs(brighter["shift_sigma"])) > 1


def test_channels_without_a_unit_are_counted_and_nothing_is_nan(network, model, images):
    norm = network.stage1[1].rbr_identity
    with torch.no_grad():
        norm.weight[2] = 0.0
        norm.weight[3] = 1e-16
        norm.bias[3] = 1.0
        network.stage2[0].rbr_1x1.bn.weight.zero_()
    found = ik.visualize(model, images, "repvgg_shift", batch_size=2)
    branches = {(block, branch): undefined for block, _, branch, _, undefined, _ in found.tables["branches"].rows()}
    assert {place: count for place, count in branches.items() if count} == {
        ("stage1.1", "identity"): 2,
        ("stage2.0", "1x1"): 16,
    }
    channels = found.tables["channels"]
    assert channels.where("block", "stage1.1").where("branch", "identity")["channel"].tolist() == [0, 1, 4, 5, 6, 7]
    assert all(np.isfinite(column).all() for column in channels.columns.values() if column.dtype.kind == "f")
    (figure,) = Shift(Shift.Options()).draw(found)
    assert "18 of" in figure.caption


def test_values_that_are_not_finite_are_refused(network, model, images):
    with torch.no_grad():
        network.stage0.rbr_dense.bn.bias[0] = torch.inf
    with pytest.raises(ik.StepError, match=r"stage0\.rbr_dense returns values that are not finite"):
        ik.visualize(model, images, "repvgg_shift")


def test_shift_keeps_the_contract(model, images):
    check_visualizer(Shift, model=model, images=images[:2], blocks=["stage1.*"])


def test_the_order_of_rows_is_the_order_of_the_network(model, images):
    depths = ik.visualize(model, images[:1], "repvgg_shift").tables["channels"]["depth"]
    assert all(second - first in (0, 1) for first, second in pairwise(depths.tolist()))
    assert depths[-1] == len(BLOCKS) - 1
