"""HEIC and AVIF: the photos of phones and cameras."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from interpretkit import Reader


@hookimpl
def interpretkit_readers() -> Iterable[type[Reader]]:
    """Offer the reader. What needs pillow_heif itself is asked for when a file is read."""
    from interpretkit_heif.heif import HeifReader

    yield HeifReader
