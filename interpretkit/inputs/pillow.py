"""Image files that Pillow reads: what it would narrow, wrap or drop is read otherwise, or refused."""

from __future__ import annotations

import logging
import re
import struct
import sys
import warnings
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError
from PIL import ImageFile as PillowFile

from interpretkit import words
from interpretkit.errors import InputError
from interpretkit.inputs.known import FORMATS, BeyondError, no_image
from interpretkit.inputs.planes import planes_of
from interpretkit.results.stored import Stored

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

_ORIENTATION = 0x0112
_MODE_NAMES = {"LA": "grey", "P": "palette", "PA": "palette"}

_WIDTH, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _EXTRA, _SIGN = 256, 258, 259, 262, 277, 338, 339
"""Tags of TIFF."""
_NODATA = 42113
"""What GDAL writes down as the value of pixels of which nothing is known."""
_WEBP = 50001
"""A compression that Pillow believes it reads, but the libtiff that comes with it does not."""
_WHITE_IS_ZERO = 0
_UNSIGNED, _SIGNED = 1, 2
_INTEGERS = {8: np.int8, 16: np.int16}
_ALPHA = (1, 2)
_COLOURS = {2: 3, 5: 4, 6: 3, 8: 3}
"""The bands that a photometric interpretation has before any others; others have one."""

# Pillow logs an error, onto the terminal where nobody listens, of each TIFF of many bands that it does not open.
logging.getLogger("PIL").addHandler(logging.NullHandler())

# Each of these came out of Pillow at bit flips in files of the formats above.
_DAMAGE = (OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, EOFError, struct.error)

_PPM = re.compile(rb"P([2356])" + rb"(?:\s|#[^\r\n]*[\r\n])+([0-9]+)" * 3 + rb"\s")

_FOREIGN = "B" if sys.byteorder == "little" else "L"
_SIXTEEN_BITS = re.compile(";16[BLN]")
_OTHER_ORDER = {
    f"{mode};16{order}": f"{mode};16{other}"
    for mode in ("RGB", "RGBA")
    for order, other in (("L", "B"), ("B", "L"), ("N", _FOREIGN))
}


class PillowReader:
    """Reads files by Pillow; pages are pages and frames."""

    def pages(self, path: Path) -> int:
        """Return how many pages or frames there are; what cameras put beside a JPEG are no pages."""
        with opened(path) as (image, _):
            _check_planes(image, path)
            with _layouts(image):
                return 1 if image.format == "MPO" else getattr(image, "n_frames", 1)

    def read(self, path: Path, page: int) -> Stored:
        """Return what is stored on a page."""
        with opened(path) as (image, remarks):
            _check_planes(image, path)
            with _layouts(image):
                image.seek(page)
            stored = _of_tiff(image, path, page) if image.format == "TIFF" else _of_file(image, path, page)
            return replace(stored, conversions=(*stored.conversions, *remarks))


def of_picture(image: Image.Image) -> Stored:
    """Return what an image of Pillow holds."""
    with decoding() as remarks:
        narrowed = narrows(image)
        stored = _of_values(image)
        if narrowed:
            said = "16-bit colour cut to 8 bits by Pillow"
            alert = f"{said}: give the path of the file instead"
            stored = replace(stored, conversions=(said, *stored.conversions), alerts=(*stored.alerts, alert))
        return replace(stored, conversions=(*stored.conversions, *remarks))


@contextmanager
def opened(path: Path) -> Iterator[tuple[Image.Image, Iterator[str]]]:
    """Open an image to be decoded strictly; yields it, and Pillow's remarks.

    Raises:
        InputError: If it cannot be opened, or what is done with it inside fails.
    """
    # By its path Pillow would map the file, and mix up the rows of a grey TIFF that is to be turned upright.
    with decoding() as remarks, path.open("rb") as stream:
        try:
            image = Image.open(stream, formats=FORMATS)
        except UnidentifiedImageError as error:
            raise _layout_of_tiff(stream) or no_image(path) from error
        yield image, remarks


