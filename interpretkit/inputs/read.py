"""Read images as 8-bit RGB. A file that is damaged, or is no image, is refused and never guessed at."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL import ImageFile as PillowFile

from interpretkit import words
from interpretkit.digests import sha256_bytes, sha256_file
from interpretkit.errors import InputError, cause
from interpretkit.inputs.find import find_images, printable
from interpretkit.results.image import InputImage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from interpretkit.inputs.find import ImageFile

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
"""What Pillow may decode: each further format would be one more parser open to whatever a file holds."""

_LOOK_ALIKES = {
    b"version https://git-lfs": ("is a Git LFS pointer, not the image itself", "run `git lfs pull`"),
    b"<!doctype html": ("is an HTML page, not an image", "download the image itself"),
    b"<html": ("is an HTML page, not an image", "download the image itself"),
}
_ORIENTATION = 0x0112
_MODE_NAMES = {"1": "1-bit", "L": "grey", "LA": "grey", "P": "palette", "PA": "palette"}
_GREY_RANGES = {"I": ("integer grey (0 to 65535)", 65535), "F": ("floating-point grey (0 to 1)", 1)}

_MASK_MODES = {"1", "L", "P", "RGB", "I", "I;16", "I;16B"}

# Each of these came out of Pillow at bit flips in files of the formats above.
_DAMAGE = (OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, EOFError, struct.error)


class FileReader(Protocol):
    """What reads files that Pillow does not."""

    name: ClassVar[str]

    def read(self, path: Path) -> tuple[Image.Image, tuple[str, ...]]:
        """Return a file's image as 8-bit RGB, and what was done to make that of it."""
        ...


def read_image(file: ImageFile, *, readers: Mapping[str, FileReader] | None = None) -> tuple[InputImage, Image.Image]:
    """Read a file as an upright 8-bit RGB image, and record what was done to make it one, in order.

    Of a file of several pages or frames the one that is asked for is taken, else the first. 16-bit and integer grey is
    scaled from 0 … 65535, floating-point grey from 0 … 1, to 8 bits; other values are refused. Transparency is
    composited over white. The size is that of the upright image. Colour profiles are not applied.

    The mask of the image, where the manifest names one, is read along, `(y, x)` bool over the upright image.

    Args:
        file: The file.
        readers: What reads files of other suffixes, in place of Pillow; the longest suffix that fits counts.

    Raises:
        InputError: If the file, or that of the mask, is no image, is damaged or truncated, or has more pixels than
            `PIL.Image.MAX_IMAGE_PIXELS`; if its reader fails; or if the mask does not fit the image.

    Example:
        >>> [file] = find_images(["sample:grace_hopper"])
        >>> image, picture = read_image(file)
        >>> image.size, picture.mode, image.conversions
        ((512, 600), 'RGB', ())
    """
    fitting = [suffix for suffix in readers or () if file.path.name.lower().endswith(suffix)]
    if readers and fitting:
        picture, conversions, sha256 = _read_by(readers[max(fitting, key=len)], file)
    else:
        picture, conversions, sha256 = _read_by_pillow(file)
    image = InputImage(
        id=file.id,
        source=file.source,
        sha256=sha256,
        size=picture.size,
        conversions=conversions,
        label=file.label,
        mask=None if file.mask is None else _read_mask(file.mask, picture.size),
    )
    return image, picture


def _read_by_pillow(file: ImageFile) -> tuple[Image.Image, tuple[str, ...], str]:
    """Return an image, what was done to make it 8-bit RGB, and the hash of its file."""
    with _opened(file.path, file.source) as (opened, remarks):
        unasked = [*_chosen_frame(opened, file.page), *_narrowed(opened)]
        picture, done = _as_rgb(opened)
        sha256 = sha256_file(file.path)
    return picture, (*unasked, *done, *remarks), sha256


