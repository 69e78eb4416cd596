from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

import interpretkit as ik
from interpretkit import figures
from interpretkit.testing import check_visualizer, tiny_images, tiny_model
from interpretkit_feature_grid.feature_grid import FeatureGrid


@pytest.fixture
def model() -> ik.Model:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with torch.no_grad():
        net[0].bias[2] = -100.0
    return ik.wrap(net.eval())


def drawn(result: ik.Result, **options) -> list[ik.Figure]:
    grid = FeatureGrid(FeatureGrid.Options(layers=list(result.maps), **options))
    return list(grid.draw(result.select(result.images[0].id)))


@pytest.fixture
def grids(monkeypatch) -> list[dict]:
    """What is handed to `figures.grid`."""
    calls: list[dict] = []

    def record(values: np.ndarray, **given):
        calls.append({"values": values, **given})
        return whole(values, **given)

    whole = figures.grid
    monkeypatch.setattr(figures, "grid", record)
    return calls


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"order": "mean", "normalize": "layer", "max_channels": 2},
        {"order": "contribution", "target": "class 1", "normalize": [0.0, 1.0]},
    ],
)
def test_it_keeps_the_contract_of_a_visualizer(options):
    check_visualizer(FeatureGrid, layers=["features"], **options)


@pytest.mark.parametrize("options", [{}, {"order": "max", "max_channels": 1}])
def test_the_result_is_every_channel_by_index_as_the_layer_returned_it(model, options):
    images = torch.randn(3, 3, 9, 11, generator=torch.Generator().manual_seed(1))
    maps = ik.visualize(model, images, "feature_grid", layers=["0", "1"], **options).maps
    with torch.no_grad():
        first = model.module[0](images).numpy()
    for layer, expected in (("0", first), ("1", first.clip(0))):
        assert np.array_equal(maps[layer].values, expected)
        assert maps[layer].dims == ("image", "channel", "y", "x")
        assert maps[layer].polarity == "signed"
        assert maps[layer].extent == {"y": 9, "x": 11}


def test_a_layer_without_a_grid_is_refused_with_its_shape_and_a_way_out(model):
    with pytest.raises(ik.StepError, match=r"layer 3 returns 4×6, not feature maps") as caught:
        ik.visualize(model, torch.zeros(4, 3, 9, 9), "feature_grid", layers=["1", "3"])
    assert "before the pooling" in caught.value.hint


ODD = np.array(
    [[0.0, 9.0, 0.0], [5.0, 5.0, 5.0], [np.nan, 1.0, 2.0], [0.0, 0.0, 0.0], [6.0, 6.0, 6.0], [np.inf, 0.0, 1.0]]
)


