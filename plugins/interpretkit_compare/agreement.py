"""How alike two maps are: area averaging to a common grid, and rank correlation on it."""

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


def ranks(values: np.ndarray) -> np.ndarray:
    """Return the ranks from 0 along the last axis; equal values share the mean of theirs.

    Example:
        >>> ranks(np.array([3.0, 1.0, 3.0])).tolist()
        [1.5, 0.0, 1.5]
    """
    order = np.argsort(values, axis=-1, kind="stable")
    ordered = np.take_along_axis(values, order, -1)
    positions = np.broadcast_to(np.arange(values.shape[-1]), values.shape)
    starts_run = np.diff(ordered, axis=-1, prepend=np.nan) != 0
    first = np.maximum.accumulate(np.where(starts_run, positions, 0), axis=-1)
    ends_run = np.roll(starts_run, -1, axis=-1)
    last = np.flip(np.minimum.accumulate(np.flip(np.where(ends_run, positions, values.shape[-1]), -1), axis=-1), -1)
    shared = np.empty(values.shape)
    np.put_along_axis(shared, order, (first + last) / 2, -1)
    return shared


def rank_correlation(maps: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return Spearman's rank correlation of each of `maps` `(…, y, x)` with `reference` `(y, x)`, `(…)`.

    Each pair is compared on the coarser of its two native grids. The correlation with a map that is the same
    everywhere, or has NaN or infinity in it, is not defined: NaN.

    Example:
        >>> ramp = np.arange(4.0).reshape(2, 2)
        >>> rank_correlation(np.stack([ramp, -ramp, 0 * ramp]), ramp).tolist()
        [1.0, -1.0, nan]
    """
    grid = coarser(maps.shape[-2:], reference.shape)
    sample = averaged(maps, grid).reshape(*maps.shape[:-2], -1)
    other = averaged(reference, grid).reshape(-1)
    centred, other_centred = (each - each.mean(-1, keepdims=True) for each in (ranks(sample), ranks(other)))
    product = (centred * other_centred).sum(-1)
    norm = np.sqrt((centred**2).sum(-1) * (other_centred**2).sum())
    defined = (norm > 0) & np.isfinite(sample).all(-1) & np.isfinite(other).all()
    return np.where(defined, product / np.where(norm > 0, norm, 1.0), np.nan)


def _overlap(fine: int, coarse: int) -> np.ndarray:
    """Return how much of each coarse cell each fine cell makes up, `(coarse, fine)`; rows sum to 1."""
    edges = np.arange(coarse + 1) * (fine / coarse)
    cells = np.arange(fine)
    inside = np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells)
    return np.asarray(inside.clip(min=0.0) * (coarse / fine))
