"""What the page holds of a run's files: pictures as a whole, tables in part, links to the rest."""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from interpretkit.errors import StorageError
from interpretkit.report.words import number
from interpretkit.runs.tables import read_rows

if TYPE_CHECKING:
    from interpretkit.runs.records import TableRecord
    from interpretkit.runs.run import Run

_PNG_HEAD = struct.Struct(">8s8xII")
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture to embed.

    Attributes:
        uri: The whole file as a `data:` URI.
        width: In pixels.
        height: In pixels.
    """

    uri: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The first rows of a table, as text fit to be shown.

    Attributes:
        columns: Names of the columns.
        numeric: For each column whether it holds numbers.
        rows: The cells, row by row.
    """

    columns: list[str]
    numeric: list[bool]
    rows: list[list[str]]


def href(run: Run, file: str) -> str:
    """Return a link to a file of the run, relative to the report; empty if it is missing."""
    return "" if run.size(file) is None else quote(file)


def picture(run: Run, file: str) -> Picture | None:
    """Return a PNG file of the run to embed; None if it is missing, unreadable or no PNG."""
    try:
        data = run.read(file)
    except StorageError:
        return None
    if len(data) < _PNG_HEAD.size or not data.startswith(_PNG_SIGNATURE):
        return None
    _, width, height = _PNG_HEAD.unpack_from(data)
    return Picture(f"data:image/png;base64,{base64.b64encode(data).decode()}", width, height)


def excerpt(run: Run, table: TableRecord, count: int) -> Excerpt | None:
    """Return the first `count` rows of a table, floats at 4 significant digits; None if it is missing or no table."""
    try:
        columns, *rows = read_rows(run.path, table, count)
    except StorageError:
        return None
    kinds = [table.columns.get(column, "").rstrip("0123456789") for column in columns]
    numeric = [kind in {"float", "int", "uint"} for kind in kinds]
    shown = [_shown(row, kinds) for row in rows]
    return Excerpt(columns, numeric, shown)


def _shown(row: list[str], kinds: list[str]) -> list[str]:
    return [_cell(text, kind) for text, kind in zip(row, kinds, strict=False)]


def _cell(text: str, kind: str) -> str:
    if kind != "float":
        return text
    try:
        return number(float(text))
    except ValueError:  # an empty cell stays empty
        return text
