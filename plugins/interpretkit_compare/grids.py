"""Maps of different size brought to one grid, by area averaging: nothing is interpolated."""

from __future__ import annotations

import numpy as np


def averaged(values: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Return `values` `(…, y, x)` averaged over the cells of a coarser grid, by exact area; float64.

    Both grids tile the same rectangle evenly. A coarse cell is the mean over its area; a fine cell that straddles its
    border counts with the part inside, so nothing is interpolated. Means are rounded to 46 bits of the map's greatest
    magnitude, so that areas that are equal stay equal: ranks would tell them apart by the order of a sum.

    Example:
        >>> averaged(np.array([[1.0, 2.0, 6.0]]), (1, 2)).round(3).tolist()
        [[1.333, 4.667]]
    """
    height, width = values.shape[-2:]
    values = values.astype(np.float64)
    if (height, width) == tuple(grid):
        return values
    with np.errstate(invalid="ignore"):
        means = np.asarray(_overlap(height, grid[0]) @ values @ _overlap(width, grid[1]).T)
        quantum = np.ldexp(1.0, np.frexp(np.abs(values).max((-2, -1), keepdims=True))[1] - 46)
        return np.asarray(np.rint(means / quantum) * quantum)


def coarser(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, int]:
    """Return the grid that is the coarser of two along each axis.

    Example:
        >>> coarser((7, 7), (14, 5))
        (7, 5)
    """
    return min(first[0], second[0]), min(first[1], second[1])


def _overlap(fine: int, coarse: int) -> np.ndarray:
    """Return how much of each coarse cell each fine cell makes up, `(coarse, fine)`; rows sum to 1."""
    edges = np.arange(coarse + 1) * (fine / coarse)
    cells = np.arange(fine)
    inside = np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells)
    return np.asarray(inside.clip(min=0.0) * (coarse / fine))
