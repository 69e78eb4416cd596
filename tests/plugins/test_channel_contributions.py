from __future__ import annotations

import statistics

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

import interpretkit as ik
from interpretkit.testing import check_visualizer, tiny_images, tiny_model
from interpretkit_compare.channel_contributions import ChannelContributions
from interpretkit_compare.shuffles import Shuffles

ID = "channel_contributions"


@pytest.fixture
def model() -> ik.Model:
    """Two convolutions before GAP + linear, in float64."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(5, 11, 3, stride=2, padding=1),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(11, 4),
    )
    return ik.wrap(net.double().eval(), name="net", output=ik.Classes())


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(2, 3, 8, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def by_hand(net, image, split, target):
    """Return activation and gradient of one image after `split` layers, and the rest of the net."""
    head, rest = net[:split], net[split:]
    activation = head(image[None]).detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(rest(activation.clone())[0, target], activation)
    return activation.detach()[0], gradient[0], lambda edited: rest(edited[None].clone())[0, target].item()


def test_before_gap_and_linear_the_contributions_sum_to_the_logit_but_for_its_bias(model, images):
    found = ik.visualize(model, images, ID, layers=["3"], target=2)
    bias = model.module[6].bias[2].item()
    with torch.no_grad():
        logits = model.module(images)[:, 2].tolist()
    for name, logit, rest in zip(("image0", "image1"), logits, found.tables["summary"]["rest"], strict=True):
        contributions = found.tables["channels"].where("image", name)["contribution"]
        assert abs(contributions.sum() - (logit - bias)) < 1e-12
        assert abs(rest - bias) < 1e-12
    assert (found.tables["channels"]["contribution"] < 0).any()
    assert (found.tables["channels"]["contribution"] > 0).any()


def test_each_channel_contributes_its_mean_gradient_times_its_sum(model, images):
    found = ik.visualize(model, images, ID, layers=["0"], target=1)
    rows = found.tables["channels"].where("image", "image1")
    activation, gradient, _ = by_hand(model.module, images[1], 1, 1)
    expected = {k: gradient[k].mean().item() * activation[k].sum().item() for k in range(5)}
    assert rows["channel"].tolist() == sorted(expected, key=expected.get, reverse=True)
    assert rows["rank"].tolist() == [1, 2, 3, 4, 5]
    whole = sum(map(abs, expected.values()))
    positive = sum(value for value in expected.values() if value > 0)
    carried = 0.0
    for channel, contribution, share, cumulative, alpha, mean in zip(
        *(rows[name] for name in ("channel", "contribution", "share", "cumulative", "alpha", "mean")), strict=True
    ):
        carried += max(expected[channel], 0)
        assert contribution == pytest.approx(expected[channel], rel=1e-12)
        assert share == pytest.approx(expected[channel] / whole, rel=1e-12)
        assert cumulative == pytest.approx(carried / positive, rel=1e-12)
        assert alpha == pytest.approx(gradient[channel].mean().item(), rel=1e-12)
        assert mean == pytest.approx(activation[channel].mean().item(), rel=1e-12)


def test_the_summary_counts_how_many_channels_carry_half_and_most(model, images):
    found = ik.visualize(model, images, ID, layers=["3"], target=0)
    for about in (
        dict(zip(found.tables["summary"].columns, row, strict=True)) for row in found.tables["summary"].rows()
    ):
        contributions = found.tables["channels"].where("image", about["image"])["contribution"]
        positive = sorted((value for value in contributions if value > 0), reverse=True)
        for column, part in (("carry_half", 0.5), ("carry_80", 0.8)):
            needed = next(k for k in range(1, 12) if sum(positive[:k]) >= part * sum(positive))
            assert about[column] == needed
        assert about["positive"] == len(positive)
        assert about["sum_positive"] == pytest.approx(sum(positive))
        assert about["sum"] == pytest.approx(about["sum_positive"] + about["sum_negative"])
        assert about["score"] == pytest.approx(about["sum"] + about["rest"])


def test_the_maps_of_all_channels_sum_to_grad_cam(model, images):
    found = ik.visualize(model, images, ID, layers=["0"], target=2, top=5)
    cam = ik.visualize(model, images, "grad_cam", layers=["0"], target=2).maps["0"].values
    np.testing.assert_allclose(found.maps["0, attribution"].values, cam, rtol=1e-12, atol=1e-15)
    for end in ("for", "against"):
        np.testing.assert_allclose(found.maps[f"0, {end}"].values.sum(1), cam, rtol=1e-10, atol=1e-14)
    weights = found.tables["channels"].where("image", "image0")["contribution"]
    np.testing.assert_allclose(found.maps["0, for"].values[0].sum((1, 2)), weights, rtol=1e-12)
    np.testing.assert_allclose(found.maps["0, against"].values[0].sum((1, 2)), weights[::-1], rtol=1e-12)


@pytest.mark.parametrize("size", [3, 32])
def test_ablation_equals_the_rest_of_the_net_on_the_edited_activation(model, images, size):
    found = ik.visualize(model, images, ID, layers=["3", "0"], target=2, random=4, seed=7, internal_batch_size=size)
    for layer, split, counts in (("0", 1, [1, 2, 4, 5]), ("3", 4, [1, 2, 4, 8, 11])):
        activation, _, rest = by_hand(model.module, images[1], split, 2)
        fills = {"zero": torch.zeros_like(activation), "mean": activation.mean((1, 2), keepdim=True) + 0 * activation}
        rows = found.tables["ablation"].where("image", "image1").where("layer", layer)
        assert len(rows) == 2 * 2 * len(counts)
        captured = ik.Captured(images=found.images, inputs=images, activations={}, gradients={})
        generator = np.random.default_rng(captured.seed(1, 7))
        ranked = found.tables["channels"].where("image", "image1").where("layer", layer)["channel"]
        orders = {"top": [ranked], "random": [generator.permutation(len(activation)) for _ in range(4)]}
        for order, fill, k, score, spread, fall in zip(
            *(rows[name].tolist() for name in ("order", "fill", "k", "score", "spread", "fall")), strict=True
        ):
            assert k in counts
            scores = []
            for each in orders[order]:
                edited = activation.clone()
                for channel in each[:k].tolist():
                    edited[channel] = fills[fill][channel]
                scores.append(rest(edited))
            assert score == pytest.approx(statistics.mean(scores), abs=1e-12)
            assert spread == pytest.approx(statistics.stdev(scores) if len(scores) > 1 else 0, abs=1e-12)
            assert fall == pytest.approx(rest(activation) - statistics.mean(scores), abs=1e-12)


def test_at_gap_and_linear_zero_takes_the_contribution_and_the_mean_takes_nothing(model, images):
    found = ik.visualize(model, images, ID, layers=["3"], target=0)
    contributions = found.tables["channels"].where("image", "image0")["contribution"]
    rows = found.tables["ablation"].where("image", "image0").where("order", "top")
    falls = {fill: rows.where("fill", fill)["fall"] for fill in ("zero", "mean")}
    np.testing.assert_allclose(falls["zero"], np.cumsum(contributions)[rows.where("fill", "zero")["k"] - 1], atol=1e-12)
    np.testing.assert_allclose(falls["mean"], 0, atol=1e-12)
    (figure,) = ik.draw(found.select("image0"))
    assert "Means change nothing here" in figure.caption
    carried = found.tables["summary"]["carry_80"][0]
    assert f"{carried} channels carry 80 % of all that speaks for it" in figure.caption


def test_variants_go_through_in_parts(model, images, monkeypatch):
    sizes = []
    original = ik.Model.scores_with

    def counted(self, *arguments, variants, **more):
        sizes.append(len(variants))
        return original(self, *arguments, variants=variants, **more)

    monkeypatch.setattr(ik.Model, "scores_with", counted)
    ik.visualize(model, images[:1], ID, layers=["3"], target=0, random=3, internal_batch_size=7)
    assert max(sizes) == 7
    assert sum(sizes) == 2 * 5 * (1 + 3)


def test_other_seeds_draw_other_channels_and_images_draw_their_own(model, images):
    def scores(seed):
        table = ik.visualize(model, images, ID, layers=["3"], target=0, seed=seed).tables["ablation"]
        return table.where("order", "random").where("fill", "zero").where("k", 2)["score"]

    assert scores(0).tolist() == scores(0).tolist()
    assert (scores(0) != scores(1)).all()


def test_channels_are_compared_with_the_map_of_the_step_that_is_read(model, images, slowly_averaged):
    cam = ik.visualize(model, images, "grad_cam", layers=["0"], target=2)
    found = ik.visualize(model, images, ID, of={"cam": cam}, layers=["3"], target=2)
    assert found.tables["summary"]["attribution"].tolist() == ["cam/0", "cam/0"]
    activation, gradient, _ = by_hand(model.module, images[0], 4, 2)
    maps = (gradient.mean((1, 2), keepdim=True) * activation).numpy()
    # Cells of padded convolutions whose steps fill the image tile it.
    onto = [(4, 1.0, 2.0), (5, 1.0, 2.0)]
    reference = slowly_averaged(cam.maps["0"].values[0], [(8, 0.5, 1.0), (10, 0.5, 1.0)], onto, (8, 10)).ravel()
    rows = found.tables["channels"].where("image", "image0")
    undefined = 0
    for channel, correlation, iou in zip(rows["channel"], rows["rank_correlation"], rows["iou"], strict=True):
        values = maps[channel].ravel()
        if np.ptp(values) == 0:
            undefined += 1
            assert np.isnan(correlation)
            assert np.isnan(iou)
            continue
        assert correlation == pytest.approx(spearmanr(values, reference).statistic, abs=1e-12)
        best, other = (np.argsort(-each, kind="stable")[:4] for each in (values, reference))
        if np.sort(values)[-4] != np.sort(values)[-5]:
            assert iou == pytest.approx(len(set(best) & set(other)) / len(set(best) | set(other)))
    assert undefined < 6


def test_of_a_step_with_several_layers_the_map_of_the_same_layer_is_taken(model, images):
    cam = ik.visualize(model, images, "grad_cam", layers=["0", "3"], target=2)
    found = ik.visualize(model, images, ID, of={"cam": cam}, layers=["3"], target=2)
    assert found.tables["summary"]["attribution"][0] == "cam/3"
    with pytest.raises(ik.StepError, match="step 'cam' has maps of 0, 3, none of 1"):
        ik.visualize(model, images, ID, of={"cam": cam}, layers=["1"], target=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": 1}, "step 'read' explains '1'"),
        ({"target": {"top": 2}}, "explains several classes of each image"),
    ],
)
def test_a_step_that_does_not_fit_is_refused(model, images, options, message):
    read = ik.visualize(model, images, "grad_cam", layers=["3"], **options)
    with pytest.raises(ik.StepError, match=message):
        ik.visualize(model, images, ID, of={"read": read}, layers=["3"], target=2)
    features = ik.visualize(model, images, "feature_grid", layers=["3"])
    with pytest.raises(ik.RecipeError, match="reads steps that yield attribution, and 'read' yields features"):
        ik.visualize(model, images, ID, of={"read": features}, layers=["3"], target=2)
    with pytest.raises(ik.RecipeError, match=r"reads at most 1 earlier step .*it names 2"):
        ik.visualize(model, images, ID, of={"read": read, "again": read}, layers=["3"], target=2)


def test_a_layer_without_a_grid_is_refused_with_its_shape(model, images):
    with pytest.raises(ik.StepError, match="5 returns 2×11"):
        ik.visualize(model, images, ID, layers=["5"])


def test_a_layer_that_nothing_speaks_for_is_told_as_such():
    net = nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    with torch.no_grad():
        net[3].weight.fill_(-1.0)
    model = ik.wrap(net.eval())
    found = ik.visualize(model, tiny_images(1), ID, layers=["0"], target=0)
    assert np.isnan(found.tables["channels"]["cumulative"]).all()
    assert found.tables["summary"]["carry_80"].tolist() == [0]
    (figure,) = ik.draw(found)
    assert "carry 80 %" not in figure.caption


class Broken(nn.Module):
    """One channel has NaN in one cell; what follows takes 0 for it."""

    def __init__(self):
        super().__init__()
        self.layer, self.head = nn.Identity(), nn.Linear(3, 2)

    def forward(self, images):
        values = images.clone()
        values[:, 1, 0, 0] = torch.nan
        return self.head(self.layer(values).nan_to_num().mean((2, 3)))


def test_the_share_of_a_channel_is_not_defined_where_another_is_not_finite():
    found = ik.visualize(ik.wrap(Broken()), torch.rand(1, 3, 4, 4), "channel_contributions", layers=["layer"])
    channels = found.tables["channels"]
    assert np.isnan(channels["contribution"]).tolist() == [False, False, True]
    assert np.isnan(channels["share"]).all()


def test_the_contract_is_kept_with_and_without_a_step_to_read():
    check_visualizer(ChannelContributions, layers=["features"], target=1, random=2)
    cam = ik.visualize(tiny_model(), tiny_images(), "grad_cam", layers=["features"], target=1)
    check_visualizer(ChannelContributions, of={"cam": cam}, layers=["features"], target=1, random=2)


def test_each_of_the_top_classes_is_taken_apart(model, images):
    found = ik.visualize(model, images, ID, layers=["3"], target={"top": 2})
    figures = ik.draw(found)
    assert [figure.name for figure in figures] == ["3 top 1", "3 top 2"] * 2
    second = found.tables["channels"].where("top", 2).where("image", "image0")
    alone = ik.visualize(model, images, ID, layers=["3"], target=found.targets[1].index).tables["channels"]
    np.testing.assert_array_equal(second["contribution"], alone.where("image", "image0")["contribution"])


@pytest.fixture
def titled(monkeypatch):
    """What figures show of attribution maps, by title."""
    shown = {}
    original = ik.figures.attribution

    def recorded(values, pixels, *, title, **more):
        shown[title] = values
        return original(values, pixels, title=title, **more)

    monkeypatch.setattr(ik.figures, "attribution", recorded)
    return shown


def test_a_map_that_is_read_is_said_to_be_compared_with_and_not_to_be_taken_apart(model, images, titled):
    read = ik.visualize(model, images[:1], "input_x_gradient", target=2)
    found = ik.visualize(model, images[:1], ID, of={"read": read}, layers=["3"], target=2)
    cam = ik.visualize(model, images[:1], "grad_cam", layers=["3"], target=2).maps["3"].values
    np.testing.assert_allclose(found.maps["3, Grad-CAM"].values, cam, rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(found.maps["3, attribution"].values, read.maps["input"].values)
    (figure,) = ik.draw(found)
    apart, compared = titled
    assert apart == "The map that is taken apart: Grad-CAM at 3, the sum of all channels"
    assert compared == "The map that each channel is compared with: read/input"
    np.testing.assert_allclose(titled[apart], cam[0], rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(titled[compared], read.maps["input"].values[0])
    for words in (figure.caption, figure.alt):
        assert "The map that is taken apart is Grad-CAM at 3." in words
        assert "Each channel's part of it, compared with read/input:" in words


def test_without_a_step_there_is_one_map_and_channels_are_compared_with_what_they_make_up(model, images, titled):
    found = ik.visualize(model, images[:1], ID, layers=["3"], target=2)
    assert set(found.maps) == {"3, attribution", "3, for", "3, against"}
    (figure,) = ik.draw(found)
    assert list(titled) == ["The map that is taken apart: Grad-CAM at 3, the sum of all channels"]
    assert "Each channel's part of it, compared with Grad-CAM at 3:" in figure.caption


def test_what_a_channel_contributes_does_not_depend_on_the_map_that_is_read(model, images):
    read = ik.visualize(model, images, "input_x_gradient", target=2)
    alone = ik.visualize(model, images, ID, layers=["3"], target=2)
    beside = ik.visualize(model, images, ID, of={"read": read}, layers=["3"], target=2)
    for column in ("channel", "contribution", "share", "cumulative"):
        np.testing.assert_array_equal(alone.tables["channels"][column], beside.tables["channels"][column])
    np.testing.assert_array_equal(beside.maps["3, Grad-CAM"].values, alone.maps["3, attribution"].values)


def test_tiles_show_under_each_side_only_channels_that_speak_for_it(monkeypatch):
    net = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    with torch.no_grad():
        net[0].weight.fill_(1.0)
        net[0].bias.zero_()
        net[4].weight.copy_(torch.tensor([[1.0, -2.0, 3.0], [1.0, 2.0, 3.0]]))
    shown = []
    grid = ik.figures.grid

    def seen(values, *, title, labels, **more):
        shown.append((title.split(":")[0], [label.split(":")[0] for label in labels], len(values)))
        return grid(values, title=title, labels=labels, **more)

    monkeypatch.setattr("interpretkit.figures.grid", seen)
    image = torch.rand(1, 3, 6, 6)
    ik.draw(ik.visualize(ik.wrap(net.eval(), output=ik.Classes()), image, ID, layers=["1"], target=0))
    words = "Channels that speak most {} the target"
    assert shown == [(words.format("for"), ["2", "0"], 2), (words.format("against"), ["1"], 1)]
    shown.clear()
    (figure,) = ik.draw(ik.visualize(ik.wrap(net.eval(), output=ik.Classes()), image, ID, layers=["1"], target=1))
    assert shown == [(words.format("for"), ["2", "1", "0"], 3)]
    assert "by 3 channels for it, 0 by 0 against it" in figure.caption


@pytest.mark.parametrize(("bias", "far"), [(0.0, False), (9.0, True)])
def test_a_rest_of_more_than_a_quarter_of_the_score_is_a_warning_in_figure_and_caption(model, images, bias, far):
    with torch.no_grad():
        model.module[6].bias.fill_(bias)
        score = model.module(images)[0, 2].item()
    found = ik.visualize(model, images[:1], ID, layers=["3"], target=2)
    share = found.tables["summary"]["rest_share"][0]
    assert share == pytest.approx(abs(bias / score), abs=1e-12)
    (figure,) = ik.draw(found)
    said = f"That is far from complete, since {100 * share:.0f} % of the score is no channel's"
    assert (said in figure.caption) == (said in figure.alt) == far


def test_channels_stand_beside_the_map_shifted_around(model, images):
    found = ik.visualize(model, images, ID, layers=["3"], target=2, seed=5)
    seed = ik.Captured(images=found.images, inputs=None, activations={}, gradients={}).seed(1, 5)
    rows = found.tables["channels"].where("image", "image1")
    activation, gradient, _ = by_hand(model.module, images[1], 4, 2)
    parts = (gradient.mean((1, 2), keepdim=True) * activation).numpy()
    cam = parts.sum(0)
    (moved,) = Shuffles.drawn(cam.shape, 100, (seed,)).of(cam)
    for channel, low, high in zip(rows["channel"], rows["chance_low"], rows["chance_high"], strict=True):
        chance = [spearmanr(parts[channel].ravel(), each.ravel()).statistic for each in moved]
        np.testing.assert_allclose([low, high], np.quantile(chance, [0.05, 0.95]), atol=1e-9)
    above = int((rows["rank_correlation"] > rows["chance_high"]).sum())
    (figure,) = ik.draw(found.select("image1"))
    assert f"{above} of 11 channels above 95 % of what the map has that is shifted around" in figure.caption
