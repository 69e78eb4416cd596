"""Files that are no images that the core reads, told apart by how they begin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
"""What Pillow may decode: each further format would be one more parser open to whatever a file holds."""

_HEAD = 512
_GZIP = b"\x1f\x8b"
_OTHERWISE = "install a plugin that reads it, or save it as a PNG"
_LOOK_ALIKES = {
    b"version https://git-lfs": ("is a Git LFS pointer, not the image itself", "run `git lfs pull`"),
    b"<!doctype html": ("is an HTML page, not an image", "download the image itself"),
    b"<html": ("is an HTML page, not an image", "download the image itself"),
}
_BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), ("a HEIC file", ".heic")),
    **dict.fromkeys((b"avif", b"avis"), ("an AVIF file", ".avif")),
}
_NIFTI_SIZES = (b"\x5c\x01\x00\x00", b"\x00\x00\x01\x5c")
"""348, the length of the header of a NIfTI file, in both orders of bytes."""
_NIFTI_2_SIZES = (b"\x1c\x02\x00\x00", b"\x00\x00\x02\x1c")
"""540, that of the second version."""


class BeyondError(InputError):
    """A file of a known format that the core does not read as it is stored.

    Args:
        what: What it is: "a DICOM file".
        suffix: That of its format: whatever the file is called, the reader of this suffix reads it.
    """

    def __init__(self, what: str, *, suffix: str) -> None:
        super().__init__(f"is {what}", hint=_OTHERWISE)
        self.suffix = suffix


class NoImageError(InputError):
    """A file that is no image of any format that the core knows."""


def no_image(path: Path) -> InputError:
    """Return what to say of a file that Pillow takes for no image."""
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
    known = _beyond(path, head)
    if known is not None:
        return known
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for beginning, (what, hint) in _LOOK_ALIKES.items():
        if text.startswith(beginning):
            return InputError(what, hint=hint)
    return NoImageError("is no image that can be read", hint=f"known are {', '.join(FORMATS)}, and arrays of numpy")


def _beyond(path: Path, head: bytes) -> BeyondError | None:
    """Return what a file is that is an image of a format not read here; None if it is none that is known."""
    name = path.name.lower()
    if head[128:132] == b"DICM":
        return BeyondError("a DICOM file", suffix=".dcm")
    if head[4:8] == b"ftyp" and head[8:12] in _BRANDS:
        what, suffix = _BRANDS[head[8:12]]
        return BeyondError(what, suffix=suffix)
    first = head[:4] in _NIFTI_SIZES and head[344:347] in (b"n+1", b"ni1")
    second = head[:4] in _NIFTI_2_SIZES and head[4:7] in (b"n+2", b"ni2")
    if first or second or (head[:2] == _GZIP and name.endswith(".nii.gz")):
        return BeyondError("a NIfTI file", suffix=".nii")
    if head[:12] == b"\0\0\0\x0cjP  \r\n\x87\n" or head[:4] == b"\xff\x4f\xff\x51":
        return BeyondError("a JPEG 2000 file", suffix=".jp2")
    if head[:4] == b"8BPS":
        return BeyondError("a Photoshop file", suffix=".psd")
    return None
