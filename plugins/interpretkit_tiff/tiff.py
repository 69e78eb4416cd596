"""The reader: pages of TIFFs as tifffile decodes them, made upright values."""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

import interpretkit as ik
from interpretkit_tiff import values

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tifffile import TiffFile, TiffPage

_UNCOMPRESSED, _JPEG = 1, 7
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _YCBCR = 0, 1, 2, 3, 6
_KNOWN = (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE)
_PREMULTIPLIED, _ALPHA = 1, 2
_ORIENTATION, _NODATA = 274, 42113


class TiffReader(ik.Reader):
    """TIFFs that the core does not read as they are stored (`pip install interpretkit[tiff]`).

    Those are the ones of many bands, of colours of more than 8 bits in planes or with alpha, of 64 bits, of half
    floats, of palettes of 16 bits, and of compressions such as JPEG XL, JPEG 2000, LERC and WebP. Every other TIFF is
    read by the core, as if this reader were not there.

    The pages are those of the file, in its order, as the core counts them: an OME-TIFF has one for each channel, slice
    and time, and an overview is a page too. Where one page describes a stack (ImageJ above 4 GB), each of its planes is
    one.

    Bits stored in part of a whole number of bytes say the range. The least and greatest sample of the tags say nothing:
    they are statistics. The display range of ImageJ is told and not applied, as in the files that the core reads: it
    belongs to one channel of one slice, and images of one set have different ones.

    Values that the file calls no data (GDAL) say nothing of what is black and white: they become 0 in integers without
    sign, else the least of the others, and an alert says how many they are.
    """

    name = "tiff"
    suffixes = (".tif", ".tiff", ".btf", ".tf8")
    package = "interpretkit[tiff]"
    fallback = True

    def pages(self, path: Path) -> int:
        """Return how many pages there are; of a stack that one page describes, how many planes."""
        with _opened(path) as file:
            return _planes(file) if len(file.pages) == 1 else len(file.pages)

    def read(self, path: Path, page: int) -> ik.Stored:
        """Return what is stored on a page, over white where it has alpha."""
        with _opened(path) as file:
            stack = len(file.pages) == 1 and _planes(file) > 1
            layout: TiffPage = file.pages[0 if stack else page]  # type: ignore[assignment]
            _check(layout, path.stat().st_size)
            if layout.imagedepth > 1 and not stack:
                raise ik.InputError("is a TIFF of several volumes", hint="save each as a file")
            found = _plane(file, page) if stack else layout.asarray(squeeze=False)
            stored = _stored(layout, found)
            shown = _display_range(file)
        stored = values.upright(stored, layout.tags.valueof(_ORIENTATION, default=1))
        return values.told(stored, shown) if shown else stored


@contextmanager
def _opened(path: Path) -> Iterator[TiffFile]:
    """Open a file, and none of those that its description names."""
    from tifffile import TiffFile, TiffFileError

    try:
        with TiffFile(path, is_ome=False, is_mmstack=False) as file:
            if not len(file.pages):
                raise ik.InputError("is a TIFF without pages", hint="copy or download it anew")
            yield file
    except TiffFileError as error:
        raise ik.InputError(f"cannot be read: {error}", hint="copy or download it anew") from error


def _planes(file: TiffFile) -> int:
    """Return how many planes the one page of a file stands for: its slices, or those that lie behind each other."""
    [series, *_] = file.series
    page = series.keyframe
    if page.imagedepth > 1:
        return page.imagedepth
    if not page.is_contiguous or series.dataoffset is None:
        return 1
    return math.prod(series.shape) // math.prod(page.shaped)


def _plane(file: TiffFile, number: int) -> np.ndarray:
    """Return one of them."""
    page = file.series[0].keyframe
    if page.imagedepth > 1:
        return page.asarray(squeeze=False)[:, number : number + 1]
    dtype = np.dtype(page.dtype).newbyteorder(file.byteorder)
    size = math.prod(page.shaped)
    file.filehandle.seek(page.dataoffsets[0] + number * size * dtype.itemsize)
    data = file.filehandle.read(size * dtype.itemsize)
    return np.frombuffer(data, dtype).reshape(page.shaped)


def _check(page: TiffPage, size: int) -> None:
    """Refuse what is damaged, too large, or of colours that nothing here can make RGB.

    Raises:
        InputError: If it is.
        ImportError: If what decodes it is not installed; tifffile tells that as a ValueError.
    """
    from PIL import Image

    if page.compression != _UNCOMPRESSED:
        import imagecodecs  # noqa: F401
    limit = Image.MAX_IMAGE_PIXELS
    if limit and page.imagewidth * page.imagelength > limit:
        raise ik.InputError(f"has more than {limit:,} pixels", hint="make it smaller")
    # Some decoders, such as those of JPEG and JPEG XR, fill up what they do not find.
    ends = [start + count for start, count in zip(page.dataoffsets, page.databytecounts, strict=True)]
    if max(ends, default=0) > size:
        raise ik.InputError("cannot be read: it is truncated", hint="copy or download it anew")
    if page.photometric not in _KNOWN and (page.photometric, page.compression) != (_YCBCR, _JPEG):
        colours = getattr(page.photometric, "name", page.photometric)
        raise ik.InputError(f"is a TIFF of colours of kind {colours}", hint="save it as RGB")
    if page.dtype is None or page.dtype.kind == "c":
        what = "complex numbers" if page.dtype is not None else f"samples of {page.bitspersample} bits"
        raise ik.InputError(f"is a TIFF of {what}", hint="save what is to be seen of them, such as their magnitude")


def _stored(page: TiffPage, found: np.ndarray) -> ik.Stored:
    """Return the values of a page, its bands last, as light as they are great."""
    planes, _, height, width, together = found.shape
    bands = found[:, 0].transpose(1, 2, 0, 3).reshape(height, width, planes * together)
    native = np.ascontiguousarray(bands, bands.dtype.newbyteorder("="))
    if page.photometric == _PALETTE:
        return values.of_palette(native[..., 0], np.asarray(page.colormap))
    stored = values.of_bands(native, bits=page.bitspersample)
    if 0 in page.databytecounts:
        stored = replace(stored, alerts=("parts of it are not in the file, and empty",))
    alone = native.shape[-1] == (4 if page.photometric in (_RGB, _YCBCR) else 2)
    alpha = alone and page.extrasamples in ((_ALPHA,), (_PREMULTIPLIED,))
    if not alpha:
        stored = values.without_gaps(stored, str(page.tags.valueof(_NODATA, default="")))
    if page.photometric == _WHITE_IS_ZERO:
        stored = values.inverted(stored)
    return values.over_white(stored, premultiplied=page.extrasamples == (_PREMULTIPLIED,)) if alpha else stored


def _display_range(file: TiffFile) -> tuple[float, float] | None:
    """Return from where to where ImageJ showed an image."""
    said = file.imagej_metadata or {}
    return (float(said["min"]), float(said["max"])) if {"min", "max"} <= said.keys() else None
