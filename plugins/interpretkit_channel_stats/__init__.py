"""Statistics of a layer's channels over a whole set of images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from interpretkit import Visualizer


@hookimpl
def interpretkit_visualizers() -> Iterable[type[Visualizer]]:
    """Offer the statistics and the exemplars."""
    from interpretkit_channel_stats.channel_stats import ChannelStats
    from interpretkit_channel_stats.exemplars import Exemplars

    yield ChannelStats
    yield Exemplars
