"""Feature maps against attribution maps, and attribution maps against each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from interpretkit import Visualizer


@hookimpl
def interpretkit_visualizers() -> Iterable[type[Visualizer]]:
    """Offer the comparisons."""
    from interpretkit_compare.channel_contributions import ChannelContributions
    from interpretkit_compare.compare import Compare
    from interpretkit_compare.depth_sweep import DepthSweep
    from interpretkit_compare.method_agreement import Agreement

    yield Compare
    yield Agreement
    yield ChannelContributions
    yield DepthSweep
