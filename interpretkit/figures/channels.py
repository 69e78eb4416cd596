"""A survey of the channels of a layer, made before they are drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from interpretkit.figures.words import NEARLY_CONSTANT, magnitude


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """The findings of `survey`; arrays over `(channel,)`.

    Attributes:
        low: Least finite value, 0 where there is none.
        high: Greatest finite value, 0 where there is none.
        dead: Zero everywhere.
        flat: Nearly constant and not dead: the values range over less than 1e-6 of the layer's range.
        broken: Some cells are NaN or infinite.
        limits: Least and greatest finite value of the layer.
    """

    low: np.ndarray
    high: np.ndarray
    dead: np.ndarray
    flat: np.ndarray
    broken: np.ndarray
    limits: tuple[float, float]

    @property
    def reach(self) -> float:
        """The greatest magnitude of the layer."""
        return magnitude(*self.limits)

    @property
    def constant(self) -> bool:
        """Whether all values of the layer are nearly the same: then there is nothing for a scale to tell apart."""
        least, greatest = self.limits
        return greatest - least <= NEARLY_CONSTANT * self.reach


def survey(values: np.ndarray, *, limits: tuple[float, float] | None = None) -> Survey:
    """Look through the channels of a layer `(channel, y, x)`.

    Where the layer's greatest magnitude exceeds its range, `flat` is judged by that magnitude: a layer that is
    constant but for rounding has flat channels, not strong ones.

    Args:
        values: The channels.
        limits: Least and greatest value of the layer, where `values` are some of its channels; widened to hold them.

    Example:
        >>> found = survey(np.array([[[0.0, 0.0]], [[0.0, 8.0]], [[5.0, 5.000001]]]))
        >>> found.dead.tolist(), found.flat.tolist(), found.limits
        ([True, False, False], [False, False, True], (0.0, 8.0))
    """
    cells = values.reshape(len(values), -1)
    finite = np.isfinite(cells)
    broken = ~finite.all(axis=1)
    empty = ~finite.any(axis=1)
    low, high = _finite_extremes(cells)
    least, greatest = _layer_limits(low[~empty], high[~empty], limits)
    span = max(greatest - least, magnitude(least, greatest))
    dead = (low == 0) & (high == 0) & ~broken
    even = high - low < NEARLY_CONSTANT * span
    return Survey(
        low=low,
        high=high,
        dead=dead,
        flat=even & ~dead & ~empty,
        broken=broken,
        limits=(least, greatest),
    )


def _finite_extremes(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the greatest finite value of each row in float64, 0 where there is none."""
    low = cells.min(axis=1).astype(np.float64)
    high = cells.max(axis=1).astype(np.float64)
    broken = ~np.isfinite(low) | ~np.isfinite(high)
    for row in np.flatnonzero(broken):
        values = cells[row]
        finite = values[np.isfinite(values)]
        low[row] = finite.min() if finite.size else 0.0
        high[row] = finite.max() if finite.size else 0.0
    return low, high


def _layer_limits(low: np.ndarray, high: np.ndarray, limits: tuple[float, float] | None) -> tuple[float, float]:
    """Return the least and the greatest value of all channels, and of given limits; 0 where there is none."""
    bounds = [*low.tolist(), *high.tolist()]
    if limits is not None:
        bounds = [*limits, *bounds]
    if not bounds:
        return 0.0, 0.0
    return min(bounds), max(bounds)
