"""NIfTI files, opened by what is in them, whatever they are called."""

from __future__ import annotations

import gzip
import logging
import math
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from interpretkit import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import IO

SPACE = 3
"""So many axes, the first ones, run through the body."""

_PIECE = 2**20
_GZIP = b"\x1f\x8b"
_FIRST, _SECOND = 348, 540
"""The length of the header of either version, which is its first number."""
_MAGIC = {_FIRST: slice(344, 347), _SECOND: slice(4, 7)}
_KINDS = {b"n+1": "Nifti1Image", b"ni1": "Nifti1Pair", b"n+2": "Nifti2Image", b"ni2": "Nifti2Pair"}


def header_of(path: Path) -> Any:
    """Return what a file says besides its values, as nibabel reads it."""
    with _plain(path) as stream:
        return _kind(path).header_class.from_fileobj(stream)


class Values:
    """The values of files, scaled as each says, as nibabel slices them.

    Those of a compressed file are kept unpacked until another is asked for: a slice is unpacked with all that is before
    it, and a volume has hundreds of slices.
    """

    def __init__(self) -> None:
        self._last: tuple[object, bytes] = None, b""

    def of(self, path: Path, header: Any) -> Any:
        """Return those of a file; of a compressed one, of its first volume alone.

        Raises:
            InputError: If it is cut short.
        """
        from nibabel.fileholders import FileHolder

        kind = _kind(path)
        if len(kind.files_types) > 1:  # of a header and an image beside it
            return kind.from_filename(path).dataobj
        if _is_packed(path):
            return kind.from_bytes(self._unpacked(path, _end(header, volumes=1))).dataobj
        _check_whole(path.stat().st_size, _end(header))
        return kind.from_file_map({"image": FileHolder(filename=str(path))}).dataobj

    def _unpacked(self, path: Path, end: int) -> bytes:
        about = path.stat()
        key = path, about.st_mtime_ns, about.st_size
        known, found = self._last
        if known == key:
            return found
        with _plain(path) as stream:
            found = _read(stream, end)
            # Only who reads on learns whether what was unpacked has the checksum that follows it.
            stream.read(1)
        _check_whole(len(found), end)
        self._last = key, found
        return found


@contextmanager
def told() -> Iterator[None]:
    """Tell what nibabel raises in one line, and keep what it logs and warns of from the terminal."""
    log = logging.getLogger("nibabel.global")
    disabled = log.disabled
    log.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (InputError, MemoryError, ImportError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # The system's words.
        what = f"cannot be read as NIfTI ({type(error).__name__})"
        raise InputError(what, hint="copy it anew; `nibabel.load(path)` says more") from None
    finally:
        log.disabled = disabled


def _kind(path: Path) -> Any:
    """Return the class of nibabel for a file."""
    import nibabel

    with _plain(path) as stream:
        start = stream.read(_SECOND)
    for size in (int.from_bytes(start[:4], "little"), int.from_bytes(start[:4], "big")):
        magic = _MAGIC.get(size)
        if magic is not None and start[magic] in _KINDS:
            return getattr(nibabel, _KINDS[start[magic]])
    raise InputError("is no NIfTI file, or damaged", hint="copy it anew")


def _is_packed(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(_GZIP)) == _GZIP


@contextmanager
def _plain(path: Path) -> Iterator[IO[bytes] | gzip.GzipFile]:
    """Open a file, unpacked if it is compressed."""
    with gzip.open(path) if _is_packed(path) else path.open("rb") as stream:
        yield stream


def _read(stream: IO[bytes] | gzip.GzipFile, length: int) -> bytes:
    """Return so many bytes, or all that there are."""
    # Not at once: memory for as many as a damaged header asks for would be taken before the first is read.
    pieces = []
    while length > 0 and (piece := stream.read(min(length, _PIECE))):
        pieces.append(piece)
        length -= len(piece)
    return b"".join(pieces)


def _end(header: Any, *, volumes: int | None = None) -> int:
    """Return how many bytes the header and the values of all volumes have, or of some."""
    shape = header.get_data_shape()
    count: int = math.prod(shape if volumes is None else (*shape[:SPACE], volumes))
    return int(header.get_data_offset()) + count * int(header.get_data_dtype().itemsize)


def _check_whole(there: int, end: int) -> None:
    if there < end:
        raise InputError(f"is cut short: {there} of {end} bytes are there", hint="copy it anew")
