"""The methods that are a formula over the shared pass, against captum, pytorch-grad-cam, torchcam and slow loops."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest
import pytorch_grad_cam
import torch
import torchcam.methods
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

import interpretkit as ik
from interpretkit.contracts.kinds import VISUALIZER
from interpretkit.contracts.registry import Plugin, discover
from interpretkit.engine.batch import compute
from interpretkit.engine.plan import Plan, plan_step
from interpretkit.engine.resolve import Step, parse_options
from interpretkit.inputs.batch import tensor_batches
from interpretkit.testing import check_visualizer, tiny_images, tiny_model

if TYPE_CHECKING:
    from collections.abc import Callable

GRADIENT = ["grad_cam", "grad_cam_plusplus", "hirescam", "xgrad_cam", "layer_cam", "eigen_grad_cam"]
METHODS = [*GRADIENT, "eigen_cam", "cam"]
DOUBLE = torch.float64
POOLING = partial(nn.AdaptiveAvgPool2d, 1)


def linear(inputs: int, outputs: int) -> Callable[[], nn.Module]:
    return lambda: nn.Linear(inputs, outputs)


def network(*head: Callable[[], nn.Module], channels: int = 6) -> nn.Sequential:
    """Two convolutions: layer 3 is before the last ReLU, layer 4 after it; large logits, beside others' epsilons."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(5, channels, 3, padding=1),
        nn.ReLU(),
        nn.Sequential(*(part() for part in head or (nn.Flatten, linear(channels * 20, 4)))),
    )
    with torch.no_grad():
        next(part for part in net.modules() if isinstance(part, nn.Linear)).weight.mul_(1e3)
    return net.to(DOUBLE).eval()


def pooled() -> nn.Sequential:
    return network(POOLING, nn.Flatten, linear(6, 4))


@pytest.fixture
def net() -> nn.Sequential:
    return network()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(3, 3, 8, 10, dtype=DOUBLE, generator=torch.Generator().manual_seed(1))


def ours(net, images, method, layer, **options) -> torch.Tensor:
    result = ik.visualize(ik.wrap(net, name="net"), images, method, layers=[layer], **options)
    assert result.maps[layer].dims == ("image", "y", "x")
    assert tuple(result.maps[layer].extent.values()) == tuple(images.shape[-2:])
    return torch.from_numpy(result.maps[layer].values)


