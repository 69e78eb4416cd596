"""Class activation maps: one formula per method, over the one capture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from interpretkit import Visualizer


@hookimpl
def interpretkit_visualizers() -> Iterable[type[Visualizer]]:
    """Offer the methods."""
    from interpretkit_cam.grad_cam import GradCAM

    yield GradCAM
