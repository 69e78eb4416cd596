"""Files of a run: names that are safe, paths that stay inside, writes that happen in full or not at all."""

from __future__ import annotations

import os
import re
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from interpretkit.errors import StepError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_FORBIDDEN = re.compile(r"[/\\\x00-\x1f\x7f-\x9f]|^\.|^$")
_UNFIT = re.compile(r"[^\w.+=#@,()\[\]-]")
_LONGEST = 150
# Windows would translate line ends without O_BINARY; it has no O_NOFOLLOW, and no links that anybody may plant.
_PLAIN = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


def file_name(name: str) -> str:
    """Return `name` as a part of a file name: characters that not every file system takes become `_`.

    Raises:
        StepError: If it could lead elsewhere, is hidden, empty, or longer than 150 bytes.

    Example:
        >>> file_name("stage1.0: conv")
        'stage1.0__conv'
    """
    if _FORBIDDEN.search(name) or ".." in name or len(name.encode("utf-8", "replace")) > _LONGEST:
        raise StepError(
            f"{name!r:.80} cannot name a file",
            hint=f"no slash, control character, '..' or dot in front, and at most {_LONGEST} bytes",
        )
    return _UNFIT.sub("_", name)


def inside(root: Path, relative: str) -> Path:
    """Return the path of `relative`, a path with `/`, under `root`, whether or not there is such a file.

    Raises:
        StorageError: If it leaves `root`, or leads through a symbolic link.
    """
    path = root
    for part in relative.split("/"):
        if _FORBIDDEN.search(part) or ":" in part:
            raise StorageError(f"{relative!r} is no path inside a run", where=str(root))
        path /= part
        with storage_errors("look at", path):
            link = path.is_symlink()
        if link:
            raise StorageError(
                f"{relative} leads through a symbolic link", where=str(root), hint="a run holds plain files only"
            )
    return path


def existing(root: Path, relative: str) -> Path:
    """Return the path of the plain file `relative` under `root`.

    Raises:
        StorageError: If it is missing, is no plain file, leaves `root`, or leads through a symbolic link.
    """
    path = inside(root, relative)
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        raise StorageError(f"{relative} is missing", where=str(root)) from None
    except OSError as error:
        raise StorageError(f"{relative} cannot be read: {error.strerror}", where=str(root)) from error
    if not stat.S_ISREG(mode):
        raise StorageError(f"{relative} is no plain file", where=str(root))
    return path


@contextmanager
def storage_errors(action: str, path: Path) -> Iterator[None]:
    """Turn what the operating system refuses into a `StorageError` that says what was tried, and where.

    Raises:
        StorageError: In place of an `OSError`.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(f"cannot {action}: {error.strerror or error}", where=str(path)) from error


def write_new(root: Path, relative: str, data: bytes, *, durable: bool = False) -> None:
    """Write a file that must not exist yet; its folders are made.

    Args:
        root: The run.
        relative: Path in it.
        data: Content.
        durable: Whether to wait until the disk holds it.

    Raises:
        StepError: If there is such a file already.
        StorageError: If it cannot be written in full; then there is no such file.
    """
    path = inside(root, relative)
    with storage_errors("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _PLAIN, 0o666)
        except FileExistsError:
            raise StepError(f"two artifacts are named {relative}", hint="give them different names") from None
        try:
            _write(descriptor, data, durable=durable)
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def append(root: Path, relative: str, data: bytes) -> None:
    """Write `data` at the end of a file.

    Raises:
        StorageError: If it cannot be written in full; then the file is as it was.
    """
    path = inside(root, relative)
    with storage_errors("write", path):
        _write(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | _PLAIN, 0o666), data)


def replace(root: Path, relative: str, data: bytes) -> None:
    """Write a file in the place of the one that is there: a reader sees the old one or the new one, never a part.

    Raises:
        StorageError: If it cannot be written in full; then the old one stays.
    """
    path = inside(root, relative)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with storage_errors("write", path):
        try:
            _write(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _PLAIN, 0o666), data, durable=True)
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def sync(path: Path) -> None:
    """Ask the disk to keep what was written to the file or folder `path`, as far as the file system is able to."""
    # Windows opens no folders, and some network file systems sync none.
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sync_all(root: Path, files: Iterable[str]) -> None:
    """Ask the disk to keep files under `root`, and the folders that they are in."""
    folders = {root}
    for relative in files:
        path = inside(root, relative)
        sync(path)
        folders.update(root / each for each in path.relative_to(root).parents)
    for folder in folders:
        sync(folder)


def _write(descriptor: int, data: bytes, *, durable: bool = False) -> None:
    """Write all of `data` at the end of an open file, or nothing, and close it."""
    try:
        size = os.fstat(descriptor).st_size
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            if durable:
                os.fsync(descriptor)
        except BaseException:
            os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)
