"""Tables put together of parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from interpretkit import Table

if TYPE_CHECKING:
    from collections.abc import Sequence


def stacked(tables: Sequence[Table]) -> Table:
    """Return tables of the same columns one below the other.

    Example:
        >>> stacked([Table(a=[1]), Table(a=[2, 3])])["a"].tolist()
        [1, 2, 3]
    """
    return Table({name: np.concatenate([table[name] for table in tables]) for name in tables[0].columns})
