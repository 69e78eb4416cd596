"""Rank correlation of maps, on the coarser of their grids."""

from __future__ import annotations

import numpy as np

from interpretkit_compare.grids import averaged, coarser


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
