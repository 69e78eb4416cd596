"""Single maps and photos: heatmaps on the native grid, overlays that say how they were interpolated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from interpretkit.figures.colour import FLAT, NOT_FINITE, colours_of, dot, levels, palette, symmetric
from interpretkit.figures.sheet import BAR, NARROWEST, bar, beyond_limits, entry, flow, heading, sheet
from interpretkit.figures.text import paragraph
from interpretkit.figures.words import NEARLY_CONSTANT, check_flat, constant
from interpretkit.words import count, number, shape

if TYPE_CHECKING:
    from interpretkit.results.map import Polarity

OPACITY = 0.5
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
    """Draw a map on its native grid: nearest neighbour, one whole number of pixels to a cell.

    Args:
        values: The map `(y, x)`.
        title: What it is: the method, the layer, the target; wraps.
        polarity: `unsigned` is drawn in viridis, `signed` in coolwarm with limits symmetric about 0.
        limits: Of the colour scale, where pictures share one; by default the least and the greatest value.
            Cells beyond them are dotted and counted.
        robust: Take the percentiles 0.5 and 99.5 as limits, so that few strong cells do not leave all others pale.
            Cells beyond them are not dotted, being the strongest, but counted; the scale says `≤` and `≥` there.

    Raises:
        StepError: If it is the map of a signal or of a volume.
        ValueError: If there is no cell to draw, or the limits are not finite and ascending.

    Example:
        >>> heatmap(np.eye(7), title="Grad-CAM, stage4", polarity="unsigned").mode
        'P'
    """
    _check_map(values)
    finite = np.isfinite(values)
    if robust:
        limits = _percentiles(values[finite])
    low, high = _limits(values[finite], polarity, limits)
    varied = low < high
    beyond = finite & varied & ((values < low) | (values > high))
    cells = levels(values, low, high)
    if not varied:
        cells[finite] = FLAT
    colours, zoom = colours_of(polarity), _zoom(*values.shape)
    body = cells.repeat(zoom, axis=0).repeat(zoom, axis=1)
    tiles = body.reshape(len(values), zoom, -1, zoom).swapaxes(1, 2)
    if not robust:
        dot(tiles, beyond, colours=colours)
    width = max(body.shape[1], NARROWEST)
    view = f"{shape(values.shape)} cells, nearest ×{zoom}"
    ends = ("≤ " if robust and (values < low).any() else "", "≥ " if robust and (values > high).any() else "")
    scale = _scale(low, high, width=body.shape[1], ends=ends) if varied else []
    words = _if_constant(values[finite], reach=max(abs(low), abs(high)))
    if robust and beyond.any():
        words = _clipped(values, beyond)
    dotted = 0 if robust else int(beyond.sum())
    below = [*scale, *_legend(words, int((~finite).sum()), dotted, colours=colours, width=width)]
    return sheet(body, colours=colours, above=[heading(title, view, width=width)], below=below)


def overlay(values: np.ndarray, pixels: np.ndarray, *, title: str, averaged: int = 1) -> Image.Image:
    """Lay the positive part of a map over the photo in grey.

    The map is interpolated bilinearly to the size of the photo, its cells tiling it evenly, and drawn in inferno from
    0 to its greatest value with the same opacity everywhere. The intensities of the photo are not rescaled.

    Args:
        values: The map `(y, x)` at native resolution.
        pixels: The photo `(y, x, 3)` uint8.
        title: What it is: the method, the layer, the target; wraps.
        averaged: Average squares of so many cells first: a map as fine as the photo is a spray of dots over it.

    Raises:
        StepError: If it is the map of a signal or of a volume.
        ValueError: If there is no cell to draw, or the photo has another shape or type.

    Example:
        >>> overlay(np.eye(7), np.zeros((224, 224, 3), np.uint8), title="Grad-CAM, stage4").mode
        'RGB'
    """
    _check_map(values)
    _check_photo(pixels)
    if averaged > 1:
        values = _averaged(values, averaged)
    finite = np.isfinite(values)
    positive = np.where(finite, values, 0).clip(0).astype(np.float64)
    greatest = float(positive.max())
    blended = _grey(pixels)
    if greatest > 0:
        blended = _blended(positive / greatest, blended)
    if not finite.all():
        blended[_resized(~finite, pixels.shape[:2], Image.Resampling.NEAREST) > 0] = palette("inferno")[NOT_FINITE]
    zoom = _zoom(*pixels.shape[:2])
    body = Image.fromarray(blended.repeat(zoom, axis=0).repeat(zoom, axis=1))
    width = max(body.width, NARROWEST)
    view = _view(values, pixels, greatest, averaged) + _shown(zoom)
    scale = _scale(0.0, greatest, width=body.width) if greatest > 0 else []
    below = [
        *scale,
        *_legend(_if_constant(values[finite], reach=greatest), int((~finite).sum()), 0, colours="inferno", width=width),
    ]
    return sheet(body, colours="inferno", above=[heading(title, view, width=width)], below=below)


def photo(pixels: np.ndarray, *, title: str) -> Image.Image:
    """Show a photo `(y, x, 3)` uint8 as it is.

    Raises:
        ValueError: If it has another shape or type.

    Example:
        >>> photo(np.zeros((224, 224, 3), np.uint8), title="grace_hopper").mode
        'RGB'
    """
    _check_photo(pixels)
    zoom = _zoom(*pixels.shape[:2])
    body = Image.fromarray(pixels.repeat(zoom, axis=0).repeat(zoom, axis=1))
    view = f"{shape(pixels.shape[:2])} pixels{_shown(zoom)}"
    return sheet(body, colours="inferno", above=[heading(title, view, width=max(body.width, NARROWEST))])


def _check_map(values: np.ndarray) -> None:
    check_flat(values.shape)
    if values.ndim != 2 or values.size == 0:  # noqa: PLR2004 - y and x
        raise ValueError(f"a map has dims (y, x), not shape {shape(values.shape)}")


def _check_photo(pixels: np.ndarray) -> None:
    if pixels.ndim != 3 or pixels.shape[-1] != 3 or pixels.size == 0 or pixels.dtype != np.uint8:  # noqa: PLR2004
        raise ValueError(f"a photo is uint8 (y, x, 3), not {pixels.dtype} {shape(pixels.shape)}")


def _zoom(height: int, width: int) -> int:
    return min(max(_SIDE // max(height, width), 1), _LARGEST_CELL)


def _limits(finite: np.ndarray, polarity: Polarity, limits: tuple[float, float] | None) -> tuple[float, float]:
    """Return the limits of the scale; equal ones where there is nothing to tell apart."""
    if limits is not None and not -np.inf < limits[0] <= limits[1] < np.inf:
        raise ValueError(f"limits {limits} are not finite and ascending")
    if limits is None or limits[0] == limits[1]:
        if finite.size == 0:
            return 0.0, 0.0
        limits = float(finite.min()), float(finite.max())
        if limits[1] - limits[0] <= NEARLY_CONSTANT * max(map(abs, limits)):
            return limits[1], limits[1]
    return symmetric(*limits) if polarity == "signed" else limits


def _percentiles(finite: np.ndarray) -> tuple[float, float] | None:
    """Return robust limits; None where they leave nothing to tell apart, though the values differ."""
    if finite.size == 0:
        return None
    low, high = (float(each) for each in np.percentile(finite.astype(np.float64), _ROBUST))
    reach = float(np.abs(finite).max())
    return (low, high) if high - low > NEARLY_CONSTANT * reach else None


def _clipped(values: np.ndarray, beyond: np.ndarray) -> str:
    """Say how much lies beyond robust limits, and how far it reaches."""
    share = number(100 * float(beyond.mean()))
    low, high = number(float(values[beyond].min())), number(float(values[beyond].max()))
    low_percentile, high_percentile = (number(each) for each in _ROBUST)
    return f"limits p{low_percentile} … p{high_percentile}; {share} % of cells beyond, from {low} to {high}"


def _averaged(values: np.ndarray, side: int) -> np.ndarray:
    """Return the means of squares of cells, by exact area; what is not finite spoils its square."""
    height, width = (-(-length // side) for length in values.shape)
    return _resized(values, (height, width), Image.Resampling.BOX)


def _if_constant(finite: np.ndarray, *, reach: float) -> str:
    """Return what is to be said of a map that is constant, or nearly so beside its limits; else nothing."""
    if finite.size == 0:
        return ""
    low, high = float(finite.min()), float(finite.max())
    if low == high:
        return f"values are all {number(low)}"
    return f"nearly constant: {constant(low, high, reach=reach)}" if high - low <= NEARLY_CONSTANT * reach else ""


def _scale(low: float, high: float, *, width: int, ends: tuple[str, str] = ("", "")) -> list[np.ndarray]:
    ticks = [ends[0] + number(low), number((low + high) / 2), ends[1] + number(high)]
    return [bar(ticks, width=max(width, BAR))]


def _legend(words: str, broken: int, beyond: int, *, colours: str, width: int) -> list[np.ndarray]:
    """Return what is to be said of all values, and a legend of the marks that occur."""
    marks = [paragraph(words, width=width)] if words else []
    if broken:
        marks.append(entry(NOT_FINITE, f"not finite: {count(broken, 'cell')}", width=width))
    if beyond:
        marks.append(beyond_limits(beyond, colours=colours, width=width))
    return [flow(marks, width=width)] if marks else []


def _grey(pixels: np.ndarray) -> np.ndarray:
    return np.array(Image.fromarray(pixels).convert("L").convert("RGB"))


def _blended(share: np.ndarray, grey: np.ndarray) -> np.ndarray:
    """Return the photo `(y, x, 3)` under the map, whose values are given as a share of its greatest."""
    smooth = _resized(share.astype(np.float32), grey.shape[:2], Image.Resampling.BILINEAR)
    colour = palette("inferno")[levels(smooth, 0.0, 1.0)]
    blended: np.ndarray = np.round(OPACITY * colour + (1 - OPACITY) * grey).astype(np.uint8)
    return blended


def _resized(values: np.ndarray, shape: tuple[int, ...], how: Image.Resampling) -> np.ndarray:
    height, width = shape
    return np.asarray(Image.fromarray(values.astype(np.float32)).resize((width, height), how))


def _view(values: np.ndarray, pixels: np.ndarray, greatest: float, averaged: int) -> str:
    if greatest == 0:
        what = "nothing" if averaged == 1 else f"no mean of {averaged}×{averaged} cells"
        return f"{what} is positive: the plain photo, in grey"
    ratios = [f"×{large / small:.3g}" for large, small in zip(pixels.shape, values.shape, strict=False)]
    ratio = ratios[0] if ratios[0] == ratios[1] else " and ".join(ratios)
    signed = bool((values < 0).any())
    if averaged > 1:
        means = f"means of {averaged}×{averaged} cells"
        part = f"positive part of {means}" if signed else means
        return f"{part}, bilinear {ratio}, opacity {OPACITY:g}"
    part = "positive part, " if signed else ""
    grid = f"{shape(values.shape)} → {shape(pixels.shape[:2])}"
    return f"{part}bilinear {ratio} ({grid}), opacity {OPACITY:g}"


def _shown(zoom: int) -> str:
    return f", shown ×{zoom}" if zoom > 1 else ""
