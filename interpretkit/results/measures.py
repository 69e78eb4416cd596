"""Maps and samples in numbers: a common grid without interpolation, rank correlation, the bootstrap of a mean."""

from __future__ import annotations

import numpy as np

_BITS = 46  # of a map's greatest magnitude that its averages are rounded to


def common_grid(*grids: tuple[int, ...]) -> tuple[int, int]:
    """Return the coarsest grid `(y, x)` of several, along each axis: maps on any of them can be averaged to it.

    Example:
        >>> common_grid((7, 7), (14, 5), (8, 8))
        (7, 5)
    """
    rows, columns = zip(*grids, strict=True)
    return min(rows), min(columns)


def area_averaged(values: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Return `values` `(…, y, x)` averaged over the cells of a coarser grid, by exact area; float64.

    Both grids tile the same rectangle evenly. A coarse cell is the mean over its area; a fine cell that straddles its
    border counts with the part inside, so nothing is interpolated. Means are rounded to 46 bits of the map's greatest
    magnitude. Otherwise equal areas could differ by a rounding of their sums, and ranks would tell them apart.

    Args:
        values: The maps.
        grid: Cells along y and x, no more than the maps have.

    Example:
        >>> area_averaged(np.array([[1.0, 2.0, 6.0]]), (1, 2)).round(3).tolist()
        [[1.333, 4.667]]
    """
    height, width = values.shape[-2:]
    values = values.astype(np.float64)
    if (height, width) == tuple(grid):
        return values
    rows = _overlap(height, grid[0])
    columns = _overlap(width, grid[1])
    with np.errstate(invalid="ignore"):
        means = np.asarray(rows @ values @ columns.T)
        greatest = np.abs(values).max((-2, -1), keepdims=True)
        _, exponent = np.frexp(greatest)
        quantum = np.ldexp(1.0, exponent - _BITS)
        steps = np.rint(means / quantum)
        return np.asarray(steps * quantum)


def ranks(values: np.ndarray) -> np.ndarray:
    """Return the ranks from 0 along the last axis; equal values share the mean of theirs.

    Example:
        >>> ranks(np.array([3.0, 1.0, 3.0])).tolist()
        [1.5, 0.0, 1.5]
    """
    count = values.shape[-1]
    order = np.argsort(values, axis=-1, kind="stable")
    ordered = np.take_along_axis(values, order, -1)
    positions = np.broadcast_to(np.arange(count), values.shape)
    starts_run = np.diff(ordered, axis=-1, prepend=np.nan) != 0
    ends_run = np.roll(starts_run, -1, axis=-1)
    starts = np.where(starts_run, positions, 0)
    first = np.maximum.accumulate(starts, axis=-1)
    ends = np.where(ends_run, positions, count)
    backwards = np.flip(ends, -1)
    last = np.flip(np.minimum.accumulate(backwards, axis=-1), -1)
    middle = (first + last) / 2
    shared = np.empty(values.shape)
    np.put_along_axis(shared, order, middle, -1)
    return shared


def rank_correlation(maps: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return Spearman's rank correlation `(…)` of each of `maps` `(…, y, x)` with `reference` `(y, x)`.

    Each pair is compared on the coarser of its two native grids. The correlation is NaN, for it is not defined, where
    a map is the same everywhere, or has NaN or infinity in it.

    Example:
        >>> ramp = np.arange(4.0).reshape(2, 2)
        >>> rank_correlation(np.stack([ramp, -ramp, 0 * ramp]), ramp).tolist()
        [1.0, -1.0, nan]
    """
    grid = common_grid(maps.shape[-2:], reference.shape)
    sample = _flattened(area_averaged(maps, grid))
    other = _flattened(area_averaged(reference, grid))
    centred = _centred_ranks(sample)
    other_centred = _centred_ranks(other)
    product = (centred * other_centred).sum(-1)
    squares = (centred**2).sum(-1)
    other_squares = (other_centred**2).sum()
    norm = np.sqrt(squares * other_squares)
    finite = np.isfinite(sample).all(-1) & np.isfinite(other).all()
    varied = norm > 0
    divisor = np.where(varied, norm, 1.0)
    return np.where(varied & finite, product / divisor, np.nan)


def bootstrap_of_mean(
    values: np.ndarray,
    *,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return an interval for the mean of a population, from a sample of it, by Efron's percentile bootstrap.

    The sample is drawn anew `draws` times, with replacement, and the interval holds the middle `level` of the means.
    From few values it comes out too narrow: with ten or fewer, it holds the true mean clearly less often than
    `level` says.

    Args:
        values: The sample, `(example,)`, such as a score of each image. One that is NaN makes both ends NaN.
        level: Share of the means inside.
        draws: How often the sample is drawn anew.
        seed: Of the draws.

    Raises:
        ValueError: If there are no values.

    Example:
        >>> low, high = bootstrap_of_mean(np.arange(100.0))
        >>> 40 < low < 49.5 < high < 59
        True
    """
    count = len(values)
    if count == 0:
        raise ValueError("a sample without values has no mean")
    generator = np.random.default_rng(seed)
    means = []
    for _ in range(draws):
        drawn = generator.integers(0, count, count)
        means.append(values[drawn].mean())
    outside = (1 - level) / 2
    low, high = np.quantile(means, (outside, 1 - outside))
    return float(low), float(high)


def _flattened(maps: np.ndarray) -> np.ndarray:
    """Return maps `(…, y, x)` as `(…, cell)`."""
    return maps.reshape(*maps.shape[:-2], -1)


def _centred_ranks(values: np.ndarray) -> np.ndarray:
    of_values = ranks(values)
    mean = of_values.mean(-1, keepdims=True)
    return np.asarray(of_values - mean)


def _overlap(fine: int, coarse: int) -> np.ndarray:
    """Return how much of each coarse cell each fine cell makes up, `(coarse, fine)`; rows sum to 1."""
    ratio = fine / coarse
    edges = np.arange(coarse + 1) * ratio
    cells = np.arange(fine)
    starts = np.maximum(edges[:-1, None], cells)
    ends = np.minimum(edges[1:, None], cells + 1)
    inside = (ends - starts).clip(min=0.0)
    return np.asarray(inside * (coarse / fine))
