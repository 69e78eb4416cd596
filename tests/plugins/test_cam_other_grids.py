"""Class activation maps of signals and volumes, against the papers' formulas in loops over cells, in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import interpretkit as ik

DOUBLE = torch.float64
SIZES = {1: (10,), 3: (4, 6, 8)}
CONVOLUTION = {1: nn.Conv1d, 3: nn.Conv3d}
POOL = {1: nn.MaxPool1d, 3: nn.MaxPool3d}
POOLING = {1: nn.AdaptiveAvgPool1d, 3: nn.AdaptiveAvgPool3d}
LINEAR = {1: "linear", 3: "trilinear"}
GRADIENT = ["grad_cam", "grad_cam_plusplus", "hirescam", "xgrad_cam", "layer_cam"]
TARGET = 2


def network(axes: int, *, pooled: bool = False) -> nn.Sequential:
    """Two convolutions; layer 4 is after the last ReLU, and linear layers follow it."""
    torch.manual_seed(axes)
    cells = int(np.prod([length // 2 for length in SIZES[axes]]))
    net = nn.Sequential(
        CONVOLUTION[axes](2, 3, 3, padding=1),
        nn.ReLU(),
        POOL[axes](2),
        CONVOLUTION[axes](3, 5, 3, padding=1),
        nn.ReLU(),
        nn.Sequential(POOLING[axes](1), nn.Flatten()) if pooled else nn.Flatten(),
        nn.Linear(5 if pooled else 5 * cells, 4),
    )
    return net.to(DOUBLE).eval()


def inputs(axes: int) -> torch.Tensor:
    return torch.randn(2, 2, *SIZES[axes], dtype=DOUBLE, generator=torch.Generator().manual_seed(1))


def ours(net, given, method, **options) -> torch.Tensor:
    result = ik.visualize(ik.wrap(net, name="net"), given, method, **options)
    (found,) = result.maps.values()
    grid = ("z", "y", "x")[-(given.ndim - 2) :]
    assert found.dims == ("image", *grid)
    assert dict(found.extent) == dict(zip(grid, given.shape[2:], strict=True))
    return torch.from_numpy(found.values)


def recorded(net, given, layer: int) -> tuple[np.ndarray, np.ndarray]:
    """The activation of a layer and the gradient there, by cutting the network in two."""
    activation = net[: layer + 1](given).detach().requires_grad_()
    score = net[layer + 1 :](activation)[:, TARGET].sum()
    return activation.detach().numpy(), torch.autograd.grad(score, activation)[0].numpy()


def slow(method: str, activation: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """The papers' formulas for one input, in loops over channels and cells."""
    size = activation.shape[1:]
    cells = list(np.ndindex(*size))
    found = np.zeros(size)
    for values, slopes in zip(activation, gradient, strict=True):
        total = sum(values[cell] for cell in cells)
        weight = 0.0
        for cell in cells:
            g = slopes[cell]
            if method == "grad_cam":
                weight += g / len(cells)
            elif method == "grad_cam_plusplus" and g != 0:
                weight += g**2 / (2 * g**2 + total * g**3) * max(g, 0)
            elif method == "xgrad_cam" and total != 0:
                weight += values[cell] / total * g
        for cell in cells:
            if method == "hirescam":
                weight = slopes[cell]
            elif method == "layer_cam":
                weight = max(slopes[cell], 0)
            found[cell] += weight * values[cell]
    return found


def first_component(values: np.ndarray, *, centre: bool) -> np.ndarray:
    """The projection on the first right singular vector of cells by channels, turned to rise with their sum."""
    cells = values.reshape(len(values), -1).T
    if centre:
        cells = cells - cells.mean(0)
    vector = np.linalg.svd(cells)[2][0]
    projected = cells @ vector
    return (projected if projected @ cells.sum(1) >= 0 else -projected).reshape(values.shape[1:])


