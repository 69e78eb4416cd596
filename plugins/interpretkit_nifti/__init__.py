"""NIfTI volumes: axial slices as a radiologist sees them, with the scaling and the display range of the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from interpretkit import Reader


@hookimpl
def interpretkit_readers() -> Iterable[type[Reader]]:
    """Offer the reader."""
    from interpretkit_nifti.nifti import NiftiReader

    yield NiftiReader