class Odd(nn.Module):
    """Returns the same maps whatever it is fed."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(ODD.astype(np.float32))[None, :, None].expand(len(x), -1, -1, -1)


@pytest.mark.parametrize(
    ("options", "channels"),
    [
        ({}, [0, 1, 2, 3, 4, 5]),
        ({"order": "mean"}, [4, 1, 0, 3, 2, 5]),
        ({"order": "max"}, [0, 4, 1, 3, 2, 5]),
        ({"order": "sparsity"}, [3, 0, 5, 1, 2, 4]),
        ({"order": "mean", "max_channels": 2}, [4, 1]),
        ({"max_channels": 99}, [0, 1, 2, 3, 4, 5]),
    ],
)
def test_tiles_come_in_the_order_asked_for_with_the_number_of_their_channel(grids, options, channels):
    model = ik.wrap(nn.Sequential(Odd()), aliases={"s": "0"})
    result = ik.visualize(model, torch.zeros(1, 3, 8, 8), "feature_grid", layers=["s"], **options)
    (figure,) = drawn(result, **options)
    (given,) = grids
    assert given["labels"] == [str(channel) for channel in channels]
    assert np.array_equal(given["values"], ODD[channels][:, None].astype(np.float32), equal_nan=True)
    assert (given["scope"], given["polarity"]) == ("channel", "unsigned")
    assert given["limits"] == (0.0, 9.0), "the layer's limits, not those of the channels shown"
    which = f"{len(channels)} of 6 channels" if len(channels) < 6 else "all 6 channels"
    assert which in figure.caption
    assert which in figure.alt
    assert (which in given["title"]) == (len(channels) < 6)
    assert "Of all 6 channels: values from 0 to 9; 1 dead, 2 nearly constant, 2 with values that are not finite" in (
        figure.caption
    )


def test_the_table_says_of_every_channel_what_numpy_says_in_float64(model):
    images = torch.randn(3, 3, 9, 11, generator=torch.Generator().manual_seed(1))
    result = ik.visualize(model, images, "feature_grid", layers=["0", "1"], batch_size=2)
    table = result.tables["channels"]
    assert list(table.columns) == ["image", "layer", "channel", "mean", "max", "sparsity", "dead"]
    assert len(table) == 3 * 2 * 6
    for layer in ("0", "1"):
        for position, image in enumerate(("image0", "image1", "image2")):
            rows = table.where("layer", layer).where("image", image)
            values = result.maps[layer].values[position].astype(np.float64).reshape(6, -1)
            assert rows["channel"].tolist() == list(range(6))
            np.testing.assert_allclose(rows["mean"], values.mean(1), rtol=1e-12)
            np.testing.assert_array_equal(rows["max"], values.max(1))
            np.testing.assert_array_equal(rows["sparsity"], (values == 0).mean(1))
            assert rows["dead"].tolist() == [layer == "1" and channel == 2 for channel in range(6)]


@pytest.fixture
def classifier() -> ik.Model:
    """Two convolutions before GAP + linear, in float64; the bias of the last is far from 0."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(5, 7, 3, stride=2),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(7, 4),
    ).double()
    with torch.no_grad():
        net[6].bias += 3.0
    return ik.wrap(net.eval(), classes=["a", "b", "c", "d"])


@pytest.fixture
def photos() -> torch.Tensor:
    return torch.randn(3, 3, 8, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


BY_CONTRIBUTION = {"order": "contribution", "target": 2}


def test_before_gap_and_linear_contributions_add_up_to_the_logit_without_its_bias(classifier, photos):
    table = ik.visualize(classifier, photos, "feature_grid", layers=["3"], **BY_CONTRIBUTION).tables["channels"]
    given = table["contribution"].reshape(3, 7)
    with torch.no_grad():
        features = classifier.module[:4](photos).mean((2, 3))
        logits = classifier.module(photos)[:, 2]
    np.testing.assert_allclose(given, features * classifier.module[6].weight[2].detach(), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(given.sum(1), logits - classifier.module[6].bias[2].detach(), rtol=1e-12)
    np.testing.assert_allclose(np.abs(table["share"].reshape(3, 7)).sum(1), 1, rtol=1e-12)
    np.testing.assert_array_equal(np.sign(table["share"]), np.sign(table["contribution"]))
    assert (given > 0).any()
    assert (given < 0).any()


@pytest.mark.parametrize("target", [1, {"for": "a", "against": "d"}])
def test_contributions_are_the_channels_parts_of_captums_grad_cam(classifier, photos, target):
    from captum.attr import LayerGradCam

    options = {"order": "contribution", "target": target}
    table = ik.visualize(classifier, photos, "feature_grid", layers=["0"], **options).tables["channels"]
    net = nn.Sequential(*(nn.ReLU() if isinstance(part, nn.ReLU) else part for part in classifier.module))
    maps = [LayerGradCam(net, net[0]).attribute(photos, target=index, attr_dim_summation=False) for index in (0, 3)]
    expected = maps[0] - maps[1]
    if target == 1:
        expected = LayerGradCam(net, net[0]).attribute(photos, target=1, attr_dim_summation=False)
    given = table["contribution"].reshape(3, 5)
    np.testing.assert_allclose(given, expected.sum((2, 3)).detach(), rtol=1e-12, atol=1e-14)


def test_tiles_by_contribution_say_share_and_sign_and_come_by_magnitude(classifier, photos, grids):
    options = BY_CONTRIBUTION | {"max_channels": 3}
    result = ik.visualize(classifier, photos, "feature_grid", layers=["3"], **options)
    (figure,) = drawn(result, **options)
    share = result.tables["channels"].where("image", "image0")["share"]
    order = sorted(range(7), key=lambda channel: -abs(share[channel]))[:3]
    expected = [f"{channel} {100 * share[channel]:+.1f} %".replace("-", "−") for channel in order]
    (given,) = grids
    assert given["labels"] == expected
    assert str(result.targets[0]) in given["title"]
    assert (
        f"{figures.count(int((share > 0).sum()), 'channel')} for it, {int((share < 0).sum())} against it"
        in figure.caption
    )


def test_only_contributions_cost_a_backward_pass(classifier):
    for order in ("index", "mean", "max", "sparsity", "contribution"):
        needs = FeatureGrid(FeatureGrid.Options(layers=["3"], order=order)).needs()
        assert needs.wants_gradients == (order == "contribution")


def test_a_score_that_depends_on_no_channel_gives_no_share():
    net = nn.Sequential(nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2))
    nn.init.zeros_(net[3].weight)
    result = ik.visualize(
        ik.wrap(net), torch.ones(1, 3, 4, 4), "feature_grid", layers=["0"], **BY_CONTRIBUTION | {"target": 0}
    )
    assert result.tables["channels"]["share"].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("count", "beside"), [(64, True), (65, False)])
