"""How alike two maps of one grid are, by measures that look at different things."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from interpretkit import rank_correlation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MEASURES = ("rank_correlation", "pearson", "cosine", "iou", "ssim")
"""What maps are compared by, in the order of tables and figures."""

IN_WORDS = {
    "rank_correlation": "Spearman rank correlation",
    "pearson": "Pearson correlation",
    "cosine": "cosine similarity",
    "iou": "IoU of the top cells",
    "ssim": "structural similarity (SSIM)",
}

_WIDEST_WINDOW = 7
_K1, _K2 = 0.01, 0.03


def measures(*, share: float, signed: bool) -> Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]:
    """Return the functions of maps `(…, y, x)` and a reference `(y, x)` of one grid, each `(…)`, by measure.

    Args:
        share: Of the cells, for the IoU of the top ones.
        signed: Whether values below zero occur, for the range of SSIM.
    """
    return {
        "rank_correlation": rank_correlation,
        "pearson": pearson,
        "cosine": cosine,
        "iou": partial(top_iou, share=share),
        "ssim": partial(ssim, signed=signed),
    }


def pearson(maps: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation `(…)` of maps `(…, y, x)` with a reference; NaN if one is flat or not finite.

    Example:
        >>> round(float(pearson(np.array([[1.0, 2.0, 3.0]]), np.array([[1.0, 2.0, 5.0]]))), 3)
        0.961
    """
    flat, other = _flat(maps, reference), reference.reshape(-1)
    with np.errstate(invalid="ignore"):
        one, another = flat - flat.mean(-1, keepdims=True), other - other.mean()
    return np.where(varies(flat) & varies(other), cosine(one, another), np.nan)


