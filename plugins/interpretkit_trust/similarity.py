"""How alike the maps of two results are."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from interpretkit import rank_correlation

if TYPE_CHECKING:
    from interpretkit import Result


class Alike(NamedTuple):
    """The layer at which the maps of two results are most alike.

    Attributes:
        layer: The layer.
        correlation: Spearman's rank correlation there.
        cells: How many cells the maps have there.
    """

    layer: str
    correlation: float
    cells: int


def most_alike(result: Result, other: Result) -> Alike | None:
    """Return where the maps of two results of one step, each of one image, are most alike.

    None where no map can be compared, since each is the same everywhere in one of them.

    Example:
        >>> import numpy as np
        >>> from interpretkit import Map, Result
        >>> def of(values):
        ...     extent = {"y": 2, "x": 2}
        ...     values = np.array([values])
        ...     about = {"dims": ("image", "y", "x"), "layer": "a", "extent": extent, "polarity": "signed"}
        ...     return Result(maps={"a": Map(values=values, **about)})
        >>> most_alike(of([[1.0, 2.0], [3.0, 4.0]]), of([[5.0, 6.0], [7.0, 8.0]]))
        Alike(layer='a', correlation=1.0, cells=4)
    """
    return max(alike(result, other), key=lambda each: each.correlation, default=None)


def alike(result: Result, other: Result) -> list[Alike]:
    """Return how alike the maps of two results of one step are, layer by layer, where that is defined."""
    found = []
    for layer, each in result.maps.items():
        second = other.maps.get(layer)
        if second is not None and second.values.shape == each.values.shape:
            correlation = float(rank_correlation(each.values, second.values))
            if not np.isnan(correlation):
                found.append(Alike(layer, correlation, each.values.size))
    return found