def recorded(net, images, layer: int, target: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The activation of a layer of a Sequential and the gradient there, by cutting the network in two."""
    activation = net[: layer + 1](images).detach().requires_grad_()
    score = net[layer + 1 :](activation)[:, target].sum()
    return activation.detach(), torch.autograd.grad(score, activation)[0]


def slow(method: str, activation: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """The papers' formulas for one image, in loops over channels and cells."""
    channels, height, width = activation.shape
    cells = [(y, x) for y in range(height) for x in range(width)]
    found = np.zeros((height, width))
    for k in range(channels):
        total = sum(activation[k, y, x] for y, x in cells)
        weight = 0.0
        for y, x in cells:
            g = gradient[k, y, x]
            if method == "grad_cam":
                weight += g / len(cells)
            elif method == "grad_cam_plusplus" and g != 0:
                weight += g**2 / (2 * g**2 + sum(activation[k, b, a] * g**3 for b, a in cells)) * max(g, 0)
            elif method == "xgrad_cam" and total != 0:
                weight += activation[k, y, x] / total * g
        for y, x in cells:
            if method == "hirescam":
                weight = gradient[k, y, x]
            elif method == "layer_cam":
                weight = max(gradient[k, y, x], 0)
            found[y, x] += weight * activation[k, y, x]
    return found


@pytest.mark.parametrize("layer", [3, 4])
@pytest.mark.parametrize("method", GRADIENT[:-1])
def test_each_map_equals_the_papers_formula_in_loops(net, images, method, layer):
    activation, gradient = recorded(net, images, layer, target=2)
    expected = [slow(method, a.numpy(), g.numpy()) for a, g in zip(activation, gradient, strict=True)]
    found = ours(net, images, method, str(layer), target=2)
    torch.testing.assert_close(found, torch.from_numpy(np.stack(expected)), rtol=1e-9, atol=1e-9)


RAW = {
    "grad_cam": pytorch_grad_cam.GradCAM,
    "grad_cam_plusplus": pytorch_grad_cam.GradCAMPlusPlus,
    "hirescam": pytorch_grad_cam.HiResCAM,
    "xgrad_cam": pytorch_grad_cam.XGradCAM,
    "layer_cam": pytorch_grad_cam.LayerCAM,
    "eigen_cam": pytorch_grad_cam.EigenCAM,
    "eigen_grad_cam": pytorch_grad_cam.EigenGradCAM,
}


def raw(method: str, net: nn.Module, images: torch.Tensor, layer: nn.Module, *, target: int, **more) -> np.ndarray:
    """pytorch-grad-cam's map before its ReLU, its scaling and its resizing."""
    targets = [ClassifierOutputTarget(target)] * len(images)
    with RAW[method](net, [layer], **more) as method_of_theirs:
        method_of_theirs(images, targets)
        seen = method_of_theirs.activations_and_grads
        activation = seen.activations[0].numpy()
        gradient = seen.gradients[0].numpy() if seen.gradients else None
        return method_of_theirs.get_cam_image(images, layer, targets, activation, gradient, eigen_smooth=False)


@pytest.mark.parametrize("method", ["grad_cam", "hirescam", "layer_cam", "xgrad_cam", "grad_cam_plusplus"])
def test_each_map_equals_pytorch_grad_cams_before_its_scaling(net, images, method):
    expected = raw(method, net, images, net[4], target=1)
    found = ours(net, images, method, "4", target=1).numpy()
    # Its epsilons are 1e-7 beside sums of activations, and 1e-6 beside squares of gradients, here of thousands.
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("method", ["eigen_cam", "eigen_grad_cam"])
def test_centred_components_equal_pytorch_grad_cams_but_for_the_sign(net, images, method):
    expected = raw(method, net, images, net[4], target=1)
    more = {"target": 1} if method == "eigen_grad_cam" else {}
    found = ours(net, images, method, "4", centre=True, **more).numpy()
    for one, other in zip(found, expected, strict=True):
        sign = np.sign((one * other).sum())
        np.testing.assert_allclose(one, sign * other, rtol=1e-5, atol=1e-5 * np.abs(other).max())


THEIRS = {
    "grad_cam": torchcam.methods.GradCAM,
    "xgrad_cam": torchcam.methods.XGradCAM,
    "layer_cam": torchcam.methods.LayerCAM,
}


@pytest.mark.parametrize("method", list(THEIRS))
def test_the_positive_part_equals_torchcams(net, images, method):
    with THEIRS[method](net, "4", input_shape=(3, 8, 10)) as extractor:
        (expected,) = extractor(1, net(images), normalized=False)
    found = ours(net, images, method, "4", target=1).clamp(min=0)
    torch.testing.assert_close(found, expected.detach(), rtol=1e-6, atol=1e-9)


def test_torchcams_plusplus_weights_are_sums_of_cubes_and_not_the_papers(images):
    net = network()
    with torchcam.methods.GradCAMpp(net, "4", input_shape=(3, 8, 10)) as extractor:
        (weights,) = extractor._get_weights(1, net(images))
    _, gradient = recorded(net, images, 4, target=1)
    torch.testing.assert_close(weights, gradient.clamp(min=0).pow(3).sum((2, 3)))


def test_hirescam_equals_grad_cam_before_pooling_and_a_linear_layer_and_nowhere_else(images):
    def both(net: nn.Module) -> list[torch.Tensor]:
        return [ours(net, images, method, "4", target=3) for method in ("hirescam", "grad_cam")]

    torch.testing.assert_close(*both(pooled()), rtol=1e-12, atol=1e-12)
    first, second = both(network())
    assert float((first - second).abs().max()) > 0.1 * float(second.abs().max())


def test_hirescam_sums_to_the_score_without_the_bias_of_a_linear_rest(net, images):
    found = ours(net, images, "hirescam", "4", target=1)
    with torch.no_grad():
        expected = net(images)[:, 1] - net[5][1].bias[1]
    torch.testing.assert_close(found.sum((1, 2)), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("layer", [1, 4])
def test_xgrad_cam_keeps_the_sum_of_gradient_times_activation(net, images, layer):
    activation, gradient = recorded(net, images, layer, target=0)
    found = ours(net, images, "xgrad_cam", str(layer), target=0)
    torch.testing.assert_close(found.sum((1, 2)), (activation * gradient).sum((1, 2, 3)), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("method", GRADIENT)
def test_a_dead_channel_leaves_every_map_as_it_was_without_it(images, method):
    net, fewer = network(channels=7), network(channels=6)
    with torch.no_grad():
        net[3].bias[6] = -1e6
        for part in ("weight", "bias"):
            getattr(net[0], part).copy_(getattr(fewer[0], part))
            getattr(net[3], part)[:6] = getattr(fewer[3], part)
        net[5][1].weight[:, :120] = fewer[5][1].weight
        net[5][1].bias.copy_(fewer[5][1].bias)
    assert bool((net[:5](images)[:, 6] == 0).all())
    found = ours(net, images, method, "4", target=1)
    torch.testing.assert_close(found, ours(fewer, images, method, "4", target=1), rtol=1e-9, atol=1e-9)


def full_svd(values: torch.Tensor, *, centre: bool) -> torch.Tensor:
    """`O v_1` of one image `(channel, y, x)` by a full singular value decomposition in float64."""
    cells = values.double().flatten(1).T
    cells = cells - cells.mean(0) * centre
    _, _, right = torch.linalg.svd(cells, full_matrices=True)
    vector = right[0] if right[0].sum() >= 0 else -right[0]
    return (cells @ vector).view(values.shape[1:])


@pytest.mark.parametrize("centre", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(40, 4, 5), (5, 8, 9), (20, 4, 5)], ids=["channels", "cells", "square"])
def test_eigen_cam_equals_a_full_svd_whichever_gram_matrix_is_smaller(shape, dtype, centre):
    values = torch.randn(3, *shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(2)).to(dtype)
    net = nn.Sequential(nn.Identity(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    found = ours(net, values, "eigen_cam", "0", centre=centre)
    expected = torch.stack([full_svd(each, centre=centre) for each in values])
    assert found.dtype == dtype
    tolerance = 1e-6 if dtype == torch.float32 else 1e-11
    torch.testing.assert_close(found.double(), expected, rtol=tolerance, atol=tolerance * float(expected.abs().max()))


def test_eigen_cam_of_what_is_never_negative_is_never_negative(net, images):
    found = ours(net, images, "eigen_cam", "4")
    assert float(found.min()) >= -1e-12
    assert float(found.max()) > 0


@pytest.mark.parametrize("method", ["eigen_cam", "eigen_grad_cam"])
@pytest.mark.parametrize("centre", [False, True])
def test_components_rise_where_the_sum_over_channels_does(net, images, method, centre):
    more = {"target": 1} if method == "eigen_grad_cam" else {}
    found = ours(net, images, method, "3", centre=centre, **more)
    activation, gradient = recorded(net, images, 3, target=1)
    total = (activation * gradient if more else activation).sum(1)
    centred = total - total.mean((1, 2), keepdim=True) * centre
    assert bool(((found * centred).sum((1, 2)) > 0).all())


def test_eigen_cam_explains_no_class():
    model = tiny_model()
    result = ik.visualize(model, tiny_images(1), "eigen_cam", layers=["features"])
    assert result.targets == ()
    (figure,) = ik.draw(result)
    assert "no class" in figure.alt


def test_eigen_cam_of_an_image_that_overflows_is_nan_and_spoils_no_other(net, images):
    net, images = net.float(), images.float()
    with torch.no_grad():
        net[0].weight.mul_(100)
    whole = ours(net, images, "eigen_cam", "4")
    images[1] *= 1e38
    found = ours(net, images, "eigen_cam", "4")
    assert bool(found[1].isnan().all())
    torch.testing.assert_close(found[[0, 2]], whole[[0, 2]])


@pytest.mark.parametrize("target", [2, {"for": 0, "against": 3}])
def test_cams_mean_is_the_logit_without_its_bias(images, target):
    net = pooled()
    found = ours(net, images, "cam", "4", target=target)
    with torch.no_grad():
        parts = net(images) - net[5][2].bias
    expected = parts[:, 2] if target == 2 else parts[:, 0] - parts[:, 3]
    torch.testing.assert_close(found.mean((1, 2)), expected, rtol=1e-12, atol=1e-12)


def test_cam_equals_torchcams_and_grad_cam_times_the_number_of_cells(images):
    net = pooled()
    found = ours(net, images, "cam", "4", target=2)
    with torchcam.methods.CAM(net, "4", "5.2", input_shape=(3, 8, 10)) as extractor, torch.no_grad():
        net(images)
        (expected,) = extractor(2, normalized=False)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found, 20 * ours(net, images, "grad_cam", "4", target=2), rtol=1e-12, atol=1e-12)


def test_each_image_has_the_cam_of_its_own_class(images):
    net = pooled()
    predicted = net(images).argmax(1).tolist()
    found = ours(net, images, "cam", "4")
    for position, index in enumerate(predicted):
        alone = ours(net, images[position : position + 1], "cam", "4", target=index)[0]
        torch.testing.assert_close(found[position], alone)


@pytest.mark.parametrize(
    ("net", "layer", "why"),
    [
        (network, "4", "no linear layer takes its 6 channels"),
        (pooled, "3", "pooled and weighted it gives 'image0'"),
        (lambda: network(partial(nn.AdaptiveMaxPool2d, 1), nn.Flatten, linear(6, 4)), "4", "pooled and weighted"),
        (lambda: network(POOLING, nn.Flatten, linear(6, 6), nn.Tanh, linear(6, 4)), "4", "pooled and weighted"),
        (lambda: network(POOLING, nn.Flatten, linear(6, 2), linear(2, 4)), "4", "returns no logits"),
    ],
    ids=["flattened", "before-relu", "max-pooling", "two-layers", "narrow"],
)
def test_cam_is_refused_where_more_than_pooling_and_one_layer_follows(net, layer, why, images):
    with pytest.raises(ik.StepError, match=why) as refusal:
        ours(net(), images, "cam", layer, target=3)
    assert "hirescam" in refusal.value.hint


def vit():
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    net = timm.create_model("vit_tiny_patch16_224", img_size=(32, 48), depth=2, num_classes=3)
    return net.to(DOUBLE).eval()


@pytest.mark.parametrize("method", ["grad_cam", "hirescam", "layer_cam", "grad_cam_plusplus", "eigen_cam"])
def test_tokens_of_a_vit_are_explained_on_their_grid(method):
    net = vit()
    images = torch.randn(2, 3, 32, 48, dtype=DOUBLE)

    def on_grid(tokens: torch.Tensor) -> torch.Tensor:
        return tokens[:, 1:].unflatten(1, (2, 3)).permute(0, 3, 1, 2)

    with torch.no_grad():
        net.head.weight.mul_(1e4)
    expected = raw(method, net, images, net.blocks[0], target=1, reshape_transform=on_grid)
    more = {"centre": True} if method == "eigen_cam" else {"target": 1}
    found = ours(net, images, method, "blocks.0", **more).numpy()
    assert found.shape == (2, 2, 3)
    if method == "eigen_cam":
        expected = expected * np.sign((found * expected).sum((1, 2), keepdims=True))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_any_number_of_methods_on_any_number_of_layers_costs_one_pass_each_way(monkeypatch):
    net = pooled()
    forwards, backwards = [], []
    net.register_forward_hook(lambda *_: forwards.append(1))
    grad = torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *args, **more: backwards.append(1) or grad(*args, **more))
    model, offers = ik.wrap(net, name="net"), discover().of(VISUALIZER)
    steps = []
    for method in METHODS:
        layers = ["4"] if method == "cam" else ["0", "1", "2", "3", "4"]
        options = {"layers": layers} | ({} if method == "eigen_cam" else {"target": 1})
        visualizer = offers[method].offer(parse_options(offers[method].offer, options))
        step = Step(id=method, visualizer=visualizer, plugin=Plugin("test"), model="model")
        steps.append(plan_step(step, model))
    plan = Plan(models={"model": model}, steps=tuple(steps))
    (batch,) = tensor_batches(torch.randn(2, 3, 8, 10, dtype=DOUBLE), plan.models, batch_size=2)
    outcome = compute(plan, batch)
    assert not outcome.failures
    assert {name: len(each.maps) for name, each in outcome.results.items()} == dict.fromkeys(METHODS, 5) | {"cam": 1}
    assert (len(forwards), len(backwards)) == (1, 1)


def test_every_call_of_a_layer_has_a_map_and_none_at_all_is_an_error(images):
    net = network()
    net.add_module("spare", nn.Identity())
    net.forward = lambda values: nn.Sequential(*list(net)[:-1])(net[4](values))
    found = ik.visualize(ik.wrap(net), images.abs(), "hirescam", layers=["4#*"], target=1)
    assert list(found.maps) == ["4#1", "4#2"]
    with pytest.raises(ik.StepError, match=r"none of the layers spare#\* is called on the way to the score"):
        ours(net, images, "hirescam", "spare#*", target=1)


@pytest.mark.parametrize("method", METHODS)
def test_maps_of_a_bfloat16_network_are_those_of_float32_in_few_digits(images, method):
    more = {} if method == "eigen_cam" else {"target": 1}
    exact = ours(pooled().float(), images.float(), method, "4", **more)
    found = ours(pooled().bfloat16(), images.float(), method, "4", **more)
    torch.testing.assert_close(found, exact, rtol=0.1, atol=0.1 * float(exact.abs().max()))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_keeps_the_contract(method):
    more = {} if method == "eigen_cam" else {"target": "class 1"}
    check_visualizer(discover().of(VISUALIZER)[method].offer, layers=["features"], **more)


@pytest.mark.parametrize("method", METHODS)
def test_a_layer_without_a_grid_is_refused_by_the_name_of_the_method(net, images, method):
    with pytest.raises(ik.StepError, match=rf"{method}.*layer 5 returns 3×4, not feature maps"):
        ours(net, images, method, "5")
