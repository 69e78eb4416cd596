"""What is found in the channels of a layer before they are drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from interpretkit.figures.words import NEARLY_CONSTANT


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What `survey` finds; arrays over `(channel,)`.

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
        return max(map(abs, self.limits))

    @property
    def constant(self) -> bool:
        """Whether all values of the layer are nearly the same: then there is nothing for a scale to tell apart."""
        return self.limits[1] - self.limits[0] <= NEARLY_CONSTANT * self.reach


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
    low, high = cells.min(axis=1).astype(np.float64), cells.max(axis=1).astype(np.float64)
    broken = ~(np.isfinite(low) & np.isfinite(high))
    empty = np.zeros_like(broken)
    for channel in np.flatnonzero(broken):
        finite = cells[channel][np.isfinite(cells[channel])]
        empty[channel] = finite.size == 0
        low[channel], high[channel] = (0.0, 0.0) if empty[channel] else (finite.min(), finite.max())
    bounds = [*(limits or ()), *low[~empty].tolist(), *high[~empty].tolist()] or [0.0]
    least, greatest = min(bounds), max(bounds)
    dead = (low == 0) & (high == 0) & ~broken
    span = max(greatest - least, abs(least), abs(greatest))
    return Survey(
        low=low,
        high=high,
        dead=dead,
        flat=(high - low < NEARLY_CONSTANT * span) & ~dead & ~empty,
        broken=broken,
        limits=(least, greatest),
    )
