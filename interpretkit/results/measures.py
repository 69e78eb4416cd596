"""Maps and samples in numbers: rank correlation, the bootstrap of a mean."""

from __future__ import annotations

import numpy as np


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
    """Return Spearman's rank correlation `(…)` of each of `maps` `(…, y, x)` with `reference` `(y, x)`, on one grid.

    Maps of different grids meet by `Grid.averaged`. The correlation is NaN, for it is not defined, where a map is the
    same everywhere, or has NaN or infinity in it.

    Example:
        >>> ramp = np.arange(4.0).reshape(2, 2)
        >>> rank_correlation(np.stack([ramp, -ramp, 0 * ramp]), ramp).tolist()
        [1.0, -1.0, nan]
    """
    others = maps.ndim - reference.ndim
    sample = maps.reshape(*maps.shape[:others], -1).astype(np.float64)
    other = reference.reshape(-1).astype(np.float64)
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


def _centred_ranks(values: np.ndarray) -> np.ndarray:
    of_values = ranks(values)
    mean = of_values.mean(-1, keepdims=True)
    return np.asarray(of_values - mean)
