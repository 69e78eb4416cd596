r"""Histograms of any values in bins that are fixed once and for all, so that they merge exactly by adding counts.

A bin holds the numbers that share sign, power of two and the first six binary digits after the leading one: 64 bins of
equal width in each octave. With a lower edge $a$ it is $a/64$ wide at most, so that its middle is off by at most 1/128
of any value in it. Finding the bin is a shift of the number's bits: no logarithm whose last digit depends on the
machine. Numbers below $10^{-308}$ are not told from zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from interpretkit import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DIGITS = 6
ERROR = 2.0 ** -(DIGITS + 1)
"""A quantile is off by at most this part of its own magnitude."""

LEVELS = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
NAMES = tuple(f"p{100 * level:g}" for level in LEVELS)

_SHIFT = 52 - DIGITS
_MAGNITUDE = np.int64(2**63 - 1)


def bins_of(values: np.ndarray) -> np.ndarray:
    """Return the bin of each finite value, an integer: 0 for zero, and the greater, the greater the value.

    Example:
        >>> first, second, third = bins_of(np.array([1.0, 1.01, -1.0])).tolist()
        >>> first == second, first == -third
        (True, True)
    """
    bits = np.ascontiguousarray(values, np.float64).view(np.int64)
    magnitude = (bits & _MAGNITUDE) >> _SHIFT
    return np.where(bits < 0, -magnitude, magnitude)


def edges_of(bins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the greatest magnitude of each bin with its sign, the lower end first.

    Example:
        >>> [edge.tolist() for edge in edges_of(bins_of(np.array([-3.0, 0.0, 1.0])))]
        [[-3.03125, 0.0, 1.0], [-3.0, 0.0, 1.015625]]
    """
    magnitude = np.abs(bins)
    inner = (magnitude << _SHIFT).view(np.float64)
    beyond = ((magnitude + 1) << _SHIFT).view(np.float64)
    outer = np.where(bins == 0, 0.0, beyond)
    negative = bins < 0
    return np.where(negative, -outer, inner), np.where(negative, -inner, outer)


def histogram(layer: str, values: np.ndarray, *, by_channel: bool) -> Table:
    """Return the counts of the finite `values` `(channel, position)` in bins, of the layer or of each channel."""
    rows = values if by_channel else values.reshape(1, -1)
    channels, bins, counts = [], [], []
    for channel, row in enumerate(rows):
        occupied = bins_of(row[np.isfinite(row)])
        if occupied.size == 0:
            continue
        least = int(occupied.min())
        amounts = np.bincount(occupied - least)
        present = np.flatnonzero(amounts)
        channels.append(np.full(len(present), channel))
        bins.append(present + least)
        counts.append(amounts[present])
    empty = np.empty(0, np.int64)
    return _table(
        np.full(sum(map(len, bins)), layer),
        np.concatenate(channels or [empty]) if by_channel else None,
        np.concatenate(bins or [empty]),
        np.concatenate(counts or [empty]),
    )


def joined(tables: Sequence[Table], layers: Sequence[str]) -> Table:
    """Return histograms added up, rows in the order of layers, channels and values."""
    columns = Table.stacked(tables).columns
    codes = {layer: code for code, layer in enumerate(layers)}
    places = [codes[layer] for layer in columns["layer"].tolist()]
    keys = [np.array(places, np.int64)]
    if "channel" in columns:
        keys.append(columns["channel"])
    keys.append(bins_of(_inner(columns)))
    order = np.lexsort(keys[::-1])
    new = np.zeros(len(order), np.bool_)
    new[:1] = True
    for key in keys:
        new[1:] |= np.diff(key[order]) != 0
    starts = np.flatnonzero(new)
    counts = np.add.reduceat(columns["count"][order], starts) if len(starts) else columns["count"]
    kept = {name: values[order][starts] for name, values in columns.items()}
    return Table({**kept, "count": counts})


def quantiles(counted: Table, *, least: float, greatest: float) -> dict[str, float]:
    r"""Return the values of rank $\lfloor q (n - 1) \rfloor$ among those that a histogram counts, for each of `LEVELS`.

    Each is off by at most 1/128 of itself, and lies between the least and the greatest value.

    Args:
        counted: Rows of one layer or channel in the order of their values.
        least: Least value.
        greatest: Greatest value.
    """
    reached = np.cumsum(counted["count"])
    if not len(reached) or reached[-1] == 0:
        return dict.fromkeys(NAMES, np.nan)
    last = reached[-1] - 1
    ranks = np.floor(np.array(LEVELS) * last).astype(np.int64)
    places = np.searchsorted(reached, ranks, side="right")
    middles = (counted["low"][places] + counted["high"][places]) / 2
    inside = np.clip(middles, least, greatest)
    return dict(zip(NAMES, inside.tolist(), strict=True))


def _inner(columns: Mapping[str, Any]) -> np.ndarray:
    """Return of each bin the edge nearer to zero, which lies in it."""
    inner: np.ndarray = np.where(columns["high"] <= 0, columns["high"], columns["low"])
    return inner


def _table(layers: np.ndarray, channels: np.ndarray | None, bins: np.ndarray, counts: np.ndarray) -> Table:
    low, high = edges_of(bins)
    about = {"layer": layers} if channels is None else {"layer": layers, "channel": channels}
    return Table({**about, "low": low, "high": high, "count": counts})
