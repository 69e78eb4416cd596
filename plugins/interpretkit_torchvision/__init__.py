"""torchvision's classifiers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interpretkit import ModelBuilder


@hookimpl
def interpretkit_models() -> Iterator[type[ModelBuilder]]:
    """Yield the builder of torchvision's classifiers."""
    from interpretkit_torchvision.builder import TorchvisionBuilder

    yield TorchvisionBuilder
