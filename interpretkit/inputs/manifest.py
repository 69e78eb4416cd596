"""Manifests: tables that list images with their labels and masks, as spreadsheets and data frames write them."""

from __future__ import annotations

import csv
import difflib
import importlib
import io
import posixpath
import re
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from interpretkit import words
from interpretkit.errors import InputError, PluginError, cause, nearest
from interpretkit.inputs.files import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from interpretkit.recipe.entries import Columns

TEXTS = (".csv", ".tsv")
ARROWS = (".parquet", ".feather", ".arrow")
MANIFESTS = (*TEXTS, *ARROWS)
"""The endings of files that are manifests."""

_DELIMITERS = {".csv": ",;\t", ".tsv": "\t,;"}
_UTF16 = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_SEPARATOR = re.compile(r"sep=(.)\r?\n")
"""A first line by which Excel tells itself what stands between cells."""

_FRACTION = re.compile(r"[+-]?[0-9]+[.,][0-9]*")
_LISTED = 10
_LIKELY = re.compile("path|file|image|img", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of a manifest.

    Attributes:
        where: Its place.
        path: The path of an image, as written.
        label: Its label; may be empty.
        mask: The path of its mask, as written; may be empty.
        columns: What stands in the other columns, by their names.
    """

    where: str
    path: str
    label: str = ""
    mask: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)


def read_manifest(path: Path, name: str, columns: Columns) -> Iterator[Row | InputError]:
    """Yield the rows of a manifest, and an error in the place of one that cannot be understood.

    Args:
        path: The file.
        name: What it is called in errors.
        columns: What its columns are called.

    Raises:
        InputError: If it is no such table, or lacks a column.
        PluginError: If it takes pyarrow to read it, and that is not installed.
    """
    if path.suffix.lower() in ARROWS:
        return _arrow_rows(path, name, columns)
    return _text_rows(path, name, columns)


def doubts(rows: Sequence[Row], name: str) -> Iterator[str]:
    """Say what of a manifest is probably not meant so."""
    places: dict[str, list[str]] = {}
    for row in rows:
        places.setdefault(posixpath.normpath(row.path), []).append(row.where.removeprefix(name).lstrip(":, "))
    repeated = {path: found for path, found in places.items() if len(found) > 1}
    for path, found in islice(repeated.items(), 1):
        others = f", and {words.count(len(repeated) - 1, 'other')}" if len(repeated) > 1 else ""
        yield f"{name}: {printable(path)} is listed more than once ({words.listed(found, most=3)}){others}"
    fractions = [row.label for row in rows if _FRACTION.fullmatch(row.label)]
    if fractions:
        count = words.count(len(fractions), "label")
        yield f"{name}: {count} such as {fractions[0]!r}: that is no index of a class, but a name"


def _text_rows(path: Path, name: str, columns: Columns) -> Iterator[Row | InputError]:
    text = _decoded(path.read_bytes(), name)
    skipped = 0
    delimiter = ""
    if separator := _SEPARATOR.match(text):
        delimiter, text, skipped = separator[1], text[separator.end() :], 1
    delimiter = delimiter or _delimiter(text, columns, _DELIMITERS[path.suffix.lower()])
    reader = _reader(text, delimiter)
    try:
        header = [column.strip() for column in next(reader, [])]
        which = _which(header, columns, f"{name}:{skipped + 1}")
        for cells in reader:
            if any(map(str.strip, cells)):
                yield _row(cells, header, which, f"{name}:{reader.line_num + skipped}")
    except csv.Error as error:
        hint = f'a cell with {delimiter!r} or a quote in it stands between quotes, "like ""this"""'
        raise InputError(f"is not CSV: {error}", where=f"{name}:{reader.line_num + skipped}", hint=hint) from error


def _decoded(data: bytes, name: str) -> str:
    encoding = _UTF16.get(data[:2], "utf-8")
    if encoding == "utf-8" and b"\0" in data[:2]:
        hint = "save it as CSV in UTF-8"
        raise InputError("is UTF-16 without a byte order mark", where=name, hint=hint)
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data[: error.start].decode(encoding, "ignore").count("\n") + 1
        what = f"is not {encoding[:6].upper()} text"
        raise InputError(what, where=f"{name}:{line}", hint="save it as CSV in UTF-8") from error


def _reader(text: str, delimiter: str) -> Any:
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True)


def _delimiter(text: str, columns: Columns, candidates: str) -> str:
    """Return what stands between the cells: the first by which the column of paths stands by itself in the header.

    No cell of a row is looked at, since paths may hold any of them.
    """
    most = {}
    for delimiter in candidates:
        try:
            header = [column.strip() for column in next(_reader(text, delimiter), [])]
        except csv.Error:
            continue
        if columns.path in header:
            return delimiter
        most[delimiter] = len(header)
    return max(most, key=lambda delimiter: most[delimiter], default=candidates[0])


