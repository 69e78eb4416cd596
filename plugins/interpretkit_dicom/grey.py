"""Grey values of a frame: rescaled as the modality says, in the window of the file, larger values brighter."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from interpretkit import Stored

if TYPE_CHECKING:
    from pydicom import Dataset

    Limits = tuple[float, float]

_DARK_IS_HIGH = "MONOCHROME1"


def grey(header: Dataset, frame: np.ndarray, page: int) -> Stored:
    """Return the values of a frame `(y, x)`, with the range that the file says.

    That is its first window (PS3.3 C.11.2), else that of its first table of values, else what its bits can hold.

    Args:
        header: What the file says.
        frame: The values as they are stored.
        page: Which frame it is, from 0.
    """
    values, limits, said = _measured(header, frame, page)
    stored = Stored(values=values, range=limits, said_by=bits_stored(header.BitsStored), conversions=said)
    stored, limits = _as_displayed(stored, limits, header, page)
    if str(header.PhotometricInterpretation) == _DARK_IS_HIGH:
        return _inverted(stored, limits)
    return stored


def bits_stored(bits: int) -> str:
    """Return what gives values their range, in words."""
    return f"{bits} bit{'s' * (bits != 1)} stored"


def _measured(header: Dataset, frame: np.ndarray, page: int) -> tuple[np.ndarray, Limits, tuple[str, ...]]:
    """Return values as the modality means them, the least and the greatest that there can be, and what was done."""
    from pydicom.pixels.processing import apply_modality_lut

    if header.get("ModalityLUTSequence"):
        values = apply_modality_lut(frame, header)
        return values, _of_table(header.ModalityLUTSequence[0]), ("table of the modality applied",)
    limits = _of_bits(header, frame)
    part = _part(header, page, "PixelValueTransformationSequence", "RescaleSlope")
    slope, intercept = float(part.get("RescaleSlope", 1)), float(part.get("RescaleIntercept", 0))
    if (slope, intercept) == (1.0, 0.0):
        return frame, limits, ()
    low, high = sorted(slope * limit + intercept for limit in limits)
    values = apply_modality_lut(frame, part)
    if frame.dtype.kind in "iu" and slope.is_integer() and intercept.is_integer():
        values = values.astype(np.int32 if max(abs(low), high) < 2**31 else np.int64)
    return values, (low, high), (f"rescaled by {slope:g} and {intercept:g}",)


def _of_bits(header: Dataset, frame: np.ndarray) -> Limits:
    """Return the least and the greatest number that the bits stored can hold; of floats, those that there are."""
    if frame.dtype.kind == "f":
        return float(frame.min()), float(frame.max())
    bits = int(header.BitsStored)
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if header.PixelRepresentation else (0, 2**bits - 1)


def _of_table(table: Dataset) -> Limits:
    return 0, 2 ** int(table.LUTDescriptor[2]) - 1


def _part(header: Dataset, page: int, sequence: str, key: str) -> Dataset:
    """Return the part of a header that says something of a frame: it itself, or the group of the frame or of all."""
    groups = [header]
    per_frame = header.get("PerFrameFunctionalGroupsSequence") or []
    for group in (*per_frame[page : page + 1], *(header.get("SharedFunctionalGroupsSequence") or [])):
        groups += group.get(sequence) or []
    return next((group for group in groups if key in group), header)


def _as_displayed(stored: Stored, limits: Limits, header: Dataset, page: int) -> tuple[Stored, Limits]:
    """Return values with the window or the table by which the file wants them displayed, and their limits."""
    from pydicom.pixels.processing import apply_voi

    part = _part(header, page, "FrameVOILUTSequence", "WindowCenter")
    center, width = _first(part, "WindowCenter"), _first(part, "WindowWidth")
    if center is not None and width is not None:
        return _in_window(stored, limits, center=center, width=width, shape=str(part.get("VOILUTFunction", "LINEAR")))
    if header.get("VOILUTSequence") and stored.values.dtype.kind in "iu":
        limits = _of_table(header.VOILUTSequence[0])
        said = (*stored.conversions, "table of values of the file applied")
        values = apply_voi(stored.values, header)
        return replace(stored, values=values, range=limits, said_by="table of the file", conversions=said), limits
    return stored, limits


def _first(part: Dataset, key: str) -> float | None:
    """Return the first of the numbers that a key may have; None where it has none."""
    value = part.get(key)
    if value is None or value == "":
        return None
    return float(value[0] if hasattr(value, "__len__") else value)


def _in_window(stored: Stored, limits: Limits, *, center: float, width: float, shape: str) -> tuple[Stored, Limits]:
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
        alert = f"the window of the file has no width: {stored.said_by} instead"
        return replace(stored, alerts=(*stored.alerts, alert)), limits
    window = center - width / 2, center + width / 2
    return replace(stored, range=window, said_by=said_by), limits


def _inverted(stored: Stored, limits: Limits) -> Stored:
    """Return values so that larger ones are brighter, with the same limits."""
    ends = sum(limits)
    whole = stored.values.dtype.kind in "iu"
    values = stored.values.astype(np.int64 if whole else np.float64)
    said = (*stored.conversions, f"inverted: {_DARK_IS_HIGH}")
    black, white = stored.range or limits
    inverted = ((int(ends) if whole else ends) - values).astype(stored.values.dtype)
    return replace(stored, values=inverted, range=(ends - white, ends - black), conversions=said)
