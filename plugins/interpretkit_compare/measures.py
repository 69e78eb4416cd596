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


def measures(*, share: float, signed: bool) -> Mapping[str, Callable[[np.ndarray, np.ndarray], float]]:
    """Return the functions of two maps `(y, x)` of one grid, by measure.

    Args:
        share: Of the cells, for the IoU of the top ones.
        signed: Whether values below zero occur, for the range of SSIM.
    """
    return {
        "rank_correlation": lambda first, second: float(rank_correlation(first, second)),
        "pearson": pearson,
        "cosine": cosine,
        "iou": lambda first, second: float(top_iou(first, second, share=share)),
        "ssim": partial(ssim, signed=signed),
    }


def pearson(first: np.ndarray, second: np.ndarray) -> float:
    """Return Pearson's correlation of two maps; NaN if one is the same everywhere or not finite.

    Example:
        >>> round(pearson(np.array([[1.0, 2.0, 3.0]]), np.array([[1.0, 2.0, 5.0]])), 3)
        0.961
    """
    if not (varies(first.reshape(-1)) and varies(second.reshape(-1))):
        return float("nan")
    return cosine(first - first.mean(), second - second.mean())


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    """Return the cosine of the angle between two maps as vectors; NaN if one is zero everywhere or not finite.

    Example:
        >>> round(cosine(np.array([[1.0, 0.0]]), np.array([[3.0, 4.0]])), 3)
        0.6
    """
    one, other = _scaled(first), _scaled(second)
    if one is None or other is None:
        return float("nan")
    lengths = (one**2).sum() * (other**2).sum()
    return float((one * other).sum() / np.sqrt(lengths))


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
    count = max(1, round(share * reference.size))
    others = maps.ndim - reference.ndim
    flat, flat_reference = maps.reshape(*maps.shape[:others], -1), reference.reshape(-1)
    member = topmost(flat, count)
    other = topmost(flat_reference, count)
    with np.errstate(invalid="ignore"):
        intersection = np.minimum(member, other).sum(-1)
        union = np.maximum(member, other).sum(-1)
        found = intersection / union
    return np.where(varies(flat) & varies(flat_reference), found, np.nan)


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


def ssim(first: np.ndarray, second: np.ndarray, *, signed: bool) -> float:
    r"""Return the mean structural similarity of two maps after Wang et al.; NaN on a grid of fewer than 3 cells a side.

    Each map is divided by its greatest magnitude, which keeps its zero and its sign; the range of values is then
    $L = 2$ for signed maps, else 1. In each window with means $\mu$, sample variances $\sigma^2$ and covariance,

    $$\frac{(2\mu_1\mu_2 + C_1)(2\sigma_{12} + C_2)}{(\mu_1^2 + \mu_2^2 + C_1)(\sigma_1^2 + \sigma_2^2 + C_2)},
    \quad C_1 = (0.01 L)^2,\ C_2 = (0.03 L)^2$$

    and the mean is over all windows inside of the grid. They are uniform and as long along each axis, 7 cells, on
    smaller grids the largest odd number of cells that fits. NaN if a map is zero everywhere or not finite.

    Example:
        >>> ramp = np.arange(16.0).reshape(4, 4)
        >>> round(ssim(ramp, 3 * ramp, signed=False), 6)
        1.0
    """
    side = min(_WIDEST_WINDOW, *first.shape)
    side -= 1 - side % 2
    one, other = _scaled(first), _scaled(second)
    if side < 3 or one is None or other is None:  # noqa: PLR2004 - one cell has no structure
        return float("nan")
    spread = 2.0 if signed else 1.0
    of_means, of_spreads = (_K1 * spread) ** 2, (_K2 * spread) ** 2
    mean, other_mean = _windows(one, side), _windows(other, side)
    cells = side**first.ndim
    unbiased = cells / (cells - 1)
    squares, other_squares = _windows(one**2, side), _windows(other**2, side)
    variances = unbiased * (squares - mean**2 + other_squares - other_mean**2)
    covariance = unbiased * (_windows(one * other, side) - mean * other_mean)
    likeness = (2 * mean * other_mean + of_means) * (2 * covariance + of_spreads)
    greatest = (mean**2 + other_mean**2 + of_means) * (variances + of_spreads)
    return float((likeness / greatest).mean())


def varies(maps: np.ndarray) -> np.ndarray:
    """Say of each of `maps` `(…, cell)` whether it is finite and not the same everywhere."""
    low, high = maps.min(-1), maps.max(-1)
    finite = np.isfinite(low) & np.isfinite(high)
    return np.asarray(finite & (high > low))


def _scaled(values: np.ndarray) -> np.ndarray | None:
    """Return values by their greatest magnitude, so that squares of small ones do not vanish; None if it has none."""
    most = float(np.abs(values).max())
    return values / most if 0 < most < np.inf else None


def _windows(values: np.ndarray, side: int) -> np.ndarray:
    """Return the mean of each window that lies inside and has `side` cells along each axis."""
    for axis in range(values.ndim):
        values = np.lib.stride_tricks.sliding_window_view(values, side, axis=axis).mean(-1)
    return values
