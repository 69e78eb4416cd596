"""Networks of transformers for images. What needs transformers itself is asked for when a model is built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interpretkit import ModelBuilder


@hookimpl
def interpretkit_models() -> Iterator[type[ModelBuilder]]:
    """Yield the builder of the networks of transformers."""
    from interpretkit_transformers.builder import TransformersBuilder

    yield TransformersBuilder