def cosine(maps: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return the cosine `(…)` of the angle between maps `(…, y, x)` and a reference as vectors.

    NaN if one is zero everywhere or not finite.

    Example:
        >>> round(float(cosine(np.array([[1.0, 0.0]]), np.array([[3.0, 4.0]]))), 3)
        0.6
    """
    one, other = _scaled(_flat(maps, reference)), _scaled(reference.reshape(-1))
    lengths = (one**2).sum(-1) * (other**2).sum()
    return np.asarray((one * other).sum(-1) / np.sqrt(lengths))


def top_iou(maps: np.ndarray, reference: np.ndarray, *, share: float) -> np.ndarray:
    r"""Return the intersection over union of the top cells of `maps` `(…, y, x)` and `reference` `(y, x)`, `(…)`.

    The top cells are the $k$ greatest, $k$ being `share` of all cells, rounded, at least one. Where cells tie for the
    last places, each gets an equal part of these, so that with memberships $m$ between 0 and 1 the measure is
    $\sum \min(m, m') / \sum \max(m, m')$. A map that is the same everywhere has no top cells: NaN.

    Example:
        >>> first, second = np.array([[9.0, 8.0, 0.0, 0.0]]), np.array([[9.0, 0.0, 0.0, 8.0]])
        >>> round(float(top_iou(first, second, share=0.5)), 3)
        0.333
    """
    count = _count(reference.size, share)
    flat, flat_reference = _flat(maps, reference), reference.reshape(-1)
    member = topmost(flat, count)
    other = topmost(flat_reference, count)
    with np.errstate(invalid="ignore"):
        intersection = np.minimum(member, other).sum(-1)
        union = np.maximum(member, other).sum(-1)
        found = intersection / union
    return np.where(varies(flat) & varies(flat_reference), found, np.nan)


def iou_by_chance(cells: int, *, share: float) -> float:
    r"""Return the mean IoU of the top cells of two maps that are independent, cell by cell, without ties.

    With $k$ top cells of $n$ in each, $j$ are in both with the probability of the hypergeometric distribution,

    $$\sum_j \binom{k}{j} \binom{n - k}{k - j} \binom{n}{k}^{-1} \frac{j}{2k - j}$$

    which is close to $s / (2 - s)$ for a share $s$. Maps that are smooth have the same mean, about, and a wider spread.

    Example:
        >>> round(iou_by_chance(16, share=0.2), 3), round(iou_by_chance(10000, share=0.2), 3)
        (0.12, 0.111)
    """
    count = _count(cells, share)
    both = np.arange(max(0, 2 * count - cells), count + 1)
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, cells + 1)))])

    def ways(chosen: np.ndarray | int, among: int) -> np.ndarray:
        """Return the logarithm of how many choices there are."""
        return np.asarray(factorials[among] - factorials[chosen] - factorials[among - chosen])

    chances = np.exp(ways(both, count) + ways(count - both, cells - count) - ways(count, cells))
    return float(chances @ (both / (2 * count - both)))


def topmost(values: np.ndarray, count: float) -> np.ndarray:
    """Return how far each of `values` `(…, cell)` belongs to the `count` greatest, between 0 and 1.

    Memberships sum to `count`, which need not be whole. Cells that tie at the border share what is left equally.

    Example:
        >>> topmost(np.array([5.0, 0.0, 0.0]), 2).tolist()
        [1.0, 0.5, 0.5]
    """
    descending = -np.sort(-values, axis=-1)
    border = descending[..., [int(np.ceil(count)) - 1]]
    above, tied = values > border, values == border
    left = count - above.sum(-1, keepdims=True)
    sharing = np.maximum(tied.sum(-1, keepdims=True), 1)
    return np.where(tied, left / sharing, above.astype(np.float64))


def ssim(maps: np.ndarray, reference: np.ndarray, *, signed: bool) -> np.ndarray:
    r"""Return the mean structural similarity `(…)` of maps `(…, y, x)` and a reference after Wang et al.

    Each map is divided by its greatest magnitude, which keeps its zero and its sign; the range of values is then
    $L = 2$ for signed maps, else 1. In each window with means $\mu$, sample variances $\sigma^2$ and covariance,

    $$\frac{(2\mu_1\mu_2 + C_1)(2\sigma_{12} + C_2)}{(\mu_1^2 + \mu_2^2 + C_1)(\sigma_1^2 + \sigma_2^2 + C_2)},
    \quad C_1 = (0.01 L)^2,\ C_2 = (0.03 L)^2$$

    and the mean is over all windows inside of the grid. They are uniform and as long along each axis, 7 cells, on
    smaller grids the largest odd number of cells that fits. NaN on a grid of fewer than 3 cells a side, and if a map is
    zero everywhere or not finite.

    Example:
        >>> ramp = np.arange(16.0).reshape(4, 4)
        >>> round(float(ssim(ramp, 3 * ramp, signed=False)), 6)
        1.0
    """
    axes = reference.ndim
    side = min(_WIDEST_WINDOW, *reference.shape)
    side -= 1 - side % 2
    if side < 3:  # noqa: PLR2004 - one cell has no structure
        return np.full(maps.shape[: maps.ndim - axes], np.nan)
    one = _scaled(_flat(maps, reference)).reshape(maps.shape)
    other = _scaled(reference.reshape(-1)).reshape(reference.shape)
    spread = 2.0 if signed else 1.0
    of_means, of_spreads = (_K1 * spread) ** 2, (_K2 * spread) ** 2

    def windows(values: np.ndarray) -> np.ndarray:
        return _windows(values, side, axes=axes)

    mean, other_mean = windows(one), windows(other)
    cells = side**axes
    unbiased = cells / (cells - 1)
    squares, other_squares = windows(one**2), windows(other**2)
    variances = unbiased * (squares - mean**2 + other_squares - other_mean**2)
    covariance = unbiased * (windows(one * other) - mean * other_mean)
    likeness = (2 * mean * other_mean + of_means) * (2 * covariance + of_spreads)
    greatest = (mean**2 + other_mean**2 + of_means) * (variances + of_spreads)
    return np.asarray(_flat(likeness / greatest, reference).mean(-1))


def varies(maps: np.ndarray) -> np.ndarray:
    """Say of each of `maps` `(…, cell)` whether it is finite and not the same everywhere."""
    low, high = maps.min(-1), maps.max(-1)
    finite = np.isfinite(low) & np.isfinite(high)
    return np.asarray(finite & (high > low))


def _count(cells: int, share: float) -> int:
    """Return how many cells are the top ones."""
    return max(1, round(share * cells))


def _flat(maps: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return maps `(…, y, x)` as `(…, cell)`, the axes y and x being as many as a reference has."""
    others = maps.ndim - reference.ndim
    return maps.reshape(*maps.shape[:others], -1)


def _scaled(values: np.ndarray) -> np.ndarray:
    """Return `values` `(…, cell)` by their greatest magnitudes, so that squares of small ones do not vanish.

    What has no greatest magnitude, being zero everywhere or not finite, becomes NaN.
    """
    most = np.abs(values).max(-1, keepdims=True)
    known = (most > 0) & (most < np.inf)
    return np.where(known, values, np.nan) / np.where(known, most, 1.0)


def _windows(values: np.ndarray, side: int, *, axes: int) -> np.ndarray:
    """Return the mean of each window that lies inside and has `side` cells along each of the last axes."""
    for axis in range(-axes, 0):
        values = np.lib.stride_tricks.sliding_window_view(values, side, axis=axis).mean(-1)
    return values
