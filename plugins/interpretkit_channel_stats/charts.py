"""Charts of the statistics: the channels of a layer, and the layers over depth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from interpretkit import Figure, Table, figures

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from matplotlib.axes import Axes


MOST_CHARTS = 8
"""Layers beyond so many have no charts of their own: the chart over depth and the tables tell of them."""

_NAMED = 40  # channels whose numbers fit below the chart
_CELLS = 80  # bars of the histogram beside it
_SHARES = {
    "zeros": "sparsity",
    "dead channels": "dead",
    "saturated": "saturated",
    "variance between images": "between",
}
_BAND, _SPREAD, _LINE, _ACCENT, _SOFT = "#d9dee5", "#8fb3d9", "#1f4e79", "#b3541e", "#b9a7c9"


def draw(tables: Mapping[str, Table]) -> Iterator[Figure]:
    """Draw a chart of the channels of each layer, if there are at most 8, and one of the layers over depth."""
    layers = tables["layers"]
    if len(layers) <= MOST_CHARTS:
        for layer in layers["layer"].tolist():
            parts = {name: table.where("layer", layer) for name, table in tables.items()}
            yield _channels(layer, parts["channels"], parts["layers"], parts["histogram"])
    if len(layers) > 1:
        yield _depth(layers)


def _channels(layer: str, table: Table, about: Table, histogram: Table) -> Figure:
    """Draw the channels of a layer from the greatest mean to the least, and beside them how often values occur."""
    order = np.argsort(-table["mean"], kind="stable")
    ranked = Table({name: values[order] for name, values in table.columns.items()})
    facts = {name: column[0] for name, column in about.columns.items()}
    dead = int(table["dead"].sum())
    figure = figures.chart(9.0, 5.4, title=f"{layer}: {figures.count(len(table), 'channel')}, {dead} dead")
    (values, beside), (shares, corner) = figure.subplots(2, 2, height_ratios=(3, 1.2), width_ratios=(5, 1))
    corner.set_axis_off()
    _draw_values(values, ranked)
    _draw_shares(shares, ranked)
    _draw_histogram(beside, histogram, values.get_ylim())
    extent = _extent(table)
    return Figure(
        name=layer,
        picture=figures.picture(figure),
        caption=_of_layer(layer, table, facts, extent=extent),
        alt=f"Chart of {layer} by channel: {extent}; channel {ranked['channel'][0]} has the greatest mean.",
    )


def _draw_values(axes: Axes, ranked: Table) -> None:
    """Draw median, quantiles and range of each channel: none reaches beyond its values, as mean ± std would."""
    edges = np.arange(len(ranked) + 1) - 0.5
    # Statistics of a channel without finite values are infinite.
    low, high, first, last, median = (_finite(ranked[name]) for name in ("min", "max", "p5", "p95", "p50"))
    places, dead = np.arange(len(ranked)), ranked["dead"]
    axes.stairs(high, edges, baseline=low, fill=True, color=_BAND, lw=0, label="min to max")
    axes.stairs(last, edges, baseline=first, fill=True, color=_SPREAD, lw=0, label="5 % to 95 %")
    axes.stairs(median, edges, baseline=None, color=_LINE, lw=1.4, label="median")
    axes.stairs(ranked["mean"], edges, baseline=None, color=_ACCENT, lw=1.0, ls=":", label="mean")
    axes.plot(places[dead], median[dead], "x", color=_ACCENT, ms=4, label="dead" if dead.any() else None)
    axes.set(ylabel="activation", xlim=(edges[0], edges[-1]))
    _legend_above(axes)
    axes.tick_params(labelbottom=False)


def _finite(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, np.nan)


def _draw_shares(axes: Axes, ranked: Table) -> None:
    """Draw sparsity, saturation and the part of the variance that lies between images."""
    places, edges = np.arange(len(ranked)), np.arange(len(ranked) + 1) - 0.5
    axes.stairs(ranked["sparsity"], edges, fill=True, color=_SOFT, lw=0, label="zeros")
    spread = ranked["between"] + ranked["within"]
    undefined = np.full(len(spread), np.nan)
    between = np.divide(ranked["between"], spread, out=undefined, where=spread > 0)
    axes.stairs(between, edges, baseline=None, color=_LINE, lw=1.0, label="variance between images")
    if ranked["saturated"].any():
        axes.stairs(ranked["saturated"], edges, baseline=None, color=_ACCENT, lw=1.0, label="saturated")
    axes.set(ylabel="share", ylim=(0, 1), xlim=(edges[0], edges[-1]))
    _legend_above(axes)
    if len(places) <= _NAMED:
        upright = len(places) > _NAMED // 2
        axes.set_xticks(places, ranked["channel"], fontsize=7, rotation=90 if upright else 0)
        axes.set_xlabel("channel, greatest mean first")
    else:
        axes.set_xlabel("channels in order of their mean, greatest first (numbers are in the table)")


def _draw_histogram(axes: Axes, histogram: Table, limits: tuple[float, float]) -> None:
    """Draw how often values occur, against the same axis of values: each bin counts where its middle lies."""
    if not len(histogram):
        axes.set_axis_off()
        return
    middles = np.clip((histogram["low"] + histogram["high"]) / 2, *limits)
    counts, edges = np.histogram(middles, bins=_CELLS, range=limits, weights=histogram["count"])
    axes.barh(edges[:-1], counts, height=np.diff(edges), align="edge", color=_SPREAD)
    most = max(counts.max() * 1.5, 2)
    axes.set(xscale="log", ylim=limits, xlabel="how many", xlim=(0.5, most))
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.tick_params(labelleft=False)
    axes.minorticks_off()


def _legend_above(axes: Axes) -> None:
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=5, frameon=False, fontsize=8, borderaxespad=0.1)


def _extent(table: Table) -> str:
    least, greatest = table["mean"].min(), table["mean"].max()
    low, high = table["min"].min(), table["max"].max()
    return f"means from {least:.4g} to {greatest:.4g}, values from {low:.4g} to {high:.4g}"


def _of_layer(layer: str, table: Table, facts: Mapping[str, Any], *, extent: str) -> str:
    """Return the caption of a layer's chart."""
    count, dead = int(table["count"].max()), int(table["dead"].sum())
    sparsity, saturated = figures.percent(table["sparsity"].mean()), figures.percent(facts["saturated"])
    between = ""
    if not np.isnan(facts["between"]):
        between = f"{figures.percent(facts['between'])} of the channels' variance lies between images. "
    return (
        f"Channel statistics of {layer} over all images and positions ({count} values each), "
        f"channels from the greatest mean to the least, with median, 5 % and 95 %: {extent}; mean sparsity {sparsity}, "
        f"{dead} of {figures.count(len(table), 'channel')} dead, {saturated} of all values saturated. "
        f"{between}Median {figures.number(facts['p50'])}, 99 % of values up to "
        f"{figures.number(facts['p99'])} (±0.8 %) in the whole layer. "
        "Right: how often values occur, on a logarithmic scale."
    )


