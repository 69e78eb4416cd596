"""Channels of a layer ranked by their correlation with an attribution map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from interpretkit import Grid, Table, rank_correlation, ranks
from interpretkit_compare.measures import varies
from interpretkit_compare.shuffles import ENDS, Shuffles

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from interpretkit_compare.attributions import Attribution
    from interpretkit_compare.sources import Source


def aligned(
    feature: Source, attribution: Attribution, ids: Sequence[str], *, shuffles: int, seeds: Sequence[int]
) -> tuple[Table, Table]:
    """Return the channels of a layer ranked by their correlation with an attribution map, and the layer in one row.

    Args:
        feature: The layer.
        attribution: The map.
        ids: Of the images.
        shuffles: How often the map is shuffled, for what channels have in common with it by chance.
        seeds: Of the images.

    Returns:
        The tables `channels` and `layers` of this layer and map, image by image.
    """
    channels, layers = [], []
    common = Grid.common(feature.grid, attribution.grid)
    for position, (image, seed) in enumerate(zip(ids, seeds, strict=True)):
        maps, reference = (each.grid.averaged(each.map.values[position], common) for each in (feature, attribution))
        correlations = rank_correlation(maps, reference)
        chance = by_chance(maps, reference, shuffles=Shuffles.drawn(reference.shape, shuffles, (seed,)))
        about = {"image": image, "features": feature.name, "attribution": attribution.name}
        channels.append(_channels(about, correlations, chance))
        explained = {**about, "target": attribution.explained(position)}
        layers.append(_layer(explained, correlations, chance, feature.map.values[position]))
    return Table.stacked(channels), Table.of_rows(layers)


def _channels(about: Mapping[str, str], correlations: np.ndarray, chance: np.ndarray) -> Table:
    """Return the channels of one image from the most to the least aligned, each beside what it has by chance."""
    count = len(correlations)
    order = end_of(correlations, "most", count)
    low, high = np.quantile(chance, ENDS, axis=1)
    return Table(
        {name: np.full(count, value) for name, value in about.items()},
        rank=np.arange(1, count + 1),
        channel=order,
        rank_correlation=correlations[order],
        chance_low=low[order],
        chance_high=high[order],
    )


def _layer(
    about: Mapping[str, str], correlations: np.ndarray, chance: np.ndarray, values: np.ndarray
) -> dict[str, object]:
    """Return how a whole layer agrees with an attribution map, and the range of its values."""
    known = ~np.isnan(correlations)
    defined, finite = correlations[known], values[np.isfinite(values)]
    lowest = highest = np.nan
    if known.any():
        # The best of many channels is well aligned with any map, so it is set against the best of as many.
        lowest = np.quantile(chance[known].min(0), ENDS[0])
        highest = np.quantile(chance[known].max(0), ENDS[1])
    return {
        **about,
        "channels": len(correlations),
        "undefined": len(correlations) - len(defined),
        "highest": _if_any(np.max, defined),
        "median": _if_any(np.median, defined),
        "lowest": _if_any(np.min, defined),
        "min": _if_any(np.min, finite),
        "max": _if_any(np.max, finite),
        "chance_lowest": lowest,
        "chance_highest": highest,
    }


def by_chance(maps: np.ndarray, reference: np.ndarray, *, shuffles: Shuffles) -> np.ndarray:
    """Return the rank correlation of `maps` `(channel, y, x)` with a shuffled reference, `(channel, draw)`.

    A shuffle changes no rank, so that all are ranked once.
    """
    own = _directions(ranks(maps.reshape(len(maps), -1)))
    ranked = ranks(reference.reshape(-1)).reshape(reference.shape)
    parts = [own @ _directions(part.reshape(len(part), -1)).T for part in shuffles.of(ranked)]
    found = np.concatenate(parts, axis=1)
    defined = varies(maps.reshape(len(maps), -1)) & varies(reference.reshape(-1))
    return np.where(defined[:, None], found, np.nan)


def _directions(values: np.ndarray) -> np.ndarray:
    """Return rows `(…, cell)` less their mean, of length 1; those that are the same everywhere stay 0."""
    centred = values - values.mean(-1, keepdims=True)
    lengths = np.sqrt((centred**2).sum(-1, keepdims=True))
    return np.asarray(centred / np.where(lengths > 0, lengths, 1.0))


def end_of(correlations: np.ndarray, end: str, count: int) -> np.ndarray:
    """Return the positions of the most or least aligned channels, the extreme first; undefined ones come last.

    Example:
        >>> end_of(np.array([0.5, np.nan, -0.5, 0.9]), "most", 2).tolist()
        [3, 0]
    """
    keys = -correlations if end == "most" else correlations
    return np.argsort(keys, kind="stable")[:count]


def shown_by(feature: Source, attributions: Sequence[Attribution]) -> list[str]:
    """Return one map of each step to show a layer's channels by: that of the same layer, else of the step's last."""
    chosen: dict[str, Attribution] = {}
    for attribution in attributions:
        before = chosen.get(attribution.step)
        if before is None or before.map.layer != feature.map.layer:
            chosen[attribution.step] = attribution
    return [attribution.name for attribution in chosen.values()]


def _if_any(function: Callable[[np.ndarray], float], values: np.ndarray) -> float:
    return float(function(values)) if values.size else np.nan
