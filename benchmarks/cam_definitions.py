"""Measure how far captum's, torchcam's and pytorch-grad-cam's class activation maps are from interpretkit's.

    python benchmarks/cam_definitions.py

A torchvision ResNet-18 of random weights and two images of 64 × 64. Maps are compared before anybody's ReLU, scaling
and resizing where the library lets them be had so, else their positive parts. Printed are the greatest difference of
two maps that are first divided by their greatest magnitude, so that a common factor does not count, and the factor.
"""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING

import numpy as np
import pytorch_grad_cam
import torch
import torchcam.methods
import torchvision
from captum.attr import LayerGradCam
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

import interpretkit as ik

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGET = 281
SIZE = (3, 64, 64)
LATE, EARLY = "layer4", "layer2"


def ours(net: torch.nn.Module, images: torch.Tensor, method: str, layer: str, **options: object) -> np.ndarray:
    """Return interpretkit's maps `(image, y, x)`."""
    where = {} if method == "full_grad" else {"layers": [layer]}
    target = {} if method == "eigen_cam" else {"target": TARGET}
    result = ik.visualize(ik.wrap(net), images, method, **where, **target, **options)
    return result.maps[layer if where else "input"].values


def gildenblat(net: torch.nn.Module, images: torch.Tensor, method: str, layer: str) -> np.ndarray:
    """Return pytorch-grad-cam's maps before its ReLU, scaling and resizing; FullGrad's as they come."""
    module = net.get_submodule(layer)
    targets = [ClassifierOutputTarget(TARGET)] * len(images)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        if method == "FullGrad":
            with pytorch_grad_cam.FullGrad(net, []) as cam:
                return cam(images.clone(), targets)
        with getattr(pytorch_grad_cam, method)(net, [module]) as cam:
            cam(images, targets)
            seen = cam.activations_and_grads
            activation = seen.activations[0].numpy()
            gradient = seen.gradients[0].numpy() if seen.gradients else None
            return cam.get_cam_image(images, module, targets, activation, gradient, *cam_arguments(method))


def cam_arguments(method: str) -> tuple[bool, ...]:
    """Return `eigen_smooth`, which some methods want said."""
    return (False,) if method in {"HiResCAM", "LayerCAM", "EigenCAM", "EigenGradCAM"} else ()


def fernandez(net: torch.nn.Module, images: torch.Tensor, method: str, layer: str) -> np.ndarray:
    """Return torchcam's maps before its scaling: their positive part, for all but CAM and the two of Grad-CAM++."""
    torch.manual_seed(0)
    with getattr(torchcam.methods, method)(net, layer, input_shape=SIZE) as extractor:
        scores = net(images)
        (found,) = extractor(TARGET, scores, normalized=False)
    return found.detach().numpy()


def kokhlikyan(net: torch.nn.Module, images: torch.Tensor, layer: str) -> np.ndarray:
    """Return captum's Grad-CAM."""
    return LayerGradCam(net, net.get_submodule(layer)).attribute(images, target=TARGET)[:, 0].detach().numpy()


def comparisons(net: torch.nn.Module, images: torch.Tensor) -> Iterator[tuple[str, str, np.ndarray, np.ndarray]]:
    """Yield method, library with layer, our maps and theirs."""
    for layer in (LATE, EARLY):
        yield "grad_cam", f"captum, {layer}", ours(net, images, "grad_cam", layer), kokhlikyan(net, images, layer)
        for name, pgc, tc in (
            ("grad_cam", "GradCAM", "GradCAM"),
            ("grad_cam_plusplus", "GradCAMPlusPlus", "GradCAMpp"),
            ("hirescam", "HiResCAM", None),
            ("xgrad_cam", "XGradCAM", "XGradCAM"),
            ("layer_cam", "LayerCAM", "LayerCAM"),
            ("eigen_cam", "EigenCAM", None),
            ("eigen_grad_cam", "EigenGradCAM", None),
            ("score_cam", "ScoreCAM", "ScoreCAM"),
            ("ablation_cam", "AblationCAM", None),
            ("smooth_grad_cam_plusplus", None, "SmoothGradCAMpp"),
        ):
            found = ours(net, images, name, layer)
            if pgc:
                yield name, f"pytorch-grad-cam, {layer}", found, gildenblat(net, images, pgc, layer)
            if tc:
                theirs = fernandez(net, images, tc, layer)
                yield name, f"torchcam, {layer}", found if tc.endswith("pp") else found.clip(0), theirs
    centred = ours(net, images, "eigen_cam", LATE, centre=True)
    yield "eigen_cam, centred", f"pytorch-grad-cam, {LATE}", centred, gildenblat(net, images, "EigenCAM", LATE)
    yield "cam", f"torchcam, {LATE}", ours(net, images, "cam", LATE), fernandez(net, images, "CAM", LATE)
    yield "full_grad", "pytorch-grad-cam", ours(net, images, "full_grad", ""), gildenblat(net, images, "FullGrad", LATE)


def difference(first: np.ndarray, second: np.ndarray) -> tuple[float, float, float]:
    """Return the greatest difference of two maps that reach to 1, their correlation, and the factor between them."""
    one, other = (each / np.abs(each).max() for each in (first, second))
    correlation = float(np.corrcoef(first.ravel(), second.ravel())[0, 1])
    return float(np.abs(one - other).max()), correlation, float(np.abs(second).max() / np.abs(first).max())


def main() -> None:
    """Print the table."""
    torch.manual_seed(0)
    net = torchvision.models.resnet18().eval()
    for part in net.modules():
        # In-place ReLUs do not go together with the hooks of captum and pytorch-grad-cam.
        if isinstance(part, torch.nn.ReLU):
            part.inplace = False
        # Statistics other than 0 and 1, so that batch normalisation has a bias.
        if isinstance(part, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(part.running_mean, std=0.1)
            torch.nn.init.uniform_(part.running_var, 0.5, 1.5)
    images = torch.randn(2, *SIZE)
    print(f"{'method':26}{'library, layer':30}{'difference':>11}{'correlation':>13}{'factor':>10}")
    for method, library, first, second in comparisons(net, images):
        pairs = [difference(*each) for each in zip(first, second, strict=True)]
        worst = max(pairs)
        print(f"{method:26}{library:30}{worst[0]:11.1e}{worst[1]:13.4f}{worst[2]:10.3g}")


if __name__ == "__main__":
    main()