def _which(header: Sequence[str], columns: Columns, where: str) -> dict[str, str]:
    """Return the columns that are there of `path`, `label` and `mask`, by what the manifest calls them.

    Raises:
        InputError: If one is missing or there twice, or if another is a misspelt `label` or `mask`: what is not read,
            nobody would notice.
    """
    called = {"path": columns.path, "label": columns.label or "label", "mask": columns.mask or "mask"}
    wanted = [name for name in (columns.path, columns.label, columns.mask) if name]
    if any(header.count(name) > 1 for name in called.values()) or not {*wanted} <= {*header}:
        lacking = [name for name in wanted if name not in header]
        raise _no_columns(header, called, lacking, where)
    found = {part: name for part, name in called.items() if name in header}
    for part in {"label", "mask"} - {*found}:
        for column in header:
            if column not in found.values() and difflib.get_close_matches(part, [column.casefold()], cutoff=0.8):
                hint = f"write {part!r}, rename it, or say columns: {{{part}: {column}}}"
                raise InputError(f"column {column!r} is not read", where=where, hint=hint)
    return found


def _no_columns(header: Sequence[str], called: dict[str, str], lacking: Sequence[str], where: str) -> InputError:
    path, label, mask = called.values()
    what = f"a manifest has one column {path!r}, at most one {label!r} and at most one {mask!r}"
    named = [column for column in header if column]
    if not lacking or not named:
        return InputError(what, where=where, hint="the first line names the columns: path, or path,label,mask")
    if lacking != [path]:
        what = f"there is no column {lacking[-1]!r}"
    missing = lacking[0]
    part = next(part for part, name in called.items() if name == missing)
    likely = [*nearest(missing, named), *filter(_LIKELY.search, named if part == "path" else []), *named]
    hint = f"there are {words.listed(named, most=_LISTED)}; say columns: {{{part}: {likely[0]}}}"
    return InputError(what, where=where, hint=hint)


def _row(cells: Sequence[str], header: Sequence[str], which: dict[str, str], where: str) -> Row | InputError:
    """Return a row. Spreadsheets leave out empty cells at its end, or add some."""
    if any(map(str.strip, cells[len(header) :])):
        what = f"{len(cells)} cells, but the first line names {len(header)} columns"
        return InputError(what, where=where, hint="put a cell that holds a comma between quotes")
    by_column = dict(zip(header, cells, strict=False))
    parts = {part: by_column.get(column, "").strip() for part, column in which.items()}
    # Blanks around a path may be part of it.
    parts["path"] = by_column.get(which["path"], "")
    others = {name: by_column.get(name, "").strip() for name in header if name and name not in which.values()}
    return _with_path(Row(where=where, **parts, columns=others))


def _with_path(row: Row) -> Row | InputError:
    if row.path:
        return row
    return InputError("the path is empty", where=row.where, hint="name an image, or take the line away")


def _arrow_rows(path: Path, name: str, columns: Columns) -> Iterator[Row | InputError]:
    try:
        table = _arrow_table(path)
    except ImportError as error:
        hint = "pip install 'interpretkit[parquet]', or save it as CSV"
        raise PluginError(f"{path.suffix} needs pyarrow", where=name, hint=hint) from error
    except Exception as error:
        raise InputError(f"cannot be read: {cause(error)}", where=name, hint="save it as CSV") from error
    which = _which(table.column_names, columns, name)
    values = {part: table.column(column).to_pylist() for part, column in which.items()}
    other = {column: table.column(column).to_pylist() for column in table.column_names if column not in which.values()}
    for number, cells in enumerate(zip(*values.values(), strict=True), start=1):
        where = f"{name}, row {number}"
        others = {column: _as_word(cells_of[number - 1]) for column, cells_of in other.items()}
        try:
            parts = dict(zip(values, map(_as_text, values, cells), strict=True))
            yield _with_path(Row(where=where, **parts, columns=others))
        except InputError as error:
            yield error.at(where)


def _arrow_table(path: Path) -> Any:
    if path.suffix.lower() == ".parquet":
        return importlib.import_module("pyarrow.parquet").read_table(path)
    arrow = importlib.import_module("pyarrow")
    with arrow.memory_map(str(path)) as source:
        try:
            return arrow.ipc.open_file(source).read_all()
        except arrow.ArrowInvalid:
            source.seek(0)
            return arrow.ipc.open_stream(source).read_all()


def _as_word(cell: Any) -> str:
    """Return a cell of another column as a CSV file would have it; empty where it is no text and no number."""
    return str(cell).strip() if isinstance(cell, str | bool | int | float) else ""


def _as_text(part: str, cell: Any) -> str:
    """Return a cell as a CSV file would have it.

    Raises:
        InputError: If it is neither text nor, for a label, a number.
    """
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell if part == "path" else cell.strip()
    if part == "label" and isinstance(cell, bool | int | float):
        return str(cell)
    raise InputError(f"the {part} is no text but a {type(cell).__name__}", hint="store paths")