def _read_by(reader: FileReader, file: ImageFile) -> tuple[Image.Image, tuple[str, ...], str]:
    """Return the same of a file that a plugin reads; whatever it raises is told as an error of the image."""
    try:
        picture, done = reader.read(file.path)
        _check_rgb(picture)
        # Decoded here and now: a lazy picture would fail later, where nobody knows whose it is.
        return Image.fromarray(np.asarray(picture)), tuple(map(str, done)), sha256_file(file.path)
    except InputError as error:
        raise error.at(file.source) from error.__cause__
    except (Exception, SystemExit) as error:
        raise InputError(f"reader {reader.name!r} failed: {cause(error)}", where=file.source) from error


def _read_mask(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Read a mask `(y, x)` bool for an upright image: True where the stored value is not zero.

    The stored value of a palette image is its index: data sets of segmentations mean it so. A colour is not zero if any
    of its parts is not. No bit is lost on the way, unlike in an image that is made 8-bit RGB.
    """
    where = printable(str(path))
    hint = "save it as a PNG, grey or with a palette, with 0 outside of the object"
    with _opened(path, where) as (opened, _):
        transparent = opened.has_transparency_data
        if opened.format == "JPEG":
            raise InputError("a JPEG cannot be a mask: its zeros do not stay zero", where=where, hint=hint)
        if opened.mode not in _MASK_MODES or transparent or _narrowed(opened):
            mode = f"{opened.mode} with transparency" if transparent else opened.mode
            raise InputError(f"no mask is defined for an image of mode {mode}", where=where, hint=hint)
        values = np.asarray(ImageOps.exif_transpose(opened))
    height, width = values.shape[:2]
    if (width, height) != size:
        pixels = f"{words.shape((width, height))} pixels, its image {words.shape(size)}"
        hint = "a mask lies on its upright image pixel by pixel"
        raise InputError(f"the mask has {pixels}", where=where, hint=hint)
    stored = values.reshape(height, width, -1)
    return np.asarray(stored.any(-1))


def _check_rgb(picture: Image.Image) -> None:
    if picture.mode != "RGB" or 0 in picture.size:
        raise ValueError(f"it made a picture of mode {picture.mode}, {words.shape(picture.size)}, not 8-bit RGB")


def given_images(
    images: object, *, readers: Mapping[str, FileReader] | None = None
) -> Iterator[tuple[InputImage, Image.Image]]:
    """Read images given in Python: one or many paths (or anything else that `find_images` finds), or PIL images.

    PIL images get the ids `image0`, `image1`, …, and the hash of their RGB pixels.

    Args:
        images: The paths or images.
        readers: What reads files of other suffixes, as in `read_image`.

    Raises:
        InputError: If they are something else, or cannot be read.

    Example:
        >>> [(image, _)] = given_images(Image.new("L", (4, 3)))
        >>> image.id, image.size, image.conversions
        ('image0', (4, 3), ('grey to RGB',))
    """
    items: list[Any] = [images]
    if isinstance(images, Iterable) and not isinstance(images, str):
        items = list(images)
    if all(isinstance(item, str | Path) for item in items):
        files = find_images([str(item) for item in items], suffixes=readers or ())
        return (read_image(file, readers=readers) for file in files)
    if all(isinstance(item, Image.Image) for item in items):
        return map(_read_given, count(), items)
    kinds = {type(item).__name__ for item in items}
    raise InputError(
        f"images are paths or PIL images, all of one kind, not {', '.join(sorted(kinds))}",
        hint="a tensor holds preprocessed images: (image, channel, y, x)",
    )


def _read_given(index: int, image: Image.Image) -> tuple[InputImage, Image.Image]:
    name = f"image{index}"
    with _decoding(name) as remarks:
        picture, done = _as_rgb(image)
    facts = InputImage(
        id=name,
        source=f"PIL image {index}",
        sha256=sha256_bytes(picture.tobytes()),
        size=picture.size,
        conversions=(*done, *remarks),
    )
    return facts, picture


@contextmanager
def _opened(path: Path, where: str) -> Iterator[tuple[Image.Image, Iterator[str]]]:
    """Open an image to be decoded strictly; yields it, and Pillow's remarks."""
    # By its path Pillow would map the file, and mix up the rows of a grey TIFF that is to be turned upright.
    with _decoding(where) as remarks, path.open("rb") as stream:
        try:
            opened = Image.open(stream, formats=FORMATS)
        except UnidentifiedImageError as error:
            stream.seek(0)
            raise _no_image(stream.read(256), where) from error
        yield opened, remarks


@contextmanager
def _decoding(where: str) -> Iterator[Iterator[str]]:
    """Decode strictly; make every failure of Pillow an error that names the image. Yields Pillow's remarks."""
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
            raise InputError(f"has more than {limit}", where=where, hint="make it smaller") from error
        except _DAMAGE as error:
            hint = "copy or download it anew, or save it as an 8-bit PNG"
            raise InputError(f"cannot be read: {error}", where=where, hint=hint) from error
        finally:
            PillowFile.LOAD_TRUNCATED_IMAGES = fills_up


def _no_image(head: bytes, where: str) -> InputError:
    head = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for beginning, (what, hint) in _LOOK_ALIKES.items():
        if head.startswith(beginning):
            return InputError(what, where=where, hint=hint)
    return InputError("is no image that can be read", where=where, hint=f"known are {', '.join(FORMATS)}")


def _chosen_frame(opened: Image.Image, page: int | None) -> list[str]:
    """Go to a page, and say which of several it is."""
    frames = getattr(opened, "n_frames", 1)
    if page is not None:
        opened.seek(page)
    if frames == 1:
        return []
    return [f"first of {frames} frames" if page is None else f"page {page + 1} of {frames}"]


def _narrowed(opened: Image.Image) -> list[str]:
    """Say that Pillow keeps the upper 8 of 16 bits of each colour, which it does unasked while it decodes."""
    sixteen = ";16" in str(getattr(opened, "tile", ""))
    if sixteen and not opened.mode.startswith("I"):
        return ["16-bit colour cut to 8 bits"]
    return []


def _as_rgb(image: Image.Image) -> tuple[Image.Image, list[str]]:
    """Return an upright 8-bit RGB copy without metadata, and what was done.

    Raises:
        ValueError: If there is no defined way from its values to 8 bits.
    """
    if 0 in image.size:
        raise ValueError("it has no pixels")
    done = []
    # Asked before anything is decoded: a TIFF then turns itself upright, and forgets that it did.
    orientation = image.getexif().get(_ORIENTATION, 1)
    image = ImageOps.exif_transpose(image)
    if orientation in range(2, 9):
        done.append(f"EXIF orientation {orientation} applied")
    if image.mode.startswith("I") or image.mode == "F":
        image, scaled = _eight_bit_grey(image)
        done.append(scaled)
    if image.mode not in ("RGB", "RGBA"):
        mode = _MODE_NAMES.get(image.mode, image.mode)
        done.append(f"{mode} to RGB")
    if image.has_transparency_data:
        done.append("alpha composited over white")
        ground = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(ground, image.convert("RGBA"))
    pixels = np.asarray(image.convert("RGB"))
    return Image.fromarray(pixels), done


def _eight_bit_grey(image: Image.Image) -> tuple[Image.Image, str]:
    name, most = _GREY_RANGES.get(image.mode, ("16-bit grey", 65535))
    if "transparency" in image.info:
        raise ValueError(f"{name} with a transparent level has no defined conversion")
    values = np.asarray(image).astype(np.float64)
    inside = (values >= 0) & (values <= most)
    if not inside.all():
        least, greatest = values.min(), values.max()
        raise ValueError(f"{name} holds values from {least:g} to {greatest:g}")
    levels = np.rint(values * 255 / most)
    grey = Image.fromarray(levels.astype(np.uint8))
    return grey, f"{name} scaled to 8 bits"
