"""Where an attribution map lies: how spread out it is, and how much of it is inside a mask."""

from __future__ import annotations

import numpy as np

from interpretkit import area_averaged
from interpretkit_compare.measures import topmost, varies
from interpretkit_compare.sparseness import entropy


def positive_entropy(values: np.ndarray) -> float:
    r"""Return how spread out the positive part of a map `(y, x)` is, between 0 (one cell) and 1 (all cells alike).

    With $p$ the positive part divided by its sum and $n$ cells: $-\sum p \ln p / \ln n$, so that grids of different
    size can be compared. NaN where nothing is positive, a value is not finite, or there is one cell.

    Example:
        >>> positive_entropy(np.array([[1.0, 1.0], [0.0, -3.0]]))
        0.5
    """
    share = _shares(values)
    return float("nan") if share is None else entropy(share.reshape(-1))


def energy_inside(values: np.ndarray, mask: np.ndarray) -> float:
    r"""Return the share of the positive part of a map `(y, x)` that lies inside of a `mask` of pixels `(y, x)` bool.

    A cell counts with the part of its area that is inside. By chance the share is that of the mask in the image. NaN
    where nothing is positive, a value is not finite, or the mask is empty.

    Example:
        >>> energy_inside(np.array([[3.0, 1.0]]), np.array([[True, False, False, False]]))
        0.375
    """
    share = _shares(values)
    if share is None or not mask.any():
        return float("nan")
    return float((share * _inside(mask, values)).sum())


def pointing(values: np.ndarray, mask: np.ndarray) -> float:
    """Return whether the greatest cell of a map `(y, x)` points into a `mask` of pixels `(y, x)` bool: 1 or 0.

    It does if the pixel in the middle of the cell is inside. Of cells that tie, the share that points inside. NaN where
    nothing is positive, a value is not finite, or the mask is empty.

    Example:
        >>> pointing(np.array([[3.0, 1.0]]), np.array([[True, True, False, False]]))
        1.0
    """
    if _shares(values) is None or not mask.any():
        return float("nan")
    height, width = mask.shape
    rows, columns = _middles(values.shape[0], height), _middles(values.shape[1], width)
    hits = mask[np.ix_(rows, columns)]
    return float(hits[values == values.max()].mean())


def overlap(values: np.ndarray, mask: np.ndarray) -> float:
    r"""Return the IoU of a `mask` of pixels `(y, x)` bool with as much of a map `(y, x)` as the mask covers.

    Of the map are taken its greatest cells, as many as together have the mask's area; the last one in part, and cells
    that tie in equal parts. With memberships $t$ of the cells and the parts $m$ of their areas that are inside, the
    intersection is $\sum t m$, the union $\sum (t + m - t m)$. NaN for a map that is the same everywhere or not finite,
    and for an empty mask. No threshold is chosen; but cells are coarse, and 1 can be out of reach.

    Example:
        >>> overlap(np.array([[3.0, 1.0, 0.0, 0.0]]), np.array([[True, True, False, False]]))
        1.0
    """
    if not varies(values) or not mask.any():
        return float("nan")
    inside = _inside(mask, values).reshape(-1)
    member = topmost(values.reshape(-1), float(inside.sum()))
    common = member * inside
    return float(common.sum() / (member + inside - common).sum())


def _shares(values: np.ndarray) -> np.ndarray | None:
    """Return the positive part divided by its sum, float64; None where there is none or a value is not finite."""
    positive = values.astype(np.float64).clip(0)
    if not np.isfinite(values).all() or not (positive > 0).any():
        return None
    # Divided first, so that the sum of very small gradients does not vanish.
    positive = positive / positive.max()
    return np.asarray(positive / positive.sum())


def _middles(cells: int, pixels: int) -> np.ndarray:
    """Return the pixel in the middle of each of some cells along an axis."""
    middles = (np.arange(cells) + 0.5) * pixels / cells
    return middles.astype(int)


def _inside(mask: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return which part of the area of each cell of a map is inside."""
    return area_averaged(mask, (values.shape[0], values.shape[1]))
