r"""Histograms of every channel in a few bins of one width, which merge exactly: for quantiles that a chart can show.

The width of a channel's bins is a power of two $w$, and bin $i$ holds the values from $iw$ to $(i + 1)w$. It depends on
the least and the greatest value alone: with it all values lie in at most 128 bins, and it is at most 1/63 of their
range. Two bins of one width make up one of twice the width, so it does not matter how the values are grouped.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BINS = 128
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
NAMES = tuple(f"p{100 * level:g}" for level in LEVELS)

_DIGITS = 52  # of a float64: bins are not finer than what the greatest magnitude can tell
_FINEST = -1074  # the exponent of the least float64, for channels that have one value
_LONGEST_SHIFT = 63  # bits of an index, after which there is only its sign


@dataclass(frozen=True, slots=True)
class EvenBins:
    """Histograms of the channels of a layer.

    Attributes:
        low: Least value of each channel, `(channel,)`; infinite where it has none.
        high: Greatest value.
        counts: How many values lie in each bin, the first one being that of the least value, `(channel, bin)`.
    """

    low: np.ndarray
    high: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> EvenBins:
        """Count the finite of `values` `(channel, position)`, float64.

        Example:
            >>> EvenBins.of(np.array([[0.0, 1.0, 124.0]])).counts.nonzero()[1].tolist()
            [0, 1, 124]
        """
        finite = np.isfinite(values)
        low = np.where(finite, values, np.inf).min(1, initial=np.inf)
        high = np.where(finite, values, -np.inf).max(1, initial=-np.inf)
        exponents, firsts = _bins(low, high)
        # What is not finite counts nothing, wherever it is put.
        known = np.where(finite, values, _known(low)[:, None])
        indices = _indices(known, exponents[:, None])
        return cls(low, high, _counted(indices - firsts[:, None], finite))

    def merged(self, other: EvenBins) -> EvenBins:
        """Return the histograms of two parts of the values together."""
        low, high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        exponents, firsts = _bins(low, high)
        counts = np.zeros_like(self.counts)
        for part in (self, other):
            own_exponents, own_firsts = _bins(part.low, part.high)
            wider = (exponents - own_exponents).clip(0, _LONGEST_SHIFT)
            indices = (own_firsts[:, None] + np.arange(BINS)) >> wider[:, None]
            counts += _counted(indices - firsts[:, None], part.counts)
        return EvenBins(low, high, counts)

    def quantiles(self, zeros: np.ndarray) -> dict[str, np.ndarray]:
        r"""Return the values of rank $\lfloor q (n - 1) \rfloor$ of each channel, by name; NaN where it has none.

        Each is the middle of a bin as far as the values reach, or exactly 0 where it is one of the zeros.

        Args:
            zeros: How many values of each channel are 0, `(channel,)`.
        """
        exponents, firsts = _bins(self.low, self.high)
        reached = np.cumsum(self.counts, axis=1)
        count, channels = reached[:, -1], np.arange(len(reached))
        found = {}
        for name, level in zip(NAMES, LEVELS, strict=True):
            rank = np.floor(level * (count - 1)).astype(np.int64)
            place = (reached <= rank[:, None]).sum(1).clip(max=BINS - 1)
            index = firsts + place
            middle = np.ldexp(index + 0.5, exponents).clip(self.low, self.high)
            before = reached[channels, place] - self.counts[channels, place]
            # In the bin that begins with 0, zeros come first.
            is_zero = (index == 0) & (rank - before < zeros)
            found[name] = np.where(count == 0, np.nan, np.where(is_zero, 0.0, middle))
        return found


def _bins(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the exponent of each channel's width, and the index of its first bin.

    Channels of a smaller range within that of others never have wider bins: so what is merged only gets coarser.
    """
    low, high = _known(low), _known(high)
    # The quotients first: a difference could be too large for a float64.
    _, wide = np.frexp(high / (BINS - 2) - low / (BINS - 2))
    magnitude = np.maximum(np.abs(low), np.abs(high))
    _, fine = np.frexp(magnitude)
    exponents = np.maximum(np.where(high > low, wide, _FINEST), np.where(magnitude > 0, fine - _DIGITS, _FINEST))
    return exponents, _indices(low, exponents)


def _known(ends: np.ndarray) -> np.ndarray:
    """Return the least or greatest values, 0 where a channel has none."""
    return np.where(np.isfinite(ends), ends, 0.0)


def _indices(values: np.ndarray, exponents: np.ndarray) -> np.ndarray:
    whole: np.ndarray = np.floor(np.ldexp(values, -exponents)).astype(np.int64)
    return whole


def _counted(places: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return how much weight there is in each bin `(channel, bin)`; places `(channel, …)` count from the first bin."""
    starts = np.arange(len(places))[:, None] * BINS
    present = weights > 0
    flat = (starts + places)[present]
    counts = np.bincount(flat, weights[present], minlength=len(places) * BINS)
    return counts.astype(np.int64).reshape(-1, BINS)
