"""Attributions at the input: captum called directly, brute force and closed forms are the oracles."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from captum import attr
from torch import nn

import interpretkit as ik
from interpretkit.contracts.kinds import VISUALIZER
from interpretkit.contracts.registry import discover
from interpretkit.testing import check_visualizer

SMALL = {
    "saliency": {},
    "input_x_gradient": {},
    "smooth_grad": {"samples": 9},
    "var_grad": {"samples": 9, "attribution": "input_x_gradient"},
    "integrated_gradients": {"steps": 9},
    "gradient_shap": {"samples": 9, "noise": 0.1},
    "guided_backprop": {},
    "deconvolution": {},
    "guided_grad_cam": {"layer": "features"},
    "deep_lift": {"baseline": "blurred"},
    "deep_lift_shap": {"baselines": 9},
    "lrp": {},
    "occlusion": {"window": 5, "stride": 3},
    "feature_ablation": {"patch": 5, "baseline": "black"},
    "shapley_value_sampling": {"patch": 8, "samples": 3},
    "lime": {"patch": 5, "samples": 30, "baseline": "image_mean"},
    "kernel_shap": {"regions": "superpixels", "superpixels": 30, "samples": 30},
    "layer_conductance": {"layers": ["features"], "steps": 9},
    "internal_influence": {"layers": ["features"], "steps": 9},
    "layer_integrated_gradients": {"layers": ["features"], "steps": 9},
}
FREE = {"saliency", "input_x_gradient"}
IN_FLOAT32 = {"occlusion", "shapley_value_sampling", "lime", "kernel_shap"}
"""captum adds up, averages or collects the scores in float32, in whatever precision they come."""


def network(*, in_place: bool = True) -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential()
    net.add_module("features", nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.AvgPool2d(2), nn.ReLU(in_place)))
    net.add_module("conv", nn.Conv2d(5, 6, 3, padding=1))
    net.add_module("norm", nn.BatchNorm2d(6))
    net.add_module("relu", nn.ReLU(in_place))
    net.add_module("head", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)))
    net.norm.running_mean.normal_()
    net.norm.running_var.uniform_(0.5, 2.0)
    nn.init.normal_(net.norm.weight)
    nn.init.normal_(net.norm.bias)
    return net.double().eval()


@pytest.fixture
def model() -> ik.Model:
    """ReLUs in place, a batch normalisation with statistics, float64."""
    return ik.wrap(network(), name="net")


@pytest.fixture
def plain() -> nn.Sequential:
    """The same network out of place, as captum needs it."""
    return network(in_place=False)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(2, 3, 8, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def values(model, images, name, **options) -> torch.Tensor:
    given = {"target": 2, **options}
    return torch.from_numpy(ik.visualize(model, images, name, **given).maps["input"].values)


def close(found, expected, tolerance=1e-12):
    expected = expected.detach()
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance * float(expected.abs().max()))


def leaf(images):
    return images.clone().requires_grad_()


def registered():
    return {
        name: each.offer
        for name, each in discover().of(VISUALIZER).items()
        if each.plugin.package == "interpretkit_captum"
    }


def test_every_method_is_listed_here():
    assert set(registered()) == set(SMALL)


@pytest.mark.parametrize("name", SMALL)
def test_every_method_keeps_the_contract(name):
    check_visualizer(registered()[name], **SMALL[name])


@pytest.mark.parametrize("name", sorted(set(SMALL) - FREE))
def test_the_batch_size_bounds_every_pass_and_changes_no_number(model, images, name):
    if "internal_batch_size" not in registered()[name].Options.model_fields:
        return
    # The first call also finds out how passes may go.
    ik.visualize(model, images[:1], name, target=2, **SMALL[name])
    found, seen = {}, []
    model.module.register_forward_hook(lambda _m, given, _o: seen.append(len(given[0])))
    least = 2 if name in {"deep_lift_shap", "layer_conductance"} else 1
    for size in (least, 7, 1000):
        seen.clear()
        found[size] = ik.visualize(model, images[:1], name, target=2, **{**SMALL[name], "internal_batch_size": size})
        assert max(seen) <= size
        assert max(seen) == least or size > least
    first, *others = found.values()
    tolerance = 1e-6 if name in IN_FLOAT32 else 1e-12
    for other in others:
        for layer in first.maps:
            close(*(torch.from_numpy(each.maps[layer].values) for each in (other, first)), tolerance)


def test_saliency_and_input_times_gradient_equal_captums(model, plain, images):
    expected = attr.Saliency(plain).attribute(leaf(images), target=2, abs=True).amax(1)
    close(values(model, images, "saliency"), expected)
    expected = attr.InputXGradient(plain).attribute(leaf(images), target=2).sum(1)
    close(values(model, images, "input_x_gradient"), expected)


@pytest.mark.filterwarnings("ignore:Setting")
@pytest.mark.parametrize(
    ("name", "method"),
    [("guided_backprop", attr.GuidedBackprop), ("deconvolution", attr.Deconvolution)],
)
def test_methods_that_change_rectifiers_equal_captums(plain, images, name, method):
    model = ik.wrap(network())
    close(values(model, images, name), method(plain).attribute(leaf(images), target=2).sum(1))


@pytest.mark.filterwarnings("ignore:Setting")
def test_guided_grad_cam_equals_captums(model, plain, images):
    method = attr.GuidedGradCam(plain, plain.conv)
    expected = method.attribute(leaf(images), target=1, interpolate_mode="bilinear").sum(1)
    assert expected.abs().max() > 0
    close(values(model, images, "guided_grad_cam", layer="conv", target=1), expected)


@pytest.mark.parametrize("name", ["zero", "black", "image_mean", "blurred"])
def test_integrated_gradients_equal_captums_and_are_complete_for_every_baseline(model, plain, images, name):
    mean, std = (
        torch.tensor(each, dtype=torch.float64).reshape(1, 3, 1, 1)
        for each in (ik.Preprocessing().mean, ik.Preprocessing().std)
    )
    baselines = {
        "zero": torch.zeros_like(images),
        "black": ((0 - mean) / std).expand_as(images),
        "image_mean": images.mean((2, 3), keepdim=True).expand_as(images),
        "blurred": torch.stack([blurred(each) for each in images]),
    }
    result = ik.visualize(model, images, "integrated_gradients", target=2, baseline=name, steps=400)
    expected = attr.IntegratedGradients(plain).attribute(images, baselines[name], target=2, n_steps=400).sum(1)
    close(torch.from_numpy(result.maps["input"].values), expected, 1e-6 if name == "blurred" else 1e-12)
    table = result.tables["completeness"]
    with torch.no_grad():
        difference = (plain(images) - plain(baselines[name]))[:, 2].numpy()
    np.testing.assert_allclose(table["difference"], difference, rtol=1e-6)
    np.testing.assert_allclose(table["sum"], expected.sum((1, 2)).detach(), rtol=1e-6)
    np.testing.assert_allclose(table["gap"], table["sum"] - table["difference"])
    assert np.abs(table["relative_gap"]).max() < 0.02
    assert result.tables["baseline"]["baseline"].tolist() == [name, name]


def blurred(image):
    from scipy.ndimage import gaussian_filter

    sigma = min(image.shape[1:]) / 20
    radius = math.ceil(3 * sigma)
    return torch.from_numpy(
        gaussian_filter(image.numpy(), (0, sigma, sigma), mode="mirror", radius=(0, radius, radius))
    )


def test_a_contrast_is_the_difference_of_two_attributions(model, images):
    for name in ("integrated_gradients", "saliency", "lrp", "occlusion"):
        contrast = {"for": 0, "against": 3}
        options = SMALL[name]
        parts = [values(model, images, name, **options, target=each) for each in (0, 3)]
        found = values(model, images, name, **options, target=contrast)
        if name == "saliency":
            assert not torch.allclose(found, parts[0] - parts[1])
        else:
            close(found, parts[0] - parts[1], 1e-6)


def test_smooth_grad_and_var_grad_equal_captums_noise_tunnel(model, plain, images):
    image = images[:1]
    result = ik.visualize(model, image, "smooth_grad", target=2, samples=12, seed=5)
    seed = ik.Captured(images=result.images, inputs=image, activations={}, gradients={}).seed(0, 5)
    deviation = 0.15 * float(image.max() - image.min())
    tunnel = attr.NoiseTunnel(attr.Saliency(plain))
    more = {"nt_samples": 12, "nt_samples_batch_size": 1, "stdevs": deviation, "target": 2, "abs": False}
    torch.manual_seed(seed)
    close(torch.from_numpy(result.maps["input"].values), tunnel.attribute(image, nt_type="smoothgrad", **more).sum(1))
    torch.manual_seed(seed)
    expected = tunnel.attribute(image, nt_type="vargrad", **more).sum(1)
    close(values(model, image, "var_grad", samples=12, seed=5), expected, 1e-10)


@pytest.mark.filterwarnings("ignore:Setting")
def test_deep_lift_equals_captums_and_is_complete(model, plain, images):
    result = ik.visualize(model, images, "deep_lift", target=2, baseline="image_mean")
    baseline = images.mean((2, 3), keepdim=True).expand_as(images)
    expected = attr.DeepLift(plain).attribute(leaf(images), baseline, target=2).sum(1)
    close(torch.from_numpy(result.maps["input"].values), expected)
    assert np.abs(result.tables["completeness"]["gap"]).max() < 1e-14


@pytest.mark.filterwarnings("ignore:Setting")
def test_deep_lift_shap_is_the_mean_of_captums_over_the_drawn_baselines(model, plain, images):
    from interpretkit_captum.baselines import around

    result = ik.visualize(model, images[:1], "deep_lift_shap", target=2, baselines=5, spread=0.5)
    seed = ik.Captured(images=result.images, inputs=images, activations={}, gradients={}).seed(0)
    baselines = around(torch.zeros_like(images[:1]), count=5, spread=0.5, seed=seed)
    assert 0.3 < float(baselines.std()) < 0.7
    expected = attr.DeepLiftShap(plain).attribute(images[:1], baselines, target=2).sum(1)
    close(torch.from_numpy(result.maps["input"].values), expected)
    assert abs(result.tables["completeness"]["gap"][0]) < 1e-14


def test_gradient_shap_of_one_point_is_integrated_gradients_in_expectation(model, images):
    result = ik.visualize(
        model, images[:1], "gradient_shap", target=2, spread=0.0, samples=3000, internal_batch_size=500
    )
    exact = values(model, images[:1], "integrated_gradients", steps=200)
    found = torch.from_numpy(result.maps["input"].values)
    assert float((found - exact).norm() / exact.norm()) < 0.05
    assert result.tables["completeness"]["relative_gap"][0] < 0.1


def test_gradient_shap_of_a_linear_network_is_its_weights_times_the_difference(images):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(240, 3)).double()
    result = ik.visualize(ik.wrap(net), images, "gradient_shap", target=1, samples=7, spread=2.0)
    assert np.abs(result.tables["completeness"]["gap"]).max() < 1e-12
    other = ik.visualize(ik.wrap(net), images, "gradient_shap", target=1, samples=7, spread=2.0, seed=1)
    assert not np.allclose(result.maps["input"].values, other.maps["input"].values)


def test_occlusion_equals_brute_force(model, images):
    window, stride = 3, 2
    found = values(model, images, "occlusion", window=window, stride=stride, baseline="image_mean")

    def score(image):
        return float(model.module(image)[0, 2].detach())

    for image, each in zip(images.split(1), found, strict=True):
        lost, counts = torch.zeros(8, 10, dtype=torch.float64), torch.zeros(8, 10, dtype=torch.float64)
        for top in range(0, 8 - window + stride, stride):
            for left in range(0, 10 - window + stride, stride):
                covered = image.clone()
                part = (slice(top, top + window), slice(left, left + window))
                covered[(0, slice(None), *part)] = image.mean((2, 3))[0, :, None, None]
                lost[part] += score(image) - score(covered)
                counts[part] += 1
        close(each, lost / counts, 1e-6)


def test_feature_ablation_equals_captums_on_the_image(model, plain, images):
    patches = (torch.arange(8) // 3)[:, None] * 4 + torch.arange(10) // 3
    expected = attr.FeatureAblation(plain).attribute(images, target=2, feature_mask=patches)[:, 0]
    close(values(model, images, "feature_ablation", patch=3), expected)


def exact_shapley(score, count: int) -> np.ndarray:
    """Average over all orders what each region adds."""
    found = np.zeros(count)
    for order in itertools.permutations(range(count)):
        keep = np.zeros(count)
        before = score(keep)
        for region in order:
            keep[region] = 1
            found[region] += score(keep) - before
            before = score(keep)
    return found / math.factorial(count)


def regions_kept(model, image, patches):
    cache = {}

    def score(keep):
        if keep.tobytes() not in cache:
            with torch.no_grad():
                shown = image * torch.from_numpy(keep)[patches]
                cache[keep.tobytes()] = float(model.module(shown)[0, 2])
        return cache[keep.tobytes()]

    return score


def test_shapley_values_converge_to_the_exact_ones_and_are_complete(model, images):
    patches = (torch.arange(8) // 4)[:, None] * 3 + torch.arange(10) // 4
    exact = torch.from_numpy(exact_shapley(regions_kept(model, images[:1], patches), 6))[patches]
    result = ik.visualize(model, images[:1], "shapley_value_sampling", target=2, patch=4, samples=1500)
    sampled = torch.from_numpy(result.maps["input"].values[0])
    assert float((sampled - exact).abs().max() / exact.abs().max()) < 0.05
    assert abs(result.tables["completeness"]["gap"][0]) < 1e-6
    kernel = ik.visualize(model, images[:1], "kernel_shap", target=2, patch=4, samples=4000)
    assert float((torch.from_numpy(kernel.maps["input"].values[0]) - exact).abs().max() / exact.abs().max()) < 0.05
    assert kernel.tables["completeness"]["relative_gap"][0] < 1e-3


@pytest.mark.parametrize("method", ["lime", "kernel_shap"])
@pytest.mark.filterwarnings("ignore::interpretkit.InterpretkitWarning")
def test_fewer_samples_than_a_linear_model_has_numbers_are_said(model, images, method):
    said = "6 samples for 6 regions leave open which of them matter; take several for each region"
    for samples, told in ((6, True), (7, False)):
        result = ik.visualize(model, images[:1], method, patch=4, samples=samples)
        assert any(alert.endswith(said) for alert in result.alerts) == told


def test_of_an_additive_network_both_shapley_methods_are_exact(images):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(240, 3)).double()
    patches = ((torch.arange(8) // 4)[:, None] * 3 + torch.arange(10) // 4).expand(3, 8, 10)
    weights = net[1].weight[1].detach().reshape(3, 8, 10) * images[0]
    sums = torch.zeros(6, dtype=torch.float64).index_add_(0, patches.flatten(), weights.flatten())
    for name in ("shapley_value_sampling", "kernel_shap", "feature_ablation"):
        found = values(ik.wrap(net), images[:1], name, target=1, patch=4)[0]
        close(found, sums[patches[0]], 1e-5)


@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_lime_equals_ridge_regression_of_scikit_learn(model, images, penalty, monkeypatch):
    from sklearn.linear_model import LinearRegression, Ridge

    from interpretkit_captum import surrogates

    seen = []
    fit = surrogates.Ridge.fit
    monkeypatch.setattr(
        surrogates.Ridge, "fit", lambda self, batches: fit(self, seen.append(list(batches)) or seen[-1])
    )
    found = values(model, images[:1], "lime", patch=4, samples=80, penalty=penalty)[0]
    ((inputs, outputs, weights),) = seen[0]
    patches = (torch.arange(8) // 4)[:, None] * 3 + torch.arange(10) // 4
    score = regions_kept(model, images[:1], patches)
    assert outputs.numpy() == pytest.approx([score(each.double().numpy()) for each in inputs], rel=1e-5)
    # The kernel of the authors: the cosine distance of the choices, with a width of 0.25.
    distances = 1 - (inputs.sum(1) / inputs.shape[1]).sqrt()
    assert weights.numpy() == pytest.approx(np.exp(-(distances.numpy() ** 2) / (2 * 0.25**2)), rel=1e-4)
    oracle = Ridge(alpha=penalty) if penalty else LinearRegression()
    oracle.fit(inputs.double().numpy(), outputs.double().numpy(), weights.double().numpy())
    close(found, torch.from_numpy(oracle.coef_)[patches], 1e-6)


def test_lrp_zero_is_input_times_gradient(model, images):
    close(values(model, images, "lrp"), values(model, images, "input_x_gradient"), 1e-6)


def test_lrp_is_conserved_without_biases_and_the_table_says_what_biases_absorb(images):
    torch.manual_seed(0)
    for bias in (False, True):
        net = nn.Sequential(
            nn.Conv2d(3, 5, 3, bias=bias), nn.ReLU(True), nn.MaxPool2d(2), nn.Conv2d(5, 4, 2, bias=bias), nn.ReLU(True),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3, bias=bias),
        ).double()  # fmt: skip
        for rule in ("epsilon", "gamma", "alpha1_beta0"):
            table = ik.visualize(ik.wrap(net), images, "lrp", target=1, rule=rule).tables["completeness"]
            np.testing.assert_allclose(table["difference"], net(images)[:, 1].detach(), rtol=1e-12)
            assert (np.abs(table["relative_gap"]).max() < 1e-5) == (not bias)


def test_random_numbers_belong_to_the_image_and_the_seed(model, images):
    for name in ("smooth_grad", "gradient_shap", "shapley_value_sampling"):
        options = SMALL[name]
        state, numpys = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
        together = values(model, images, name, **options)
        assert torch.equal(torch.random.get_rng_state(), state)
        assert np.array_equal(np.random.get_state()[1], numpys)  # noqa: NPY002
        alone = values(model, images[1:], name, **options)
        close(alone[0], together[1])
        assert not torch.allclose(values(model, images, name, **options, seed=1), together)
