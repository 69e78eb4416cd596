"""Where an attribution map lies: how spread out it is, and how much of it is inside a mask."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

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


def pointing(values: np.ndarray, mask: np.ndarray, grid: Grid, *, tolerance: float = 0.0) -> float:
    """Return whether the greatest cell of a map `(y, x)` points into a `mask` of pixels `(y, x)` bool: 1 or 0.

    It does if the pixel in the middle of the cell is `near` the mask. Of cells that tie, the share that points there.
    NaN where nothing is positive, a value is not finite, or the mask is empty.

    Args:
        values: The map.
        mask: Where the object is.
        grid: Where the cells of the map lie on the pixels of the mask.
        tolerance: As in `near`.

    Example:
        >>> from interpretkit import Grid
        >>> pointing(np.array([[3.0, 1.0]]), np.array([[True, True, False, False]]), Grid.even((1, 2), (1, 4)))
        1.0
    """
    if _shares(values) is None or not mask.any():
        return float("nan")
    hits = grid.at_middles(near(mask, tolerance))
    return float(hits[values == values.max()].mean())


def near(mask: np.ndarray, tolerance: float) -> np.ndarray:
    """Return the pixels in a `mask` `(y, x)` bool, or less than a `tolerance` away from one that is, `(y, x)` bool.

    Distances are those between the middles of pixels, in pixels.

    Example:
        >>> near(np.array([[True, False, False, False]]), 2).tolist()
        [[True, True, False, False]]
    """
    across = _to_nearest_in_row(mask) ** 2
    height = len(mask)
    reach = min(math.ceil(tolerance), height)
    above = np.full((reach, mask.shape[1]), np.inf)
    rows = np.concatenate([above, across, above])
    found = mask.copy()
    for down in range(1 - reach, reach):
        found |= rows[reach + down :][:height] + down**2 < tolerance**2
    return found


def _to_nearest_in_row(mask: np.ndarray) -> np.ndarray:
    """Return how many pixels it is from each to the nearest in a mask in the same row, `(y, x)`; infinite in none."""
    places = np.arange(mask.shape[1])
    before = np.maximum.accumulate(np.where(mask, places, -np.inf), axis=1)
    backwards = np.where(mask, places, np.inf)[:, ::-1]
    after = np.minimum.accumulate(backwards, axis=1)[:, ::-1]
    return np.minimum(places - before, after - places)


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
    top = _top(values, mask, grid, area=float(mask.sum()))
    return math.nan if top is None else top.inside / (top.area + float(mask.sum()) - top.inside)


def rank_accuracy(values: np.ndarray, mask: np.ndarray, grid: Grid) -> float:
    """Return how much of a `mask` of pixels `(y, x)` bool the greatest cells of a map `(y, x)` cover, of its area.

    They are those of `overlap`, whose IoU follows from this share $r$: it is $r / (2 - r)$. NaN as there.

    Args:
        values: The map.
        mask: Where the object is.
        grid: Where the cells of the map lie on the pixels of the mask.

    Example:
        >>> from interpretkit import Grid
        >>> mask = np.array([[True, True, False, False]])
        >>> rank_accuracy(np.array([[3.0, 1.0, 2.0, 0.0]]), mask, Grid.even((1, 4), (1, 4)))
        0.5
    """
    top = _top(values, mask, grid, area=float(mask.sum()))
    return math.nan if top is None else top.inside / float(mask.sum())


def intersection(values: np.ndarray, mask: np.ndarray, grid: Grid, *, share: float) -> float:
    """Return which part of the greatest cells of a map `(y, x)` is inside of a `mask` of pixels `(y, x)` bool.

    They are as many as together have the area of a `share` of all pixels, as in `overlap`. NaN as there.

    Args:
        values: The map.
        mask: Where the object is.
        grid: Where the cells of the map lie on the pixels of the mask.
        share: Of the pixels, above 0.

    Example:
        >>> from interpretkit import Grid
        >>> mask = np.array([[True, True, False, False]])
        >>> intersection(np.array([[3.0, 1.0, 0.0, 0.0]]), mask, Grid.even((1, 4), (1, 4)), share=0.75)
        0.6666666666666666
    """
    top = _top(values, mask, grid, area=share * mask.size)
    return math.nan if top is None else top.inside / top.area


class _Top(NamedTuple):
    """The greatest cells of a map: how many pixels they take, and how many of these are inside of the mask."""

    area: float
    inside: float


def _top(values: np.ndarray, mask: np.ndarray, grid: Grid, *, area: float) -> _Top | None:
    """Return the greatest cells that together have an `area`; None of a map without order, and for an empty mask."""
    flat = values.reshape(-1)
    if not varies(flat) or not mask.any():
        return None
    areas = grid.areas.reshape(-1)
    taken = _greatest(flat, areas, area) * areas
    common = float((taken * grid.inside(mask).reshape(-1)).sum())
    return _Top(float(taken.sum()), common)


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
