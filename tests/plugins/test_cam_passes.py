"""The methods with passes of their own, by brute force, and against pytorch-grad-cam and torchcam."""

from __future__ import annotations

import numpy as np
import pytest
import pytorch_grad_cam
import torch
import torchcam.methods
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

import interpretkit as ik
from interpretkit.contracts.kinds import VISUALIZER
from interpretkit.contracts.registry import discover
from interpretkit.testing import check_visualizer

DOUBLE = torch.float64
METHODS = ["score_cam", "ablation_cam"]

PROBES = [1, 1, 3]
"""Images in the passes that show how passes of a step's own may go: one alone, again, and among two others."""


@pytest.fixture
def net() -> nn.Sequential:
    torch.manual_seed(0)
    return (
        nn.Sequential(
            nn.Conv2d(3, 5, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(5, 6, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(6 * 20, 4),
        )
        .to(DOUBLE)
        .eval()
    )


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(2, 3, 8, 10, dtype=DOUBLE, generator=torch.Generator().manual_seed(1))


def ours(net, images, method, layer, **options) -> torch.Tensor:
    result = ik.visualize(ik.wrap(net, name="net"), images, method, layers=[layer], **options)
    return torch.from_numpy(result.maps[layer].values)


def brute_ablation(net: nn.Sequential, images: torch.Tensor, layer: int, target: int) -> torch.Tensor:
    with torch.no_grad():
        activation = net[: layer + 1](images)
        score = net[layer + 1 :](activation.clone())[:, target]
        found = torch.zeros_like(activation[:, 0])
        for channel in range(activation.shape[1]):
            without = activation.clone()
            without[:, channel] = 0
            drop = score - net[layer + 1 :](without)[:, target]
            found += drop[:, None, None] * activation[:, channel]
    return found


@pytest.mark.parametrize("batch_size", [1, 4, 32])
@pytest.mark.parametrize("layer", [0, 3, 4])
def test_ablation_cam_equals_brute_force(net, images, layer, batch_size):
    found = ours(net, images, "ablation_cam", str(layer), target=2, internal_batch_size=batch_size)
    torch.testing.assert_close(found, brute_ablation(net, images, layer, 2), rtol=1e-9, atol=1e-11)


def test_ablation_cam_spends_no_pass_on_dead_channels(net, images):
    with torch.no_grad():
        net[3].bias.fill_(2.0)[[1, 4]] = -1e6
    seen = []
    net[6].register_forward_hook(lambda _m, _a, output: seen.append(len(output)))
    found = ours(net, images[:1], "ablation_cam", "4", target=2)
    # The shared pass, those that show how passes may go, and one of the unchanged output beside the four variants.
    assert seen == [1, *PROBES, 5]
    torch.testing.assert_close(found, brute_ablation(net, images[:1], 4, 2), rtol=1e-9, atol=1e-11)


def raw(offer: type, net: nn.Module, images: torch.Tensor, layer: nn.Module, *, target: int) -> np.ndarray:
    """pytorch-grad-cam's map before its ReLU, its scaling and its resizing."""
    targets = [ClassifierOutputTarget(target)] * len(images)
    with offer(net, [layer]) as theirs:
        theirs(images, targets)
        activation = theirs.activations_and_grads.activations[0].numpy()
        return theirs.get_cam_image(images, layer, targets, activation, None)


def test_ablation_cam_equals_pytorch_grad_cams_times_the_score(images):
    torch.manual_seed(0)
    # Its ablation layer works in float32; the layers before and after are torch's own.
    net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(20, 4)).eval()
    images = images.float()
    expected = raw(pytorch_grad_cam.AblationCAM, net, images, net[1], target=1)
    with torch.no_grad():
        score = net(images)[:, 1, None, None].numpy()
    found = ours(net, images, "ablation_cam", "1", target=1).numpy()
    np.testing.assert_allclose(found, expected * score, rtol=1e-4, atol=1e-4 * np.abs(found).max())


def brute_score(net: nn.Sequential, image: torch.Tensor, layer: int, target: int, *, channels=None) -> torch.Tensor:
    """Score-CAM of one image `(1, channel, y, x)`, channel by channel."""
    scores, chosen = [], []
    with torch.no_grad():
        activation = net[: layer + 1](image)[0]
        order = sorted(range(len(activation)), key=lambda k: -float(activation[k].var()))
        for channel in order[:channels]:
            mask = nn.functional.interpolate(activation[None, None, channel], image.shape[2:], mode="bilinear")
            if float(mask.max()) > float(mask.min()):
                mask = (mask - mask.min()) / (mask.max() - mask.min())
                scores.append(float(net(image * mask)[0, target]))
                chosen.append(channel)
    weights = np.exp(scores) / np.exp(scores).sum()
    return sum(float(weight) * activation[channel] for weight, channel in zip(weights, chosen, strict=True))


@pytest.mark.parametrize("channels", [None, 1, 3])
@pytest.mark.parametrize("layer", [0, 4])
def test_score_cam_equals_brute_force(net, images, layer, channels):
    found = ours(net, images, "score_cam", str(layer), target=2, channels=channels, internal_batch_size=2)
    for position in range(len(images)):
        expected = brute_score(net, images[position : position + 1], layer, 2, channels=channels)
        torch.testing.assert_close(found[position], expected, rtol=1e-9, atol=1e-11)


def test_a_channel_that_is_the_same_everywhere_has_no_weight_in_score_cam(net, images):
    with torch.no_grad():
        net[3].weight[2] = 0
        net[3].bias[2] = 7.0
    found = ours(net, images[:1], "score_cam", "4", target=2)
    torch.testing.assert_close(found[0], brute_score(net, images[:1], 4, 2), rtol=1e-9, atol=1e-11)
    assert float(found.max()) < 7


def test_score_cam_equals_torchcams_where_nothing_is_interpolated(net, images):
    # torchcam stretches the masks before it interpolates them, the paper after.
    extractor = torchcam.methods.ScoreCAM(net, "1", input_shape=(3, 8, 10))
    with extractor, torch.no_grad():
        net[1].inplace = False
        net(images)
        (expected,) = extractor(1, normalized=False)
    found = ours(net, images, "score_cam", "1", target=1)
    torch.testing.assert_close(found.clamp(min=0), expected, rtol=1e-6, atol=1e-9)


def test_score_cam_equals_pytorch_grad_cams_where_nothing_is_interpolated(net, images):
    net[1].inplace = False
    expected = raw(pytorch_grad_cam.ScoreCAM, net, images, net[1], target=1)
    found = ours(net, images, "score_cam", "1", target=1).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_ablation_cam_of_a_vit_leaves_the_class_token_alone():
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    net = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=2, num_classes=3).to(DOUBLE).eval()
    images = torch.randn(1, 3, 32, 32, dtype=DOUBLE)
    found = ours(net, images, "ablation_cam", "blocks.0", target=1)[0]
    with torch.no_grad():
        tokens = net.blocks[0](net._pos_embed(net.patch_embed(images)))

        def score(changed: torch.Tensor) -> torch.Tensor:
            return net.head(net.fc_norm(net.norm(net.blocks[1](changed))[:, 0]))[0, 1]

        expected = torch.zeros(4, dtype=DOUBLE)
        for channel in range(192):
            without = tokens.clone()
            without[:, 1:, channel] = 0
            expected += (score(tokens) - score(without)) * tokens[0, 1:, channel]
    torch.testing.assert_close(found, expected.view(2, 2), rtol=1e-6, atol=1e-9)


