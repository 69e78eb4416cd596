"""Charts of the statistics: the channels of a layer, and the layers over depth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from interpretkit import Figure, figures

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from interpretkit import Table

MOST_CHARTS = 8
"""Layers beyond so many have no charts of their own: the chart over depth and the tables tell of them."""

_NAMED = 40  # channels whose numbers fit below the chart
_CELLS = 80  # bars of the histogram beside it
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
    rows = {name: values[order] for name, values in table.columns.items()}
    places, mean, std, dead = np.arange(len(order)), rows["mean"], rows["std"], rows["dead"]
    figure = figures.chart(9.0, 5.4, title=f"{layer}: {len(table)} channels, {int(dead.sum())} dead")
    (values, beside), (shares, corner) = figure.subplots(2, 2, height_ratios=(3, 1.2), width_ratios=(5, 1))
    corner.set_axis_off()
    values.fill_between(places, rows["min"], rows["max"], step="mid", color=_BAND, lw=0, label="min to max")
    values.fill_between(places, mean - std, mean + std, step="mid", color=_SPREAD, lw=0, label="mean ± std")
    values.step(places, mean, where="mid", color=_LINE, lw=1.1, label="mean")
    values.plot(places[dead], mean[dead], "x", color=_ACCENT, ms=4, label="dead" if dead.any() else None)
    values.set(ylabel="activation", xlim=(-0.5, len(order) - 0.5))
    _legend_above(values)
    values.tick_params(labelbottom=False)
    _share_chart(shares, places, rows)
    _beside(beside, histogram, values.get_ylim())
    low, high = table["min"].min(), table["max"].max()
    extent = f"means from {mean.min():.4g} to {mean.max():.4g}, values from {low:.4g} to {high:.4g}"
    facts = {name: column[0] for name, column in about.columns.items()}
    sparsity, saturated = figures.percent(table["sparsity"].mean()), figures.percent(facts["saturated"])
    caption = (
        f"Channel statistics of {layer} over all images and positions ({int(table['count'].max())} values each), "
        f"channels from the greatest mean to the least: {extent}; mean sparsity {sparsity}, "
        f"{int(dead.sum())} of {len(table)} channels dead, {saturated} of all values saturated. "
        f"{_told(facts['between'])}Median {figures.number(facts['p50'])}, 99 % of values up to "
        f"{figures.number(facts['p99'])} (±0.8 %). Right: how often values occur, on a logarithmic scale."
    )
    busiest = int(rows["channel"][0])
    return Figure(
        name=layer,
        picture=figures.picture(figure),
        caption=caption,
        alt=f"Chart of {layer} by channel: {extent}; channel {busiest} has the greatest mean.",
    )


def _share_chart(axes: Any, places: np.ndarray, rows: Mapping[str, np.ndarray]) -> None:
    """Draw sparsity, saturation and the part of the variance that lies between images."""
    axes.fill_between(places, rows["sparsity"], step="mid", color=_SOFT, lw=0, label="zeros")
    spread = rows["between"] + rows["within"]
    between = np.divide(rows["between"], spread, out=np.full(len(spread), np.nan), where=spread > 0)
    axes.step(places, between, where="mid", color=_LINE, lw=1.0, label="variance between images")
    if rows["saturated"].any():
        axes.step(places, rows["saturated"], where="mid", color=_ACCENT, lw=1.0, label="saturated")
    axes.set(ylabel="share", ylim=(0, 1), xlim=(-0.5, len(places) - 0.5))
    _legend_above(axes)
    if len(places) <= _NAMED:
        axes.set_xticks(places, rows["channel"], fontsize=7, rotation=90 if len(places) > _NAMED // 2 else 0)
        axes.set_xlabel("channel, greatest mean first")
    else:
        axes.set_xlabel("channels in order of their mean, greatest first (numbers are in the table)")


def _beside(axes: Any, histogram: Table, limits: tuple[float, float]) -> None:
    """Draw how often values occur, against the same axis of values: each bin counts where its middle lies."""
    if not len(histogram):
        axes.set_axis_off()
        return
    middles = np.clip((histogram["low"] + histogram["high"]) / 2, *limits)
    counts, edges = np.histogram(middles, bins=_CELLS, range=limits, weights=histogram["count"])
    axes.barh(edges[:-1], counts, height=np.diff(edges), align="edge", color=_SPREAD)
    axes.set(xscale="log", ylim=limits, xlabel="how many", xlim=(0.5, max(counts.max() * 1.5, 2)))
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.tick_params(labelleft=False)
    axes.minorticks_off()


def _legend_above(axes: Any) -> None:
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=4, frameon=False, fontsize=8, borderaxespad=0.1)


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
    lines = {
        "zeros": "sparsity",
        "dead channels": "dead",
        "saturated": "saturated",
        "variance between images": "between",
    }
    for (label, name), marker in zip(lines.items(), "osv^", strict=True):
        shares.plot(places, layers[name], marker=marker, ms=4, lw=1.2, label=label)
    shares.set(ylabel="share", ylim=(-0.03, 1.03))
    for axes in (values, shares):
        _legend_above(axes)
    shares.set_xticks(places, names, rotation=90 if max(map(len, names)) * len(names) > _NAMED * 2 else 0)
    sparsest, most = names[int(np.argmax(layers["sparsity"]))], layers["sparsity"].max()
    told = f"the sparsest is {sparsest} with {figures.percent(most)} zeros, "
    told += f"{figures.percent(layers['dead'].max())} of channels dead at most"
    caption = (
        f"{len(names)} layers over all images, in the order asked for. Above: mean, median and quantiles of their "
        f"values (±0.8 %); below: shares of zeros, of dead channels, of values at their channel's maximum, and of the "
        f"channels' variance that lies between images; {told}."
    )
    alt = f"Chart of {len(names)} layers from {names[0]} to {names[-1]}: {told}."
    return Figure(name="over depth", picture=figures.picture(figure), caption=caption, alt=alt)


def _told(between: float) -> str:
    return "" if np.isnan(between) else f"{figures.percent(between)} of the channels' variance lies between images. "
