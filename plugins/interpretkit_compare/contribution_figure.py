"""The figure of the contributions of channels: the map, its channels, what they carry, and what their loss costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from interpretkit import Figure, figures
from interpretkit_compare.contribution_words import FILLS, in_words, titles, warning

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from PIL.Image import Image

    from interpretkit import Map, Result, Table, Target

_FIRST, _RANDOM, _MARK = "#0072b2", "#57606a", "#d55e00"


def draw(layer: str, result: Result) -> Figure:
    """Draw what a layer's channels contribute to the score of one image."""
    summary = result.tables["summary"].where("layer", layer)
    about = {name: column[0] for name, column in summary.columns.items()}
    channels = result.tables["channels"].where("layer", layer)
    ablation = result.tables["ablation"].where("layer", layer)
    (image,), (target,) = result.images, result.targets
    maps = [
        _map(result.maps[name], image.pixels, title=title)
        for name, title in titles(layer, about["attribution"], result).items()
    ]
    limits = (about["least"], about["greatest"])
    tiles = []
    for end in ("for", "against"):
        shown = result.maps[f"{layer}, {end}"]
        rows = _rows(channels, end)[: len(shown.values[0])]
        # Where hardly any channel speaks on one side, the map goes on with those of the other.
        if len(rows):
            tiles.append(_tiles(shown, end, channels, rows, limits=limits))
    charts = _charts(about, channels, ablation, target)
    words, incomplete = in_words(about, channels, ablation), warning(about)
    title = f"{layer}: which channels speak for {target}" + (f"; {incomplete}" if incomplete else "")
    return Figure(
        name=layer,
        picture=figures.panels([*maps, *tiles, charts], title=title, columns=1),
        caption=f"Contribution of a channel of {layer}: its mean gradient times the sum of its activation; beside its "
        f"number, its share of the sum of all magnitudes. {words}",
        alt=f"Channels of {layer} for {target}. {words}",
    )


def _map(shown: Map, pixels: np.ndarray, *, title: str) -> Image:
    return figures.attribution(shown.values[0], pixels, title=title, polarity=shown.polarity, grid=shown.grid)


def _rows(channels: Table, end: str) -> np.ndarray:
    """Return the rows of the channels that speak on one side, the most first."""
    contribution = channels["contribution"]
    if end == "for":
        return np.flatnonzero(contribution > 0)
    return np.flatnonzero(contribution < 0)[::-1]


def _tiles(shown: Map, end: str, channels: Table, rows: np.ndarray, *, limits: tuple[float, float]) -> Image:
    return figures.grid(
        shown.values[0][: len(rows)],
        title=f"Channels that speak most {end} the target: mean gradient × activation",
        labels=[_label(channels, row) for row in rows],
        scope="layer",
        polarity="signed",
        limits=limits,
    )


def _label(channels: Table, row: int) -> str:
    share = figures.percent(channels["share"][row], "+.1")
    return f"{channels['channel'][row]}: {share}"


def _charts(about: Mapping[str, Any], channels: Table, ablation: Table, target: Target) -> Image:
    """Draw what the first channels carry, and the score without channels: at zero, and at their mean."""
    figure = figures.chart(13.6, 3.9, title="How many channels carry it, and what the score is without them")
    carried, *ablated = figure.subplots(1, 3)
    # Before anything is drawn, so that the limits hold what is in both.
    ablated[1].sharey(ablated[0])
    _carried(carried, channels, about["carry_80"])
    for axes, (fill, words) in zip(ablated, FILLS.items(), strict=True):
        _ablated(axes, ablation.where("fill", fill), about["score"])
        axes.set_title(f"channels {words}")
    for axes in (carried, *ablated):
        _count_axis(axes, len(channels))
    ablated[0].set_ylabel("logit" if target.against is None else "logit difference")
    ablated[1].legend(loc="upper left", bbox_to_anchor=(1.02, 1.0))
    return figures.picture(figure)


def _carried(axes: Axes, channels: Table, needed: int) -> None:
    axes.step(channels["rank"], channels["cumulative"], where="post", color=_FIRST)
    axes.set_title("carried by the first channels")
    axes.set(xlabel="channels, greatest contribution first", ylabel="share of the positive sum", ylim=(0, 1.03))
    if needed:
        label = f"80 %: {figures.count(int(needed), 'channel')}"
        axes.plot([needed], [0.8], "o", color=_MARK, label=label)
        axes.legend(loc="lower right")


def _ablated(axes: Axes, ablation: Table, score: float) -> None:
    first = ablation.where("order", "top")
    random = ablation.where("order", "random")
    counts, mean, spread = random["k"], random["score"], random["spread"]
    axes.axhline(score, color="#1f2328", lw=0.9, ls=":", label="nothing taken away")
    axes.fill_between(counts, mean - spread, mean + spread, color="#d0d7de", lw=0)
    axes.plot(counts, mean, "--", color=_RANDOM, label="random channels, mean ± spread")
    axes.plot(first["k"], first["score"], "o-", ms=4, color=_FIRST, label="first channels")
    axes.set_xlabel("channels taken away")


def _count_axis(axes: Axes, channels: int) -> None:
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.set_xlim(0.9, channels * 1.1)