def noisy(image: torch.Tensor, *, samples: int, noise: float, seed: int = 0) -> list[torch.Tensor]:
    """The copies of one image `(1, channel, y, x)` that Smooth Grad-CAM++ makes."""
    images = ik.visualize(ik.wrap(nn.Sequential(nn.ReLU())), image, "feature_grid", layers=["0"]).images
    captured = ik.Captured(images=images, inputs=image, activations={}, gradients={})
    generator = torch.Generator().manual_seed(captured.seed(0, seed))
    scale = noise * float(image.max() - image.min())
    return [image + scale * torch.randn(image.shape[1:], generator=generator) for _ in range(samples)]


def slow_smooth(net: nn.Sequential, image: torch.Tensor, copies: list[torch.Tensor], *, layer: int, target: int):
    """The paper's formula in loops over channels and cells, for one image."""
    gradients = []
    for copy in copies:
        activation = net[: layer + 1](copy).detach().requires_grad_()
        gradients.append(torch.autograd.grad(net[layer + 1 :](activation.clone())[0, target], activation)[0][0])
    activation = net[: layer + 1](image)[0].detach()
    found = torch.zeros_like(activation[0])
    for k in range(len(activation)):
        total, weight = float(activation[k].sum()), 0.0
        for y, x in np.ndindex(*activation.shape[1:]):
            d1, d2, d3 = (np.mean([float(g[k, y, x]) ** power for g in gradients]) for power in (1, 2, 3))
            if d2 > 0:
                weight += d2 / (2 * d2 + total * d3) * max(d1, 0)
        found += weight * activation[k]
    return found


