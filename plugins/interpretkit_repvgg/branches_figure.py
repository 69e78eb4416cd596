"""The figures of the branches: their shares over the depth of the network, and their maps at the last block."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from interpretkit import Figure, figures
from interpretkit_repvgg.blocks import branch_of
from interpretkit_repvgg.charts import COLOURS, depth_axis, depth_chart

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib import figure as matplotlib
    from matplotlib.axes import Axes

    from interpretkit import Result, Table


def shares(table: Table) -> Figure:
    """Draw the shares as bars stacked from zero, upwards where positive and downwards where negative."""
    blocks = list(dict.fromkeys(table["block"].tolist()))
    figure = depth_chart(
        blocks, 4.8, title="Covariance share of each branch in the sum before the ReLU, block by block"
    )
    axes = figure.subplots()
    sums = _stack(axes, table, len(blocks))
    axes.plot(sums, "D", color="white", mec="#1f2328", ms=4, label="sum of the shares")
    axes.axhline(0, color="#1f2328", lw=0.8)
    axes.set_ylabel("share of the variance")
    depth_axis(axes, blocks)
    _legend(figure, axes)
    words = _in_words(table, blocks, sums)
    caption = (
        "Exact split of each block: covariance of a branch with the sum of the branches over the variance of the sum, "
        f"over the positions of the image, within channels. {words} A negative share cancels the others."
    )
    return Figure(
        name="shares", picture=figures.picture(figure), caption=caption, alt=f"Stacked bars by block. {words}"
    )


def logit(result: Result) -> Figure:
    """Draw the maps of the branches and their sum, on one scale."""
    (image,), (target,) = result.images, result.targets
    values = {branch_of(path): shown.values[0] for path, shown in result.maps.items()}
    block = next(iter(result.maps)).rpartition(".")[0]
    together = np.sum(list(values.values()), axis=0)
    maps = {**values, "all branches": together}
    bound = max(float(np.abs(cells).max()) for cells in maps.values())
    pictures = [figures.photo(image.pixels, title="input")]
    for name, cells in maps.items():
        title = f"{name}: sums to {figures.number(cells.sum())}"
        pictures.append(figures.heatmap(cells, title=title, polarity="signed", limits=(-bound, bound)))
    table = result.tables["logit"]
    rows = zip(table["part"], map(figures.number, table["value"]), strict=True)
    parts = ", ".join(f"{part} {value}" for part, value in rows)
    caption = (
        f"The score {figures.number(target.score)} split exactly at {block}, the ReLU held where it is: {parts} "
        "(rest: the bias of the linear layer). Maps in units of the logit per cell on their native grid of "
        f"{figures.shape(together.shape)}, all on one scale symmetric about 0."
    )
    picture = figures.panels(pictures, title=f"What each branch of {block} says for {target}")
    alt = figures.alt(together, what=f"Maps of the branches of {block} for {target}: {parts}; their sum")
    return Figure(name="logit", picture=picture, caption=caption, alt=alt)


def _stack(axes: Axes, table: Table, count: int) -> np.ndarray:
    """Draw the bars of all branches, and return the sum of the shares of each block."""
    upper, lower, sums = np.zeros(count), np.zeros(count), np.zeros(count)
    for branch in dict.fromkeys(table["branch"].tolist()):
        rows = table.where("branch", branch)
        depths, values = rows["depth"], rows["share"]
        bottom = np.where(values < 0, lower[depths], upper[depths])
        axes.bar(depths, values, 0.8, bottom=bottom, color=COLOURS[branch], label=branch)
        upper[depths] += np.where(values > 0, values, 0.0)
        lower[depths] += np.where(values < 0, values, 0.0)
        sums[depths] += values
    return sums


def _legend(figure: matplotlib.Figure, axes: Axes) -> None:
    """Name the bars in the order in which they are stacked, the sum on top."""
    handles, labels = axes.get_legend_handles_labels()
    handles = [handles[0], *handles[:0:-1]]
    labels = [labels[0], *labels[:0:-1]]
    figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=8)


def _in_words(table: Table, blocks: Sequence[str], sums: np.ndarray) -> str:
    if np.isnan(table["share"]).all():
        return "On grids of one cell no share is defined."
    medians = []
    for branch in dict.fromkeys(table["branch"].tolist()):
        values = table.where("branch", branch)["share"]
        if not np.isnan(values).all():
            medians.append(f"{branch} {figures.percent(np.nanmedian(values), '.0')}")
    least = int(np.nanargmin(table["share"]))
    block, branch = table["block"][least], table["branch"][least]
    lowest = figures.percent(table["share"][least], ".0")
    missing = int(np.isnan(sums).sum())
    undefined = f"; undefined in {missing} of {len(blocks)} blocks" if missing else ""
    return (
        f"Median over {len(blocks) - missing} blocks: {', '.join(medians)}; "
        f"the least share is {lowest} ({branch} of {block}){undefined}."
    )
