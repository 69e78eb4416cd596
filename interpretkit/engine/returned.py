"""What plugins return: checked as soon as it is there, and closed to writing while others read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from interpretkit import words
from interpretkit.errors import StepError
from interpretkit.results.axes import Array
from interpretkit.results.map import Map
from interpretkit.results.result import Result
from interpretkit.results.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from interpretkit.results.result import Values


def check_result(result: object, origin: str) -> None:
    """Check that what a plugin returned from its method `origin` is a Result, of maps and tables by name.

    Raises:
        StepError: If it is not.
    """
    if not isinstance(result, Result):
        given = type(result).__name__
        raise StepError(f"{origin} returned a {given}, not a Result")
    _check_parts(result.maps, "maps", Map, origin)
    _check_parts(result.arrays, "arrays", Array, origin)
    _check_parts(result.tables, "tables", Table, origin)
    both = sorted(result.maps.keys() & result.arrays.keys())
    if both:
        what = f"{origin} returned a map and an array named {both[0]!r}"
        raise StepError(what, hint="give them different names")


def _check_parts(parts: object, noun: str, kind: type, origin: str) -> None:
    """Check that the maps, arrays or tables of a result are a mapping of their kind by name."""
    if not isinstance(parts, Mapping):
        given = type(parts).__name__
        raise StepError(f"{origin} returned {noun} in a {given}, not in a mapping")
    for name, part in parts.items():
        if not isinstance(name, str) or not isinstance(part, kind):
            given = f"a {type(part).__name__} under {name!r}"
            wanted = f"a {kind.__name__} under a name"
            raise StepError(f"{origin} returned among its {noun} {given}, not {wanted}")


def check_per_image(result: Result, images: Sequence[str]) -> None:
    """Check that maps, arrays and tables are about these images, by id.

    Raises:
        StepError: If they are not.
    """
    count = len(images)
    arrays = (*result.maps.items(), *result.arrays.items())
    for name, array in arrays:
        values = array.values
        if array.dims[:1] != ("image",) or len(values) != count:
            noun = "map" if isinstance(array, Map) else "array"
            shape = words.shape(values.shape)
            raise StepError(f"{noun} {name!r} has dims {array.dims} and shape {shape} for {count} images")
    for name, table in result.tables.items():
        if "image" not in table.columns:
            raise StepError(f"table {name!r} has no column 'image', so its rows belong to no image")
        rows_about = set(table["image"].tolist())
        strangers = rows_about.difference(images)
        if strangers:
            first = min(map(str, strangers))
            raise StepError(f"table {name!r} has rows about {first!r}, which is no image of this batch")


def read_only(result: Result) -> Result:
    """Return a view of a result that cannot be written into: it is stored only after other steps have read it."""
    tables = {}
    for name, table in result.tables.items():
        columns = {column: _locked(values) for column, values in table.items()}
        tables[name] = Table(columns)
    maps = _all_locked(result.maps)
    arrays = _all_locked(result.arrays)
    return replace(result, maps=maps, arrays=arrays, tables=tables)


def _all_locked(named: Mapping[str, Values]) -> dict[str, Values]:
    """Return maps or arrays, by name, whose values cannot be written into."""
    return {name: replace(part, values=_locked(part.values)) for name, part in named.items()}


def _locked(values: np.ndarray) -> np.ndarray:
    """Return a view of an array that cannot be written into."""
    view = values.view()
    view.flags.writeable = False
    return view
