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
        arrays = {}
        for name, values in {**(columns or {}), **more}.items():
            arrays[name] = np.asarray(values)
        if not all(isinstance(name, str) for name in arrays):
            names = ", ".join(map(repr, arrays))
            raise ValueError(f"the columns of a table have names, not {names}")
        shapes = {array.shape for array in arrays.values()}
        if len(shapes) > 1 or any(len(shape) != 1 for shape in shapes):
            described = [f"{name} {array.shape}" for name, array in arrays.items()]
            raise ValueError(f"the columns of a table are equally long lists, not {', '.join(described)}")
        object.__setattr__(self, "columns", arrays)

    @classmethod
    def of_rows(cls, rows: Sequence[Mapping[str, Any]]) -> Table:
        """Return a table of rows, at least one; each row holds its values by column.

        Example:
            >>> Table.of_rows([{"channel": 0, "mean": 0.5}, {"channel": 1, "mean": 0.25}])["mean"].tolist()
            [0.5, 0.25]
        """
        columns = {}
        for column in rows[0]:
            columns[column] = [row[column] for row in rows]
        return cls(columns)

    @classmethod
    def stacked(cls, tables: Sequence[Table]) -> Table:
        """Return one table with the rows of several, at least one, that have the same columns.

        Example:
            >>> Table.stacked([Table(channel=[0]), Table(channel=[1, 2])])["channel"].tolist()
            [0, 1, 2]
        """
        columns = {}
        for column in tables[0]:
            parts = [table[column] for table in tables]
            columns[column] = np.concatenate(parts)
        return cls(columns)

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
        rows = words.count(len(self), "row")
        names = ", ".join(self.columns)
        return f"Table({rows}: {names})"

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
        columns = iter(self.columns.values())
        return len(next(columns, ()))

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Yield the rows as tuples of plain Python values, in the order of the columns."""
        columns = [column.tolist() for column in self.columns.values()]
        return zip(*columns, strict=True)

    def where(self, column: str, *values: Any) -> Table:
        """Return the rows whose `column` equals one of the values."""
        chosen = np.isin(self.columns[column], values)
        return Table({name: array[chosen] for name, array in self.columns.items()})
