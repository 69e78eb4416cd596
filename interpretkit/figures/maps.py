"""Single maps and photos of images: heatmaps on the native grid, overlays that say how they were interpolated.

`spaces` says what the functions take and return; here they draw what has the axes y and x.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from interpretkit.figures.blocks import enlarged, flow
from interpretkit.figures.colour import FLAT, NOT_FINITE, colours_of, dot, levels, palette, symmetric
from interpretkit.figures.sheet import BAR, NARROWEST, bar, beyond_limits, cells_not_finite, heading, sheet, ticks_of
from interpretkit.figures.text import paragraph
from interpretkit.figures.words import (
    NEARLY_CONSTANT,
    check_photo,
    constant,
    magnitude,
    mostly_negative,
    negative_part,
    not_finite,
)
from interpretkit.results.grid import Grid, Row
from interpretkit.words import number, percent, shape

if TYPE_CHECKING:
    from interpretkit.results.map import Polarity

OPACITY = 0.5
_LAID = "inferno"
_SIDE = 448  # pixels that the longer side of a map or photo takes, where it is not longer by nature
_LARGEST_CELL = 64
_ROBUST = (0.5, 99.5)  # percentiles


def heatmap(
    values: np.ndarray,
    *,
    title: str,
    polarity: Polarity,
    limits: tuple[float, float] | None = None,
    robust: bool = False,
) -> Image.Image:
    """Draw a map `(y, x)` on its native grid."""
    _check_map(values)
    finite = values[np.isfinite(values)]
    if robust:
        limits = _percentiles(finite)
    low, high = _limits(finite, polarity, limits)
    beyond = _beyond(values, low, high)
    colours = colours_of(polarity)
    zoom = _zoom(values.shape)
    body = enlarged(_cells(values, low, high), zoom)
    width = max(body.shape[1], NARROWEST)
    ticks = ticks_of(low, high)
    words = _if_constant(finite, reach=magnitude(low, high))
    if robust:
        words = _clipped(values, beyond) or words
        ticks = _open_ended(ticks, values, low, high)
    marks = _marks(words, values, width=width)
    if beyond.any() and not robust:
        dot(_tiles(body, zoom), beyond, colours=colours)
        marks.append(beyond_limits(int(beyond.sum()), colours=colours, width=width))
    below = []
    if low < high:
        below.append(_bar(ticks, body.shape[1]))
    if marks:
        below.append(flow(marks, width=width))
    view = f"{shape(values.shape)} cells, nearest ×{zoom}"
    above = [heading(title, view, width=width)]
    return sheet(body, colours=colours, above=above, below=below)


def overlay(
    values: np.ndarray,
    pixels: np.ndarray,
    *,
    title: str,
    averaged: int = 1,
    grid: Grid | None = None,
    greatest: float | None = None,
    signed: bool | None = None,
) -> Image.Image:
    """Lay the positive part of a map `(y, x)` over the photo, or all of it with its sign where it is mostly negative.

    The colours go up to the `greatest` value, or magnitude, of several maps, or of this one; `signed` says whether
    several are mostly negative.
    """
    _check_map(values)
    check_photo(pixels)
    grid = grid or Grid.even(values.shape, pixels.shape[:2])
    if grid.cells != values.shape or grid.pixels != pixels.shape[:2]:
        of_grid = f"{shape(grid.cells)} cells on {shape(grid.pixels)} pixels"
        raise ValueError(f"a grid of {of_grid} for a map {shape(values.shape)} over {shape(pixels.shape[:2])} pixels")
    signed = mostly_negative(values) if signed is None else signed
    part = _positive_part(values)
    if averaged > 1:
        values, grid = _averaged(values, grid, averaged)
    finite = np.isfinite(values)
    laid = np.where(finite, values, 0).astype(np.float64)
    if not signed:
        laid = laid.clip(0)
    greatest = float(np.abs(laid).max()) if greatest is None else greatest
    low = -greatest if signed else 0.0
    colours = colours_of("signed") if signed else _LAID
    zoom = _zoom(pixels.shape)
    blended = _blended(laid, finite, _grey(pixels), grid, limits=(low, greatest), colours=colours)
    body = Image.fromarray(enlarged(blended, zoom))
    width = max(body.width, NARROWEST)
    words = _if_constant(values[finite], reach=greatest)
    marks = _marks(words, values, width=width)
    below = []
    if greatest > 0:
        below.append(_bar(ticks_of(low, greatest), body.width))
    if marks:
        below.append(flow(marks, width=width))
    how = "with its sign" if signed else part
    view = _view(values, grid, greatest, averaged, how=how) + _shown(zoom)
    above = [heading(title, view, width=width)]
    return sheet(body, colours=colours, above=above, below=below)


def photo(pixels: np.ndarray, *, title: str) -> Image.Image:
    """Show a photo `(y, x, 3)` as it is."""
    check_photo(pixels)
    zoom = _zoom(pixels.shape)
    body = Image.fromarray(enlarged(pixels, zoom))
    width = max(body.width, NARROWEST)
    view = f"{shape(pixels.shape[:2])} pixels{_shown(zoom)}"
    return sheet(body, colours="inferno", above=[heading(title, view, width=width)])


def limits_of(values: np.ndarray) -> tuple[float, float]:
    """Return the least and the greatest finite value; zeros where there is none."""
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def robust_limits_of(values: np.ndarray) -> tuple[float, float]:
    """Return the percentiles that few strong cells do not stretch; least and greatest where these are alike."""
    return _percentiles(values[np.isfinite(values)]) or limits_of(values)


def greatest_of(values: np.ndarray, *, averaged: int) -> float:
    """Return the greatest value that overlays of the slices of a volume show; 0 where none is positive.

    Of a volume that is mostly negative it is the greatest magnitude.
    """
    low, high = limits_of(_means(values, averaged))
    return magnitude(low, high) if mostly_negative(values) else max(high, 0.0)


def _check_map(values: np.ndarray) -> None:
    if values.ndim != 2 or values.size == 0:  # noqa: PLR2004 - y and x
        given = shape(values.shape)
        raise ValueError(f"a map has dims (y, x), not shape {given}")


def _zoom(lengths: tuple[int, ...]) -> int:
    """Return how many pixels a cell of a map, or a pixel of a photo `(y, x, …)`, takes along a side."""
    longest = max(lengths[:2])
    fitting = max(_SIDE // longest, 1)
    return min(fitting, _LARGEST_CELL)


def _limits(finite: np.ndarray, polarity: Polarity, limits: tuple[float, float] | None) -> tuple[float, float]:
    """Return the limits of the scale; equal ones where there is nothing to tell apart."""
    low, high = limits or (0.0, 0.0)
    if not -np.inf < low <= high < np.inf:
        raise ValueError(f"limits {limits} are not finite and ascending")
    if low == high:
        if finite.size == 0:
            return 0.0, 0.0
        low = float(finite.min())
        high = float(finite.max())
        if high - low <= NEARLY_CONSTANT * magnitude(low, high):
            return high, high
    if polarity == "signed":
        return symmetric(low, high)
    return low, high


def _percentiles(finite: np.ndarray) -> tuple[float, float] | None:
    """Return robust limits; None where they leave nothing to tell apart, though the values differ."""
    if finite.size == 0:
        return None
    low, high = np.percentile(finite.astype(np.float64), _ROBUST).tolist()
    reach = float(np.abs(finite).max())
    if high - low <= NEARLY_CONSTANT * reach:
        return None
    return low, high


def _beyond(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return which cells are finite and lie beyond the limits; none where there is nothing to tell apart."""
    if low == high:
        return np.zeros(values.shape, np.bool_)
    outside = (values < low) | (values > high)
    beyond: np.ndarray = outside & np.isfinite(values)
    return beyond