@contextmanager
def decoding() -> Iterator[Iterator[str]]:
    """Decode strictly; make every failure of Pillow an InputError. Yields Pillow's remarks."""
    fills_up = PillowFile.LOAD_TRUNCATED_IMAGES
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        # Other libraries switch this on for the whole process: a truncated image would be filled up with grey.
        PillowFile.LOAD_TRUNCATED_IMAGES = False
        try:
            yield (f"Pillow remarks: {each.message}".strip() for each in caught if each.category is UserWarning)
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            limit = f"{Image.MAX_IMAGE_PIXELS:,} pixels" if Image.MAX_IMAGE_PIXELS else "pixels than fit"
            raise InputError(f"has more than {limit}", hint="make it smaller") from error
        except _DAMAGE as error:
            hint = "copy or download it anew, or save it as a PNG"
            raise InputError(f"cannot be read: {error}", hint=hint) from error
        finally:
            PillowFile.LOAD_TRUNCATED_IMAGES = fills_up


def narrows(image: Image.Image) -> bool:
    """Whether Pillow would keep the upper 8 of 16 bits of each colour, which it does unasked while it decodes."""
    wide = _SIXTEEN_BITS.search(str(getattr(image, "tile", "")))
    return wide is not None and not image.mode.startswith("I")


@contextmanager
def _layouts(image: Image.Image) -> Iterator[None]:
    """Go through pages: one of a TIFF whose layout Pillow does not know is no damage."""
    try:
        yield
    except (SyntaxError, KeyError) as error:
        tags: TiffImagePlugin.ImageFileDirectory_v2 = getattr(image, "tag_v2", {})  # type: ignore[assignment]
        if _WIDTH in tags and tags.get(_BITS):
            raise _beyond_tiff(tags) from error
        raise


def _check_planes(image: Image.Image, path: Path) -> None:
    """Refuse a TIFF with planes of which Pillow sees the first alone, and says nothing of the others."""
    if image.format == "TIFF":
        planes = planes_of(image.tag_v2, path.stat().st_size)  # type: ignore[attr-defined]
        if planes > 1:
            raise BeyondError(f"a TIFF of {planes} images that one page describes", suffix=".tif")


def _of_file(image: Image.Image, path: Path, page: int) -> Stored:
    """Return what a file stores that is no TIFF."""
    if image.format == "PPM" and (data := path.read_bytes())[1:2] in b"2356":
        header = _PPM.match(data)
        if header is None:
            raise ValueError("its header is damaged")
        if int(header[4]) > 255:  # noqa: PLR2004 - a byte
            return _of_wide_ppm(data, header)
    if narrows(image):
        return _of_wide_colours(image, path, page)
    stored = _of_values(image)
    if image.format == "PNG" and stored.values.dtype == np.uint16:
        bits = _significant_bits(path.read_bytes())
        # The standard wants values of few bits scaled to all 16; files that lack that say nothing reliable.
        if bits and stored.values.max() >= 2**bits:
            return replace(stored, range=(0, 65535), said_by=f"{bits} significant bits of a PNG")
    return stored


def _of_wide_ppm(data: bytes, header: re.Match[bytes]) -> Stored:
    """Return a PPM or PGM of more than 8 bits, which Pillow would stretch or cut."""
    kind, width, height, greatest = header[1], *map(int, header.groups()[1:])
    shape = (height, width, 3) if kind in b"36" else (height, width)
    content = data[header.end() :]
    found = np.frombuffer(content, ">u2", count=np.prod(shape)) if kind in b"56" else np.array(content.split(), int)
    values = found.reshape(shape)
    if values.min() < 0 or values.max() > greatest:
        raise ValueError(f"it holds values above {greatest}, its greatest")
    axes = ("y", "x", "channel")[: values.ndim]
    return Stored(values=values.astype(np.uint16), axes=axes, range=(0, greatest), said_by="greatest value of the file")


def _significant_bits(data: bytes) -> int:
    """Return how many bits a PNG says to be significant in grey; 0 if it does not."""
    start = 8
    while data[start + 4 : start + 8] not in (b"IDAT", b""):
        if data[start + 4 : start + 8] == b"sBIT":
            return data[start + 8]
        start += 12 + int.from_bytes(data[start : start + 4])
    return 0


