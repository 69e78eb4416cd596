"""The exemplars of one layer: kept, joined, and packed into arrays and tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from interpretkit import Array, Result, Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_DIMS = ("channel", "exemplar", "y", "x", "colour")


@dataclass(frozen=True, slots=True)
class Part:
    """The exemplars of one layer among some images.

    Attributes:
        layer: The layer.
        table: Its rows of the table `exemplars`.
        shown: The channels that have cut-outs.
        cuts: Pixels `(y, x, colour)` by channel and rank.
    """

    layer: str
    table: Table
    shown: tuple[int, ...]
    cuts: Mapping[tuple[int, int], np.ndarray]


def best(parts: Sequence[Part], *, top: int) -> Part:
    """Return the first `top` exemplars of each channel among those of several parts."""
    columns = Table.stacked([part.table for part in parts]).columns
    source = np.repeat(np.arange(len(parts)), [len(part.table) for part in parts])
    order = np.lexsort((columns["image"], -columns["value"], columns["channel"]))
    ranks = _ranks(columns["channel"][order])
    kept, ranks = order[ranks <= top], ranks[ranks <= top]
    layer, shown = parts[0].layer, parts[0].shown
    cuts = {}
    for row, rank in zip(kept.tolist(), ranks.tolist(), strict=True):
        channel = int(columns["channel"][row])
        if channel in shown:
            before = int(columns["rank"][row])
            cuts[channel, rank] = parts[source[row]].cuts[channel, before]
    chosen = {name: column[kept] for name, column in columns.items()}
    return Part(layer, Table({**chosen, "rank": ranks}), shown, cuts)


def packed(parts: Sequence[Part]) -> Result:
    """Return the exemplars of all layers as a result."""
    layers = [part.layer for part in parts]
    shown = Table(
        layer=np.repeat(layers, [len(part.shown) for part in parts]),
        channel=np.concatenate([part.shown for part in parts]),
    )
    return Result(
        arrays={part.layer: _array(part) for part in parts},
        tables={"exemplars": Table.stacked([part.table for part in parts]), "shown": shown},
    )


def unpacked(result: Result) -> list[Part]:
    """Return the exemplars of a result layer by layer."""
    return [_part(layer, array.values, result) for layer, array in result.arrays.items()]


def _ranks(channels: np.ndarray) -> np.ndarray:
    """Return the rank from 1 of each row within its channel; rows of one channel stand together."""
    starts = np.searchsorted(channels, channels)
    return np.arange(len(channels)) - starts + 1


def _array(part: Part) -> Array:
    """Return the cut-outs as one array, as large as the largest of them."""
    height = max([1, *(cut.shape[0] for cut in part.cuts.values())])
    width = max([1, *(cut.shape[1] for cut in part.cuts.values())])
    ranks = max([1, *(rank for _, rank in part.cuts)])
    values = np.zeros((len(part.shown), ranks, height, width, 3), np.uint8)
    for (channel, rank), cut in part.cuts.items():
        rows, columns, _ = cut.shape
        values[part.shown.index(channel), rank - 1, :rows, :columns] = cut
    return Array(values=values, dims=_DIMS)


def _part(layer: str, values: np.ndarray, result: Result) -> Part:
    table = result.tables["exemplars"].where("layer", layer)
    shown = result.tables["shown"].where("layer", layer)["channel"].tolist()
    # A signal is a strip, of the height that its place has.
    heights = table["height"].tolist() if "height" in table.columns else [values.shape[2]] * len(table)
    columns = (table[name].tolist() for name in ("channel", "rank", "width"))
    cuts = {}
    for channel, rank, width, height in zip(*columns, heights, strict=True):
        if channel in shown:
            cuts[channel, rank] = values[shown.index(channel), rank - 1, :height, :width]
    return Part(layer, table, tuple(shown), cuts)
