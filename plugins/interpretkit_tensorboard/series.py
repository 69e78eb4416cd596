"""What the tables of a run are in TensorBoard: a number over time, or a histogram over time, for each group of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interpretkit import Table

IMAGE = "image"
BINS = ("low", "high", "count")
"""Columns of a table that is a histogram already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """A histogram as TensorBoard stores it.

    Attributes:
        least: The least value.
        greatest: The greatest.
        limits: Upper ends of the buckets, rising.
        counts: How many values each holds.
        total: The sum of the values; of values known by their bins alone, that of the bins' middles.
        squares: The sum of their squares.
    """

    least: float
    greatest: float
    limits: list[float]
    counts: list[float]
    total: float
    squares: float


def groups_of(table: Table) -> Iterator[tuple[str, Table]]:
    """Yield the rows of a table that have the same words, with these words.

    The words are those of its text columns; images are not told apart, for there may be thousands.

    Example:
        >>> from interpretkit import Table
        >>> table = Table(image=["a", "b", "b"], layer=["conv", "conv", "fc"], mean=[1.0, 3.0, 5.0])
        >>> [(words, rows["mean"].tolist()) for words, rows in groups_of(table)]
        [('conv', [1.0, 3.0]), ('fc', [5.0])]
    """
    keys = [name for name, values in table.columns.items() if values.dtype.kind == "U" and name != IMAGE]
    rows: dict[tuple[str, ...], list[int]] = {}
    columns = [table[key].tolist() for key in keys]
    for row in range(len(table)):
        words = tuple(column[row] for column in columns)
        rows.setdefault(words, []).append(row)
    for words, chosen in rows.items():
        yield "/".join(words), _at(table, chosen)


def numbers_of(rows: Table) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the columns of numbers, finite ones in float64; not those that only count the rows.

    Example:
        >>> from interpretkit import Table
        >>> rows = Table(channel=[0, 1, 2], mean=[0.5, float("nan"), 1.5], dead=[True, False, False])
        >>> [(name, values.tolist()) for name, values in numbers_of(rows)]
        [('mean', [0.5, 1.5]), ('dead', [1.0, 0.0, 0.0])]
    """
    for name, values in rows.columns.items():
        if values.dtype.kind == "U" or _counts_rows(values):
            continue
        numbers = values.astype(np.float64)
        yield name, numbers[np.isfinite(numbers)]


def is_histogram(table: Table) -> bool:
    """Tell whether a table holds bins: `low`, `high` and how many values lie between, `count`."""
    return set(BINS) <= table.columns.keys()


def of_bins(rows: Table) -> Histogram:
    """Return bins that do not overlap as a histogram; what lies between two that do not touch is empty.

    Example:
        >>> from interpretkit import Table
        >>> found = of_bins(Table(low=[0.0, 3.0], high=[1.0, 4.0], count=[2, 5]))
        >>> found.limits, found.counts, found.total
        ([1.0, 3.0, 4.0], [2.0, 0.0, 5.0], 18.5)
    """
    low, high, count = (rows[name].astype(np.float64) for name in BINS)
    order = np.argsort(low, kind="stable")
    limits: list[float] = []
    counts: list[float] = []
    for start, end, amount in zip(low[order], high[order], count[order], strict=True):
        if limits and start > limits[-1]:
            limits.append(float(start))
            counts.append(0.0)
        limits.append(float(end))
        counts.append(float(amount))
    middles = (low + high) / 2
    return Histogram(
        least=float(low.min()),
        greatest=float(high.max()),
        limits=limits,
        counts=counts,
        total=float((middles * count).sum()),
        squares=float((middles**2 * count).sum()),
    )


def of_values(values: np.ndarray, *, bins: int = 30) -> Histogram:
    """Return the histogram of some values, in so many bins of equal width; in one if they are all but equal.

    Example:
        >>> of_values(np.array([0.0, 1.0, 4.0]), bins=2).counts
        [2.0, 1.0]
    """
    least, greatest = float(values.min()), float(values.max())
    # numpy refuses bins that are narrower than what a float can tell apart.
    narrow = (greatest - least) / bins <= 4 * float(np.spacing(max(abs(least), abs(greatest))))
    counts, edges = (np.array([len(values)]), np.array([least, greatest])) if narrow else np.histogram(values, bins)
    return Histogram(
        least=least,
        greatest=greatest,
        limits=edges[1:].tolist(),
        counts=counts.astype(np.float64).tolist(),
        total=float(values.sum()),
        squares=float((values**2).sum()),
    )


def _counts_rows(values: np.ndarray) -> bool:
    whole = values.dtype.kind in "iu" and len(values) > 1
    return whole and bool((np.diff(values.astype(np.int64)) == 1).all())


def _at(table: Table, rows: list[int]) -> Table:
    return type(table)({name: values[rows] for name, values in table.columns.items()})
