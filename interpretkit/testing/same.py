"""Results that are to be the same."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from interpretkit.digests import array_digest
from interpretkit.testing.named import require

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interpretkit.results.result import Result


def copied(result: Result) -> Result:
    """Return a result whose arrays are copies."""
    return replace(
        result,
        maps={name: replace(each, values=each.values.copy()) for name, each in result.maps.items()},
        arrays={name: replace(each, values=each.values.copy()) for name, each in result.arrays.items()},
    )


def require_same(first: Sequence[Result], second: Sequence[Result], message: str, *, tolerance: float) -> None:
    """Raise AssertionError, with a message and the part that differs, unless results are the same up to a tolerance."""
    for one, other in zip(first, second, strict=True):
        require(one.maps.keys() == other.maps.keys(), f"{message}: other maps")
        for name, each in one.maps.items():
            _check_close(each.values, other.maps[name].values, f"{message}: map {name!r}", tolerance)
            for fact in ("dims", "layer", "extent", "polarity"):
                same = getattr(each, fact) == getattr(other.maps[name], fact)
                require(same, f"{message}: {fact} of map {name!r}")
        require(one.arrays.keys() == other.arrays.keys(), f"{message}: other arrays")
        for name, array in one.arrays.items():
            _check_close(array.values, other.arrays[name].values, f"{message}: array {name!r}", tolerance)
            require(array.dims == other.arrays[name].dims, f"{message}: dims of array {name!r}")
        require(one.tables.keys() == other.tables.keys(), f"{message}: other tables")
        for name, table in one.tables.items():
            for column, values in table.columns.items():
                where = f"{message}: table {name!r}, column {column!r}"
                _check_close(values, other.tables[name][column], where, tolerance)


def _check_close(first: np.ndarray, second: np.ndarray, message: str, tolerance: float) -> None:
    require(first.shape == second.shape and first.dtype.kind == second.dtype.kind, message)
    if tolerance and first.dtype.kind == "f":
        scale = float(np.abs(first[np.isfinite(first)]).max(initial=0.0))
        same = np.allclose(first, second, rtol=tolerance, atol=tolerance * scale, equal_nan=True)
    else:
        same = array_digest(first) == array_digest(second)
    require(same, message)
