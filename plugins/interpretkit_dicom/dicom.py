"""The reader of DICOM files."""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from interpretkit import InputError, Reader, Stored
from interpretkit_dicom.colours import coloured, is_coloured
from interpretkit_dicom.frames import SUFFIXES, check_bits, count_of, frame_of, header_of, lacks_mark
from interpretkit_dicom.grey import grey
from interpretkit_dicom.pixels import not_square

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class DicomReader(Reader):
    """Reads DICOM files: grey values rescaled as the modality says, in the window of the file; colours as RGB.

    Frames are pages. Of several windows the first counts; without one, the range is that of the bits stored.
    MONOCHROME1 is inverted, so that larger values are brighter. Padding is set to the darkest of the other values.
    Pixels that are no squares stay as they are, and an alert says so.
    What the file says besides its pixels is not kept, and no error quotes it.
    """

    name = "dicom"
    suffixes = SUFFIXES
    package = "interpretkit[dicom]"

    def pages(self, path: Path) -> int:
        """Return how many frames a file has."""
        with _told():
            return count_of(path)

    def read(self, path: Path, page: int) -> Stored:
        """Return a frame: `(y, x)` of grey values, `(y, x, channel)` of colours."""
        with _told():
            header = header_of(path)
            if "Rows" not in header:
                raise InputError("is a DICOM file without an image", hint="leave it out")
            check_bits(header)
            frame = frame_of(path, header, page)
            stored = coloured(header, frame) if is_coloured(header) else grey(header, frame, page)
            if lacks_mark(header):
                stored = replace(stored, conversions=("read without the mark of DICOM files", *stored.conversions))
            if str(header.get("BurnedInAnnotation", "")).upper() == "YES":
                alert = "the file says that text is burned into its pixels"
                stored = replace(stored, alerts=(*stored.alerts, alert))
            if alert := not_square(header, page):
                stored = replace(stored, alerts=(*stored.alerts, alert))
            return stored


@contextmanager
def _told() -> Iterator[None]:
    """Tell what pydicom raises without its words, which may quote what the file says of the patient."""
    from pydicom.errors import InvalidDicomError

    try:
        with _silent():
            yield
    except (InputError, MemoryError, ImportError):
        raise
    except InvalidDicomError:
        what = "is no DICOM file, or lacks the header that marks it as one"
        hint = "pydicom.dcmread(path, force=True).save_as(…, enforce_file_format=True) adds it"
        raise InputError(what, hint=hint) from None
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # The system's words, not pydicom's.
        what = f"cannot be read as DICOM ({type(error).__name__})"
        raise InputError(what, hint="copy it anew; `pydicom.dcmread(path).pixel_array` says more") from None


@contextmanager
def _silent() -> Iterator[None]:
    """Keep what pydicom warns of, and logs, from the terminal and the logs of whoever runs this."""
    log = logging.getLogger("pydicom")
    propagates = log.propagate
    log.propagate = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.propagate = propagates
