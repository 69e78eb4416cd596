"""Columns of equal length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from interpretkit import words
from interpretkit.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import ItemsView, Iterator, KeysView, Mapping, Sequence


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Table:
    """Columns of equal length by name. A table of a per-image result has a column `image` of image ids.

    Example:
        >>> table = Table(channel=[0, 1], mean=[0.5, 0.25])
        >>> table["mean"].tolist(), len(table)
        ([0.5, 0.25], 2)
        >>> dict(table.where("channel", 1))
        {'channel': array([1]), 'mean': array([0.25])}
    """

    columns: Mapping[str, np.ndarray]

    def __init__(self, columns: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        arrays = {name: np.asarray(values) for name, values in {**(columns or {}), **more}.items()}
        if not all(isinstance(name, str) for name in arrays):
            raise ValueError(f"the columns of a table have names, not {', '.join(map(repr, arrays))}")
        if len({array.shape for array in arrays.values()}) > 1 or any(a.ndim != 1 for a in arrays.values()):
            shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
            raise ValueError(f"the columns of a table are equally long lists, not {shapes}")
        object.__setattr__(self, "columns", arrays)

    @classmethod
    def of_rows(cls, rows: Sequence[Mapping[str, Any]]) -> Table:
        """Return rows, at least one, each its values by column, as a table.

        Example:
            >>> Table.of_rows([{"channel": 0, "mean": 0.5}, {"channel": 1, "mean": 0.25}])["mean"].tolist()
            [0.5, 0.25]
        """
        return cls({column: [row[column] for row in rows] for column in rows[0]})

    @classmethod
    def stacked(cls, tables: Sequence[Table]) -> Table:
        """Return tables, at least one, of the same columns one below the other.

        Example:
            >>> Table.stacked([Table(channel=[0]), Table(channel=[1, 2])])["channel"].tolist()
            [0, 1, 2]
        """
        return cls({name: np.concatenate([table[name] for table in tables]) for name in tables[0].columns})

    def __getitem__(self, column: str) -> np.ndarray:
        return self.columns[column]

    def __iter__(self) -> Iterator[str]:
        """Yield the names of the columns, as a mapping does."""
        return iter(self.columns)

    def __contains__(self, column: object) -> bool:
        return column in self.columns

    def keys(self) -> KeysView[str]:
        """Return the names of the columns."""
        return self.columns.keys()

    def items(self) -> ItemsView[str, np.ndarray]:
        """Return names and values of the columns."""
        return self.columns.items()

    def __repr__(self) -> str:
        return f"Table({words.count(len(self), 'row')}: {', '.join(self.columns)})"

    def to_pandas(self) -> Any:
        """Return it as a pandas DataFrame; pandas must be installed.

        Raises:
            PluginError: If it is not.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise PluginError("a DataFrame needs the package pandas", hint="pip install pandas") from error
        return pd.DataFrame(dict(self.columns))

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(next(iter(self.columns.values()), ()))

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Yield the rows as tuples of plain Python values, in the order of the columns."""
        return zip(*(column.tolist() for column in self.columns.values()), strict=True)

    def where(self, column: str, *values: Any) -> Table:
        """Return the rows whose `column` equals one of the values."""
        chosen = np.isin(self.columns[column], values)
        return Table({name: array[chosen] for name, array in self.columns.items()})
