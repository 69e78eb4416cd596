"""TIFFs of many bands, of wide colours, and of further types and compressions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from interpretkit import Reader


@hookimpl
def interpretkit_readers() -> Iterable[type[Reader]]:
    """Offer the reader. What needs tifffile itself is asked for when a file is read."""
    from interpretkit_tiff.tiff import TiffReader

    yield TiffReader
