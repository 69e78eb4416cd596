"""Attribution maps: the input, where a map speaks for the target, and the whole map with its sign."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit.figures.finish import panels
from interpretkit.figures.maps import heatmap, overlay, photo
from interpretkit.figures.words import size

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    from interpretkit.contracts import Polarity


def attribution(values: np.ndarray, pixels: np.ndarray, *, title: str, polarity: Polarity) -> Image:
    """Draw an attribution map beside its image: the photo, the positive part over it, the map on its native grid.

    Args:
        values: The map `(y, x)` at native resolution.
        pixels: The photo `(y, x, 3)` uint8.
        title: What it is: the method, the layer, the target; wraps.
        polarity: `signed` or `unsigned`.

    Example:
        >>> import numpy as np
        >>> attribution(np.eye(7), np.zeros((28, 28, 3), np.uint8), title="Grad-CAM", polarity="signed").mode
        'RGB'
    """
    native = f"native {size(values.shape)}"
    signed = polarity == "signed"
    return panels(
        [
            photo(pixels, title="input"),
            overlay(values, pixels, title="positive part" if signed else "over the input"),
            heatmap(values, title=f"signed, {native}" if signed else native, polarity=polarity),
        ],
        title=title,
    )
