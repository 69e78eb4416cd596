"""RepVGG: a plain network of 3×3 convolutions that was trained with branches beside them (arXiv:2101.03697)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interpretkit import ModelBuilder, Visualizer


@hookimpl
def interpretkit_models() -> Iterator[type[ModelBuilder]]:
    """Yield the builder of the RepVGG family, and that of a small one that comes along trained."""
    from interpretkit_repvgg.builder import RepVGGBuilder
    from interpretkit_repvgg.digits import DigitsBuilder

    yield RepVGGBuilder
    yield DigitsBuilder


@hookimpl
def interpretkit_visualizers() -> Iterator[type[Visualizer]]:
    """Yield what only a network with re-parameterised branches allows."""
    from interpretkit_repvgg.branches import Branches
    from interpretkit_repvgg.equivalence import Equivalence
    from interpretkit_repvgg.shift import Shift

    yield Branches
    yield Equivalence
    yield Shift