def _cells(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return the palette entry of each cell; flat where there is nothing to tell apart."""
    cells = levels(values, low, high)
    if low == high:
        cells[np.isfinite(values)] = FLAT
    return cells


def _tiles(body: np.ndarray, side: int) -> np.ndarray:
    """Return a view of enlarged cells as tiles `(row, column, y, x)`."""
    height, width = body.shape
    tiles = body.reshape(height // side, side, width // side, side)
    return tiles.swapaxes(1, 2)


def _open_ended(ticks: list[str], values: np.ndarray, low: float, high: float) -> list[str]:
    """Return ticks that say at which ends of the scale values lie beyond it."""
    first, middle, last = ticks
    if (values < low).any():
        first = f"≤ {first}"
    if (values > high).any():
        last = f"≥ {last}"
    return [first, middle, last]


def _clipped(values: np.ndarray, beyond: np.ndarray) -> str:
    """Say how much lies beyond robust limits, and how far it reaches; nothing if nothing does."""
    clipped = values[beyond]
    if clipped.size == 0:
        return ""
    low = number(float(clipped.min()))
    high = number(float(clipped.max()))
    share = number(100 * float(beyond.mean()))
    first, last = map(number, _ROBUST)
    return f"limits p{first} … p{last}; {share} % of cells beyond, from {low} to {high}"


def _averaged(values: np.ndarray, grid: Grid, side: int) -> tuple[np.ndarray, Grid]:
    """Return the means of squares of cells, and where these lie; one with a cell that is not finite is not finite."""
    means = _means(values, side)
    rows = []
    for row, count in zip(grid.rows, means.shape, strict=True):
        # So many cells to a square, and the middle of the first square is in the middle of these.
        each = row.cells / count
        rows.append(Row(count, row.pixels, row.first + (each - 1) / 2 * row.step, row.step * each))
    return means, Grid(tuple(rows))


def _means(values: np.ndarray, side: int) -> np.ndarray:
    """Return the means of squares of cells, by exact area, of maps `(…, y, x)`."""
    cells = values.shape[-2:]
    squares = tuple(-(-count // side) for count in cells)
    return Grid.even(cells, cells).averaged(values, Grid.even(squares, cells))


def _if_constant(finite: np.ndarray, *, reach: float) -> str:
    """Return the words for a map that is constant, or nearly so beside its limits; none for other maps."""
    if finite.size == 0:
        return ""
    low, high = float(finite.min()), float(finite.max())
    if low == high:
        return f"values are all {number(low)}"
    if high - low <= NEARLY_CONSTANT * reach:
        return f"nearly constant: {constant(low, high, reach=reach)}"
    return ""


def _bar(ticks: list[str], width: int) -> np.ndarray:
    return bar(ticks, width=max(width, BAR))


def _marks(words: str, values: np.ndarray, *, width: int) -> list[np.ndarray]:
    """Return the legend: the words for all values, if any, and the line for cells that are not finite, if any."""
    marks = []
    if words:
        marks.append(paragraph(words, width=width))
    broken = not_finite(values)
    if broken:
        marks.append(cells_not_finite(broken, width=width))
    return marks


def _grey(pixels: np.ndarray) -> np.ndarray:
    grey = Image.fromarray(pixels).convert("L")
    return np.array(grey.convert("RGB"))


def _blended(
    laid: np.ndarray,
    finite: np.ndarray,
    grey: np.ndarray,
    grid: Grid,
    *,
    limits: tuple[float, float],
    colours: str,
) -> np.ndarray:
    """Return the photo `(y, x, 3)` under what is laid over it; cells that are not finite cover it."""
    blended = grey
    low, greatest = limits
    if greatest > 0:
        smooth = grid.raised(laid / greatest)
        colour = palette(colours)[levels(smooth, low / greatest, 1.0)]
        mixed = OPACITY * colour + (1 - OPACITY) * grey
        blended = np.round(mixed).astype(np.uint8)
    if not finite.all():
        broken = (~finite).reshape(-1)[grid.nearest]
        blended[broken] = palette(colours)[NOT_FINITE]
    return blended


def _positive_part(values: np.ndarray) -> str:
    """Return what an overlay shows of a map, in words; nothing where that is all."""
    below = negative_part(values)
    return f"positive {percent(1 - below, '.0')}" if below > 0 else ""


def _view(values: np.ndarray, grid: Grid, greatest: float, averaged: int, *, how: str) -> str:
    """Return the words for how the map was laid over the photo."""
    squares = f"{averaged}×{averaged} cells"
    if greatest == 0:
        what = "nothing" if averaged == 1 else f"no mean of {squares}"
        return f"{what} is positive: the plain photo, in grey"
    ratio, first = _ratio(grid), f"{how}, " if how else ""
    if averaged > 1:
        return f"{first}means of {squares}, bilinear {ratio}, opacity {OPACITY:g}"
    sizes = f"{shape(values.shape)} → {shape(grid.pixels)}"
    return f"{first}bilinear {ratio} ({sizes}), opacity {OPACITY:g}"


def _ratio(grid: Grid) -> str:
    """Return how many pixels lie along a cell, once where they are as many down and across."""
    down, across = (f"×{row.step:.3g}" for row in grid.rows)
    if down == across:
        return down
    return f"{down} and {across}"


def _shown(zoom: int) -> str:
    return f", shown ×{zoom}" if zoom > 1 else ""
