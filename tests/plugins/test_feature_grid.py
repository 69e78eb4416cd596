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


@pytest.mark.parametrize("options", [{}, {"order": "mean", "normalize": "layer", "max_channels": 2}])
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
        assert maps[layer].input_size == (9, 11)


def test_a_layer_without_a_grid_is_refused_with_its_shape_and_a_way_out(model):
    with pytest.raises(ik.StepError, match=r"layer 3 returns 4×6, not feature maps") as caught:
        ik.visualize(model, torch.zeros(4, 3, 9, 9), "feature_grid", layers=["1", "3"])
    assert "before the pooling" in caught.value.hint


ODD = np.array(
    [[0.0, 9.0, 0.0], [5.0, 5.0, 5.0], [np.nan, 1.0, 2.0], [0.0, 0.0, 0.0], [6.0, 6.0, 6.0], [np.inf, 0.0, 1.0]]
)


@pytest.mark.parametrize(
    ("options", "channels"),
    [
        ({}, [0, 1, 2, 3, 4, 5]),
        ({"order": "mean"}, [4, 1, 0, 3, 2, 5]),
        ({"order": "max"}, [0, 4, 1, 3, 2, 5]),
        ({"order": "mean", "max_channels": 2}, [4, 1]),
        ({"max_channels": 99}, [0, 1, 2, 3, 4, 5]),
    ],
)
def test_tiles_come_in_the_order_asked_for_with_the_number_of_their_channel(grids, options, channels):
    values = ODD[None, :, None, :].astype(np.float32)
    each = ik.Map(values=values, dims=("image", "channel", "y", "x"), layer="s", input_size=(8, 8), polarity="unsigned")
    image = ik.InputImage(id="cat", source="", sha256="", size=(8, 8))
    (figure,) = drawn(ik.Result(maps={"s": each}, images=(image,)), **options)
    (given,) = grids
    assert given["labels"] == [str(channel) for channel in channels]
    assert np.array_equal(given["values"], values[0, channels], equal_nan=True)
    assert (given["scope"], given["polarity"]) == ("channel", "unsigned")
    assert given["limits"] == (0.0, 9.0), "the layer's limits, not those of the channels shown"
    which = f"{len(channels)} of 6 channels" if len(channels) < 6 else "all 6 channels"
    assert which in figure.caption
    assert which in figure.alt
    assert (which in given["title"]) == (len(channels) < 6)
    assert "Of all 6 channels: values from 0 to 9; 1 dead, 2 nearly constant, 2 with values that are not finite" in (
        figure.caption
    )


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
    [{"layers": []}, {"layers": ["1"], "max_channels": 0}, {"layers": ["1"], "order": "size"}, {"layers": "1"}],
)
def test_options_out_of_bounds_are_refused(options):
    with pytest.raises(ValidationError):
        FeatureGrid.Options(**options)


def test_it_is_found_as_a_plugin_and_loads_no_torch_before_it_runs():
    result = ik.visualize(tiny_model(), tiny_images(1), "feature_grid", layers=["features"])
    assert list(result.maps) == ["features"]
    code = "import interpretkit_feature_grid.feature_grid, sys; assert not {'torch', 'matplotlib'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)
