"""Images with parts of them taken away: what stands in for a part, and which pixels a cell of a map is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from interpretkit import Baseline, Visualizer

if TYPE_CHECKING:
    import torch

IN_WORDS = {
    "zero": "0 of the network's input",
    "image_mean": "the image's mean colour",
    "black": "black",
    "blurred": "the image blurred",
}


class PerturbedOptions(Visualizer.Options):
    """What stands in for parts of an image, and how many images go through at once."""

    fill: Baseline = Field(
        default="zero",
        description="what stands in for a cell: zero (of the network's input), image_mean (the mean of each colour "
        "channel of the image), black, or blurred",
    )
    blur: float = Field(
        default=0.05,
        gt=0,
        le=0.5,
        description="standard deviation of the blur, as a part of the image's shorter side",
    )
    internal_batch_size: int = Field(default=32, ge=1, description="perturbed images per pass")


def cells_of(grid: tuple[int, int], size: tuple[int, int]) -> torch.Tensor:
    """Return which cell of a grid each pixel of an image lies in, by its centre, `(y, x)`, counted row by row.

    Example:
        >>> cells_of((1, 2), (2, 4)).tolist()
        [[0, 0, 1, 1], [0, 0, 1, 1]]
    """
    import torch

    (height, width), (rows, columns) = size, grid
    # In whole numbers, so that no centre falls to either side of a border by rounding.
    row = (2 * torch.arange(height) + 1) * rows // (2 * height)
    column = (2 * torch.arange(width) + 1) * columns // (2 * width)
    return row[:, None] * columns + column
