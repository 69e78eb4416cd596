"""Arrays as text: each channel in whole numbers on a scale of its own, compressed, in letters that HTML can hold."""

from __future__ import annotations

import base64
import zlib
from typing import Literal

import numpy as np

Bits = Literal[8, 16]

_LEVEL = 6


def block(values: np.ndarray, bits: Bits) -> str:
    """Return channels as base64 of a compressed block, from which a browser computes the values again.

    A value is `scale * (number - zero)`, with a scale and a zero for each channel, and 0 is 0 exactly. The greatest
    number of so many bits stands for a value that is not finite. All others are off by at most half a scale. The block
    holds, little-endian: the scales (float64, one for each channel), the zeros (the same), the numbers (uint8 or
    uint16, channel by channel, row by row).

    Args:
        values: `(channel, y, x)`, or `(channel, z, y, x)`.
        bits: Of each number.

    Example:
        >>> text = block(np.array([[[0.0, 0.5], [1.0, np.nan]]]), 8)
        >>> data = zlib.decompress(base64.b64decode(text))
        >>> scale, zero = np.frombuffer(data[:16], "<f8")
        >>> (scale * (np.frombuffer(data[16:], np.uint8) - zero)).round(2).tolist()
        [0.0, 0.5, 1.0, 1.0]
    """
    channels = len(values)
    rows = values.reshape(channels, -1).astype(np.float64)
    finite = np.isfinite(rows)
    steps = 2**bits - 2
    low = np.where(finite, rows, np.inf).min(1)
    high = np.where(finite, rows, -np.inf).max(1)
    known = finite.any(1)
    low, high = np.where(known, low, 0), np.where(known, high, 0)
    # Halved first: a range may be too great for a float64, and its half is not.
    scale = (high / 2 - low / 2) / steps * 2
    # A constant channel has one number, its value; of 0 that is 0.
    scale = np.where(scale > 0, scale, np.where(low == 0, 1, np.abs(low)))
    zero = -low / scale
    holds_zero = (low <= 0) & (high >= 0)
    zero = np.where(holds_zero, np.round(zero), zero)
    numbers = np.round(np.where(finite, rows, 0) / scale[:, None] + zero[:, None]).clip(0, steps)
    numbers = np.where(finite, numbers, steps + 1)
    kind = "<u1" if bits == 8 else "<u2"  # noqa: PLR2004 - bits of a byte
    data = scale.astype("<f8").tobytes() + zero.astype("<f8").tobytes() + numbers.astype(kind).tobytes()
    return base64.b64encode(zlib.compress(data, _LEVEL)).decode()
