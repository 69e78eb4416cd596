"""Tables put together of rows, and of parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from interpretkit import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def tabled(rows: Sequence[Mapping[str, object]]) -> Table:
    """Return rows, values by column, as a table.

    Example:
        >>> tabled([{"image": "a", "auc": 0.5}, {"image": "b", "auc": 0.25}])["auc"].tolist()
        [0.5, 0.25]
    """
    return Table({column: [row[column] for row in rows] for column in rows[0]})


def stacked(tables: Sequence[Table]) -> Table:
    """Return tables of the same columns one below the other.

    Example:
        >>> stacked([Table(a=[1]), Table(a=[2, 3])])["a"].tolist()
        [1, 2, 3]
    """
    return Table({name: np.concatenate([table[name] for table in tables]) for name in tables[0].columns})
