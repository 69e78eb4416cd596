"""Tables in CSV files that read back exactly: text is quoted, numbers are written with all their digits."""

from __future__ import annotations

import csv
import hashlib
import io
from contextlib import contextmanager
from itertools import accumulate, chain, islice
from typing import TYPE_CHECKING, Any

import numpy as np

from interpretkit.digests import sha256_bytes
from interpretkit.errors import StepError, StorageError
from interpretkit.results.table import Table
from interpretkit.runs.files import append, existing, storage_errors, write_new
from interpretkit.runs.records import TableRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import BinaryIO

_TEXT = "str"
# The csv module reads no longer cells, unless a limit is changed for the whole process.
_LONGEST_TEXT = 131_072
_LARGEST = {"b": 1, "i": 8, "u": 8, "f": 8, "U": 4 * _LONGEST_TEXT}
"""Bytes of one value, by kind of dtype."""


class GrowingTable:
    """A table of a run that grows batch by batch.

    Args:
        name: Its name.
        file: Its path in the run.
    """

    def __init__(self, name: str, file: str) -> None:
        self._name = name
        self._file = file
        self._columns: dict[str, str] = {}
        self._begun = False
        self._rows = 0
        self._bytes = 0
        self._digest = hashlib.sha256()

    def types_with(self, table: Table) -> dict[str, str]:
        """Return the dtypes of the columns once the rows of `table` are added.

        Raises:
            StepError: If they cannot be added.
        """
        types = column_types(self._name, table)
        if not self._begun:
            return types
        if list(types) != list(self._columns):
            raise StepError(f"table {self._name!r}: columns {list(types)} follow on {list(self._columns)}")
        # The dtype of a list without items says nothing.
        if not len(table) or not self._rows:
            return types if len(table) else self._columns
        return joined_types(self._name, self._columns, types)

    def add(self, root: Path, table: Table) -> None:
        """Write the rows of `table` to the run in `root`, under a header if they are the first.

        Raises:
            StepError: If they cannot be added.
            StorageError: If they cannot be written; then the file is as it was.
        """
        types = self.types_with(table)
        data = encode_rows(table.rows() if self._begun else chain([types], table.rows()))
        (append if self._begun else write_new)(root, self._file, data)
        self._columns, self._begun = types, True
        self._rows += len(table)
        self._bytes += len(data)
        self._digest.update(data)

    def record(self) -> TableRecord:
        """Return its record, as it is now."""
        return TableRecord(
            file=self._file,
            name=self._name,
            rows=self._rows,
            columns=dict(self._columns),
            bytes=self._bytes,
            sha256=self._digest.hexdigest(),
        )


def column_types(name: str, table: Table) -> dict[str, str]:
    """Return the dtype of each column of the table `name`: `str`, `bool`, or a number's, as `float64`.

    Raises:
        StepError: If a column holds something else.

    Example:
        >>> column_types("channels", Table(layer=["stage1"], mean=[0.5], dead=[False]))
        {'layer': 'str', 'mean': 'float64', 'dead': 'bool'}
    """
    types = {}
    for column, values in table.columns.items():
        dtype = values.dtype
        if dtype.itemsize > _LARGEST.get(dtype.kind, -1):
            raise StepError(
                f"table {name!r}, column {column!r}: dtype {dtype} cannot be stored",
                hint="a column holds text, integers, floats or booleans",
            )
        types[column] = _TEXT if dtype.kind == "U" else dtype.name
    return types


def joined_types(name: str, first: Mapping[str, str], second: Mapping[str, str]) -> dict[str, str]:
    """Return the dtypes of equally named columns whose rows come from two batches.

    Raises:
        StepError: If a column holds text or booleans in one batch, and something else in the other.

    Example:
        >>> joined_types("channels", {"largest": "int64"}, {"largest": "float64"})
        {'largest': 'float64'}
    """
    types = {}
    for column, one in first.items():
        other = second[column]
        if one != other and {one, other} & {_TEXT, "bool"}:
            raise StepError(f"table {name!r}, column {column!r}: {other} in one batch and {one} in another")
        types[column] = one if one == other else np.result_type(one, other).name
    return types


