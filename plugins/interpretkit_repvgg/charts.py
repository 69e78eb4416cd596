"""What the charts over the depth of a network have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit import figures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito: told apart in every kind of colour blindness.
COLOURS = {"3x3": "#0072b2", "1x1": "#d55e00", "identity": "#009e73"}


def depth_chart(blocks: Sequence[str], height: float, *, title: str) -> Figure:
    """Return an empty chart wide enough for all blocks and a legend beside them."""
    return figures.chart(max(6.5, 2.2 + 0.27 * len(blocks)), height, title=title)


def depth_axis(axes: Axes, blocks: Sequence[str]) -> None:
    """Name the blocks along the x axis, at 0, 1, 2, …, and part the stages by lines."""
    axes.set_xticks(range(len(blocks)), blocks, rotation=90)
    axes.set_xlim(-0.6, len(blocks) - 0.4)
    axes.grid(visible=False, axis="x")
    stages = [block.split(".")[0] for block in blocks]
    for position in range(1, len(blocks)):
        if stages[position] != stages[position - 1]:
            axes.axvline(position - 0.5, color="#8c959f", lw=0.8, ls=":")
