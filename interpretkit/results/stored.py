"""What an image file stores, before anything is done to it for a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

AXES = (("y", "x"), ("y", "x", "channel"), ("z", "y", "x"), ("z", "y", "x", "channel"))
"""The axes that stored values may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The values of an image as a file stores them, upright.

    Attributes:
        values: Integers or floats of any size, or bool.
        axes: Their axes, one of `AXES`.
        range: Which values are black and white, where the file says so; None where it does not.
        said_by: What in the file says so, in words: "12 bits stored", "window of the file".
        conversions: What was done to the values that are in the file, in order.
        alerts: What whoever looks at the image must know, such as "page 1 of 12".

    Example:
        >>> import numpy as np
        >>> Stored(values=np.zeros((4, 3), np.uint16)).axes
        ('y', 'x')
    """

    values: np.ndarray
    axes: tuple[str, ...] = ("y", "x")
    range: tuple[float, float] | None = None
    said_by: str = ""
    conversions: tuple[str, ...] = ()
    alerts: tuple[str, ...] = ()