def encode_rows(rows: Iterable[Iterable[Any]]) -> bytes:
    """Return rows of plain values as lines of a CSV file."""
    text = io.StringIO(newline="")
    # Quoting all text, for the csv module leaves a lone carriage return unquoted and then reads two rows.
    csv.writer(text, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8", "backslashreplace")


def read_table(run: Path, record: TableRecord) -> Table:
    """Return the table that a record is about.

    Raises:
        StorageError: If its file is missing, or is not the one that was stored.
    """
    data = _stored(run, record)
    with _as_recorded(run, record):
        header, *rows = csv.reader(io.StringIO(data.decode(), newline=""))
        return _table(header, rows, record.columns)


def read_rows(run: Path, record: TableRecord, count: int) -> list[list[str]]:
    """Return the header and the first `count` rows of a table's file as they stand there, the rest being left unread.

    Raises:
        StorageError: If there is no such file, or it is no table.
    """
    path = existing(run, record.file)
    with storage_errors("read", path), _as_recorded(run, record):
        with path.open(encoding="utf-8", newline="") as lines:
            header, *rows = islice(csv.reader(lines), count + 1)
        return [header, *rows]


class RowsByImage:
    """A table of a run, of which the rows about one image are read without the others.

    The file is compared with the manifest when the first image is looked at, and again if it was changed since.

    Args:
        run: The run directory.
        record: The table.
    """

    def __init__(self, run: Path, record: TableRecord) -> None:
        self._run = run
        self._record = record
        self._seen: tuple[int, int] | None = None
        self._header: list[str] = []
        self._places: dict[str, list[tuple[int, int]]] = {}

    def of(self, image: str) -> Table:
        """Return the rows about an image.

        Raises:
            StorageError: If the file is missing, or is not the one that was stored.
        """
        path = existing(self._run, self._record.file)
        with storage_errors("read", path):
            status = path.stat()
            if self._seen != (status.st_mtime_ns, status.st_size):
                self._look_through()
                self._seen = (status.st_mtime_ns, status.st_size)
            with path.open("rb") as file:
                data = b"".join(_part(file, *place) for place in self._places.get(image, ()))
        with _as_recorded(self._run, self._record):
            rows = csv.reader(io.StringIO(data.decode(), newline=""))
            return _table(self._header, rows, self._record.columns)

    def _look_through(self) -> None:
        """Note where in the file the rows of each image lie."""
        data = _stored(self._run, self._record)
        with _as_recorded(self._run, self._record):
            self._note_places(data.splitlines(keepends=True))

    def _note_places(self, lines: Sequence[bytes]) -> None:
        rows = csv.reader(line.decode() for line in lines)
        ends = [0, *accumulate(map(len, lines))]
        self._header, self._places = next(rows), {}
        column, start = self._header.index("image"), ends[rows.line_num]
        for row in rows:
            places = self._places.setdefault(row[column], [])
            if places and places[-1][1] == start:
                start, _ = places.pop()
            places.append((start, ends[rows.line_num]))
            start = ends[rows.line_num]


@contextmanager
def _as_recorded(run: Path, record: TableRecord) -> Iterator[None]:
    """Say of a file that does not fit its record that it does not."""
    try:
        yield
    except (LookupError, ValueError, TypeError, OverflowError, csv.Error) as error:
        message = f"{record.file} is not the table that the manifest describes"
        raise StorageError(message, where=str(run), hint="`interpretkit verify` says more") from error


def _stored(run: Path, record: TableRecord) -> bytes:
    """Return the content of a table's file, if it is the one that was stored."""
    file = record.file
    path = existing(run, file)
    with storage_errors("read", path):
        data = path.read_bytes()
    if sha256_bytes(data) != record.sha256:
        raise StorageError(f"{file} differs from the manifest", where=str(run), hint="`interpretkit verify` says more")
    return data


def _part(file: BinaryIO, start: int, end: int) -> bytes:
    file.seek(start)
    return file.read(end - start)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], types: Mapping[str, str]) -> Table:
    cells: list[tuple[str, ...]] = list(zip(*rows, strict=True)) or [()] * len(header)
    return Table({name: _column(types[name], cells[index]) for index, name in enumerate(header)})


def _column(dtype: str, cells: tuple[str, ...]) -> np.ndarray:
    if dtype == _TEXT:
        return np.array(cells, dtype=np.str_)
    if dtype == "bool":
        return np.array([cell == "True" for cell in cells], dtype=np.bool_)
    # Integers by way of floats would lose digits above 2**53.
    convert = float if np.dtype(dtype).kind == "f" else int
    return np.array([convert(cell) for cell in cells], dtype=dtype)
