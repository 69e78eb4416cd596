"""What a report reads of a run directory: pictures, tables, links; and nothing outside of it."""

from __future__ import annotations

import base64
import csv
import struct
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from interpretkit.report.words import number

if TYPE_CHECKING:
    from collections.abc import Mapping

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


class RunFiles:
    """The files of a run directory by the relative paths that its manifest names.

    A path that leads out of the directory, also by a symbolic link, counts as missing.

    Args:
        directory: The run directory.
    """

    def __init__(self, directory: Path) -> None:
        self._root = directory.resolve()

    def href(self, file: str) -> str:
        """Return a link to `file`, relative to the report; empty if the file is missing."""
        return quote(Path(file).as_posix()) if self._find(file) else ""

    def size(self, file: str) -> int:
        """Return the size of `file` in bytes; 0 if it is missing."""
        path = self._find(file)
        return path.stat().st_size if path else 0

    def picture(self, file: str) -> Picture | None:
        """Return a PNG file to embed; None if it is missing, unreadable or no PNG."""
        path = self._find(file)
        try:
            data = path.read_bytes() if path else b""
        except OSError:
            return None
        if len(data) < _PNG_HEAD.size or not data.startswith(_PNG_SIGNATURE):
            return None
        _, width, height = _PNG_HEAD.unpack_from(data)
        return Picture(f"data:image/png;base64,{base64.b64encode(data).decode()}", width, height)

    def excerpt(self, file: str, dtypes: Mapping[str, str], count: int) -> Excerpt | None:
        """Return the first `count` rows of a CSV file, floats at 4 significant digits; None if it is missing.

        Args:
            file: The file.
            dtypes: The numpy dtypes of its columns by name.
            count: How many rows.
        """
        path = self._find(file)
        if path is None:
            return None
        try:
            with path.open(encoding="utf-8", errors="replace", newline="") as lines:
                columns, *rows = islice(csv.reader(lines), count + 1)
        except (OSError, ValueError, csv.Error):
            return None
        kinds = [dtypes.get(column, "").rstrip("0123456789") for column in columns]
        numeric = [kind in {"float", "int", "uint"} for kind in kinds]
        shown = [[_cell(text, kind) for text, kind in zip(row, kinds, strict=False)] for row in rows]
        return Excerpt(columns, numeric, shown)

    def _find(self, file: str) -> Path | None:
        try:
            path = (self._root / file).resolve()
            return path if path.is_relative_to(self._root) and path.is_file() else None
        except (OSError, ValueError):  # a name that is too long, or holds a NUL
            return None


def _cell(text: str, kind: str) -> str:
    if kind != "float":
        return text
    try:
        return number(float(text))
    except ValueError:  # an empty cell stays empty
        return text
