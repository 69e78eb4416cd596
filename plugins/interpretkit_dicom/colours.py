"""Colours of a frame as RGB."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from interpretkit import Stored
from interpretkit_dicom.grey import bits_stored, of_bits

if TYPE_CHECKING:
    from pydicom import Dataset

_AXES = ("y", "x", "channel")
_PALETTE = "PALETTE COLOR"
_BYTE = 8


def is_coloured(header: Dataset) -> bool:
    """Tell whether the pixels have a colour."""
    return _is_palette(header) or int(header.SamplesPerPixel) > 1


def coloured(header: Dataset, frame: np.ndarray) -> Stored:
    """Return the colours of a frame `(y, x, channel)`, which is RGB already unless there is a palette."""
    kept = str(header.PhotometricInterpretation)
    said = () if kept == "RGB" else (f"{kept} to RGB",)
    colours, bits = _looked_up(header, frame) if _is_palette(header) else (frame, int(header.BitsStored))
    if bits == _BYTE:
        return Stored(values=colours.astype(np.uint8), axes=_AXES, conversions=said)
    whole = (0, 2**bits - 1)
    return Stored(values=colours, axes=_AXES, range=whole, said_by=bits_stored(bits), conversions=said)


def _is_palette(header: Dataset) -> bool:
    return str(header.PhotometricInterpretation) == _PALETTE


def _looked_up(header: Dataset, frame: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the colours that a palette has for a frame, and their bits."""
    from pydicom.pixels.processing import apply_color_lut

    colours = apply_color_lut(frame, header)[..., :3]
    if colours.dtype.itemsize == 1:
        return colours, _BYTE
    low, high = of_bits(header)
    every = apply_color_lut(np.arange(low, high + 1).astype(frame.dtype), header)
    # Many palettes hold 8 bits in the upper half of 16: with or without them in the lower half too.
    lower = every & 0xFF
    if not lower.any() or (lower == every >> _BYTE).all():
        return (colours >> _BYTE).astype(np.uint8), _BYTE
    return colours, 2 * _BYTE
