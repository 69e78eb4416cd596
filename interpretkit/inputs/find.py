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
"""The endings of the files that are taken out of a folder or a glob, in small or capital letters."""

SAMPLES = {"grace_hopper": "grace_hopper.jpg", "present": "Minduka_Present_Blue_Pack.png"}
"""Images that come with matplotlib, for `sample:NAME`."""

_RELATIVE = "paths in a manifest are relative to its folder, others to the working directory"
_ID_LENGTH = 80
_PORTS = {f"{port}{number}" for port in ("com", "lpt") for number in range(10)}
_DEVICE_NAMES = {"con", "prn", "aux", "nul", *_PORTS}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFile:
    """An image that was found, and is not yet decoded.

    Attributes:
        id: Unique within the run, even where upper and lower case are not told apart; a file name on every system.
        source: Where it came from, as given or as found; unprintable characters are escaped.
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
    files: list[ImageFile] = []
    for entry in entries:
        files += _expand(entry, endings)
    return _with_unique_ids(files)


def _expand(entry: str, endings: tuple[str, ...]) -> Sequence[ImageFile]:
    if entry.startswith("sample:"):
        return [_sample(entry)]
    if not entry:
        raise InputError("an empty name names no image", hint="'.' is this folder")
    path = Path(entry)
    where = printable(entry)
    status = _status(path, where)
    if status is not None and stat.S_ISDIR(status.st_mode):
        return _images_among(_inside(path, where), where, endings, otherwise="the folder holds no image")
    # A file whose name happens to look like a pattern is that file.
    if status is None and glob.has_magic(entry):
        matches = glob.iglob(entry, recursive=True)  # noqa: PTH207 - Path.glob means other things in each Python
        return _images_among(map(Path, matches), where, endings, otherwise="the pattern matches no image")
    _check_file(path, where)
    if path.suffix.lower() == ".csv":
        return _manifest(path)
    return [_image_file(path, where)]


def _images_among(paths: Iterable[Path], where: str, endings: tuple[str, ...], *, otherwise: str) -> list[ImageFile]:
    chosen = sorted(path for path in paths if _looks_like_an_image(path, endings))
    if not chosen:
        raise InputError(otherwise, where=where, hint=f"images are {' '.join(endings)}")
    return [_image_file(path, printable(str(path))) for path in chosen]


def _looks_like_an_image(path: Path, endings: tuple[str, ...]) -> bool:
    known = path.name.lower().endswith(endings)
    hidden = path.name.startswith(".")
    return known and not hidden and not path.is_dir()


def _sample(entry: str) -> ImageFile:
    import matplotlib as mpl

    name = entry.removeprefix("sample:")
    if name not in SAMPLES:
        hint = did_you_mean(name, SAMPLES, otherwise=f"samples are {', '.join(SAMPLES)}")
        raise InputError(f"there is no sample {name!r}", where=printable(entry), hint=hint)
    path = Path(mpl.get_data_path(), "sample_data", SAMPLES[name])
    return _image_file(path, entry, source=entry)


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
    files = []
    try:
        columns = [column.strip() for column in next(reader, [])]
        _check_columns(columns, f"{name}:1")
        for row in reader:
            where = f"{name}:{reader.line_num}"
            if row:
                files.append(_listed(row, columns, path.parent, where))
    except csv.Error as error:
        hint = 'a cell with a comma or a quote stands between quotes, "like ""this"""'
        raise InputError(f"is not CSV: {error}", where=f"{name}:{reader.line_num}", hint=hint) from error
    if not files:
        raise InputError("the manifest lists no image", where=name, hint="each line after the first names one")
    return files


def _check_columns(columns: Sequence[str], where: str) -> None:
    """Check that each column occurs as often as it may, and that none is a misspelt `label` or `mask`.

    Unknown columns are not read, so nobody would notice that one is misspelt.
    """
    if columns.count("path") != 1 or columns.count("label") > 1 or columns.count("mask") > 1:
        what = "a manifest has one column 'path', at most one 'label' and at most one 'mask'"
        raise InputError(what, where=where, hint="the first line names the columns: path, or path,label,mask")
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
    label = cells.get("label", "").strip()
    name = cells.get("mask", "").strip()
    mask = folder / name if name else None
    if mask is not None:
        _check_file(mask, where)
    file = _image_file(folder / cells["path"], where)
    return replace(file, label=label or None, mask=mask)


def _image_file(path: Path, where: str, *, source: str = "") -> ImageFile:
    _check_file(path, where)
    name = _fit_for_a_file_name(path.stem)
    return ImageFile(id=name, source=source or printable(str(path)), path=path)


def _check_file(path: Path, where: str) -> None:
    named = printable(str(path))
    subject = "" if named == where else f"{named} "
    status = _status(path, where)
    if status is None:
        hint = did_you_mean(path.name, _siblings(path, where), otherwise=_RELATIVE)
        raise InputError(f"{subject}does not exist", where=where, hint=hint)
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
        raise InputError(f"{subject}is {kind}, not an image", where=where, hint="name a file")
    if status.st_size == 0:
        raise InputError(f"{subject}is empty", where=where, hint="copy or download it anew")


def _siblings(path: Path, where: str) -> list[str]:
    """Return the names of other files in the folder of a path, the first thousand at most."""
    files = islice(_inside(path.parent, where), 1000)
    return [file.name for file in files if file.name != path.name]


def _status(path: Path, where: str) -> os.stat_result | None:
    """Return the facts that the file system has of `path`; None if nothing is there. Unlike opening, it never waits."""
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
        hint = "check the name and who may read"
        raise InputError(f"cannot be looked at: {cause}", where=where, hint=hint) from error


def printable(text: str) -> str:
    r"""Escape what a line of text cannot show: file names may hold line breaks, and bytes that are no text.

    Example:
        >>> print(printable("cat\n.png"))
        cat\n.png
    """
    return "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode()


def _fit_for_a_file_name(stem: str) -> str:
    decomposed = unicodedata.normalize("NFKD", stem)
    letters = [character for character in decomposed if not unicodedata.combining(character)]
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", "".join(letters)).lstrip(".-")
    first_part = name.partition(".")[0]
    if first_part.lower() in _DEVICE_NAMES:
        name = f"_{name}"
    return name[:_ID_LENGTH].rstrip(".") or "image"


def _with_unique_ids(files: Sequence[ImageFile]) -> tuple[ImageFile, ...]:
    """Put the hash of the file into every id that several files would share, whatever the order of the files."""
    counts = Counter(file.id.lower() for file in files)
    taken = {name for name, count in counts.items() if count == 1}
    unique = []
    for file in files:
        if counts[file.id.lower()] == 1:
            unique.append(file)
            continue
        marked = _marked(file, taken)
        taken.add(marked.id.lower())
        unique.append(marked)
    return tuple(unique)


def _marked(file: ImageFile, taken: set[str]) -> ImageFile:
    """Return a file with its hash, and a number if need be, in its id, so that its id is not among those `taken`."""
    with _file_errors(file.source):
        mark = f"-{sha256_file(file.path)[:8]}"
    name = _ending_in(mark, file.id)
    count = 1
    while name.lower() in taken:
        count += 1
        name = _ending_in(f"{mark}-{count}", file.id)
    return replace(file, id=name)


def _ending_in(ending: str, name: str) -> str:
    """Return a name with an ending, cut so that both fit an id."""
    room = _ID_LENGTH - len(ending)
    return name[:room] + ending
