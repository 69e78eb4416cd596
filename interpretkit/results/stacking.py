"""Results about different images put together into one about all of them."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from interpretkit import words
from interpretkit.errors import InputError
from interpretkit.results.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from interpretkit.results.axes import Array
    from interpretkit.results.map import Map
    from interpretkit.results.result import Result

Values = TypeVar("Values", "Array", "Map")


def stacked(parts: Sequence[Result]) -> Result:
    """Return results of one step as one about all images, in the order in which they come.

    Raises:
        InputError: If the images' maps or tables are not alike, so that they make no one array or table.
    """
    first = parts[0]
    maps = [part.maps for part in parts]
    arrays = [part.arrays for part in parts]
    return replace(
        first,
        maps={name: _stacked_array(name, maps) for name in first.maps},
        arrays={name: _stacked_array(name, arrays) for name in first.arrays},
        tables={name: _stacked_table(name, parts) for name in first.tables},
        images=tuple(chain.from_iterable(part.images for part in parts)),
        targets=tuple(chain.from_iterable(part.targets for part in parts)),
    )


def _stacked_array(name: str, parts: Sequence[Mapping[str, Values]]) -> Values:
    if not all(name in part for part in parts):
        raise InputError(f"only some images have a map {name!r}", hint="visualize them one by one")
    arrays = [part[name].values for part in parts]
    shapes = {array.shape[1:] for array in arrays}
    if len(shapes) > 1:
        sizes = sorted(map(words.shape, shapes))
        what = f"the maps {name!r} differ in size: {', '.join(sizes)}"
        raise InputError(what, hint="visualize images of one size at a time")
    first = parts[0][name]
    return replace(first, values=np.concatenate(arrays))


def _stacked_table(name: str, parts: Sequence[Result]) -> Table:
    if not all(name in part.tables for part in parts):
        raise InputError(f"only some images have a table {name!r}", hint="visualize them one by one")
    tables = [part.tables[name] for part in parts]
    return Table.stacked(tables)