def _of_wide_colours(image: Image.Image, path: Path, page: int) -> Stored:
    """Return 16-bit colours, or grey with alpha, of which Pillow keeps the upper half alone.

    So it reads them twice: as bytes in the other order, what it keeps is the lower half.
    """
    if "transparency" in image.info:
        raise InputError("16-bit RGB with a transparent colour has no defined conversion", hint="save it without")
    kept = _rawmode(image)
    if kept == "LA;16B":
        values, said = _decoded(image, "RGBA")
        values = np.ascontiguousarray(values).view(">u2").astype(np.uint16)
    else:
        values, said = _decoded(image, kept)
        with opened(path) as (again, _):
            again.seek(page)
            lower, _ = _decoded(again, _OTHER_ORDER[kept])
        values = values.astype(np.uint16) << 8 | lower
    if values.shape[-1] in (2, 4):
        values = _over_white(values)
        said.append("alpha composited over white")
    grey = values.shape[-1] == 1
    return Stored(
        values=values[..., 0] if grey else values,
        axes=("y", "x") if grey else ("y", "x", "channel"),
        conversions=tuple(said),
    )


def _rawmode(image: Image.Image) -> str:
    """Return in which order Pillow takes the bytes of a file apart."""
    [tile, *_] = image.tile  # type: ignore[attr-defined]
    return str(tile.args if isinstance(tile.args, str) else tile.args[0])


def _decoded(image: Image.Image, rawmode: str) -> tuple[np.ndarray, list[str]]:
    """Return the upright bytes of an image that is taken apart so, `(y, x, channel)`, and what was done."""
    tiles = image.tile  # type: ignore[attr-defined]
    args = [rawmode if isinstance(tile.args, str) else (rawmode, *tile.args[1:]) for tile in tiles]
    image.tile = [tile._replace(args=each) for tile, each in zip(tiles, args, strict=True)]  # type: ignore[attr-defined]
    upright, said = _upright(image)
    return np.asarray(upright), said


def _over_white(values: np.ndarray) -> np.ndarray:
    """Return 16-bit values `(y, x, channel)` over white, without their last channel, which is alpha."""
    most = np.iinfo(values.dtype).max
    alpha = values[..., -1:].astype(np.float64) / most
    blended = values[..., :-1] * alpha + most * (1 - alpha)
    return np.rint(blended).astype(values.dtype)


def _of_tiff(image: Image.Image, path: Path, page: int) -> Stored:
    """Return a page of a TIFF."""
    tags: TiffImagePlugin.ImageFileDirectory_v2 = image.tag_v2  # type: ignore[attr-defined]
    photometric = tags.get(_PHOTOMETRIC, 1)
    extra = tags.get(_SAMPLES, 1) - _COLOURS.get(photometric, 1)
    kinds = tags.get(_EXTRA, ())
    alone = len(tags.get(_BITS, (1,))) == 1 and image.mode in ("I;16", "I;16B", "I", "F")
    wide = max(tags.get(_BITS, (1,))) > 8 and not alone  # noqa: PLR2004 - bits
    if tags.get(_COMPRESSION) == _WEBP:
        raise BeyondError("a TIFF compressed as WebP", suffix=".tif")
    strange = wide and _rawmode(image) not in _OTHER_ORDER
    if strange or extra > 1 or (extra == 1 and kinds and kinds[0] not in _ALPHA):
        raise _beyond_tiff(tags)
    stored = _of_wide_colours(image, path, page) if wide else _of_values(image)
    if extra == 1 and not kinds:
        alert = "its last band is taken as alpha, which the file does not say"
        return replace(stored, alerts=(*stored.alerts, alert))
    return _of_grey_tiff(stored, tags) if alone or image.mode == "L" else stored


