"""Results for the top classes of each image: one result joined from a part for each rank, and split into parts."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from interpretkit.results.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from interpretkit.results.result import Result, Values

COLUMN = "top"


def name(part: str, rank: int) -> str:
    """Return the name of a map or of a figure about the class of a rank.

    Example:
        >>> name("stage4", 2)
        'stage4 top 2'
    """
    return f"{part} {COLUMN} {rank}"


def joined(parts: Sequence[Result]) -> Result:
    """Return the results for the top classes, most probable first, as one: each map once for each rank.

    Each table holds the rows of all ranks, those of the first rank first, with a column `top` for the rank.
    """
    maps = {}
    arrays = {}
    for rank, part in enumerate(parts, 1):
        maps.update(_renamed(part.maps, rank))
        arrays.update(_renamed(part.arrays, rank))
    tables = {}
    for key in parts[0].tables:
        tables[key] = _ranked([part.tables[key] for part in parts])
    ranked = [part.targets for part in parts]
    image_by_image = zip(*ranked, strict=True)
    targets = tuple(chain.from_iterable(image_by_image))
    return replace(parts[0], maps=maps, arrays=arrays, tables=tables, targets=targets)


def split(result: Result) -> list[Result]:
    """Return the parts of a per-image result, one for each rank; the result itself where there is one target."""
    images = max(len(result.images), 1)
    count = len(result.targets) // images
    if count <= 1:
        return [result]
    return [_part(result, rank, count) for rank in range(1, count + 1)]


def _part(result: Result, rank: int, count: int) -> Result:
    tables = {}
    for key, table in result.tables.items():
        columns = dict(table.where(COLUMN, rank))
        del columns[COLUMN]
        tables[key] = Table(columns)
    return replace(
        result,
        maps=_of_rank(result.maps, rank),
        arrays=_of_rank(result.arrays, rank),
        tables=tables,
        targets=result.targets[rank - 1 :: count],
    )


def _renamed(named: Mapping[str, Values], rank: int) -> dict[str, Values]:
    return {name(part, rank): values for part, values in named.items()}


def _of_rank(named: Mapping[str, Values], rank: int) -> dict[str, Values]:
    """Return what is about the class of a rank, by the names that the parts had."""
    ending = name("", rank)
    chosen = {}
    for key, values in named.items():
        if key.endswith(ending):
            chosen[key.removesuffix(ending)] = values
    return chosen


def _ranked(tables: Sequence[Table]) -> Table:
    """Return the tables of all ranks as one, with a column for the rank."""
    lengths = [len(table) for table in tables]
    ranks = np.repeat(np.arange(1, len(tables) + 1), lengths)
    stacked = Table.stacked(tables)
    return Table(stacked.columns, **{COLUMN: ranks})
