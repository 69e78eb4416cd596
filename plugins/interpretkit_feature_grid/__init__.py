"""Raw feature maps: every channel of a layer as a tile of a labelled grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from interpretkit import Visualizer


@hookimpl
def interpretkit_visualizers() -> Iterable[type[Visualizer]]:
    """Offer the grid."""
    from interpretkit_feature_grid.feature_grid import FeatureGrid

    yield FeatureGrid