def test_few_channels_stand_beside_the_input(grids, count, beside):
    model = ik.wrap(nn.Sequential(nn.Conv2d(3, count, 3)))
    result = ik.visualize(model, torch.rand(1, 3, 8, 8), "feature_grid", layers=["0"])
    (figure,) = drawn(result)
    (given,) = grids
    assert (given["pixels"] is not None) == beside == ("The input stands before them" in figure.caption)
    if beside:
        assert np.array_equal(given["pixels"], result.images[0].pixels)


def test_fixed_limits_are_those_of_the_scale(grids, model):
    result = ik.visualize(model, torch.randn(1, 3, 9, 9), "feature_grid", layers=["1"])
    (figure,) = drawn(result, normalize=[0.0, 0.25])
    (given,) = grids
    assert (given["scope"], given["limits"]) == ("fixed", (0.0, 0.25))
    assert "fixed limits 0 to 0.25" in figure.caption


@pytest.mark.parametrize(
    ("options", "layer", "words"),
    [
        ({}, "1", "each channel on a scale of its own."),
        ({"normalize": "layer"}, "1", "all on one scale."),
        ({}, "0", "each channel on a scale of its own, symmetric about 0."),
    ],
)
def test_captions_say_scale_and_range_and_alt_text_where_the_maximum_is(model, options, layer, words):
    images = torch.randn(1, 3, 9, 11, generator=torch.Generator().manual_seed(1))
    result = ik.visualize(model, images, "feature_grid", layers=[layer])
    (figure,) = drawn(result, **options)
    values = result.maps[layer].values[0]
    channel, row, column = np.unravel_index(values.argmax(), values.shape)
    assert words in figure.caption
    assert f"to {figures.number(values.max())}" in figure.caption
    assert f"the strongest, channel {channel}: 4×5 cells" in figure.alt
    assert f"at row {row}, column {column}" in figure.alt
    assert figure.name == layer
    if layer == "1":
        assert "1 dead, 0 nearly constant" in figure.caption


@pytest.mark.parametrize(
    "options",
    [
        {"layers": []},
        {"layers": ["1"], "max_channels": 0},
        {"layers": ["1"], "order": "size"},
        {"layers": "1"},
        {"layers": ["1"], "order": "mean", "target": 3},
        {"layers": ["1"], "order": "contribution", "target": {"top": 2}},
        {"layers": ["1"], "normalize": [1.0, 1.0]},
        {"layers": ["1"], "normalize": [0.0, 1.0, 2.0]},
    ],
)
def test_options_out_of_bounds_are_refused(options):
    with pytest.raises(ValidationError):
        FeatureGrid.Options(**options)


def test_it_is_found_as_a_plugin_and_loads_no_torch_before_it_runs():
    result = ik.visualize(tiny_model(), tiny_images(1), "feature_grid", layers=["features"])
    assert list(result.maps) == ["features"]
    code = "import interpretkit_feature_grid.feature_grid, sys; assert not {'torch', 'matplotlib'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)
