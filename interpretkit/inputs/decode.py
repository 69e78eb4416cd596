"""What a file stores: by the reader of its kind, on the page and in the bands that are wanted."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np

from interpretkit import words
from interpretkit.errors import InputError, cause
from interpretkit.inputs.arrays import SUFFIXES, ArrayReader
from interpretkit.inputs.known import FORMATS, BeyondError, NoImageError
from interpretkit.inputs.pillow import PillowReader
from interpretkit.results.stored import Stored

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import TypeVar

    from interpretkit.inputs.reading import Reading

    Read = TypeVar("Read")


class PageReader(Protocol):
    """What reads pages of files."""

    def read(self, path: Path, page: int) -> Stored:
        """Return what a file stores on one of its pages."""
        ...

    def pages(self, path: Path) -> int:
        """Return how many pages a file has."""
        ...


class FileReader(PageReader, Protocol):
    """What a plugin reads files with; `Reader` says what each part of it is."""

    name: ClassVar[str]
    package: ClassVar[str]
    fallback: ClassVar[bool]


def stored_in(path: Path, reading: Reading, *, page: int | None, readers: Mapping[str, FileReader]) -> Stored:
    """Return what a file stores, as a recipe says that it is to be read.

    Args:
        path: The file.
        reading: What the recipe says.
        page: Which page, from 0; None where nobody chose one: then it is the first, and an alert says so.
        readers: What reads files of other suffixes, as in `read_image`.

    Raises:
        InputError: If it cannot be read so.
    """
    count = pages_of(path, reading, readers=readers)
    if reading.pages == "volume" and page is None and count > 1:
        slices = [_page(path, reading, number, readers) for number in range(count)]
        stored = _volume(slices, any_range=reading.range is not None)
    elif page is not None and page >= count:
        raise InputError(f"has {words.count(count, 'page')}, and page {page + 1} is asked for")
    else:
        stored = _page(path, reading, page or 0, readers)
        if count > 1:
            which = f"page {(page or 0) + 1} of {count}"
            said = () if page is not None else (f"{which}: choose by `#3` or `pages:`",)
            stored = replace(stored, conversions=(which, *stored.conversions), alerts=(*said, *stored.alerts))
    if reading.bands is not None:
        stored = _with_bands(stored, reading.bands)
    if reading.range is not None:
        stored = stored.in_range(*reading.range)
    return stored


def pages_of(path: Path, reading: Reading, *, readers: Mapping[str, FileReader]) -> int:
    """Return how many pages, frames or slices a file has.

    Raises:
        InputError: If it cannot be opened.
    """
    return _by_its_reader(path, reading, readers, lambda reader: reader.pages(path))


def told_pages(path: Path, reading: Reading, *, readers: Mapping[str, FileReader]) -> int:
    """Return the same; 1 where it cannot be told, as reading the file then tells why."""
    try:
        return pages_of(path, reading, readers=readers)
    except InputError:
        return 1


def _page(path: Path, reading: Reading, page: int, readers: Mapping[str, FileReader]) -> Stored:
    def read(reader: PageReader) -> Stored:
        stored: object = reader.read(path, page)
        if not isinstance(stored, Stored):
            raise TypeError(f"read() returns a {type(stored).__name__}, not Stored")
        return stored

    return _by_its_reader(path, reading, readers, read)


def _by_its_reader(
    path: Path, reading: Reading, readers: Mapping[str, FileReader], read: Callable[[PageReader], Read]
) -> Read:
    """Return what comes of the reader of a file; whatever it raises is told as an error of the image."""
    fitting = [suffix for suffix in readers if path.name.lower().endswith(suffix)]
    plugin = readers[max(fitting, key=len)] if fitting else None
    if plugin is not None and not plugin.fallback:
        return _told(plugin, read)
    if path.suffix.lower() not in SUFFIXES and reading.axes is not None:
        raise InputError("says its axes itself", hint="`axes:` is for arrays: .npy and .npz")
    core: PageReader = ArrayReader(reading.axes) if path.suffix.lower() in SUFFIXES else PillowReader()
    try:
        return read(core)
    except BeyondError as error:
        # A file without the suffix of its format, or with another, is read by what reads that format.
        plugin = plugin or readers.get(error.suffix)
        if plugin is None:
            raise
    except NoImageError as error:
        known = ", ".join([*FORMATS, *_of_plugins(readers)])
        raise error.advised(f"known are {known}, and arrays of numpy") from error.__cause__
    return _told(plugin, read)


def _of_plugins(readers: Mapping[str, FileReader]) -> list[str]:
    """Return what plugins read: the name of each reader with its suffixes."""
    suffixes: dict[str, list[str]] = {}
    for suffix, reader in readers.items():
        suffixes.setdefault(reader.name, []).append(suffix)
    return [f"{name} ({' '.join(its)})" for name, its in suffixes.items()]


def _told(reader: FileReader, read: Callable[[PageReader], Read]) -> Read:
    try:
        return read(reader)
    except InputError:
        raise
    except ImportError as error:
        what = f"is read by reader {reader.name!r}, and what that needs is not installed"
        hint = f"pip install '{reader.package}'" if reader.package else str(error)
        raise InputError(what, hint=hint) from error
    except (Exception, SystemExit) as error:
        raise InputError(f"reader {reader.name!r} failed: {cause(error)}") from error


def _volume(pages: list[Stored], *, any_range: bool) -> Stored:
    """Return pages that are alike as the slices of a volume; `any_range` if theirs will be replaced."""
    if all(page.eight_bit for page in pages) and len({page.axes for page in pages}) > 1:
        pages = [page.as_rgb() for page in pages]
    first = pages[0]
    kinds = {(page.axes, page.values.shape, page.values.dtype) for page in pages}
    if "z" in first.axes or len(kinds) > 1:
        shapes = dict.fromkeys(f"{words.shape(page.values.shape)} {page.values.dtype}" for page in pages)
        raise InputError(f"its pages make no volume: {', '.join(shapes)}", hint="`pages: each` makes images of them")
    if len({page.range for page in pages}) > 1 and not any_range:
        raise InputError("its pages make no volume: they lie in different ranges", hint="state one by `range:`")
    conversions = dict.fromkeys(said for page in pages for said in page.conversions)
    alerts = dict.fromkeys(said for page in pages for said in page.alerts)
    return replace(
        first,
        values=np.stack([page.values for page in pages]),
        axes=("z", *first.axes),
        conversions=(f"volume of {len(pages)} pages", *conversions),
        alerts=tuple(alerts),
    )


def _with_bands(stored: Stored, bands: tuple[int, ...]) -> Stored:
    """Return the bands that are wanted, counted from 1."""
    missing = [band for band in bands if not 1 <= band <= stored.bands]
    if missing or not bands:
        what = f"has {words.count(stored.bands, 'band')}, and {', '.join(map(str, missing)) or 'none'} is asked for"
        raise InputError(what, hint="bands are counted from 1")
    if stored.bands == 1:
        return stored
    values = stored.values[..., [band - 1 for band in bands]]
    said = (*stored.conversions, f"bands {', '.join(map(str, bands))} of {stored.bands}")
    if len(bands) == 1:
        return replace(stored, values=values[..., 0], axes=stored.axes[:-1], conversions=said)
    return replace(stored, values=values, conversions=said)