def same(found: torch.Tensor, expected) -> None:
    torch.testing.assert_close(found, torch.as_tensor(np.asarray(expected)), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("axes", SIZES)
@pytest.mark.parametrize("layer", [1, 3, 4])
@pytest.mark.parametrize("method", GRADIENT)
def test_each_map_equals_the_papers_formula_in_loops(axes, layer, method):
    net, given = network(axes), inputs(axes)
    pairs = zip(*recorded(net, given, layer), strict=True)
    same(ours(net, given, method, layers=[str(layer)], target=TARGET), [slow(method, a, g) for a, g in pairs])


@pytest.mark.parametrize("axes", SIZES)
def test_both_eigen_cams_equal_a_singular_value_decomposition(axes):
    net, given = network(axes), inputs(axes)
    activation, gradient = recorded(net, given, 4)
    plain = [first_component(each, centre=False) for each in activation]
    same(ours(net, given, "eigen_cam", layers=["4"]), plain)
    products = [first_component(each, centre=True) for each in activation * gradient]
    same(ours(net, given, "eigen_grad_cam", layers=["4"], target=TARGET), products)


@pytest.mark.parametrize("axes", SIZES)
def test_cam_is_the_linear_layers_weights_over_the_activations(axes):
    net, given = network(axes, pooled=True), inputs(axes)
    activation, _ = recorded(net, given, 4)
    weights = net[6].weight.detach().numpy()[TARGET]
    found = ours(net, given, "cam", layers=["4"], target=TARGET)
    same(found, np.einsum("k,nk...->n...", weights, activation))
    grad_cam = ours(net, given, "grad_cam", layers=["4"], target=TARGET)
    same(found, grad_cam * activation[0, 0].size)


@pytest.mark.parametrize("axes", SIZES)
def test_ablation_cam_equals_brute_force(axes):
    net, given = network(axes), inputs(axes)
    with torch.no_grad():
        activation = net[:5](given)
        score = net[5:](activation)[:, TARGET]
        expected = torch.zeros_like(activation[:, 0])
        for channel in range(activation.shape[1]):
            without = activation.clone()
            without[:, channel] = 0
            drop = score - net[5:](without)[:, TARGET]
            expected += drop.reshape(-1, *(1,) * axes) * activation[:, channel]
    same(ours(net, given, "ablation_cam", layers=["4"], target=TARGET, internal_batch_size=2), expected)


@pytest.mark.parametrize("axes", SIZES)
def test_score_cam_equals_brute_force(axes):
    net, given = network(axes), inputs(axes)
    expected = []
    with torch.no_grad():
        for image, activation in zip(given, net[:5](given), strict=True):
            varied = [k for k, channel in enumerate(activation) if channel.max() > channel.min()]
            scores = []
            for channel in activation[varied]:
                mask = functional.interpolate(channel[None, None], SIZES[axes], mode=LINEAR[axes], align_corners=False)
                mask = (mask - mask.min()) / (mask.max() - mask.min())
                scores.append(net(image[None] * mask)[0, TARGET])
            weights = torch.stack(scores).softmax(0)
            expected.append(torch.einsum("k,k...->...", weights, activation[varied]))
    same(ours(net, given, "score_cam", layers=["4"], target=TARGET), torch.stack(expected))


@pytest.mark.parametrize("axes", SIZES)
def test_smooth_grad_cam_plusplus_is_grad_cam_plusplus_where_noise_changes_no_gradient(axes):
    net, given = network(axes), inputs(axes)
    pairs = zip(*recorded(net, given, 4), strict=True)
    expected = [slow("grad_cam_plusplus", a, g) for a, g in pairs]
    same(ours(net, given, "smooth_grad_cam_plusplus", layers=["4"], target=TARGET, samples=5), expected)


@pytest.mark.parametrize("axes", SIZES)
def test_full_grad_accounts_for_the_score_and_sums_what_its_parts_show(axes):
    net, given = network(axes), inputs(axes)
    result = ik.visualize(ik.wrap(net), given, "full_grad", target=TARGET)
    with torch.no_grad():
        assert result.tables["completeness"]["attributed"] == pytest.approx(net(given)[:, TARGET].numpy(), abs=1e-12)
    leaf = given.clone().requires_grad_()
    first = net[0](leaf)
    second = net[3](net[1:3](first))
    gradients = torch.autograd.grad(net[4:](second)[:, TARGET].sum(), [leaf, first, second])
    shape = (-1, *(1,) * axes)
    parts = [gradients[0] * given, gradients[1] * net[0].bias.view(shape), gradients[2] * net[3].bias.view(shape)]
    expected = torch.zeros_like(given[:, 0])
    for part in parts:
        for position, sizes in enumerate(part.detach().abs()):
            rescaled = (sizes - sizes.min()) / (sizes.max() - sizes.min())
            raised = functional.interpolate(rescaled[None], SIZES[axes], mode=LINEAR[axes], align_corners=False)
            expected[position] += raised[0].sum(0)
    same(torch.from_numpy(result.maps["input"].values), expected)
