"""The reader of DICOM files."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from interpretkit import InputError, Reader, Stored
from interpretkit_dicom.grey import bits_stored, grey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydicom import Dataset

_COLOURS = ("y", "x", "channel")
_PALETTE = "PALETTE COLOR"
_BYTE = 8


class DicomReader(Reader):
    """Reads DICOM files: grey values rescaled as the modality says, in the window of the file; colours as RGB.

    Frames are pages. Without a window, the range is that of the bits stored. MONOCHROME1 is inverted, so that larger
    values are brighter. What the file says besides its pixels is not kept, and no error quotes it.
    """

    name = "dicom"
    suffixes = (".dcm", ".dicom")
    package = "interpretkit[dicom]"

    def pages(self, path: Path) -> int:
        """Return how many frames a file has."""
        from pydicom import dcmread

        with _told():
            header = dcmread(path, stop_before_pixels=True, specific_tags=["NumberOfFrames"])
            return int(header.get("NumberOfFrames") or 1)

    def read(self, path: Path, page: int) -> Stored:
        """Return a frame: `(y, x)` of grey values, `(y, x, channel)` of colours."""
        from pydicom import dcmread

        with _told():
            header = dcmread(path, stop_before_pixels=True)
            if "Rows" not in header:
                raise InputError("is a DICOM file without an image", hint="leave it out")
            frame = _frame(path, header, page)
            coloured = _is_palette(header) or int(header.SamplesPerPixel) > 1
            stored = _colours(header, frame) if coloured else grey(header, frame, page)
            if str(header.get("BurnedInAnnotation", "")).upper() == "YES":
                alert = "the file says that text is burned into its pixels"
                stored = replace(stored, alerts=(*stored.alerts, alert))
            return stored


def _frame(path: Path, header: Dataset, page: int) -> np.ndarray:
    """Return the stored values of a frame; of luma and chroma, RGB."""
    from pydicom.pixels.utils import pixel_array

    syntax = header.file_meta.TransferSyntaxUID
    try:
        frame = pixel_array(path, index=page)
        return frame.astype(frame.dtype.newbyteorder("="))
    except (RuntimeError, NotImplementedError):
        if not syntax.is_compressed:
            raise
        what = f"its pixels are compressed as {syntax.name}, which no installed package decodes, or damaged"
        hint = "pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg"
        raise InputError(what, hint=hint) from None


def _is_palette(header: Dataset) -> bool:
    return str(header.PhotometricInterpretation) == _PALETTE


def _colours(header: Dataset, frame: np.ndarray) -> Stored:
    """Return colours as RGB."""
    from pydicom.pixels.processing import apply_color_lut

    kept = str(header.PhotometricInterpretation)
    said = () if kept == "RGB" else (f"{kept} to RGB",)
    colours, bits = frame, int(header.BitsStored)
    if _is_palette(header):
        colours = apply_color_lut(frame, header)
        bits = 8 * colours.dtype.itemsize
    if bits == _BYTE:
        return Stored(values=colours.astype(np.uint8), axes=_COLOURS, conversions=said)
    whole = (0, 2**bits - 1)
    return Stored(values=colours, axes=_COLOURS, range=whole, said_by=bits_stored(bits), conversions=said)


@contextmanager
def _told() -> Iterator[None]:
    """Tell what pydicom raises without its words, which may quote what the file says of the patient."""
    from pydicom.errors import InvalidDicomError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (InputError, OSError, MemoryError):
        raise
    except InvalidDicomError:
        what = "is no DICOM file, or lacks the header that marks it as one"
        hint = "pydicom.dcmread(path, force=True).save_as(…, enforce_file_format=True) adds it"
        raise InputError(what, hint=hint) from None
    except Exception as error:  # noqa: BLE001 - pydicom raises whatever a broken file leads to
        what = f"cannot be read as DICOM ({type(error).__name__})"
        raise InputError(what, hint="copy it anew; `pydicom.dcmread(path).pixel_array` says more") from None
