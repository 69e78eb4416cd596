"""Find images and check their files without decoding them."""

from __future__ import annotations

import csv
import difflib
import glob
import io
import re
import stat
import unicodedata
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from interpretkit.digests import sha256_file
from interpretkit.errors import InputError, did_you_mean

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Sequence

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp")
"""Which files are taken of a folder, or of those that a glob matches; in small or capital letters."""

SAMPLES = {"grace_hopper": "grace_hopper.jpg", "present": "Minduka_Present_Blue_Pack.png"}
"""Images that come with matplotlib, for `sample:NAME`."""

_RELATIVE = "paths in a manifest are relative to its folder, others to the working directory"
_ID_LENGTH = 80
_DEVICE_NAMES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFile:
    """An image that was found, and is not yet decoded.

    Attributes:
        id: Unique within the run, whatever the case of its letters, and fit for a file name on every system.
        source: Where it came from, as given or as found; what cannot be printed is escaped.
        path: The file.
        label: Its label from the manifest: a class index or name.
        mask: The file of its mask from the manifest.
    """

    id: str
    source: str
    path: Path
    label: str | None = None
    mask: Path | None = None


def find_images(entries: Sequence[str], *, suffixes: Iterable[str] = ()) -> tuple[ImageFile, ...]:
    """Find the images that `entries` name, in their order, and check each file without decoding it.

    An entry is a file; a folder, for the images directly inside; a glob with `*`, `?`, `[` or `**`; a CSV manifest
    with a column `path` (relative to the manifest's folder) and, if there are any, `label` and `mask` (the path of an
    image that is non-zero where the object is); or `sample:grace_hopper`, `sample:present`. Of folders and globs, files
    with the extension of an image are taken, sorted, without hidden ones.

    Args:
        entries: What is named.
        suffixes: What further files of folders and globs are images, in lower case with the dot.

    Raises:
        InputError: If an entry names no image, or a file that is missing, empty, or no regular file.

    Example:
        >>> [image.id for image in find_images(["sample:grace_hopper"])]
        ['grace_hopper']
    """
    if not entries:
        raise InputError("no images are given", hint="name files, folders, globs, or sample:grace_hopper")
    endings = (*EXTENSIONS, *sorted({*suffixes} - {*EXTENSIONS}))
    return _with_unique_ids([file for entry in entries for file in _expand(entry, endings)])


def _expand(entry: str, endings: tuple[str, ...]) -> Sequence[ImageFile]:
    if entry.startswith("sample:"):
        return [_sample(entry)]
    if not entry:
        raise InputError("an empty name names no image", hint="'.' is this folder")
    path, where = Path(entry), printable(entry)
    status = _status(path, where)
    if status is not None and stat.S_ISDIR(status.st_mode):
        return _images_among(_inside(path, where), where, endings, otherwise="the folder holds no image")
    # A file whose name happens to look like a pattern is that file.
    if status is None and glob.has_magic(entry):
        matches = glob.iglob(entry, recursive=True)  # noqa: PTH207 - Path.glob means other things in each Python
        return _images_among(map(Path, matches), where, endings, otherwise="the pattern matches no image")
    _check_file(path, where)
    return _manifest(path) if path.suffix.lower() == ".csv" else [_image_file(path, where)]


def _images_among(paths: Iterable[Path], where: str, endings: tuple[str, ...], *, otherwise: str) -> list[ImageFile]:
    chosen = sorted(
        path
        for path in paths
        if path.name.lower().endswith(endings) and not path.name.startswith(".") and not path.is_dir()
    )
    if not chosen:
        raise InputError(otherwise, where=where, hint=f"images are {' '.join(endings)}")
    return [_image_file(path, printable(str(path))) for path in chosen]


def _sample(entry: str) -> ImageFile:
    import matplotlib as mpl

    name = entry.removeprefix("sample:")
    if name not in SAMPLES:
        hint = did_you_mean(name, SAMPLES, otherwise=f"samples are {', '.join(SAMPLES)}")
        raise InputError(f"there is no sample {name!r}", where=printable(entry), hint=hint)
    return _image_file(Path(mpl.get_data_path(), "sample_data", SAMPLES[name]), entry, source=entry)


