"""Baselines: what an image is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit import Preprocessing, StepError

if TYPE_CHECKING:
    import torch

    from interpretkit import Model
    from interpretkit_captum.network import Subject
    from interpretkit_captum.options import BaselineName

WORDS = {
    "zero": "zero, the mean colour of the training if that was subtracted",
    "black": "black",
    "image_mean": "the mean of each colour channel of the image",
    "blurred": "the image blurred by a Gaussian of a twentieth of its sides",
}
_BLUR = 20


def baseline_of(subject: Subject, name: BaselineName) -> torch.Tensor:
    """Return the baseline of an image, `(1, channel, y, x)`, as the model is fed.

    Raises:
        StepError: If it is black, and what the preprocessing makes of black is not known.
    """
    import torch

    image = subject.image.detach()
    if name == "zero":
        return torch.zeros_like(image)
    if name == "image_mean":
        return image.mean((2, 3), keepdim=True).expand_as(image).clone()
    if name == "blurred":
        return _blurred(image)
    return _black(subject.model, image)


def around(baseline: torch.Tensor, *, count: int, spread: float, seed: int) -> torch.Tensor:
    """Return `count` baselines `(baseline, channel, y, x)`: Gaussian noise about one, always the same for a seed."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    shape = (count, *baseline.shape[1:])
    # Drawn on the CPU and in float32, so that they are the same on every device and in every precision.
    noise = torch.randn(shape, generator=generator).to(baseline)
    return baseline + spread * noise


def _black(model: Model, image: torch.Tensor) -> torch.Tensor:
    known = model.preprocessing
    if not (isinstance(known, Preprocessing) and len(known.mean) == image.shape[1]):
        raise StepError(
            f"what the preprocessing of model {model.name!r} makes of black is not known",
            hint="choose the baseline zero, image_mean or blurred",
        )
    mean, std = (image.new_tensor(each).reshape(1, -1, 1, 1) for each in (known.mean, known.std))
    return (-mean / std).expand_as(image).clone()


def _blurred(image: torch.Tensor) -> torch.Tensor:
    from torchvision.transforms.v2 import functional

    sigmas = [side / _BLUR for side in image.shape[:1:-1]]  # torchvision wants x before y
    # Three sigmas to each side; less than the side, since it is mirrored at the border.
    sizes = [
        2 * min(round(3 * sigma) or 1, side - 1) + 1 for sigma, side in zip(sigmas, image.shape[:1:-1], strict=True)
    ]
    blurred: torch.Tensor = functional.gaussian_blur(image, sizes, sigmas)
    return blurred
