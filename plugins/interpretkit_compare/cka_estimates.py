"""Linear CKA of every two layers, biased and debiased, from the sums over all examples."""

from __future__ import annotations

from itertools import combinations_with_replacement, product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from interpretkit import Table
from interpretkit_compare import cka_sums

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interpretkit import Result

_FEWEST_DEBIASED = 4
# Debiased HSIC of a layer with itself, as a part of the biased, below which it is rounding.
_NO_STRUCTURE = 1e-12


class Hsic(NamedTuple):
    """HSIC of two layers, up to factors that cancel in CKA; NaN where it is not defined."""

    biased: float
    debiased: float


def pairs(rows: Sequence[str], columns: Sequence[str]) -> list[tuple[str, str]]:
    """Return the pairs of layers whose moments are needed: those of the matrix, and each layer with itself.

    Example:
        >>> pairs(["a", "b"], ["a", "b"])
        [('a', 'a'), ('a', 'b'), ('b', 'b')]
    """
    if rows == columns:
        return list(combinations_with_replacement(rows, 2))
    own = [(name, name) for name in (*rows, *columns)]
    return [*own, *product(rows, columns)]


def key(first: str, second: str) -> str:
    """Return what the moments of two layers are called among the arrays of a result."""
    return f"{first} × {second}"


def sides(result: Result) -> tuple[list[str], list[str]]:
    """Return the layers that are rows, and those that are columns."""
    rows, columns = result.tables["rows"], result.tables["columns"]
    return rows["layer"].tolist(), columns["layer"].tolist()


def count_of(result: Result) -> int:
    """Return the number of examples."""
    (first, *_), _ = sides(result)
    return int(result.arrays[key(first, first)].values[0, 0])


def table_of(result: Result) -> Table:
    """Return both estimates of every row with every column."""
    rows, columns = sides(result)
    count = count_of(result)
    own = {name: _hsic(result, name, name) for name in (*rows, *columns)}
    rows_of_table = []
    for row, column in product(rows, columns):
        biased, debiased = _ratios(_hsic(result, row, column), own[row], own[column])
        estimates = {
            "row": row,
            "column": column,
            "cka": biased,
            "debiased": debiased,
            "n": count,
            "row_channels": len(result.arrays[row].values),
            "column_channels": len(result.arrays[column].values),
        }
        rows_of_table.append(estimates)
    return Table.of_rows(rows_of_table)


def _hsic(result: Result, first: str, second: str) -> Hsic:
    name = key(first, second)
    if name not in result.arrays:
        name = key(second, first)
    sums = result.arrays[name].values
    if first == second and not cka_sums.varies(sums, result.arrays[first].values):
        return Hsic(np.nan, np.nan)
    enough = sums[0, 0] >= _FEWEST_DEBIASED
    return Hsic(cka_sums.hsic(sums), cka_sums.hsic_debiased(sums) if enough else np.nan)


def _ratios(both: Hsic, first: Hsic, second: Hsic) -> tuple[float, float]:
    """Return CKA, biased and debiased, of HSIC between two layers and of each with itself."""
    biased = both.biased / np.sqrt(first.biased * second.biased)
    # Where no two examples are nearer to each other than any other two, the debiased HSIC is rounding about 0.
    structure = min(first.debiased / first.biased, second.debiased / second.biased)
    if not structure > _NO_STRUCTURE:
        return float(biased), np.nan
    return float(biased), float(both.debiased / np.sqrt(first.debiased * second.debiased))
