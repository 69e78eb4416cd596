"""What an image file stores, before anything is done to it for a network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

AXES = (("y", "x"), ("y", "x", "channel"), ("z", "y", "x"), ("z", "y", "x", "channel"))
"""The axes that stored values may have."""

_GREY, _COLOUR = AXES[:2]
_RGB = 3
_KEPT = {"u2": np.uint16, "i1": np.int32, "i2": np.int32, "i4": np.int32, "f2": np.float32, "f4": np.float32}
"""As what grey values are kept in a picture of Pillow that loses none, by their kind and bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The values of an image as a file stores them, upright.

    Attributes:
        values: Integers or floats of any size, or bool.
        axes: Their axes, one of `AXES`.
        range: Which values are black and white, where the file or the recipe says so; None where neither does.
        said_by: Who or what says so, in words: "12 bits stored", "window of the file".
        mirrored: What a value in the file and the one here add up to, where they were inverted because the file's white
            is its least; None where they were not. What a recipe says of ranges is said of the values in the file.
        conversions: What was done to the values that are in the file, in order.
        alerts: What whoever looks at the image must know, such as "page 1 of 12".

    Raises:
        ValueError: If the values are no numbers, are none, or do not have these axes.

    Example:
        >>> Stored(values=np.zeros((4, 3), np.uint16)).size
        (3, 4)
    """

    values: np.ndarray
    axes: tuple[str, ...] = ("y", "x")
    range: tuple[float, float] | None = None
    said_by: str = ""
    mirrored: float | None = None
    conversions: tuple[str, ...] = ()
    alerts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        values: object = self.values
        if not isinstance(values, np.ndarray) or values.dtype.kind not in "biuf":
            found = values.dtype if isinstance(values, np.ndarray) else type(values).__name__
            raise ValueError(f"the stored values are {found}, not an array of numbers")
        if self.axes not in AXES or len(self.axes) != values.ndim or values.size == 0:
            raise ValueError(f"the stored values have shape {values.shape} and axes ({', '.join(self.axes)})")

    def in_range(self, low: float, high: float) -> Stored:
        """Return the same values with a range that a recipe states of those in the file.

        Example:
            >>> Stored(values=np.zeros((4, 3), np.uint16), mirrored=4095).in_range(0, 3000).range
            (1095, 4095)
        """
        ends = (low, high) if self.mirrored is None else (self.mirrored - high, self.mirrored - low)
        return replace(self, range=ends, said_by="stated by the recipe")

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        lengths = dict(zip(self.axes, self.values.shape, strict=True))
        return lengths["x"], lengths["y"]

    @property
    def bands(self) -> int:
        """How many bands, or channels, it has."""
        return self.values.shape[-1] if self.axes[-1] == "channel" else 1

    @property
    def eight_bit(self) -> bool:
        """Whether it is an image of 8 bits or less, grey or RGB, that uses their usual range."""
        if self.values.dtype == bool:
            return self.axes == _GREY and self.range in (None, (0, 1))
        usual = self.values.dtype == np.uint8 and self.range in (None, (0, 255))
        return usual and (self.axes == _GREY or (self.axes == _COLOUR and self.bands == _RGB))

    def as_rgb(self) -> Stored:
        """Return an 8-bit image as RGB.

        Example:
            >>> Stored(values=np.zeros((4, 3), np.uint8)).as_rgb().conversions
            ('grey to RGB',)
        """
        if self.axes == _COLOUR:
            return self
        bits = self.values.dtype == bool
        grey = self.values * np.uint8(255 if bits else 1)
        said = (*self.conversions, "1-bit to RGB" if bits else "grey to RGB")
        return replace(
            self, values=np.repeat(grey[..., None], _RGB, axis=-1), axes=_COLOUR, range=None, conversions=said
        )

    def picture(self) -> Image | np.ndarray:
        """Return the values as a new picture: 8-bit ones as RGB, others in the mode of Pillow that holds them.

        That is `I;16`, `I` or `F` of grey. What Pillow has no mode for is a copy of the values.

        Example:
            >>> Stored(values=np.zeros((4, 3), np.uint16)).picture().mode
            'I;16'
        """
        from PIL import Image

        if self.eight_bit:
            return Image.fromarray(self.as_rgb().values.copy())
        kept = _KEPT.get(self.values.dtype.str[1:])
        if self.axes == _GREY and kept is not None:
            return Image.fromarray(self.values.astype(kept))
        return self.values.copy()
