"""Attribution maps: the input, where a map speaks for the target, and the whole map with its sign."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from interpretkit.figures import lines, maps, slices
from interpretkit.figures.finish import panels
from interpretkit.figures.words import mostly_negative, negative_part
from interpretkit.results.axes import spatial
from interpretkit.results.grid import Grid
from interpretkit.words import count, percent, shape

if TYPE_CHECKING:
    from PIL.Image import Image

    from interpretkit.results.map import Polarity

_FINE = 64  # cells along a side, from which on single cells are not seen
_SQUARES = 28  # into so many squares along a side a fine map is averaged


def attribution(
    values: np.ndarray, pixels: np.ndarray, *, title: str, polarity: Polarity, grid: Grid | None = None
) -> Image:
    """Draw an attribution map beside its image: the photo, the positive part over it, the map on its native grid.

    A map of which less than a third is positive is laid over the photo with its sign.

    Of a volume `(z, y, x)` the three strongest slices are drawn, one below the other, all on one scale; of a signal
    `(x,)` its lines, and the map as steps below them.

    A map of more than 64 cells along a side, one number for every pixel or nearly so, is averaged over squares of cells
    where it lies over the photo, and its colours reach from the percentile 0.5 to 99.5; the picture says so.

    Args:
        values: The map `(y, x)` at native resolution.
        pixels: The photo `(y, x, 3)` uint8; `(z, y, x, 3)` of a volume, of a signal a strip `(row, x, 3)`.
        title: What it is: the method, the layer, the target; wraps.
        polarity: `signed` or `unsigned`.
        grid: Where the cells lie on the photo, `Map.grid`; by default they tile it evenly.

    Example:
        >>> import numpy as np
        >>> attribution(np.eye(7), np.zeros((28, 28, 3), np.uint8), title="Grad-CAM", polarity="signed").mode
        'RGB'
    """
    if values.ndim == len(spatial(1)):
        return lines.explained(values, pixels, title=title, grid=grid)
    if values.ndim == len(spatial(3)):
        return _of_volume(values, pixels, title=title, polarity=polarity, grid=grid)
    native = f"native {shape(values.shape)}"
    signed = polarity == "signed"
    fine = max(values.shape) > _FINE
    averaged = max(values.shape) // _SQUARES if fine else 1
    return panels(
        [
            maps.photo(pixels, title="input"),
            maps.overlay(values, pixels, title=_laid(values, polarity), averaged=averaged, grid=grid),
            maps.heatmap(values, title=f"signed, {native}" if signed else native, polarity=polarity, robust=fine),
        ],
        title=title,
    )


def described(values: np.ndarray, *, polarity: Polarity, grid: Grid | None = None) -> str:
    """Return what `attribution` shows of a map, for a caption.

    Args:
        values: The map at native resolution.
        polarity: `signed` or `unsigned`.
        grid: Where its cells lie, `Map.grid`.

    Example:
        >>> described(np.zeros((7, 7)), polarity="unsigned")
        'Middle: over the grey photo, bilinear from 7×7 cells; right: the map on its native grid.'
    """
    placed = "" if grid is None or grid.is_even else ", each in the middle of its receptive field"
    cells = f"{shape(values.shape)} cells{placed}"
    if values.ndim == len(spatial(1)):
        return f"Below the signal, the map in steps of {cells}."
    part, native = "over the grey photo", "the map on its native grid"
    if mostly_negative(values):
        below = percent(negative_part(values), ".0")
        part = f"the map with its sign {part}, since {below} of it is negative"
    elif polarity == "signed":
        part = f"its positive part {part}"
    if polarity == "signed":
        native = "the signed map on its native grid, limits symmetric about 0"
    told = f"Middle: {part}, bilinear from {cells}; right: {native}."
    if values.ndim == len(spatial(3)):
        return f"Slices of greatest sum of magnitudes, on one scale, interpolated within themselves alone. {told}"
    return told


def _laid(values: np.ndarray, polarity: Polarity) -> str:
    """Return what is laid over the photo, as its title."""
    return "over the input" if polarity == "unsigned" or mostly_negative(values) else "positive part"


def _of_volume(
    values: np.ndarray, pixels: np.ndarray, *, title: str, polarity: Polarity, grid: Grid | None = None
) -> Image:
    grid = grid or Grid.even(values.shape, pixels.shape[:-1])
    planes = grid.rows[0].middles
    signed = polarity == "signed"
    longest = max(values.shape[1:])
    fine = longest > _FINE
    averaged = longest // _SQUARES if fine else 1
    limits = maps.robust_limits_of(values) if fine else maps.limits_of(values)
    scale = "signed" if signed else "native"
    if fine:
        scale += ", limits p0.5 … p99.5"
    rows = []
    for z in slices.strongest(values):
        name, plane = slices.named(z, len(values)), pixels[planes[z]]
        laid = maps.overlay(
            values[z],
            plane,
            title=f"{name}: {_laid(values, polarity)}",
            averaged=averaged,
            grid=slices.within(grid),
            greatest=maps.greatest_of(values, averaged=averaged),
            signed=mostly_negative(values),
        )
        shown = np.clip(values[z], *limits) if fine else values[z]
        native = maps.heatmap(shown, title=f"{name}: {scale}", polarity=polarity, limits=limits)
        rows += [maps.photo(plane, title=f"input, z pixel {planes[z]} of 0 … {len(pixels) - 1}"), laid, native]
    words = f"{title}; the {count(len(rows) // 3, 'slice')} of greatest sum of magnitudes"
    return panels(rows, title=words, columns=3)
