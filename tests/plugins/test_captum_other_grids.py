"""Attributions of signals and volumes: closed forms, brute force and captum called directly are the oracles."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from captum import attr
from torch import nn
from torch.nn import functional

import interpretkit as ik
from interpretkit import StepError

DOUBLE = torch.float64
SIZES = {1: (10,), 3: (4, 6, 8)}
CONVOLUTION = {1: nn.Conv1d, 3: nn.Conv3d}
MAX_POOL = {1: nn.MaxPool1d, 3: nn.MaxPool3d}
AVERAGE = {1: nn.AvgPool1d, 3: nn.AvgPool3d}
LINEAR = {1: "linear", 3: "trilinear"}
TARGET = 2
BOTH = pytest.mark.parametrize("axes", SIZES)


class Square(nn.Module):
    def forward(self, x):
        return x * x


def network(axes: int, pool=AVERAGE) -> nn.Sequential:
    torch.manual_seed(axes)
    cells = int(np.prod([length // 2 for length in SIZES[axes]]))
    return (
        nn.Sequential(
            CONVOLUTION[axes](2, 3, 3, padding=1),
            nn.ReLU(),
            pool[axes](2),
            CONVOLUTION[axes](3, 4, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(4 * cells, 4),
        )
        .to(DOUBLE)
        .eval()
    )


def linear(axes: int, *first: nn.Module) -> nn.Sequential:
    torch.manual_seed(axes)
    cells = 2 * int(np.prod(SIZES[axes]))
    return nn.Sequential(*first, nn.Flatten(), nn.Linear(cells, 4)).to(DOUBLE).eval()


def weights(net: nn.Sequential, axes: int) -> torch.Tensor:
    return net[-1].weight.detach()[TARGET].view(2, *SIZES[axes])


def inputs(axes: int) -> torch.Tensor:
    return torch.randn(2, 2, *SIZES[axes], dtype=DOUBLE, generator=torch.Generator().manual_seed(1))


def ours(net, given, method, **options) -> torch.Tensor:
    result = ik.visualize(ik.wrap(net, name="net"), given, method, **{"target": TARGET, **options})
    (found,) = result.maps.values()
    assert found.dims == ("image", *("z", "y", "x")[-(given.ndim - 2) :])
    return torch.from_numpy(found.values)


def same(found, expected, tolerance=1e-8):
    """Compare; captum keeps the weights of its quadratures in float32."""
    torch.testing.assert_close(found, expected.detach(), rtol=tolerance, atol=tolerance)


def gradient(net, given):
    leaf = given.clone().requires_grad_()
    return torch.autograd.grad(net(leaf)[:, TARGET].sum(), leaf)[0]


@BOTH
def test_saliency_and_input_times_gradient_equal_autograd(axes):
    net, given = network(axes), inputs(axes)
    slopes = gradient(net, given)
    same(ours(net, given, "saliency"), slopes.abs().amax(1))
    same(ours(net, given, "input_x_gradient"), (slopes * given).sum(1))


@BOTH
@pytest.mark.parametrize("method", ["integrated_gradients", "input_x_gradient"])
def test_of_a_sum_of_squares_they_have_a_closed_form(axes, method):
    """Of s = Σ w x² the integral from 0 is w x², and x times the slope twice that."""
    net, given = linear(axes, Square()), inputs(axes)
    factor = 1 if method == "integrated_gradients" else 2
    same(ours(net, given, method), factor * (weights(net, axes) * given**2).sum(1))


@BOTH
def test_integrated_gradients_from_every_baseline_equal_captums_and_are_complete(axes):
    net, given = network(axes), inputs(axes)
    model = ik.wrap(net, transform=ik.Preprocessing(mean=(0.4, 0.5), std=(0.2, 0.3)))
    for name in ("zero", "black", "image_mean", "blurred"):
        result = ik.visualize(model, given, "integrated_gradients", target=TARGET, baseline=name, steps=400)
        for position, image in enumerate(given.split(1)):
            baseline = model.baseline(image, name)
            expected = attr.IntegratedGradients(net).attribute(image, baseline, target=TARGET, n_steps=400)
            same(torch.from_numpy(result.maps["input"].values[position]), expected[0].sum(0))
        assert result.tables["completeness"]["relative_gap"].max() < 0.02


@BOTH
@pytest.mark.parametrize("method", ["smooth_grad", "gradient_shap", "deep_lift", "deep_lift_shap"])
def test_of_a_linear_network_gradients_are_its_weights(axes, method):
    """Methods with a baseline give its difference from the image times the weights; SmoothGrad the weights."""
    net, given = linear(axes), inputs(axes)
    if method in {"deep_lift_shap", "gradient_shap"}:
        found = ik.visualize(ik.wrap(net), given, method, target=TARGET).tables["completeness"]
        assert np.abs(found["gap"]).max() < 1e-9
        return
    expected = weights(net, axes) * given if method == "deep_lift" else weights(net, axes).expand_as(given)
    same(ours(net, given, method), expected.sum(1))


@BOTH
def test_the_variance_of_gradients_of_squares_is_that_of_the_noise(axes):
    """Of s = Σ w x² the slope is 2 w x, so that its variance is 4 w² times that of the noise: about σ²."""
    net, given = linear(axes, Square()), inputs(axes)
    found = ours(net, given, "var_grad", samples=2000, noise=0.1)
    spans = given.flatten(1).amax(1) - given.flatten(1).amin(1)
    variance = (0.1 * spans).pow(2).view(-1, *(1,) * axes)
    expected = (4 * weights(net, axes).pow(2)).sum(0) * variance
    assert found.sum().item() == pytest.approx(expected.sum().item(), rel=0.02)


@BOTH
@pytest.mark.filterwarnings("ignore:Setting")
@pytest.mark.parametrize(
    ("method", "theirs"), [("guided_backprop", attr.GuidedBackprop), ("deconvolution", attr.Deconvolution)]
)
def test_methods_that_change_rectifiers_equal_captums(axes, method, theirs):
    net, given = network(axes), inputs(axes)
    expected = theirs(net).attribute(given.clone().requires_grad_(), target=TARGET)
    same(ours(net, given, method), expected.sum(1))


@BOTH
def test_guided_grad_cam_is_guided_backpropagation_where_grad_cam_is_positive(axes):
    net, given = network(axes), inputs(axes)
    cam = ours(net, given, "grad_cam", layers=["4"]).clamp(min=0)
    raised = functional.interpolate(cam[:, None], SIZES[axes], mode=LINEAR[axes], align_corners=False)[:, 0]
    same(ours(net, given, "guided_grad_cam", layer="4"), ours(net, given, "guided_backprop") * raised)


@BOTH
@pytest.mark.filterwarnings("ignore:Setting")
def test_deep_lift_equals_captums_and_is_complete_over_pools_that_overlap(axes):
    net, given = network(axes), inputs(axes)
    expected = attr.DeepLift(net).attribute(given.clone().requires_grad_(), torch.zeros_like(given), target=TARGET)
    same(ours(net, given, "deep_lift"), expected.sum(1))
    net = network(axes, MAX_POOL)
    net[2] = MAX_POOL[axes](3, stride=2, padding=1)
    found = ik.visualize(ik.wrap(net), given, "deep_lift", target=TARGET, baseline="blurred").tables["completeness"]
    assert np.abs(found["gap"]).max() < 1e-9


def test_deep_lift_refuses_a_pooling_of_volumes_that_is_a_function():
    class Pooled(nn.Module):
        def forward(self, x):
            return functional.max_pool3d(x, 2)

    net, given = network(3), inputs(3)
    net[2] = Pooled()
    with pytest.raises(StepError, match=r"a function max_pool3d_with_indices .*make it such a module"):
        ours(net, given, "deep_lift")


@BOTH
def test_occlusion_equals_brute_force(axes):
    net, given = network(axes), inputs(axes)[:1]
    sums, counts = torch.zeros(SIZES[axes], dtype=DOUBLE), torch.zeros(SIZES[axes], dtype=DOUBLE)
    starts = [range(0, 2 * (1 + -(-(length - 3) // 2)), 2) for length in SIZES[axes]]
    with torch.no_grad():
        score = net(given)[0, TARGET]
        for place in np.ndindex(*map(len, starts)):
            window = tuple(slice(2 * first, 2 * first + 3) for first in place)
            covered = given.clone()
            covered[(slice(None), slice(None), *window)] = 0
            sums[window] += score - net(covered)[0, TARGET]
            counts[window] += 1
    same(ours(net, given, "occlusion", window=3, stride=2)[0], sums / counts, 1e-5)


@BOTH
def test_feature_ablation_equals_brute_force(axes):
    net, given = network(axes), inputs(axes)[:1]
    expected = torch.zeros(SIZES[axes], dtype=DOUBLE)
    with torch.no_grad():
        score = net(given)[0, TARGET]
        for corner in np.ndindex(*(-(-length // 3) for length in SIZES[axes])):
            patch = tuple(slice(3 * first, 3 * first + 3) for first in corner)
            without = given.clone()
            without[(slice(None), slice(None), *patch)] = 0
            expected[patch] = score - net(without)[0, TARGET]
    same(ours(net, given, "feature_ablation", patch=3)[0], expected, 1e-5)


@BOTH
@pytest.mark.parametrize("method", ["shapley_value_sampling", "kernel_shap"])
def test_of_an_additive_network_both_shapley_methods_are_exact(axes, method):
    net, given = linear(axes), inputs(axes)[:1]
    terms = (weights(net, axes) * given[0]).sum(0)
    expected = torch.zeros_like(terms)
    for corner in np.ndindex(*(-(-length // 4) for length in SIZES[axes])):
        patch = tuple(slice(4 * first, 4 * first + 4) for first in corner)
        expected[patch] = terms[patch].sum()
    same(ours(net, given, method, patch=4, samples=200)[0], expected, 1e-4)


@BOTH
def test_lime_gives_each_patch_one_weight(axes):
    net, given = linear(axes), inputs(axes)[:1]
    found = ours(net, given, "lime", patch=4, samples=200, penalty=0.0)[0]
    same(found, ours(net, given, "kernel_shap", patch=4, samples=200)[0], 1e-4)


@BOTH
def test_at_a_layer_that_only_linear_ones_follow_attributions_are_its_terms(axes):
    net, given = network(axes), inputs(axes)
    with torch.no_grad():
        now, before = net[:5](given), net[:5](torch.zeros_like(given))
    slopes = net[6].weight.detach()[TARGET].view(now[0].shape)
    terms = (slopes * (now - before)).sum(1)
    same(ours(net, given, "layer_integrated_gradients", layers=["4"]), terms)
    same(ours(net, given, "layer_conductance", layers=["4"], steps=20), terms)
    same(ours(net, given, "internal_influence", layers=["4"]), slopes.sum(0).expand_as(terms))


@BOTH
def test_what_is_for_images_only_is_refused_in_words(axes):
    net, given = network(axes), inputs(axes)
    with pytest.raises(StepError, match=rf"superpixels are regions of images, not of {axes} axes .*regions: grid"):
        ours(net, given, "lime", regions="superpixels")


@BOTH
def test_a_window_longer_than_the_shortest_side_is_refused(axes):
    side = min(SIZES[axes]) + 1
    with pytest.raises(StepError, match=f"a window of {side} pixels does not fit into an image of {SIZES[axes][0]}"):
        ours(network(axes), inputs(axes), "occlusion", window=side, stride=1)