def _of_grey_tiff(stored: Stored, tags: TiffImagePlugin.ImageFileDirectory_v2) -> Stored:
    """Return grey values with the sign, the direction and the bits that the file says."""
    values = stored.values
    (bits,), (sign, *_) = tags.get(_BITS, (1,)), tags.get(_SIGN, (_UNSIGNED,))
    # Pillow reads signed bytes as unsigned ones, keeps signed 16 bits in 32, and reads unsigned 32 bits as signed ones.
    if sign == _SIGNED and bits in _INTEGERS:
        values = values.astype(_INTEGERS[bits])
    if sign == _UNSIGNED and values.dtype == np.int32:
        values = values.view(np.uint32)
    if bits > 8 and _NODATA in tags:  # noqa: PLR2004 - the range of bytes is known
        stored = _with_gaps_told(stored, values, str(tags[_NODATA]).strip(" \0"))
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO and bits > 8:  # noqa: PLR2004 - Pillow inverts the others
        if values.dtype.kind != "u":
            raise BeyondError(f"a TIFF of {values.dtype} numbers whose white is zero", suffix=".tif")
        values = values.dtype.type(2**bits - 1) - values
        said = (*stored.conversions, "inverted: its white is zero")
        stored = replace(stored, conversions=said, mirrored=2**bits - 1)
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO and bits == 8:  # noqa: PLR2004 - a byte
        stored = replace(stored, mirrored=255)
    if 8 < bits < 16:  # noqa: PLR2004 - no whole bytes
        stored = replace(stored, range=(0, 2**bits - 1), said_by=f"{bits} bits stored")
    return replace(stored, values=values)


def _with_gaps_told(stored: Stored, values: np.ndarray, nodata: str) -> Stored:
    """Return the same, with an alert where values are those that the file calls no data: they may decide the range."""
    try:
        number = float(nodata)
    except ValueError:
        return stored
    with np.errstate(over="ignore"):
        wanted = values.dtype.type(number) if values.dtype.kind == "f" else number
    gaps = np.isnan(values) if np.isnan(number) else values == wanted
    if not gaps.any():
        return stored
    share = words.percent(float(gaps.mean()), ".2")
    alert = f"{share} of the values are no data ({nodata}), and read as they are: state the range by `range:`"
    return replace(stored, alerts=(*stored.alerts, alert))


def _beyond_tiff(tags: TiffImagePlugin.ImageFileDirectory_v2) -> BeyondError:
    bands, bits = tags.get(_SAMPLES, 1), tags.get(_BITS, (1,))
    depth = "-, ".join(map(str, dict.fromkeys(bits)))
    return BeyondError(f"a TIFF of {words.count(bands, 'band')} of {depth} bits", suffix=".tif")


def _layout_of_tiff(stream: BinaryIO) -> BeyondError | None:
    """Return what is in a TIFF whose layout Pillow does not know; None where the file is none, or damaged."""
    stream.seek(0)
    head = stream.read(8)
    try:
        if head[2:3] == b"\x2b" or head[3:4] == b"\x2b":
            head += stream.read(8)
        tags = TiffImagePlugin.ImageFileDirectory_v2(head)
        stream.seek(tags.next)
        tags.load(stream)
        return _beyond_tiff(tags) if _WIDTH in tags and tags.get(_BITS) else None
    except _DAMAGE:
        return None


def _of_values(image: Image.Image) -> Stored:
    """Return an upright image without metadata: grey as it is, colours as 8-bit RGB over white.

    Raises:
        ValueError: If there is no defined way from its values to these.
    """
    if 0 in image.size:
        raise ValueError("it has no pixels")
    image, done = _upright(image)
    wide = image.mode.startswith("I") or image.mode == "F"
    if wide and "transparency" in image.info:
        raise ValueError(f"grey of mode {image.mode} with a transparent level has no defined conversion")
    if wide or (image.mode in ("1", "L") and not image.has_transparency_data):
        values = np.asarray(image)
        return Stored(values=values.astype(values.dtype.newbyteorder("=")), conversions=tuple(done))
    if image.mode not in ("RGB", "RGBA"):
        mode = _MODE_NAMES.get(image.mode, image.mode)
        done.append(f"{'grey' if mode == 'L' else mode} to RGB")
    if image.has_transparency_data:
        done.append("alpha composited over white")
        ground = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(ground, image.convert("RGBA"))
    return Stored(values=np.asarray(image.convert("RGB")), axes=("y", "x", "channel"), conversions=tuple(done))


def _upright(image: Image.Image) -> tuple[Image.Image, list[str]]:
    # Asked before anything is decoded: a TIFF then turns itself upright, and forgets that it did.
    orientation = image.getexif().get(_ORIENTATION, 1)
    said = [f"EXIF orientation {orientation} applied"] if orientation in range(2, 9) else []
    return ImageOps.exif_transpose(image), said
