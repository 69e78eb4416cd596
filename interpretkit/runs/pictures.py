"""What models were fed as pictures in a run: PNG files, volumes as sheets of their slices."""

from __future__ import annotations

from io import BytesIO
from math import ceil, sqrt
from typing import TYPE_CHECKING

import numpy as np

from interpretkit.errors import StorageError
from interpretkit.runs.files import existing

if TYPE_CHECKING:
    from pathlib import Path

_SLICES = "slices"
_COMPRESSION = 4


def encoded(pixels: np.ndarray) -> bytes:
    """Return a picture `(y, x, 3)` uint8 as a PNG file.

    The slices of a volume `(z, y, x, 3)` lie row by row on one sheet, about as many across as down, and the file says
    how many there are.

    Example:
        >>> encoded(np.zeros((2, 2, 3), np.uint8))[1:4]
        b'PNG'
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    about = PngInfo()
    if pixels.ndim == len(("z", "y", "x", "colour")):
        about.add_text(_SLICES, str(len(pixels)))
        pixels = _sheet(pixels)
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=_COMPRESSION, pnginfo=about)
    return file.getvalue()


def read_picture(run: Path, name: str) -> np.ndarray:
    """Return the picture or volume of a file in a run.

    Raises:
        StorageError: If it is missing or damaged.
    """
    from PIL import Image

    path = existing(run, name)
    try:
        with Image.open(path, formats=["PNG"]) as opened:
            pixels = np.array(opened.convert("RGB"))
            return _slices(pixels, int(opened.info.get(_SLICES, 0)))
    # Pillow tells of a broken PNG with a SyntaxError.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise StorageError(f"{name} cannot be read as a picture: {error}", where=str(run)) from error


def _sheet(pixels: np.ndarray) -> np.ndarray:
    count, height, width, colours = pixels.shape
    across = _across(count)
    down = -(-count // across)
    places = np.zeros((down * across, height, width, colours), np.uint8)
    places[:count] = pixels
    rows = places.reshape(down, across, height, width, colours).swapaxes(1, 2)
    return rows.reshape(down * height, across * width, colours)


def _slices(sheet: np.ndarray, count: int) -> np.ndarray:
    if not count:
        return sheet
    across = _across(count)
    down = -(-count // across)
    height, width = sheet.shape[0] // down, sheet.shape[1] // across
    rows = sheet.reshape(down, height, across, width, 3).swapaxes(1, 2)
    return rows.reshape(down * across, height, width, 3)[:count]


def _across(count: int) -> int:
    return ceil(sqrt(count))
