"""What is in a DICOM file: its header without its pixels, and its frames one by one, as they are stored."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from interpretkit import InputError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from pydicom import Dataset
    from pydicom.uid import UID

SUFFIXES = (".dcm", ".dicom")

_ITEM = 8
"""Bytes that a compressed frame takes at least."""
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_INSTALL = "pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg"
_DECODERS = ("pylibjpeg", "pydicom")
"""What decodes all that pydicom can decode: the packages that the hint names, and pydicom itself for RLE."""


def header_of(path: Path, *, tags: list[str] | None = None) -> Dataset:
    """Return what a file says besides its pixels, or only some of it.

    Raises:
        InvalidDicomError: If it lacks the mark of a DICOM file, and its suffix and contents do not make up for that.
    """
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    try:
        header: Dataset = dcmread(path, stop_before_pixels=True, specific_tags=tags)
    except InvalidDicomError:
        if not path.name.lower().endswith(SUFFIXES):
            raise
        header = _unmarked(path)
    return _with_syntax(header)


def count_of(path: Path) -> int:
    """Return how many frames a file has.

    Raises:
        InputError: If it announces more than it has room for.
    """
    sizes = ["Rows", "Columns", "SamplesPerPixel", "BitsAllocated"]
    header = header_of(path, tags=["NumberOfFrames", *sizes])
    frames = int(header.get("NumberOfFrames") or 1)
    syntax = header.file_meta.TransferSyntaxUID
    packed = syntax.is_compressed or syntax.is_deflated
    least = _ITEM if packed else math.prod(int(header.get(key) or 1) for key in sizes) // 8
    if frames > 1 and frames * least > path.stat().st_size:
        raise InputError(f"announces {frames:,} frames, and is too short for them", hint="copy it anew")
    return frames


def check_bits(header: Dataset) -> None:
    """Refuse values whose bits are not the lowest of those that are allocated, which nothing here moves down.

    Raises:
        InputError: If they are not.
    """
    if "HighBit" in header and int(header.HighBit) != int(header.BitsStored) - 1:
        what = f"keeps {header.BitsStored} bits below bit {header.HighBit}, not in the lowest"
        raise InputError(what, hint="write it anew with HighBit = BitsStored − 1")


def part_of(header: Dataset, page: int, sequence: str, key: str) -> Dataset:
    """Return the part of a header that says something of a frame: it itself, or the group of the frame or of all."""
    groups = [header]
    per_frame = header.get("PerFrameFunctionalGroupsSequence") or []
    for group in (*per_frame[page : page + 1], *(header.get("SharedFunctionalGroupsSequence") or [])):
        groups += group.get(sequence) or []
    return next((group for group in groups if key in group), header)


def lacks_mark(header: Dataset) -> bool:
    """Tell whether a header was read from a file without the 132 bytes that mark DICOM files."""
    return not getattr(header, "preamble", None)


def frame_of(path: Path, header: Dataset, page: int) -> np.ndarray:
    """Return the stored values of a frame, decoded alone where that can be done; of luma and chroma, RGB."""
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.pixels.utils import pixel_array

    syntax = header.file_meta.TransferSyntaxUID
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise InputError(f"its pixels are kept as {_name(syntax)}, which pydicom does not decode") from None
    if not decoder.is_available:
        what = f"its pixels are compressed as {_name(syntax)}, which no installed package decodes"
        raise InputError(what, hint=_INSTALL)
    try:
        frame = pixel_array(path, index=page, transfer_syntax_uid=syntax)
    except (AttributeError, ValueError):
        frame = _frame_of_all(path, page)
    except (RuntimeError, NotImplementedError):
        if {*_DECODERS} & {*decoder.available_plugins}:
            what = f"its pixels are damaged, or not compressed as {_name(syntax)}, which it says"
            raise InputError(what, hint="copy it anew") from None
        # There is a decoder, but not of all that this syntax may hold: Pillow's knows no 12 bits, for one.
        what = f"its pixels are damaged, or compressed as {_name(syntax)} in a way that no installed package decodes"
        raise InputError(what, hint=_INSTALL) from None
    return frame.astype(frame.dtype.newbyteorder("="))


def _frame_of_all(path: Path, page: int) -> np.ndarray:
    """Return a frame of a file that pydicom decodes only when it has read it all, as it does of deflated ones."""
    from pydicom import dcmread
    from pydicom.pixels.utils import pixel_array

    dataset = _with_syntax(dcmread(path, force=True))
    if not any(kind in dataset for kind in _PIXELS):
        raise InputError("is a DICOM file without pixels", hint="leave it out")
    return pixel_array(dataset, index=page)


def _unmarked(path: Path) -> Dataset:
    """Return the header of a file that does not begin as DICOM files do, if it says what class of object it is."""
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    try:
        header = dcmread(path, stop_before_pixels=True, force=True)
        plausible = "SOPClassUID" in header and _has_name(header.SOPClassUID)
    except Exception:  # noqa: BLE001 - whatever bytes that are no DICOM lead to
        plausible = False
    if not plausible:
        raise InvalidDicomError
    return header


def _with_syntax(dataset: Dataset) -> Dataset:
    """Return what was read with the syntax that it was read in, where the file names none."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    if not hasattr(dataset, "file_meta"):
        dataset.file_meta = FileMetaDataset()
    if not dataset.file_meta.get("TransferSyntaxUID"):
        implicit, little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    return dataset


def _name(syntax: UID) -> str:
    """Return the name that the standard has for a syntax: any other would be a number out of the file."""
    return str(syntax.name) if _has_name(syntax) else "what the standard has no name for"


def _has_name(number: UID) -> bool:
    return number.name != number
