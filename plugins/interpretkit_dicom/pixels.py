"""What a DICOM file says of the size of its pixels."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING

from interpretkit_dicom.frames import part_of

if TYPE_CHECKING:
    from pydicom import Dataset

_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
"""Distances of rows and of columns in millimetres: in the body, at the detector, on the film that was scanned."""
_RATIO = "PixelAspectRatio"
_ROUNDING = 0.01
"""So much two sides may differ that are written down in a few digits, as a part of the longer."""


def not_square(header: Dataset, page: int) -> str:
    """Say that the pixels of a frame are no squares; empty where they are, or where nobody knows."""
    for key in (*_SPACINGS, _RATIO):
        sides = _sides(part_of(header, page, "PixelMeasuresSequence", key), key)
        if sides:
            height, width = sides
            unit = "" if key == _RATIO else " mm"
            if abs(height - width) <= _ROUNDING * max(sides):
                return ""
            return (
                f"pixels are {height:g}{unit} high and {width:g}{unit} wide, and taken as squares: maps "
                "are in pixels, not in millimetres"
            )
    return ""


def _sides(part: Dataset, key: str) -> tuple[float, ...]:
    """Return the height and the width that a key has; nothing where they are no lengths."""
    with suppress(ValueError, TypeError):
        sides = tuple(map(float, part.get(key) or ()))
        if len(sides) == 2 and all(0 < side < math.inf for side in sides):  # noqa: PLR2004 - height and width
            return sides
    return ()
