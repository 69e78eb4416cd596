"""Where an attribution map lies: how spread out it is, and how much of it is inside a mask."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from interpretkit_compare.measures import varies
from interpretkit_compare.sparseness import entropy

if TYPE_CHECKING:
    from interpretkit import Grid


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


def energy_inside(values: np.ndarray, mask: np.ndarray, grid: Grid) -> float:
    r"""Return the share of the positive part of a map `(y, x)` that lies inside of a `mask` of pixels `(y, x)` bool.

    A cell counts with the part of its area that is inside, half a step around its middle. By chance the share is about
    that of the mask in the image. NaN where nothing is positive, a value is not finite, or the mask is empty.

    Args:
        values: The map.
        mask: Where the object is.
        grid: Where the cells of the map lie on the pixels of the mask.

    Example:
        >>> from interpretkit import Grid
        >>> mask = np.array([[True, False, False, False]])
        >>> energy_inside(np.array([[3.0, 1.0]]), mask, Grid.even((1, 2), (1, 4)))
        0.375
    """
    share = _shares(values)
    if share is None or not mask.any():
        return float("nan")
    return float((share * grid.inside(mask)).sum())


def pointing(values: np.ndarray, mask: np.ndarray, grid: Grid) -> float:
    """Return whether the greatest cell of a map `(y, x)` points into a `mask` of pixels `(y, x)` bool: 1 or 0.

    It does if the pixel in the middle of the cell is inside. Of cells that tie, the share that points inside. NaN where
    nothing is positive, a value is not finite, or the mask is empty.

    Args:
        values: The map.
        mask: Where the object is.
        grid: Where the cells of the map lie on the pixels of the mask.

    Example:
        >>> from interpretkit import Grid
        >>> pointing(np.array([[3.0, 1.0]]), np.array([[True, True, False, False]]), Grid.even((1, 2), (1, 4)))
        1.0
    """
    if _shares(values) is None or not mask.any():
        return float("nan")
    hits = grid.at_middles(mask)
    return float(hits[values == values.max()].mean())


def overlap(values: np.ndarray, mask: np.ndarray, grid: Grid) -> float:
    r"""Return the IoU of a `mask` of pixels `(y, x)` bool with as much of a map `(y, x)` as the mask covers.

    Of the map are taken its greatest cells, as many as together have the mask's area $M$; the last one in part, and
    cells that tie in equal parts. With the areas $a$ of the cells, their memberships $t$ and the parts $m$ of their
    areas that are inside, the intersection is $I = \sum t a m$, the union $\sum t a + M - I$. NaN for a map that is the
    same everywhere or not finite, and for an empty mask. No threshold is chosen; but cells are coarse, and 1 can be out
    of reach.

    Args:
        values: The map.
        mask: Where the object is.
        grid: Where the cells of the map lie on the pixels of the mask.

    Example:
        >>> from interpretkit import Grid
        >>> mask = np.array([[True, True, False, False]])
        >>> overlap(np.array([[3.0, 1.0, 0.0, 0.0]]), mask, Grid.even((1, 4), (1, 4)))
        1.0
    """
    flat = values.reshape(-1)
    if not varies(flat) or not mask.any():
        return float("nan")
    areas = grid.areas.reshape(-1)
    taken = _greatest(flat, areas, float(mask.sum())) * areas
    common = float((taken * grid.inside(mask).reshape(-1)).sum())
    return common / (float(taken.sum() + mask.sum()) - common)


def _greatest(values: np.ndarray, areas: np.ndarray, area: float) -> np.ndarray:
    """Return how far each cell belongs to the greatest that together have an `area`, from 0 to 1, `(cell,)`."""
    _, group = np.unique(-values, return_inverse=True)
    of_groups = np.bincount(group, areas)
    before = np.cumsum(of_groups) - of_groups
    left = (area - before).clip(0, of_groups)
    parts = np.divide(left, of_groups, out=np.zeros_like(left), where=of_groups > 0)
    return np.asarray(parts[group])


def _shares(values: np.ndarray) -> np.ndarray | None:
    """Return the positive part divided by its sum, float64; None where there is none or a value is not finite."""
    positive = values.astype(np.float64).clip(0)
    if not np.isfinite(values).all() or not (positive > 0).any():
        return None
    # Divided first, so that the sum of very small gradients does not vanish.
    positive = positive / positive.max()
    return np.asarray(positive / positive.sum())
