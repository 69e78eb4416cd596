"""Read images as they are stored. A file that is damaged, or is no image, is refused and never guessed at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import ImageOps

from interpretkit import words
from interpretkit.digests import sha256_file
from interpretkit.errors import InputError
from interpretkit.inputs.decode import stored_in
from interpretkit.inputs.files import printable
from interpretkit.inputs.pillow import narrows, opened
from interpretkit.results.image import InputImage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

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
        >>> from interpretkit.inputs.find import find_images
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
        columns=file.columns,
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
