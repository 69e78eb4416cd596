"""Images with parts of them taken away: what stands in for a part, and which pixels a cell of a map is about."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Literal

from interpretkit import StepError

if TYPE_CHECKING:
    import torch

    from interpretkit import Model

Fill = Literal["zero", "mean", "black", "blurred"]

IN_WORDS = {
    "zero": "0 of the network's input",
    "mean": "the image's mean colour",
    "black": "black",
    "blurred": "the image blurred",
}


def filled(image: torch.Tensor, fill: Fill, *, model: Model, blur: float) -> torch.Tensor:
    """Return what stands in for an image `(1, channel, y, x)` where it is taken away, of the same shape.

    Args:
        image: As the network is fed.
        fill: `zero` (of the network's input: the mean colour of the training images where the preprocessing
            normalises), `mean` of the image by channel, `black` (through the model's preprocessing), or `blurred`.
        model: Whose preprocessing makes black.
        blur: Standard deviation of the Gaussian, as a part of the shorter side.

    Raises:
        StepError: If the preprocessing does not make an image of black as the network is fed.
    """
    import torch

    if fill == "zero":
        return torch.zeros_like(image)
    if fill == "mean":
        return image.mean((2, 3), keepdim=True).expand_as(image)
    if fill == "black":
        return _black(model, channels=image.shape[1]).to(image).expand_as(image)
    from torchvision.transforms.v2 import functional

    shorter = min(image.shape[-2:])
    sigma = blur * shorter
    # Reflection at the border wants less than a whole side.
    radius = min(ceil(3 * sigma), shorter - 1)
    return torch.as_tensor(functional.gaussian_blur(image, [2 * radius + 1] * 2, [sigma] * 2))


def cells_of(grid: tuple[int, int], size: tuple[int, int]) -> torch.Tensor:
    """Return which cell of a grid each pixel of an image lies in, by its centre, `(y, x)`, counted row by row.

    Example:
        >>> cells_of((1, 2), (2, 4)).tolist()
        [[0, 0, 1, 1], [0, 0, 1, 1]]
    """
    import torch

    # In whole numbers, so that no centre falls to either side of a border by rounding.
    rows, columns = (
        (2 * torch.arange(pixels) + 1) * cells // (2 * pixels) for cells, pixels in zip(grid, size, strict=True)
    )
    return rows[:, None] * grid[1] + columns


def _black(model: Model, *, channels: int) -> torch.Tensor:
    """Return black as the network is fed it, `(1, channel, 1, 1)`."""
    from PIL import Image

    try:
        made = model.preprocessing(Image.new("RGB", (256, 256))).mean((1, 2))
    except Exception as error:
        raise StepError(
            f"the preprocessing of model {model.name!r} makes no black image: {type(error).__name__}: {error}",
            hint="choose another fill",
        ) from error
    if len(made) != channels:
        raise StepError(
            f"the preprocessing of model {model.name!r} makes black of {len(made)} channels, and the images have "
            f"{channels}",
            hint="choose another fill",
        )
    return made.reshape(1, -1, 1, 1)
