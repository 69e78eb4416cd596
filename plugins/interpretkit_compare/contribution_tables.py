"""The tables of the contributions of channels: each channel, and what all of them amount to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from interpretkit import Grid, Table, rank_correlation
from interpretkit_compare.alignment import by_chance
from interpretkit_compare.measures import iou_by_chance, top_iou
from interpretkit_compare.shuffles import ENDS, Shuffles

if TYPE_CHECKING:
    from collections.abc import Mapping

    from interpretkit_compare.contribution_split import Split

SHARE = 0.2
"""Share of the cells that count as top ones, for the IoU of a channel with the map that it is compared with."""

_SHUFFLES = 100


def of_channels(
    about: Mapping[str, str], split: Split, compared: np.ndarray, *, grids: tuple[Grid, Grid], seed: int
) -> Table:
    """Return the channels of one image and layer, from the greatest contribution to the least.

    Args:
        about: The columns that are the same in all rows.
        split: Of the image's score.
        compared: The map `(y, x)` that each channel is compared with.
        grids: Where the cells of the layer lie, and those of that map.
        seed: Of the image, for what a channel and a map have in common by chance.
    """
    order, contribution = split.order, split.ranked
    count = len(order)
    whole = np.abs(contribution).sum()
    own, other = grids
    common = Grid.common(own, other)
    maps, reference = own.averaged(split.maps, common), other.averaged(compared, common)
    iou = top_iou(maps, reference, share=SHARE)
    correlation = rank_correlation(maps, reference)
    shuffles = Shuffles.drawn(reference.shape, _SHUFFLES, (seed,))
    low, high = np.quantile(by_chance(maps, reference, shuffles=shuffles), ENDS, axis=1)
    same = {name: np.full(count, value) for name, value in about.items()}
    return Table(
        same,
        rank=np.arange(1, count + 1),
        channel=order,
        contribution=contribution,
        share=np.zeros(count) if whole == 0 else contribution / whole,
        cumulative=_cumulative(contribution),
        rank_correlation=correlation[order],
        iou=iou[order],
        alpha=split.weight[order],
        mean=split.mean[order],
        chance_low=low[order],
        chance_high=high[order],
        iou_independent=np.full(count, iou_by_chance(reference.size, share=SHARE)),
    )


def of_layer(about: Mapping[str, str], split: Split, score: float) -> Table:
    """Return in one row what the channels of one image and layer amount to."""
    contribution = split.ranked
    positive = contribution[contribution > 0]
    negative = contribution[contribution < 0]
    cumulative = _cumulative(contribution)
    row = {
        **about,
        "channels": len(contribution),
        "positive": len(positive),
        "negative": len(negative),
        "sum_positive": positive.sum(),
        "sum_negative": negative.sum(),
        "sum": contribution.sum(),
        "score": score,
        "rest": score - contribution.sum(),
        "carry_half": _needed(cumulative, 0.5),
        "carry_80": _needed(cumulative, 0.8),
        "least": split.maps.min(),
        "greatest": split.maps.max(),
        "rest_share": abs((score - contribution.sum()) / score) if score else np.nan,
    }
    return Table.of_rows([row])


def _cumulative(contribution: np.ndarray) -> np.ndarray:
    """Return which part of all that is positive the first channels carry; NaN where nothing is."""
    carried = np.cumsum(contribution.clip(0))
    if carried[-1] > 0:
        return np.asarray(carried / carried[-1])
    return np.full(len(carried), np.nan)


def _needed(cumulative: np.ndarray, part: float) -> int:
    """Return how many channels carry so large a part; 0 where nothing is positive."""
    if np.isnan(cumulative[0]):
        return 0
    # The last sums differ from 1 by rounding, the part never does.
    reached = part * (1 - 1e-12)
    return int(np.searchsorted(cumulative, reached)) + 1
