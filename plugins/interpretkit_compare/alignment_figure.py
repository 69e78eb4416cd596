"""The figure of channels beside an attribution map: those most aligned with it, and those least."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from interpretkit import Figure, figures
from interpretkit_compare.alignment import end_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PIL.Image import Image

    from interpretkit import Map, Result, Table


def draw(features: str, attribution: str, ranked: Table, result: Result) -> Figure:
    """Draw the input, the attribution map, and the channels at both ends of the ranking.

    Args:
        features: The layer, as tables call it.
        attribution: The attribution map, as tables call it.
        ranked: The layer's channels by this map, of one image.
        result: Of this image.
    """
    layer = result.tables["layers"].where("features", features).where("attribution", attribution)
    about = {name: column[0] for name, column in layer.columns.items()}
    reference = result.maps[attribution]
    maps = [
        figures.photo(result.images[0].pixels, title="input"),
        figures.heatmap(reference.values[0], title=attribution, polarity=reference.polarity),
    ]
    ends = {end: result.maps[f"{features} by {attribution}, {end}"] for end in ("most", "least")}
    grids = [_grid(shown, end, ranked, about) for end, shown in ends.items()]
    explained = f"{attribution}{of_target(about['target'])}"
    picture = figures.panels(
        [figures.panels(maps), figures.panels(grids)],
        title=f"{features}: channels ranked by their correlation with {explained}",
        columns=1,
    )
    extent = _extent(about)
    own, other = (figures.shape(each.values.shape[-2:]) for each in (ends["most"], reference))
    channels = figures.count(int(about["channels"]), "channel")
    words = _by_chance(ranked, about)
    caption = (
        f"Spearman rank correlation of {channels} of {features} ({own}) with {explained} "
        f"({other}), on the coarser grid by area averaging: {extent}; {about['undefined']} undefined (the same value "
        f"everywhere). {words}"
    )
    alt = (
        f"Channel {ranked['channel'][0]} of {features} is aligned most with {attribution}; correlations {extent}. "
        f"{words}"
    )
    return Figure(name=f"{features}--{attribution}".replace("/", "-"), picture=picture, caption=caption, alt=alt)


def of_target(target: str) -> str:
    """Return the words that say what a map explains; none where it explains no score."""
    return f" of {str(target)!r}" if target else ""


def _grid(shown: Map, end: str, ranked: Table, about: Mapping[str, Any]) -> Image:
    """Draw the channels at one end of the ranking, with their numbers and correlations."""
    rows = end_of(ranked["rank_correlation"], end, shown.values.shape[1])
    known = not np.isnan(about["min"])
    return figures.grid(
        shown.values[0],
        title=f"{end} aligned",
        labels=[_label(ranked, row, about) for row in rows],
        scope="channel",
        polarity="signed" if about["min"] < 0 else "unsigned",
        limits=(about["min"], about["max"]) if known else None,
    )


def _label(ranked: Table, row: int, about: Mapping[str, Any]) -> str:
    """Return number and correlation of a channel, with a star where the best or worst by chance does not reach it."""
    value = ranked["rank_correlation"][row]
    beyond = value > about["chance_highest"] or value < about["chance_lowest"]
    return f"{ranked['channel'][row]}: {figures.fixed(value, '+.2')}{'*' if beyond else ''}"


def _by_chance(ranked: Table, about: Mapping[str, Any]) -> str:
    """Say what the ends of the ranking are by chance, and how many channels lie beyond."""
    values = ranked["rank_correlation"]
    low, high = (figures.fixed(about[name], "+.2") for name in ("chance_lowest", "chance_highest"))
    beyond = int(((values > about["chance_highest"]) | (values < about["chance_lowest"])).sum())
    return (
        "By chance, with the map mirrored and shifted around at random, the best of "
        f"{figures.count(about['channels'], 'channel')} stays below {high} and the worst above {low} in 95 %; {beyond} "
        "lie beyond (*)."
    )


def _extent(about: Mapping[str, Any]) -> str:
    low, high, median = (figures.fixed(about[name], "+.2") for name in ("lowest", "highest", "median"))
    return f"from {low} to {high}, median {median}"
