"""Attributions at layers: captum called directly and unbatched is the oracle."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from captum import attr
from torch import nn

import interpretkit as ik

METHODS = {
    "layer_conductance": (attr.LayerConductance, {"method": "riemann_trapezoid"}),
    "internal_influence": (attr.InternalInfluence, {}),
    "layer_integrated_gradients": (attr.LayerIntegratedGradients, {}),
}


def network(*, in_place: bool) -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(in_place), nn.MaxPool2d(2), nn.Conv2d(5, 6, 3, padding=1)
    )
    net += nn.Sequential(nn.ReLU(in_place), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))
    return net.double().eval()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(2, 3, 8, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", METHODS)
def test_layer_methods_equal_captums_also_at_a_layer_before_one_that_works_in_place(images, name):
    method, more = METHODS[name]
    plain = network(in_place=False)
    result = ik.visualize(
        ik.wrap(network(in_place=True)), images, name, target=1, layers=["0", "3"], baseline="image_mean"
    )
    baseline = images.mean((2, 3), keepdim=True).expand_as(images)
    for layer, shape in (("0", (8, 10)), ("3", (4, 5))):
        expected = method(plain, plain[int(layer)]).attribute(images, baseline, target=1, n_steps=50, **more)
        values = torch.from_numpy(result.maps[layer].values)
        assert result.maps[layer].dims == ("image", "y", "x")
        assert values.shape[1:] == shape
        torch.testing.assert_close(values, expected.detach().sum(1), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["layer_conductance", "layer_integrated_gradients"])
def test_layer_methods_are_complete_where_all_goes_through_the_layer(images, name):
    net = network(in_place=True)
    result = ik.visualize(ik.wrap(net), images, name, target=1, layers=["3", "1"], steps=400)
    table = result.tables["completeness"]
    assert table["layer"].tolist() == ["3", "1"] * 2
    with torch.no_grad():
        difference = (net(images) - net(torch.zeros_like(images)))[:, 1].numpy()
    np.testing.assert_allclose(table["difference"], difference.repeat(2))
    assert table["relative_gap"].max() < 0.02
    np.testing.assert_allclose(table["sum"][::2], result.maps["3"].values.sum((1, 2)))


def test_internal_influence_promises_nothing(images):
    result = ik.visualize(ik.wrap(network(in_place=True)), images, "internal_influence", target=1, layers=["3"])
    assert set(result.tables) == {"baseline"}


def test_tokens_are_arranged_and_all_of_them_are_counted(images):
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    net = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=2, num_classes=3).double().eval()
    picture = torch.randn(1, 3, 32, 32, dtype=torch.float64)
    result = ik.visualize(ik.wrap(net), picture, "layer_integrated_gradients", target=1, layers=["blocks.0"])
    expected = attr.LayerIntegratedGradients(net, net.blocks[0]).attribute(picture, 0 * picture, target=1).detach()
    assert expected.shape == (1, 5, 192)
    grid = expected[0, 1:].sum(-1).reshape(2, 2)
    torch.testing.assert_close(torch.from_numpy(result.maps["blocks.0"].values[0]), grid, rtol=1e-9, atol=1e-12)
    table = result.tables["completeness"]
    np.testing.assert_allclose(table["sum"], float(expected.sum()))
    assert table["relative_gap"][0] < 1e-3


def test_a_layer_without_a_grid_or_of_several_calls_is_refused(images):
    model = ik.wrap(network(in_place=True))
    with pytest.raises(ik.StepError, match=r"grid \(channel, y, x\); 7 returns 4"):
        ik.visualize(model, images, "layer_conductance", target=1, layers=["7"])
    relu = nn.ReLU()
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), relu, nn.Conv2d(4, 4, 3), relu, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(ik.StepError, match="called 2 times"):
        ik.visualize(ik.wrap(net.double()), images, "internal_influence", target=1, layers=["1"])
    with pytest.raises(ik.StepError, match="cannot tell the calls of a layer apart"):
        ik.visualize(ik.wrap(net.double()), images, "internal_influence", target=1, layers=["1#2"])
