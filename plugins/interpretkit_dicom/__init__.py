"""DICOM files: the values that a scanner measured, in the window that the file says, and nothing of the patient."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from interpretkit import Reader


@hookimpl
def interpretkit_readers() -> Iterable[type[Reader]]:
    """Offer the reader."""
    from interpretkit_dicom.dicom import DicomReader

    yield DicomReader
