"""timm's classifiers. What needs timm itself is asked for when a model is built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interpretkit import ModelBuilder


@hookimpl
def interpretkit_models() -> Iterator[type[ModelBuilder]]:
    """Yield the builder of timm's classifiers."""
    from interpretkit_timm.builder import TimmBuilder

    yield TimmBuilder
