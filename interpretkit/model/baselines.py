"""Baselines: images without content, to compare an image with, or to fill parts of it that are taken away."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any, Literal

from interpretkit.errors import StepError, cause
from interpretkit.model.preprocessing import Preprocessing
from interpretkit.words import count

if TYPE_CHECKING:
    import torch

Baseline = Literal["zero", "black", "image_mean", "blurred"]
"""The baselines by name: see `Model.baseline`."""

_SIDE = 256


def baseline_of(image: torch.Tensor, name: Baseline, *, preprocessing: Any, blur: float) -> torch.Tensor:
    """Return the baseline of an image `(1, channel, y, x)`, a signal or a volume, a tensor of the same shape.

    Args:
        image: As the network is fed.
        name: The baseline.
        preprocessing: The model's preprocessing, which makes `black`.
        blur: Standard deviation of the Gaussian, as a part of the shortest side.

    Raises:
        StepError: If `black` is asked for, and the preprocessing makes no image that fits the network's input.

    Example:
        >>> import torch
        >>> baseline_of(torch.tensor([[[[1.0, 3.0]]]]), "image_mean", preprocessing=None, blur=0.05).tolist()
        [[[[2.0, 2.0]]]]
    """
    import torch

    if name == "zero":
        return torch.zeros_like(image)
    if name == "image_mean":
        grid = tuple(range(2, image.ndim))
        return image.mean(grid, keepdim=True).expand_as(image).clone()
    if name == "black":
        return _black(image, preprocessing)
    return blurred(image, blur)


def _black(image: torch.Tensor, preprocessing: Any) -> torch.Tensor:
    level = _level_of_black(image, preprocessing)
    ones = (1,) * (image.ndim - 2)
    cell = level.reshape(1, -1, *ones)
    return cell.expand_as(image).clone()


def _level_of_black(image: torch.Tensor, preprocessing: Any) -> torch.Tensor:
    """Return the value of black in each channel, `(channel,)`."""
    channels = image.shape[1]
    if isinstance(preprocessing, Preprocessing) and len(preprocessing.mean) == channels:
        mean = image.new_tensor(preprocessing.mean)
        return -mean / image.new_tensor(preprocessing.std)
    from PIL import Image

    hint = "choose zero, image_mean or blurred"
    try:
        made: torch.Tensor = preprocessing(Image.new("RGB", (_SIDE, _SIDE)))
        grid = tuple(range(1, made.ndim))
        level = made.mean(grid)
    except Exception as error:
        raise StepError(f"the preprocessing makes no black image: {cause(error)}", hint=hint) from error
    if len(level) != channels:
        what = f"the preprocessing makes black of {count(len(level), 'channel')}, and the images have {channels}"
        raise StepError(what, hint=hint)
    return level.to(image)


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

    grid = range(2, image.ndim)
    shortest = min(image.shape[2:])
    sigma = blur * shortest
    # Reflection at the border wants less than a whole side.
    radius = min(ceil(3 * sigma), shortest - 1)
    kernel = 2 * radius + 1
    if len(grid) == 2:  # noqa: PLR2004 - y and x, which torchvision blurs at once
        return torch.as_tensor(functional.gaussian_blur(image, [kernel] * 2, [sigma] * 2))
    for dim in grid:
        image = _blurred_along(image, dim, kernel=kernel, sigma=sigma)
    return image


def _blurred_along(image: torch.Tensor, dim: int, *, kernel: int, sigma: float) -> torch.Tensor:
    """Return an image blurred along one of its dims: torchvision is given all lines along it as rows of pixels."""
    import torch
    from torchvision.transforms.v2 import functional

    lines = image.movedim(dim, -1)
    rows = lines.reshape(1, 1, -1, lines.shape[-1])
    blurred = torch.as_tensor(functional.gaussian_blur(rows, [kernel, 1], [sigma, sigma]))
    return blurred.reshape(lines.shape).movedim(-1, dim)
