"""Results for the top classes of each image: the parts, one for each rank, as one result, and back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from interpretkit.results.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interpretkit.results.result import Result

COLUMN = "top"


def name(part: str, rank: int) -> str:
    """Return what a map, a table's part or a figure about the class of a rank is called.

    Example:
        >>> name("stage4", 2)
        'stage4 top 2'
    """
    return f"{part} {COLUMN} {rank}"


def joined(parts: Sequence[Result]) -> Result:
    """Return the results for the top classes, most probable first, as one: each map once for each rank.

    Tables go on one below the other, with a column `top` for the rank.
    """
    tables = {}
    for table in parts[0].tables:
        ranked = [each.tables[table] for each in parts]
        ranks = np.repeat(np.arange(1, len(parts) + 1), [len(each) for each in ranked])
        tables[table] = Table(Table.stacked(ranked).columns, **{COLUMN: ranks})
    return replace(
        parts[0],
        maps={name(key, rank): each for rank, part in enumerate(parts, 1) for key, each in part.maps.items()},
        arrays={name(key, rank): each for rank, part in enumerate(parts, 1) for key, each in part.arrays.items()},
        tables=tables,
        targets=tuple(target for targets in zip(*(part.targets for part in parts), strict=True) for target in targets),
    )


def split(result: Result) -> list[Result]:
    """Return the parts of a per-image result, one for each rank; the result itself where there is one target."""
    count = len(result.targets) // max(len(result.images), 1)
    return [result] if count <= 1 else [_part(result, rank, count) for rank in range(1, count + 1)]


def _part(result: Result, rank: int, count: int) -> Result:
    ending = name("", rank)
    tables = {}
    for key, table in result.tables.items():
        rows = table.where(COLUMN, rank)
        tables[key] = Table({column: values for column, values in rows.columns.items() if column != COLUMN})
    return replace(
        result,
        maps={key.removesuffix(ending): result.maps[key] for key in result.maps if key.endswith(ending)},
        arrays={key.removesuffix(ending): result.arrays[key] for key in result.arrays if key.endswith(ending)},
        tables=tables,
        targets=result.targets[rank - 1 :: count],
    )
