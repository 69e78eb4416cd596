"""The figure of the shift: how far the channels of each branch have moved, over the depth of the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from interpretkit import Figure, figures
from interpretkit_repvgg.charts import COLOURS, depth_axis, depth_chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from interpretkit import Table

_LEAST_RATIO = 1e-4


def draw(channels: Table, branches: Table) -> Figure:
    """Draw shift and variance of the channels over depth: their median, and 10 % to 90 % of them."""
    blocks = list(dict.fromkeys(branches["block"].tolist()))
    images = figures.count(int(branches["images"].max()), "image")
    figure = depth_chart(blocks, 6.4, title=f"Shift from the training's statistics, over {images}")
    shifts, ratios = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    names = list(dict.fromkeys(branches["branch"].tolist()))
    for offset, branch in zip(np.linspace(-0.25, 0.25, len(names)), names, strict=True):
        rows = channels.where("branch", branch)
        depths = rows["depth"] + offset
        _quantiles(shifts, depths, np.abs(rows["shift_sigma"]), branch)
        _quantiles(ratios, depths, rows["variance_ratio"], branch)
    shifts.set_ylabel("|shift| in training σ")
    shifts.set_ylim(bottom=0)
    _scale_ratios(ratios)
    depth_axis(shifts, blocks)
    depth_axis(ratios, blocks)
    shifts.tick_params(axis="x", labelbottom=False)
    figure.legend(*shifts.get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize=8)
    words = _in_words(channels, branches)
    caption = (
        f"Over {images}: distance of each channel's mean from its mean in training (β) in units of its standard "
        "deviation there (|γ|), and its variance over that in training (γ²; the line at 1 is no change). "
        f"Dots: median over the channels of a branch; lines: 10 % to 90 % of them, cut off at the lower edge. {words}"
    )
    return Figure(name="shift", picture=figures.picture(figure), caption=caption, alt=f"Chart by block. {words}")


def _quantiles(axes: Axes, depths: np.ndarray, values: np.ndarray, branch: str) -> None:
    """Draw the median of the values at each depth as a dot, and a line from their 10 % to their 90 %."""
    places = np.unique(depths)
    if not len(places):
        return
    quantiles = [np.quantile(values[depths == place], (0.1, 0.5, 0.9)) for place in places]
    low, median, high = np.array(quantiles).T
    axes.vlines(places, low, high, color=COLOURS[branch], lw=1.6, alpha=0.55)
    axes.plot(places, median, "o", color=COLOURS[branch], ms=3.5, label=branch)


def _scale_ratios(axes: Axes) -> None:
    axes.set_ylabel("variance / training's")
    axes.set_yscale("log", nonpositive="clip")
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, _LEAST_RATIO), max(high, 2.0))
    axes.axhline(1, color="#1f2328", lw=0.8)


def _in_words(channels: Table, branches: Table) -> str:
    missing, count = int(branches["undefined"].sum()), int(branches["channels"].sum())
    undefined = f"{missing} of {figures.count(count, 'channel')} undefined (γ ≈ 0)."
    if not len(channels):
        return undefined
    medians = _medians(channels)
    (block, branch), most = max(medians.items(), key=lambda item: item[1])
    overall = float(np.median(np.abs(channels["shift_sigma"])))
    still = int((channels["variance_ratio"] < _LEAST_RATIO).sum())
    constant = f"Channels that hardly vary (ratio below {_LEAST_RATIO:g}): {still}. " if still else ""
    return (
        f"Median |shift| over all channels {figures.number(overall)} σ; it is greatest in the {branch} branch of "
        f"{block}: {figures.number(most)} σ. {constant}{undefined}"
    )


def _medians(channels: Table) -> dict[tuple[str, str], float]:
    """Return the median |shift| of the channels of each block and branch."""
    medians = {}
    places = zip(channels["block"].tolist(), channels["branch"].tolist(), strict=True)
    for block, branch in dict.fromkeys(places):
        rows = channels.where("block", block).where("branch", branch)
        medians[block, branch] = float(np.median(np.abs(rows["shift_sigma"])))
    return medians
