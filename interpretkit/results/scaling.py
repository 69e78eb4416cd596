"""Stored values, scaled to 0 … 1 between black and white."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from interpretkit.errors import InputError
from interpretkit.words import number, percent

if TYPE_CHECKING:
    from interpretkit.results.stored import Stored

_DEPTHS = (8, 10, 12, 14, 16, 32)
"""The bits that integers without a known range are taken to use: the least of these that hold the greatest."""

_BYTE = 255
_LEAST_USED = 1 / 16
_MOST_CLIPPED = 0.5
_STATE_IT = "state the range by `range:`"


def scaled(stored: Stored) -> Stored:
    r"""Return values as float32 from 0 (black) to 1 (white), with what was done and what is doubtful about it.

    \[ \operatorname{clip}\left(\frac{v - \text{black}}{\text{white} - \text{black}}, 0, 1\right) \]

    The range is the one that is known. Else integers that are not negative are scaled by the bits that they use, and
    floats within 0 … 1 or 0 … 255 by that range.

    Raises:
        InputError: If there is no range for such values, or they are not finite.

    Example:
        >>> from interpretkit.results.stored import Stored
        >>> found = scaled(Stored(values=np.uint16([[0, 4095]])))
        >>> found.values.tolist(), found.conversions
        ([[0.0, 1.0]], ('12 of 16 bits used: scaled from 0 … 4095',))
    """
    values = stored.values
    if not np.isfinite(values).all():
        raise InputError("holds NaN or infinite values", hint="replace them before")
    least, greatest = float(values.min()), float(values.max())
    black, white = limits = stored.range or _limits(values.dtype, least, greatest)
    if not np.isfinite(limits).all() or black == white:
        raise InputError(f"has no range from {number(black)} to {number(white)}", hint=_STATE_IT)
    shares = (values.astype(np.float64) - black) / (white - black)
    outside = float(((shares < 0) | (shares > 1)).mean())
    between = f"{number(black)} … {number(white)}"
    said, doubts = _said(stored, greatest, between)
    if outside:
        said = f"{said}; {percent(outside, '.2')} of the values lie outside and are clipped"
    shown = shares.clip(0.0, 1.0)
    if outside > _MOST_CLIPPED:
        doubts.append(f"more than half of the values lie outside of {between} and are clipped")
    elif shown.max() - shown.min() < _LEAST_USED:
        doubts.append(f"uses less than 1/16 of the range {between}: {_STATE_IT}")
    return replace(
        stored,
        values=shown.astype(np.float32),
        range=(0.0, 1.0),
        said_by="",
        conversions=(*stored.conversions, said),
        alerts=(*stored.alerts, *doubts),
    )


def _limits(dtype: np.dtype, least: float, greatest: float) -> tuple[float, float]:
    """Return black and white of values of which nobody says them."""
    if dtype.kind == "b":
        return 0.0, 1.0
    if dtype.kind in "iu" and least >= 0 and greatest < 2 ** _DEPTHS[-1]:
        return 0.0, 2.0 ** _bits(greatest) - 1
    if dtype.kind == "f" and least >= 0 and greatest <= _BYTE:
        return 0.0, 1.0 if greatest <= 1 else float(_BYTE)
    kind = "integers" if dtype.kind in "iu" else "floats"
    what = f"holds {kind} from {number(least)} to {number(greatest)}, and nothing says which are black and white"
    raise InputError(what, hint="say it, such as `range: [-1000, 400]`")


def _said(stored: Stored, greatest: float, between: str) -> tuple[str, list[str]]:
    """Return how the range was found, in words, and what is doubtful about that."""
    dtype = stored.values.dtype
    if stored.range is not None:
        by = f" ({stored.said_by})" if stored.said_by else ""
        return f"scaled from {between}{by}", []
    if dtype.kind in "iu":
        used, there = _bits(greatest), 8 * dtype.itemsize
        said = f"{used} of {there} bits used: scaled from {between}"
        return said, [f"{said}, which is a guess: {_STATE_IT}"] if used < there else []
    if greatest > 1:
        said = f"floats scaled from {between}"
        return said, [f"{said}, which is a guess: {_STATE_IT}"]
    return f"scaled from {between}", []


def _bits(greatest: float) -> int:
    return next(bits for bits in _DEPTHS if greatest < 2**bits)