def _manifest(path: Path) -> list[ImageFile]:
    name = printable(str(path))
    with _file_errors(name):
        data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError("is not UTF-8 text", where=f"{name}:{line}", hint="save it as CSV in UTF-8") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    try:
        columns = [column.strip() for column in next(reader, [])]
        if columns.count("path") != 1 or columns.count("label") > 1 or columns.count("mask") > 1:
            what = "a manifest has one column 'path', at most one 'label' and at most one 'mask'"
            hint = "the first line names the columns: path, or path,label,mask"
            raise InputError(what, where=f"{name}:1", hint=hint)
        _check_spelling(columns, f"{name}:1")
        files = [_listed(row, columns, path.parent, f"{name}:{reader.line_num}") for row in reader if row]
    except csv.Error as error:
        hint = 'a cell with a comma or a quote stands between quotes, "like ""this"""'
        raise InputError(f"is not CSV: {error}", where=f"{name}:{reader.line_num}", hint=hint) from error
    if not files:
        raise InputError("the manifest lists no image", where=name, hint="each line after the first names one")
    return files


def _check_spelling(columns: Sequence[str], where: str) -> None:
    """Refuse a column that is meant to be `label` or `mask`: left unread like any other, it would not be missed."""
    for wanted in {"label", "mask"} - {*columns}:
        for column in columns:
            if difflib.get_close_matches(wanted, [column.casefold()], cutoff=0.8):
                raise InputError(f"column {column!r} is not read", where=where, hint=f"write {wanted!r}, or rename it")


def _listed(row: Sequence[str], columns: Sequence[str], folder: Path, where: str) -> ImageFile:
    if len(row) != len(columns):
        raise InputError(
            f"{len(row)} cells, but the first line names {len(columns)} columns",
            where=where,
            hint="put a cell that holds a comma between quotes",
        )
    cells = dict(zip(columns, row, strict=True))
    if not cells["path"]:
        raise InputError("the path is empty", where=where, hint="name an image, or take the line away")
    mask = folder / cells["mask"].strip() if cells.get("mask", "").strip() else None
    if mask is not None:
        _check_file(mask, where)
    return replace(_image_file(folder / cells["path"], where), label=cells.get("label", "").strip() or None, mask=mask)


def _image_file(path: Path, where: str, *, source: str = "") -> ImageFile:
    _check_file(path, where)
    return ImageFile(id=_fit_for_a_file_name(path.stem), source=source or printable(str(path)), path=path)


def _check_file(path: Path, where: str) -> None:
    named = printable(str(path))
    subject = "" if named == where else f"{named} "
    status = _status(path, where)
    if status is None:
        siblings = [each.name for each in islice(_inside(path.parent, where), 1000) if each.name != path.name]
        hint = did_you_mean(path.name, siblings, otherwise=_RELATIVE)
        raise InputError(f"{subject}does not exist", where=where, hint=hint)
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
        raise InputError(f"{subject}is {kind}, not an image", where=where, hint="name a file")
    if status.st_size == 0:
        raise InputError(f"{subject}is empty", where=where, hint="copy or download it anew")


def _status(path: Path, where: str) -> os.stat_result | None:
    """Return what the file system knows of `path`, or None if nothing is there. Unlike opening, this never waits."""
    with _file_errors(where):
        try:
            return path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None


def _inside(folder: Path, where: str) -> Iterator[Path]:
    with _file_errors(where):
        if folder.is_dir():
            yield from folder.iterdir()


@contextmanager
def _file_errors(where: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        cause = getattr(error, "strerror", None) or error
        raise InputError(
            f"cannot be looked at: {cause}", where=where, hint="check the name and who may read"
        ) from error


def printable(text: str) -> str:
    r"""Escape what a line of text cannot show: file names may hold line breaks, and bytes that are no text.

    Example:
        >>> print(printable("cat\n.png"))
        cat\n.png
    """
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def _fit_for_a_file_name(stem: str) -> str:
    plain = "".join(each for each in unicodedata.normalize("NFKD", stem) if not unicodedata.combining(each))
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", plain).lstrip(".-")
    if name.partition(".")[0].lower() in _DEVICE_NAMES:
        name = f"_{name}"
    return name[:_ID_LENGTH].rstrip(".") or "image"


def _with_unique_ids(files: Sequence[ImageFile]) -> tuple[ImageFile, ...]:
    """Mark all that would share an id with the hash of their file, so that their order does not tell them apart."""
    counts = Counter(file.id.lower() for file in files)
    taken = {name for name, count in counts.items() if count == 1}
    unique = []
    for file in files:
        if counts[file.id.lower()] == 1:
            unique.append(file)
        else:
            unique.append(_marked(file, taken))
            taken.add(unique[-1].id.lower())
    return tuple(unique)


def _marked(file: ImageFile, taken: set[str]) -> ImageFile:
    with _file_errors(file.source):
        mark = f"-{sha256_file(file.path)[:8]}"
    ending, count = mark, 1
    while (name := f"{file.id[: _ID_LENGTH - len(ending)]}{ending}").lower() in taken:
        count += 1
        ending = f"{mark}-{count}"
    return replace(file, id=name)
