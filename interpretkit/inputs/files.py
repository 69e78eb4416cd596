"""Files and folders: what the file system says of them, and how names are shown."""

from __future__ import annotations

import glob
import os
import stat
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from interpretkit.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

_RELATIVE = "paths in a manifest are relative to its folder, others to the working directory"


def check_file(path: Path, where: str, *, advise: bool = True) -> None:
    """Check that a file is there and can be one; `advise` says whether names like it are worth the time."""
    named = printable(str(path))
    subject = "" if named == where else f"{named} "
    status = status_of(path, where)
    if status is None:
        siblings = _siblings(path, where) if advise else []
        hint = did_you_mean(path.name, siblings, otherwise=_RELATIVE)
        raise InputError(f"{subject}does not exist", where=where, hint=hint)
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
        raise InputError(f"{subject}is {kind}, not an image", where=where, hint="name a file")
    if status.st_size == 0:
        raise InputError(f"{subject}is empty", where=where, hint="copy or download it anew")


def _siblings(path: Path, where: str) -> list[str]:
    """Return the names of other files in the folder of a path, the first thousand at most."""
    files = islice(inside(path.parent, where), 1000)
    return [file.name for file in files if file.name != path.name]


def status_of(path: Path, where: str) -> os.stat_result | None:
    """Return the facts that the file system has of `path`; None if nothing is there. Unlike opening, it never waits."""
    with file_errors(where):
        try:
            return path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None


def below(folder: Path, where: str) -> Iterator[Path]:
    """Yield the files in a folder and in those below it, also where links lead, without hidden folders."""
    with file_errors(where):
        for name, files in _walked(folder):
            yield from (Path(name, file) for file in files)


def matching(pattern: str) -> Iterator[Path]:
    """Yield what a pattern matches: each thing once, and `**` goes once into each folder, also where links lead."""
    yield from dict.fromkeys(_matching(Path(pattern).parts))


def _matching(parts: tuple[str, ...]) -> Iterator[Path]:
    if "**" not in parts:
        # Path.glob means other things in each version of Python.
        yield from map(Path, glob.iglob(str(Path(*parts))))  # noqa: PTH207
        return
    deep = parts.index("**")
    before, after = parts[:deep], parts[deep + 1 :]
    for root in _matching(before) if before else [Path()]:
        for name, files in _walked(root):
            yield from _matching((glob.escape(name), *after)) if after else (Path(name, file) for file in files)


def _walked(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the folders below one, itself included, with their files; each once, whatever links lead to it."""
    seen: set[str] = set()
    for name, folders, files in os.walk(folder, onerror=_raise, followlinks=True):
        real = os.path.realpath(name)
        folders[:] = [] if real in seen else sorted(each for each in folders if not each.startswith("."))
        if real not in seen:
            yield name, sorted(files)
        seen.add(real)


def _raise(error: OSError) -> None:
    raise error


def inside(folder: Path, where: str) -> Iterator[Path]:
    """Yield what is directly in a folder; nothing if it is none."""
    with file_errors(where):
        if folder.is_dir():
            yield from folder.iterdir()


@contextmanager
def file_errors(where: str) -> Iterator[None]:
    """Make what the file system raises an InputError at its place."""
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
