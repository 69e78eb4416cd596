"""Read images as they are stored. A file that is damaged, or is no image, is refused and never guessed at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps

from interpretkit import words
from interpretkit.digests import sha256_bytes, sha256_file
from interpretkit.errors import InputError
from interpretkit.inputs.decode import stored_in
from interpretkit.inputs.files import printable
from interpretkit.inputs.find import find_images
from interpretkit.inputs.pillow import narrows, of_picture, opened
from interpretkit.results.image import InputImage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from interpretkit.inputs.decode import FileReader
    from interpretkit.inputs.find import ImageFile
    from interpretkit.results.stored import Stored

_MASK_MODES = {"1", "L", "P", "RGB", "I", "I;16", "I;16B"}


def read_image(file: ImageFile, *, readers: Mapping[str, FileReader] | None = None) -> tuple[InputImage, Stored]:
    """Read what a file stores, upright, and record what was done to it, in order.

    Grey values stay as they are; colours of 8 bits become RGB, transparency is composited over white. Of several pages
    or frames that nobody chose from, the first is taken, and an alert says so. The size is that of the upright image.
    Colour profiles are not applied.

    The mask of the image, where the manifest names one, is read along, `(y, x)` bool over the upright image.

    Args:
        file: The file.
        readers: What reads files of other suffixes, in place of Pillow; the longest suffix that fits counts.

    Raises:
        InputError: If the file, or that of the mask, is no image, is damaged or truncated, or has more pixels than
            `PIL.Image.MAX_IMAGE_PIXELS`; if its reader fails; or if the mask does not fit the image.

    Example:
        >>> [file] = find_images(["sample:grace_hopper"])
        >>> image, stored = read_image(file)
        >>> image.size, stored.values.dtype, image.conversions
        ((512, 600), dtype('uint8'), ())
    """
    try:
        stored = stored_in(file.path, file.reading, page=file.page, readers=readers or {})
        sha256 = sha256_file(file.path)
    except OSError as error:
        raise InputError(f"cannot be read: {error}", where=file.source, hint="is it still there?") from error
    except InputError as error:
        raise error.at(file.source) from error.__cause__
    if file.mask is not None and "z" in stored.axes:
        raise InputError("a volume cannot have a mask", where=file.source, hint="`pages: each` makes images of it")
    image = InputImage(
        id=file.id,
        source=file.source,
        sha256=sha256,
        size=stored.size,
        conversions=stored.conversions,
        alerts=stored.alerts,
        label=file.label,
        mask=None if file.mask is None else _read_mask(file.mask, stored.size),
    )
    return image, stored


def _read_mask(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Read a mask `(y, x)` bool for an upright image: True where the stored value is not zero.

    The stored value of a palette image is its index: data sets of segmentations mean it so. A colour is not zero if any
    of its parts is not. No bit is lost on the way, unlike in an image that is made 8-bit RGB.
    """
    where = printable(str(path))
    hint = "save it as a PNG, grey or with a palette, with 0 outside of the object"
    try:
        values = _mask_values(path, hint)
    except OSError as error:
        raise InputError(f"cannot be read: {error}", where=where, hint=hint) from error
    except InputError as error:
        raise error.at(where) from error.__cause__
    height, width = values.shape[:2]
    if (width, height) != size:
        pixels = f"{words.shape((width, height))} pixels, its image {words.shape(size)}"
        hint = "a mask lies on its upright image pixel by pixel"
        raise InputError(f"the mask has {pixels}", where=where, hint=hint)
    stored = values.reshape(height, width, -1)
    return np.asarray(stored.any(-1))


def _mask_values(path: Path, hint: str) -> np.ndarray:
    with opened(path) as (image, _):
        transparent = image.has_transparency_data
        if image.format == "JPEG":
            raise InputError("a JPEG cannot be a mask: its zeros do not stay zero", hint=hint)
        if image.mode not in _MASK_MODES or transparent or narrows(image):
            mode = f"{image.mode} with transparency" if transparent else image.mode
            raise InputError(f"no mask is defined for an image of mode {mode}", hint=hint)
        return np.asarray(ImageOps.exif_transpose(image))


def given_images(
    images: object, *, readers: Mapping[str, FileReader] | None = None
) -> Iterator[tuple[InputImage, Stored]]:
    """Read images given in Python: one or many paths (or anything else that `find_images` finds), or PIL images.

    PIL images get the ids `image0`, `image1`, …, and the hash of their RGB pixels, or of values of more than 8 bits.

    Args:
        images: The paths or images.
        readers: What reads files of other suffixes, as in `read_image`.

    Raises:
        InputError: If they are something else, or cannot be read.

    Example:
        >>> [(image, stored)] = given_images(Image.new("I;16", (4, 3)))
        >>> image.id, image.size, stored.values.dtype
        ('image0', (4, 3), dtype('uint16'))
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


def _read_given(index: int, image: Image.Image) -> tuple[InputImage, Stored]:
    name = f"image{index}"
    try:
        stored = of_picture(image)
    except InputError as error:
        raise error.at(name) from error.__cause__
    hashed = stored.as_rgb() if stored.eight_bit else stored
    facts = InputImage(
        id=name,
        source=f"PIL image {index}",
        sha256=sha256_bytes(hashed.values.tobytes()),
        size=stored.size,
        conversions=stored.conversions,
        alerts=stored.alerts,
    )
    return facts, stored
