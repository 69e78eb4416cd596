"""The figure of the contributions of channels: the map, its channels, what they carry, and what their loss costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from interpretkit import Figure, figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from PIL.Image import Image

    from interpretkit import Result, Table, Target

SHARE = 0.2
"""Share of the cells that count as top ones, for the IoU of a channel with the attribution map."""

_NOTHING = 1e-4
"""Share of all contributions below which a change of the score is rounding."""

_TOP, _RANDOM = "#0072b2", "#57606a"
_FILLS = {"zero": "set to zero", "mean": "set to their mean"}


def draw(layer: str, result: Result) -> Figure:
    """Draw what a layer's channels contribute to the score of one image."""
    about = {name: column[0] for name, column in result.tables["summary"].where("layer", layer).columns.items()}
    channels, falls = (result.tables[name].where("layer", layer) for name in ("channels", "ablation"))
    (image,), (target,) = result.images, result.targets
    titles = _titles(layer, about["attribution"], result)
    above = [
        figures.attribution(result.maps[name].values[0], image.pixels, title=title, polarity=result.maps[name].polarity)
        for name, title in titles.items()
    ]
    tiles = [
        _tiles(result.maps[f"{layer}, {end}"].values[0], end, channels, limits=(about["least"], about["greatest"]))
        for end in ("for", "against")
    ]
    picture = figures.panels(
        [*above, *tiles, _charts(about, channels, falls, target)],
        title=f"{layer}: which channels speak for {target}",
        columns=1,
    )
    words = _in_words(about, channels, falls)
    return Figure(
        name=layer,
        picture=picture,
        caption=f"Contribution of a channel of {layer}: its mean gradient times the sum of its activation; beside its "
        f"number, its share of the sum of all magnitudes. {words}",
        alt=f"Channels of {layer} for {target}. {words}",
    )


def _titles(layer: str, compared: str, result: Result) -> dict[str, str]:
    """Return the titles of a layer's maps: the one that is taken apart, and below it another that was read."""
    own, read = f"{layer}, Grad-CAM", f"{layer}, attribution"
    apart = f"The map that is taken apart: Grad-CAM at {layer}, the sum of all channels"
    if own not in result.maps:
        return {read: apart}
    return {own: apart, read: f"The map that each channel is compared with: {compared}"}


def _tiles(shown: np.ndarray, end: str, channels: Table, *, limits: tuple[float, float]) -> Image:
    rows = np.arange(len(channels))[:: 1 if end == "for" else -1][: len(shown)]
    labels = [f"{channels['channel'][row]}: {figures.percent(channels['share'][row], '+.1')}" for row in rows]
    return figures.grid(
        shown,
        title=f"Channels that speak most {end} the target: mean gradient × activation",
        labels=labels,
        scope="layer",
        polarity="signed",
        limits=limits,
    )


def _charts(about: dict[str, Any], channels: Table, falls: Table, target: Target) -> Image:
    figure = figures.chart(13.6, 3.9, title="How many channels carry it, and what the score is without them")
    carried, *ablated = figure.subplots(1, 3)
    carried.step(channels["rank"], channels["cumulative"], where="post", color=_TOP)
    carried.set_title("carried by the first channels")
    carried.set(xlabel="channels, greatest contribution first", ylabel="share of the positive sum", ylim=(0, 1.03))
    _count_axis(carried, len(channels))
    if about["carry_80"]:
        carried.plot([about["carry_80"]], [0.8], "o", color="#d55e00", label=f"80 %: {about['carry_80']} channels")
        carried.legend(loc="lower right")
    for axes, (fill, words) in zip(ablated, _FILLS.items(), strict=True):
        _ablated(axes, falls.where("fill", fill), about["score"])
        axes.set_title(f"channels {words}")
        _count_axis(axes, len(channels))
    ablated[0].set_ylabel("logit" if target.against is None else "logit difference")
    ablated[1].sharey(ablated[0])
    ablated[1].legend(loc="upper left", bbox_to_anchor=(1.02, 1.0))
    return figures.picture(figure)


def _ablated(axes: Axes, falls: Table, score: float) -> None:
    top, random = (falls.where("order", order) for order in ("top", "random"))
    axes.axhline(score, color="#1f2328", lw=0.9, ls=":", label="nothing taken away")
    axes.fill_between(
        random["k"], random["score"] - random["spread"], random["score"] + random["spread"], color="#d0d7de", lw=0
    )
    axes.plot(random["k"], random["score"], "--", color=_RANDOM, label="random channels, mean ± spread")
    axes.plot(top["k"], top["score"], "o-", ms=4, color=_TOP, label="first channels")
    axes.set_xlabel("channels taken away")


def _count_axis(axes: Axes, channels: int) -> None:
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.set_xlim(0.9, channels * 1.1)


def _in_words(about: dict[str, Any], channels: Table, falls: Table) -> str:
    """Say how many channels carry what, and what their loss costs beside that of random ones."""
    number = figures.number
    parts = [about["sum_positive"], about["sum_negative"], about["rest"]]
    speaking, silent, rest = (f"{'+' if part > 0 else ''}{number(part)}" for part in parts)
    made_of = (
        f"{speaking} by {about['positive']} channels that speak for it, {silent} by {about['negative']} against it"
    )
    words = [f"The score {number(about['score'])} is made up of {made_of}, and {rest} that no channel accounts for."]
    if about["carry_80"]:
        words.append(f"{about['carry_80']} channels carry 80 % of all that speaks for it.")
    k = _shown(falls["k"], about["carry_80"])
    for fill, done in _FILLS.items():
        rows = falls.where("k", k).where("fill", fill)
        top, random = (rows.where("order", order) for order in ("top", "random"))
        words.append(
            f"With the first {k} {done} the score falls by {number(top['fall'][0])}, with {k} random ones by "
            f"{number(random['fall'][0])} ± {number(random['spread'][0])}."
        )
    if np.abs(falls.where("fill", "mean")["fall"]).max() < _NOTHING * (parts[0] - parts[1]):
        words.append(
            "Means change nothing here: what follows the layer does not see where in the grid a channel is active."
        )
    words.append(
        f"The map that is taken apart is Grad-CAM at {about['layer']}. Each channel's part of it, compared with "
        f"{about['attribution']}: median rank correlation {_median(channels['rank_correlation'])}, median IoU of the "
        f"top {figures.percent(SHARE, '.0')} of the cells {_median(channels['iou'])}."
    )
    return " ".join(words)


def _shown(counts: np.ndarray, wanted: int) -> int:
    """Return the number of ablated channels to tell of: of those that were tried, the nearest to `wanted`."""
    return int(min(counts.tolist(), key=lambda k: abs(np.log2(k / max(wanted, 1)))))


def _median(values: np.ndarray) -> str:
    known = values[~np.isnan(values)]
    return figures.fixed(float(np.median(known)) if len(known) else np.nan)
