"""RepVGG: a plain network of 3×3 convolutions that was trained with branches beside them (arXiv:2101.03697)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interpretkit import ModelBuilder


@hookimpl
def interpretkit_models() -> Iterator[type[ModelBuilder]]:
    """Yield the builder of the RepVGG family."""
    from interpretkit_repvgg.builder import RepVGGBuilder

    yield RepVGGBuilder
