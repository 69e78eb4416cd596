"""Grey values of a frame: rescaled as the modality says, in the window of the file, larger values brighter."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from interpretkit import Stored
from interpretkit_dicom.frames import part_of

if TYPE_CHECKING:
    from typing import TypeVar

    from pydicom import Dataset

    Limits = tuple[float, float]
    Number = TypeVar("Number", float, None)

_DARK_IS_HIGH = "MONOCHROME1"


def grey(header: Dataset, frame: np.ndarray, page: int) -> Stored:
    """Return the values of a frame `(y, x)`, with the range that the file says.

    That is its first window (PS3.3 C.11.2), else that of its first table of values, else what its bits can hold;
    floats have none.

    Args:
        header: What the file says.
        frame: The values as they are stored.
        page: Which frame it is, from 0.
    """
    values, limits, said = _measured(header, frame, page)
    said_by = "" if limits is None else bits_stored(header.BitsStored)
    stored = Stored(values=values, range=limits, said_by=said_by, conversions=said)
    stored, limits = _as_displayed(stored, limits, header, page)
    if str(header.PhotometricInterpretation) == _DARK_IS_HIGH:
        stored = _inverted(stored, limits)
    return _without_padding(stored, _padding(header, frame))


def bits_stored(bits: int) -> str:
    """Return what gives values their range, in words."""
    return f"{bits} bit{'s' * (bits != 1)} stored"


def of_bits(header: Dataset) -> tuple[int, int]:
    """Return the least and the greatest number that the bits stored can hold."""
    bits = int(header.BitsStored)
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if header.PixelRepresentation else (0, 2**bits - 1)


def _measured(header: Dataset, frame: np.ndarray, page: int) -> tuple[np.ndarray, Limits | None, tuple[str, ...]]:
    """Return values as the modality means them, the least and the greatest that there can be, and what was done."""
    from pydicom.pixels.processing import apply_modality_lut

    if header.get("ModalityLUTSequence"):
        values = apply_modality_lut(frame, header)
        return values, _of_table(header.ModalityLUTSequence[0]), ("table of the modality applied",)
    whole = frame.dtype.kind in "iu"
    limits = of_bits(header) if whole else None
    part = part_of(header, page, "PixelValueTransformationSequence", "RescaleSlope")
    slope, intercept = _first(part, "RescaleSlope", 1.0), _first(part, "RescaleIntercept", 0.0)
    if (slope, intercept) == (1.0, 0.0):
        return frame, limits, ()
    said = (f"rescaled by {slope:g} and {intercept:g}",)
    if limits is None:
        return frame.astype(np.float64) * slope + intercept, None, said
    low, high = sorted(slope * limit + intercept for limit in limits)
    if slope.is_integer() and intercept.is_integer():
        kind = np.int32 if max(abs(low), abs(high)) < 2**31 else np.int64
        return (frame.astype(np.int64) * int(slope) + int(intercept)).astype(kind), (low, high), said
    return frame.astype(np.float64) * slope + intercept, (low, high), said


def _of_table(table: Dataset) -> Limits:
    return 0, 2 ** int(table.LUTDescriptor[2]) - 1


def _as_displayed(stored: Stored, limits: Limits | None, header: Dataset, page: int) -> tuple[Stored, Limits | None]:
    """Return values with the window or the table by which the file wants them displayed, and their limits."""
    from pydicom.pixels.processing import apply_voi

    part = part_of(header, page, "FrameVOILUTSequence", "WindowCenter")
    center, width = _first(part, "WindowCenter", None), _first(part, "WindowWidth", None)
    if center is not None and width is not None:
        if (several := _count(part, "WindowCenter")) > 1:
            stored = replace(stored, conversions=(*stored.conversions, f"window 1 of {several}"))
        shape = str(part.get("VOILUTFunction") or "LINEAR")
        return _in_window(stored, limits, center=center, width=width, shape=shape)
    tables = header.get("VOILUTSequence")
    if tables and stored.values.dtype.kind in "iu":
        limits = _of_table(tables[0])
        which = f"table 1 of {len(tables)}" if len(tables) > 1 else "table"
        said = (*stored.conversions, f"{which} of values of the file applied")
        values = apply_voi(stored.values, header)
        return replace(stored, values=values, range=limits, said_by="table of the file", conversions=said), limits
    return stored, limits


def _first(part: Dataset, key: str, otherwise: Number) -> float | Number:
    """Return the first of the numbers that a key may have; something else where it has none."""
    value = part.get(key)
    if value is None or value == "":
        return otherwise
    return float(value[0] if hasattr(value, "__len__") else value)


def _count(part: Dataset, key: str) -> int:
    return len(part[key].value) if part[key].VM > 1 else 1


def _in_window(
    stored: Stored, limits: Limits | None, *, center: float, width: float, shape: str
) -> tuple[Stored, Limits | None]:
    r"""Return values in a window (PS3.3 C.11.2.1.2 and C.11.2.1.3).

    Linear ones are a range; of a sigmoid \( 1 / (1 + e^{-4 (v - c) / w}) \) is taken.
    """
    said_by = "window of the file"
    if shape == "SIGMOID" and width > 0:
        # The same as the formula, and exact where its exponential would overflow.
        values = (1 + np.tanh(2 * (stored.values.astype(np.float64) - center) / width)) / 2
        said = (*stored.conversions, f"sigmoid window of {width:g} around {center:g} applied")
        return replace(stored, values=values, range=(0.0, 1.0), said_by=said_by, conversions=said), (0.0, 1.0)
    if shape == "LINEAR":
        center, width = center - 0.5, width - 1
    if width <= 0:
        alert = f"the window of the file has no width: {stored.said_by or 'no range'} instead"
        return replace(stored, alerts=(*stored.alerts, alert)), limits
    window = center - width / 2, center + width / 2
    return replace(stored, range=window, said_by=said_by), limits


def _inverted(stored: Stored, limits: Limits | None) -> Stored:
    """Return values so that larger ones are brighter, with the same limits; negated where there are none."""
    ends = sum(limits or (0, 0))
    whole = stored.values.dtype.kind in "iu"
    values = stored.values.astype(np.int64 if whole else np.float64)
    said = (*stored.conversions, f"inverted: {_DARK_IS_HIGH}")
    inverted = ((int(ends) if whole else ends) - values).astype(stored.values.dtype)
    stored = replace(stored, values=inverted, mirrored=ends, conversions=said)
    if stored.range is None:
        return stored
    black, white = stored.range
    return replace(stored, range=(ends - white, ends - black))


def _padding(header: Dataset, frame: np.ndarray) -> np.ndarray:
    """Tell which values of a frame fill up the picture where nothing was measured (PS3.3 C.7.5.1.1.2)."""
    value = header.get("PixelPaddingValue")
    if not isinstance(value, int) or frame.dtype.kind not in "iu":
        return np.zeros(frame.shape, bool)
    limit = header.get("PixelPaddingRangeLimit")
    # Cast, as files of signed values often write it down as if they had no sign.
    ends = np.array([value, limit if isinstance(limit, int) else value]).astype(frame.dtype)
    return np.asarray((frame >= ends.min()) & (frame <= ends.max()))


def _without_padding(stored: Stored, padding: np.ndarray) -> Stored:
    """Return values of which those that are none are as dark as the darkest."""
    if not padding.any() or padding.all():
        return stored
    darkest = stored.values[~padding].min()
    said = (*stored.conversions, "padding set to the darkest of the other values")
    return replace(stored, values=np.where(padding, darkest, stored.values), conversions=said)
