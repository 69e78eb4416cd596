"""Attribution maps: the input, where a map speaks for the target, and the whole map with its sign."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit.figures.finish import panels
from interpretkit.figures.maps import heatmap, overlay, photo
from interpretkit.words import shape

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    from interpretkit.results.grid import Grid
    from interpretkit.results.map import Polarity

_FINE = 64  # cells along a side, from which on single cells are not seen
_SQUARES = 28  # into so many squares along a side a fine map is averaged


def attribution(
    values: np.ndarray, pixels: np.ndarray, *, title: str, polarity: Polarity, grid: Grid | None = None
) -> Image:
    """Draw an attribution map beside its image: the photo, the positive part over it, the map on its native grid.

    A map of more than 64 cells along a side, one number for every pixel or nearly so, is averaged over squares of cells
    where it lies over the photo, and its colours reach from the percentile 0.5 to 99.5; the picture says so.

    Args:
        values: The map `(y, x)` at native resolution.
        pixels: The photo `(y, x, 3)` uint8.
        title: What it is: the method, the layer, the target; wraps.
        polarity: `signed` or `unsigned`.
        grid: Where the cells lie on the photo, `Map.grid`; by default they tile it evenly.

    Raises:
        StepError: If it is the map of a signal or of a volume.

    Example:
        >>> import numpy as np
        >>> attribution(np.eye(7), np.zeros((28, 28, 3), np.uint8), title="Grad-CAM", polarity="signed").mode
        'RGB'
    """
    native = f"native {shape(values.shape)}"
    signed = polarity == "signed"
    fine = max(values.shape) > _FINE
    averaged = max(values.shape) // _SQUARES if fine else 1
    return panels(
        [
            photo(pixels, title="input"),
            overlay(
                values, pixels, title="positive part" if signed else "over the input", averaged=averaged, grid=grid
            ),
            heatmap(values, title=f"signed, {native}" if signed else native, polarity=polarity, robust=fine),
        ],
        title=title,
    )
