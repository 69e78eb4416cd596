"""Signals in pictures: what the network was fed as lines, and maps as steps below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from interpretkit.figures.charts import chart, picture
from interpretkit.results.grid import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from PIL.Image import Image

    from interpretkit.results.grid import Grid

_WIDTH, _HEIGHT = 9.4, 2.6
_FOR, _AGAINST, _SOFT = "#d55e00", "#0072b2", "#8c959f"
_CHANNELS = ("#b2182b", "#1b7837", "#2166ac")


def steps(values: np.ndarray, *, title: str) -> Image:
    """Draw a map `(x,)` as steps, what is above 0 and what is below in different colours."""
    figure = chart(_WIDTH, _HEIGHT, title=title)
    axes = figure.subplots()
    count = len(values)
    _map(axes, values, Row.even(count, count), unit="cell")
    return picture(figure)


def explained(values: np.ndarray, pixels: np.ndarray, *, title: str, grid: Grid | None = None) -> Image:
    """Draw a signal, and below it a map `(x,)` as steps that lie where its cells lie.

    Args:
        values: The map.
        pixels: The strip `(row, x, 3)` that shows the signal.
        title: What it is; wraps.
        grid: Where the cells lie; by default they tile the signal evenly.
    """
    (row,) = grid.rows if grid is not None else [Row.even(len(values), pixels.shape[1])]
    figure = chart(_WIDTH, 2 * _HEIGHT, title=title)
    above, below = figure.subplots(2, 1, sharex=True)
    _fed(above, pixels)
    above.set_xlabel("")
    _map(below, values, row, unit="place in the signal")
    return picture(figure)


def _fed(axes: Axes, pixels: np.ndarray) -> None:
    """Plot the rows of a strip, which are all equal: once where its colours are, else each channel."""
    strip = pixels[0] / 255
    grey = bool((strip == strip[:, :1]).all())
    middles = np.arange(len(strip)) + 0.5
    for channel in range(1 if grey else strip.shape[1]):
        colour = "#1f2328" if grey else _CHANNELS[channel]
        axes.plot(middles, strip[:, channel], lw=0.9, color=colour, label=f"channel {channel}")
    axes.set_title("input, from its least to its greatest value as stored" if grey else "input, its first channels")
    axes.set(xlabel="place in the signal", ylim=(-0.05, 1.05), xlim=(0, len(strip)))
    if not grey:
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))


def _map(axes: Axes, values: np.ndarray, row: Row, *, unit: str) -> None:
    edges = row.edges
    finite = np.where(np.isfinite(values), values, np.nan)
    for part, colour in ((np.fmax(finite, 0), _FOR), (np.fmin(finite, 0), _AGAINST)):
        axes.stairs(part, edges, baseline=0, fill=True, color=colour, alpha=0.55, lw=0)
    axes.stairs(finite, edges, baseline=None, color="#1f2328", lw=0.8)
    axes.axhline(0, color=_SOFT, lw=0.8)
    broken = int((~np.isfinite(values)).sum())
    missing = f"; {broken} not finite, left out" if broken else ""
    axes.set_title(f"the map, {row.cells} cells{missing}")
    axes.set(xlabel=unit, xlim=(0, row.pixels))
