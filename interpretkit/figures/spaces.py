"""Single maps and photos of images, volumes and signals: one picture, three slices, or lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit.figures import lines, maps, slices
from interpretkit.figures.words import mostly_negative
from interpretkit.results.axes import spatial
from interpretkit.results.grid import Grid

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    from interpretkit.results.map import Polarity

_SIGNAL, _VOLUME = (len(spatial(count)) for count in (1, 3))


def heatmap(
    values: np.ndarray,
    *,
    title: str,
    polarity: Polarity,
    limits: tuple[float, float] | None = None,
    robust: bool = False,
) -> Image:
    """Draw a map on its native grid: nearest neighbour, one whole number of pixels to a cell.

    Of a volume `(z, y, x)` the three strongest slices are drawn, on one scale; a signal `(x,)` is drawn as steps.

    Args:
        values: The map `(y, x)`.
        title: What it is: the method, the layer, the target; wraps.
        polarity: `unsigned` is drawn in viridis, `signed` in coolwarm with limits symmetric about 0.
        limits: Of the colour scale, where pictures share one; by default the least and the greatest value.
            Cells beyond them are dotted and counted.
        robust: Take the percentiles 0.5 and 99.5 as limits, so that few strong cells do not leave all others pale.
            Cells beyond them are not dotted, being the strongest, but counted; the scale says `≤` and `≥` there.

    Raises:
        ValueError: If there is no cell to draw, or the limits are not finite and ascending.

    Example:
        >>> import numpy as np
        >>> heatmap(np.eye(7), title="Grad-CAM, stage4", polarity="unsigned").mode
        'P'
    """
    if values.ndim == _SIGNAL:
        return lines.steps(values, title=title)
    if values.ndim != _VOLUME:
        return maps.heatmap(values, title=title, polarity=polarity, limits=limits, robust=robust)
    limits = limits or maps.limits_of(values)

    def of_slice(z: int) -> Image:
        return maps.heatmap(values[z], title=slices.named(z, len(values)), polarity=polarity, limits=limits)

    return slices.across(of_slice, slices.strongest(values), title=title)


def overlay(
    values: np.ndarray, pixels: np.ndarray, *, title: str, averaged: int = 1, grid: Grid | None = None
) -> Image:
    """Lay the positive part of a map over the photo in grey.

    The map is interpolated bilinearly to the size of the photo between the middles of its cells, and drawn in inferno
    from 0 to its greatest value with the same opacity everywhere. The intensities of the photo are not rescaled.
    Where less than a third of the sum of all magnitudes is positive, all of the map is drawn instead, with its sign,
    in coolwarm with limits symmetric about 0. What is drawn stands in the picture.

    Of a volume `(z, y, x)` the three strongest slices are laid over those of `pixels` `(z, y, x, 3)` in their middles,
    on one scale; a signal `(x,)` is drawn as steps below its lines.

    Args:
        values: The map `(y, x)` at native resolution.
        pixels: The photo `(y, x, 3)` uint8.
        title: What it is: the method, the layer, the target; wraps.
        averaged: Average squares of so many cells first: a map as fine as the photo is a spray of dots over it.
        grid: Where the cells lie on the photo, `Map.grid`; by default they tile it evenly.

    Raises:
        ValueError: If there is no cell to draw, the photo has another shape or type, or the grid is of another photo.

    Example:
        >>> import numpy as np
        >>> overlay(np.eye(7), np.zeros((224, 224, 3), np.uint8), title="Grad-CAM, stage4").mode
        'RGB'
    """
    if values.ndim == _SIGNAL:
        return lines.explained(values, pixels, title=title, grid=grid)
    if values.ndim != _VOLUME:
        return maps.overlay(values, pixels, title=title, averaged=averaged, grid=grid)
    grid = grid or Grid.even(values.shape, pixels.shape[:-1])
    planes = grid.rows[0].middles
    greatest, signed = maps.greatest_of(values, averaged=averaged), mostly_negative(values)

    def of_slice(z: int) -> Image:
        return maps.overlay(
            values[z],
            pixels[planes[z]],
            title=slices.named(z, len(values)),
            averaged=averaged,
            grid=slices.within(grid),
            greatest=greatest,
            signed=signed,
        )

    return slices.across(of_slice, slices.strongest(values), title=title)


def photo(pixels: np.ndarray, *, title: str) -> Image:
    """Show a photo `(y, x, 3)` uint8 as it is; three slices of a volume `(z, y, x, 3)`.

    Raises:
        ValueError: If it has another shape or type.

    Example:
        >>> import numpy as np
        >>> photo(np.zeros((224, 224, 3), np.uint8), title="grace_hopper").mode
        'RGB'
    """
    if pixels.ndim == _VOLUME + 1:
        count = len(pixels)
        return slices.across(
            lambda z: maps.photo(pixels[z], title=slices.named(z, count)), slices.spread(count), title=title
        )
    return maps.photo(pixels, title=title)
