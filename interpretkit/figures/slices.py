"""Volumes in pictures: which slices are shown, side by side in pictures of images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from interpretkit.figures.finish import panels
from interpretkit.results.grid import Grid

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PIL.Image import Image

_SHOWN = 3


def strongest(values: np.ndarray) -> list[int]:
    """Return which slices of a map `(z, y, x)` are shown, in their order: three of greatest sum of magnitudes.

    Of equal ones, those nearest to the middle. Values that are not finite count nothing.

    Example:
        >>> strongest(np.array([0.0, 5.0, -9.0, 1.0, 0.0]).reshape(5, 1, 1))
        [1, 2, 3]
    """
    magnitudes = np.abs(np.where(np.isfinite(values), values, 0)).astype(np.float64)
    sums = magnitudes.sum((1, 2))
    from_middle = np.abs(np.arange(len(values)) - (len(values) - 1) / 2)
    order = np.lexsort((from_middle, -sums))
    return sorted(order[:_SHOWN].tolist())


def spread(count: int) -> list[int]:
    """Return which of so many slices of a photo are shown, where nothing says which are strong.

    Example:
        >>> spread(12), spread(2)
        ([2, 6, 10], [0, 1])
    """
    shown = min(_SHOWN, count)
    return [(2 * place + 1) * count // (2 * shown) for place in range(shown)]


def named(slice_: int, count: int) -> str:
    """Return what a slice is called, counted from 0."""
    return f"z {slice_} of 0 … {count - 1}"


def across(draw: Callable[[int], Image], slices: Sequence[int], *, title: str) -> Image:
    """Return pictures of slices side by side."""
    return panels([draw(each) for each in slices], title=title)


def within(grid: Grid) -> Grid:
    """Return where the cells of a slice lie, of those of a volume."""
    return Grid(grid.rows[1:])


def beside_one_another(values: np.ndarray, slices: Sequence[int]) -> np.ndarray:
    """Return some slices of `values` `(channel, z, y, x)` side by side, `(channel, y, slices · x)`."""
    return np.concatenate([values[:, each] for each in slices], axis=-1)
