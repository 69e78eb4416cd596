from __future__ import annotations

import pytest
import torch
from torch import nn

import interpretkit as ik
from interpretkit.testing import check_visualizer, tiny_images, tiny_model
from interpretkit_cam.grad_cam import GradCAM


@pytest.fixture
def model() -> ik.Model:
    """Two convolutions before GAP + linear, with a max pooling between, in float64."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(5, 6, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 4),
    )
    return ik.wrap(net.double().eval(), name="net")


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(3, 3, 8, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def slow_grad_cam(net: nn.Sequential, images: torch.Tensor, split: int, target: int) -> torch.Tensor:
    """Differentiate the rest of the net cell by cell in central differences, then weight and sum in loops."""
    head, rest = net[:split], net[split:]
    with torch.no_grad():
        activations = head(images).clone()
        maps = torch.zeros(len(images), *activations.shape[2:], dtype=torch.float64)
        step = 1e-6
        for n in range(len(images)):
            for k in range(activations.shape[1]):
                slope = 0.0
                for index in torch.cartesian_prod(*(torch.arange(size) for size in activations.shape[2:])):
                    y, x = index.tolist()
                    scores = []
                    for sign in (1, -1):
                        moved = activations[n : n + 1].clone()
                        moved[0, k, y, x] += sign * step
                        scores.append(rest(moved)[0, target])
                    slope += float(scores[0] - scores[1]) / (2 * step)
                maps[n] += slope / activations[0, 0].numel() * activations[n, k]
    return maps


def test_grad_cam_equals_a_slow_derivation_by_finite_differences(model, images):
    result = ik.visualize(model, images, "grad_cam", layers=["3"], target=2)
    expected = slow_grad_cam(model.module, images, split=4, target=2)
    torch.testing.assert_close(torch.from_numpy(result.maps["3"].values), expected, rtol=1e-6, atol=1e-9)
    assert result.maps["3"].dims == ("image", "y", "x")
    assert result.maps["3"].extent == {"y": 8, "x": 10}
    assert (expected < 0).any()


def test_grad_cam_equals_captums_layer_grad_cam(model, images):
    from captum.attr import LayerGradCam

    for layer in ("0", "3"):
        result = ik.visualize(model, images, "grad_cam", layers=[layer], target=1)
        # captum's hooks and the net's in-place ReLU do not go together; the function is the same without.
        net = nn.Sequential(*(nn.ReLU() if isinstance(part, nn.ReLU) else part for part in model.module))
        expected = LayerGradCam(net, net[int(layer)]).attribute(images, target=1).squeeze(1).detach()
        torch.testing.assert_close(torch.from_numpy(result.maps[layer].values), expected, rtol=1e-12, atol=1e-14)


def test_before_gap_and_linear_grad_cam_is_cam_over_the_number_of_cells(model, images):
    result = ik.visualize(model, images, "grad_cam", layers=["4"], target=3)
    with torch.no_grad():
        activations = model.module[:5](images)
        logits = model.module(images)
    cam = torch.einsum("k,nkyx->nyx", model.module[7].weight[3].detach(), activations)
    ours = torch.from_numpy(result.maps["4"].values)
    torch.testing.assert_close(ours, cam / cam[0].numel(), rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(ours.sum((1, 2)) + model.module[7].bias[3].detach(), logits[:, 3])
    assert [target.score for target in result.targets] == pytest.approx(logits[:, 3].tolist(), abs=1e-14)


def test_a_contrast_is_the_difference_of_two_maps(model, images):
    def values(target: object) -> torch.Tensor:
        return torch.from_numpy(ik.visualize(model, images, "grad_cam", layers=["3"], target=target).maps["3"].values)

    torch.testing.assert_close(values({"for": 0, "against": 2}), values(0) - values(2), rtol=1e-12, atol=1e-15)


def test_each_image_is_explained_for_its_own_prediction(model, images):
    result = ik.visualize(model, images, "grad_cam", layers=["3"])
    with torch.no_grad():
        predicted = model.module(images).argmax(1).tolist()
    assert [target.index for target in result.targets] == predicted
    for position, index in enumerate(predicted):
        alone = ik.visualize(model, images[position : position + 1], "grad_cam", layers=["3"], target=index)
        torch.testing.assert_close(alone.maps["3"].values[0], result.maps["3"].values[position])


def test_a_layer_without_a_grid_is_refused_with_its_shape(model, images):
    with pytest.raises(ik.StepError, match="7 returns 3×4"):
        ik.visualize(model, images, "grad_cam", layers=["7"])


def test_a_class_out_of_range_is_refused(model, images):
    with pytest.raises(ik.InputError, match="class 4 is out of range"):
        ik.visualize(model, images, "grad_cam", layers=["3"], target=4)


def test_grad_cam_keeps_the_contract():
    check_visualizer(GradCAM, layers=["features"], target="class 1")


def test_figures_say_what_was_differentiated():
    result = ik.visualize(tiny_model(), tiny_images(1), "grad_cam", layers=["features"], target=1)
    (figure,) = GradCAM(GradCAM.Options(layers=["features"])).draw(result)
    assert str(result.targets[0]) in figure.alt
    assert "probability" in figure.alt
    assert "bilinear from 8×8" in figure.caption
