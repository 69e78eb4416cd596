"""The reader: HEIC through libheif; AVIF through Pillow, which all have, and libheif where it keeps more bits."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

import interpretkit as ik

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from PIL.Image import Image
    from pillow_heif import HeifFile, HeifImage

_FAILURES = (OSError, ValueError, SyntaxError, EOFError, RuntimeError)
"""What pillow_heif and Pillow raise of files that are damaged, or that they have no decoder for."""
_BYTE = 8


class HeifReader(ik.Reader):
    """HEIC and AVIF, as phones and cameras write them (`pip install interpretkit[heif]`).

    Values are those that are stored, of 8, 10 or 12 bits, turned and mirrored as the file says, over white where there
    is alpha. Pages are the images of a file, its primary one first, or the frames of an AVIF. Thumbnails and maps of
    depth or gain are no pages. Colour profiles are not applied.

    An AVIF of more than 8 bits keeps them where libheif comes with a decoder of AV1, as in the wheels of pillow_heif
    before 1.0; else Pillow cuts them to 8, and an alert says so.

    A file of such a name that is something else, such as a JPEG, is read by the core.
    """

    name = "heif"
    suffixes = (".heic", ".heif", ".hif", ".avif")
    package = "interpretkit[heif]"
    fallback = True

    def pages(self, path: Path) -> int:
        """Return how many images or frames there are."""
        if not _is_avif(path):
            return len(_opened(path))
        with _by_pillow(path) as image:
            return int(getattr(image, "n_frames", 1))

    def read(self, path: Path, page: int) -> ik.Stored:
        """Return what one of them stores."""
        file = _opened(path)
        if _is_avif(path):
            return _of_avif(path, page, file[0])
        primary_first = sorted(range(len(file)), key=lambda position: position != file.primary_index)
        stored = _decoded(file[primary_first[page]])
        if file.mimetype.endswith("-sequence"):
            alert = "is a sequence, of which only what is stored as images is read"
            return replace(stored, alerts=(*stored.alerts, alert))
        return stored


def _is_avif(path: Path) -> bool:
    """Whether a file says that it is an AVIF, as its major brand or one of those that it is compatible with."""
    with path.open("rb") as stream:
        brands = stream.read(min(int.from_bytes(stream.read(4)), 512))
    return b"avif" in brands or b"avis" in brands


def _opened(path: Path) -> HeifFile:
    """Open a file, its images to be decoded as they are stored."""
    import pillow_heif

    with _failing():
        return pillow_heif.open_heif(path, convert_hdr_to_8bit=False, hdr_to_16bit=False)


@contextmanager
def _failing() -> Iterator[None]:
    """Make what goes wrong with a file an error of it."""
    try:
        yield
    except _FAILURES as error:
        said = " ".join(str(error).split())  # libheif tells in several lines
        raise ik.InputError(f"cannot be read: {said}", hint="copy or download it anew") from error


def _decoded(image: HeifImage) -> ik.Stored:
    """Return the values of an image, which libheif turns upright."""
    from PIL import Image

    limit, (width, height) = Image.MAX_IMAGE_PIXELS, image.size
    if limit and width * height > limit:
        raise _too_large(limit)
    with _failing():
        values = np.array(image)
    bits = _bits(image)
    stored = (
        _over_white(values, 2**bits - 1, premultiplied=image.premultiplied_alpha) if image.has_alpha else _of(values)
    )
    return replace(stored, range=(0, 2**bits - 1), said_by=f"{bits} bits stored") if bits > _BYTE else stored


def _bits(image: HeifImage) -> int:
    bits: int = image.info["bit_depth"]  # type: ignore[assignment]
    return bits


def _of_avif(path: Path, page: int, first: HeifImage) -> ik.Stored:
    """Return a frame of an AVIF, whose first image says how many bits there are."""
    from PIL import ImageOps

    bits = _bits(first)
    with _by_pillow(path) as image:
        if bits > _BYTE and getattr(image, "n_frames", 1) == 1:
            try:
                return _decoded(first)
            except ik.InputError as error:
                # What is wrong with the file and not with libheif, Pillow finds too.
                if not isinstance(error.__cause__, RuntimeError):
                    raise
        image.seek(page)
        values = np.asarray(ImageOps.exif_transpose(image))
        stored = _over_white(values, 255, premultiplied=False) if image.mode in ("LA", "RGBA") else _of(values)
    if bits == _BYTE:
        return stored
    said = f"{bits} bits cut to 8 by Pillow"
    return replace(stored, conversions=(said, *stored.conversions), alerts=(said, *stored.alerts))


@contextmanager
def _by_pillow(path: Path) -> Iterator[Image]:
    """Open an AVIF by Pillow.

    Raises:
        ImportError: If Pillow comes without a decoder of it.
    """
    from PIL import Image, features

    if not features.check("avif"):
        raise ImportError("Pillow was built without AVIF")
    with _failing(), warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(path, formats=("AVIF",)) as image:
                yield image
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise _too_large(Image.MAX_IMAGE_PIXELS or 0) from error


def _too_large(limit: int) -> ik.InputError:
    return ik.InputError(f"has more than {limit:,} pixels", hint="make it smaller")


def _of(values: np.ndarray) -> ik.Stored:
    return ik.Stored(values=values, axes=("y", "x", "channel")[: values.ndim])


def _over_white(values: np.ndarray, most: int, *, premultiplied: bool) -> ik.Stored:
    """Return values `(y, x, channel)` up to `most` over white, without their last channel, which is alpha."""
    alpha = values[..., -1:].astype(np.float64) / most
    colours = values[..., :-1] * (1 if premultiplied else alpha) + most * (1 - alpha)
    found = np.rint(colours.clip(0, most)).astype(values.dtype)
    stored = _of(found[..., 0] if found.shape[-1] == 1 else found)
    return replace(stored, conversions=("alpha composited over white",))