@pytest.mark.parametrize("batch_size", [1, 2, 16])
@pytest.mark.parametrize("layer", [0, 4])
def test_smooth_grad_cam_plusplus_equals_the_papers_formula_in_loops(net, images, layer, batch_size):
    options = {"samples": 3, "noise": 0.2, "seed": 5}
    found = ours(
        net, images, "smooth_grad_cam_plusplus", str(layer), target=2, internal_batch_size=batch_size, **options
    )
    for position in range(len(images)):
        image = images[position : position + 1]
        expected = slow_smooth(net, image, noisy(image, **options), layer=layer, target=2)
        torch.testing.assert_close(found[position], expected, rtol=1e-9, atol=1e-11)


def test_smooth_grad_cam_plusplus_without_noise_is_grad_cam_plusplus(net, images):
    found = ours(net, images, "smooth_grad_cam_plusplus", "4", target=1, noise=0.0, samples=2)
    torch.testing.assert_close(found, ours(net, images, "grad_cam_plusplus", "4", target=1), rtol=1e-9, atol=1e-12)


def test_smooth_grad_cam_plusplus_depends_on_its_seed_and_its_noise(net, images):
    def found(**options) -> torch.Tensor:
        return ours(net, images, "smooth_grad_cam_plusplus", "0", target=1, samples=2, **options)

    assert torch.equal(found(), found(seed=0))
    assert not torch.allclose(found(), found(seed=1))
    assert not torch.allclose(found(), found(noise=0.5))


def test_smooth_grad_cam_plusplus_has_torchcams_weights_where_a_channel_has_one_gradient(images):
    # Elsewhere torchcam takes each cube into the sum over activations, and rectifies the last copy's gradient only;
    # and it weights the activations of the last copy. The noise is of no effect before a linear rest.
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))
    net = net.to(DOUBLE).eval()
    with torch.no_grad():
        net[4].weight.mul_(1e3)
    with torchcam.methods.SmoothGradCAMpp(net, "1", input_shape=(3, 8, 10), num_samples=2) as extractor:
        net(images)
        (weights,) = extractor._get_weights(1)
    expected = torch.einsum("nk,nkyx->nyx", weights, net[:2](images)).detach()
    found = ours(net, images, "smooth_grad_cam_plusplus", "1", target=1, samples=2)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)


def test_all_layers_of_smooth_grad_cam_plusplus_share_the_passes(net, images):
    seen = []
    net.register_forward_hook(lambda _m, _a, output: seen.append(len(output)))
    layers = ["0", "1", "3", "4"]
    result = ik.visualize(
        ik.wrap(net), images, "smooth_grad_cam_plusplus", layers=layers, samples=5, internal_batch_size=3, target=0
    )
    assert list(result.maps) == layers
    assert seen == [*PROBES, 2, 3, 2, 3, 2]


def test_smooth_grad_cam_plusplus_keeps_the_contract():
    offer = discover().of(VISUALIZER)["smooth_grad_cam_plusplus"].offer
    check_visualizer(offer, layers=["features"], target="class 1", samples=3, internal_batch_size=2)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_keeps_the_contract(method):
    check_visualizer(
        discover().of(VISUALIZER)[method].offer, layers=["features"], target="class 1", internal_batch_size=3
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [8, 9])
def test_a_layer_without_a_channel_to_try_has_a_map_of_zeros_and_costs_no_pass(method, size):
    # In a grid of one cell every channel is the same everywhere; with a great negative bias all are 0.
    net = nn.Sequential(nn.Conv2d(3, 4, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    if size > 8 or method == "ablation_cam":
        torch.nn.init.constant_(net[0].bias, -1e3)
    passes = []
    net.register_forward_hook(lambda *_: passes.append(1))
    assert not ours(net, torch.rand(2, 3, size, size), method, "1").any()
    assert len(passes) == 1 + len(PROBES)
