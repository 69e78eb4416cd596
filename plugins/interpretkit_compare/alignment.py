"""Channels of a layer ranked by their correlation with an attribution map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from interpretkit import Grid, Table, rank_correlation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from interpretkit_compare.attributions import Attribution
    from interpretkit_compare.sources import Source


def aligned(feature: Source, attribution: Attribution, ids: Sequence[str]) -> Table:
    """Return the channels of a layer, ranked by their correlation with an attribution map, image by image."""
    parts = []
    common = Grid.common(feature.grid, attribution.grid)
    for position, image in enumerate(ids):
        channels, reference = (each.grid.averaged(each.map.values[position], common) for each in (feature, attribution))
        correlations = rank_correlation(channels, reference)
        count = len(correlations)
        order = end_of(correlations, "most", count)
        part = Table(
            image=np.full(count, image),
            features=np.full(count, feature.name),
            attribution=np.full(count, attribution.name),
            rank=np.arange(1, count + 1),
            channel=order,
            rank_correlation=correlations[order],
        )
        parts.append(part)
    return Table.stacked(parts)


def summary(feature: Source, attribution: Attribution, ids: Sequence[str], ranked: Table) -> Table:
    """Return how a whole layer agrees with an attribution map, and the range of its values, image by image.

    Args:
        feature: The layer.
        attribution: The map.
        ids: Of the images.
        ranked: The layer's channels, as `aligned` returns them.
    """
    rows = []
    for position, image in enumerate(ids):
        correlations = ranked.where("image", image)["rank_correlation"]
        defined = correlations[~np.isnan(correlations)]
        values = feature.map.values[position]
        finite = values[np.isfinite(values)]
        row = {
            "image": image,
            "features": feature.name,
            "attribution": attribution.name,
            "target": attribution.explained(position),
            "channels": len(correlations),
            "undefined": len(correlations) - len(defined),
            "highest": _if_any(np.max, defined),
            "median": _if_any(np.median, defined),
            "lowest": _if_any(np.min, defined),
            "min": _if_any(np.min, finite),
            "max": _if_any(np.max, finite),
        }
        rows.append(row)
    return Table.of_rows(rows)


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
