"""Baselines: what an image is set against, or what stands in for parts of it that are taken away."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any, Literal

from interpretkit.errors import StepError, cause
from interpretkit.model.preprocessing import Preprocessing

if TYPE_CHECKING:
    import torch

Baseline = Literal["zero", "black", "image_mean", "blurred"]
"""The baselines by name: see `Model.baseline`."""

_SIDE = 256


def baseline_of(image: torch.Tensor, name: Baseline, *, preprocessing: Any, blur: float) -> torch.Tensor:
    """Return the baseline of an image `(1, channel, y, x)`, a tensor of the same shape.

    Args:
        image: As the network is fed.
        name: Which.
        preprocessing: What makes black.
        blur: Standard deviation of the Gaussian, as a part of the shorter side.

    Raises:
        StepError: If it is black, and the preprocessing does not make an image of that as the network is fed.

    Example:
        >>> import torch
        >>> baseline_of(torch.tensor([[[[1.0, 3.0]]]]), "image_mean", preprocessing=None, blur=0.05).tolist()
        [[[[2.0, 2.0]]]]
    """
    import torch

    if name == "zero":
        return torch.zeros_like(image)
    if name == "image_mean":
        return image.mean((2, 3), keepdim=True).expand_as(image).clone()
    if name == "black":
        return _black(image, preprocessing)
    return blurred(image, blur)


def _black(image: torch.Tensor, preprocessing: Any) -> torch.Tensor:
    if isinstance(preprocessing, Preprocessing) and len(preprocessing.mean) == image.shape[1]:
        mean, std = (image.new_tensor(each).reshape(1, -1, 1, 1) for each in (preprocessing.mean, preprocessing.std))
        return (-mean / std).expand_as(image).clone()
    from PIL import Image

    hint = "choose zero, image_mean or blurred"
    try:
        made: torch.Tensor = preprocessing(Image.new("RGB", (_SIDE, _SIDE))).mean((1, 2))
    except Exception as error:
        raise StepError(f"the preprocessing makes no black image: {cause(error)}", hint=hint) from error
    if len(made) != image.shape[1]:
        what = f"the preprocessing makes black of {len(made)} channels, and the images have {image.shape[1]}"
        raise StepError(what, hint=hint)
    return made.reshape(1, -1, 1, 1).to(image).expand_as(image).clone()


def blurred(image: torch.Tensor, blur: float) -> torch.Tensor:
    """Return images `(…, y, x)` under a Gaussian, reflected at their borders; a tensor of the same shape and dtype.

    Args:
        image: One image or several, with any axes before y and x.
        blur: Standard deviation of the Gaussian, as a part of the shorter side. It is cut off at three of these.

    Example:
        >>> import torch
        >>> spot = torch.zeros(1, 1, 5, 5, dtype=torch.float64)
        >>> spot[..., 2, 2] = 1
        >>> blurred(spot, 0.1)[0, 0, 2].round(decimals=2).tolist()
        [0.0, 0.08, 0.62, 0.08, 0.0]
    """
    import torch
    from torchvision.transforms.v2 import functional

    shorter = min(image.shape[-2:])
    sigma = blur * shorter
    # Reflection at the border wants less than a whole side.
    radius = min(ceil(3 * sigma), shorter - 1)
    return torch.as_tensor(functional.gaussian_blur(image, [2 * radius + 1] * 2, [sigma] * 2))