def _depth(layers: Table) -> Figure:
    """Draw how the layers differ from the first to the last: their values, and shares of them."""
    names, places = layers["layer"].tolist(), np.arange(len(layers))
    figure = figures.chart(9.0, 6.0, title=f"{len(names)} layers over depth")
    values, shares = figure.subplots(2, 1, sharex=True)
    values.fill_between(places, layers["p1"], layers["p99"], color=_BAND, lw=0, label="1 % to 99 %")
    values.fill_between(places, layers["p25"], layers["p75"], color=_SPREAD, lw=0, label="25 % to 75 %")
    values.plot(places, layers["p50"], "-", color=_LINE, lw=1.0, label="median")
    values.plot(places, layers["mean"], "o-", color=_LINE, ms=4, lw=1.4, label="mean")
    values.set_ylabel("activation")
    for (label, name), marker in zip(_SHARES.items(), "osv^", strict=True):
        shares.plot(places, layers[name], marker=marker, ms=4, lw=1.2, label=label)
    shares.set(ylabel="share", ylim=(-0.03, 1.03))
    _legend_above(values)
    _legend_above(shares)
    letters = max(map(len, names)) * len(names)
    shares.set_xticks(places, names, rotation=90 if letters > _NAMED * 2 else 0)
    sparsest = names[layers["sparsity"].argmax()]
    zeros = figures.percent(layers["sparsity"].max())
    dead = figures.percent(layers["dead"].max())
    told = f"the sparsest is {sparsest} with {zeros} zeros, {dead} of channels dead at most"
    caption = (
        f"{len(names)} layers over all images, in the order asked for. Above: mean, median and quantiles of their "
        f"values (±0.8 %); below: shares of zeros, of dead channels, of values at their channel's maximum, and of the "
        f"channels' variance that lies between images; {told}."
    )
    alt = f"Chart of {len(names)} layers from {names[0]} to {names[-1]}: {told}."
    return Figure(name="over depth", picture=figures.picture(figure), caption=caption, alt=alt)
