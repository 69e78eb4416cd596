"""Exemplars: the images that activate each channel most, and the part of each that the strongest cell sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from interpretkit import Array, Figure, Layered, Needs, Reduction, Result, StepError, Table, figures

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import torch

    from interpretkit import Captured

_FIRST = 16
"""So many channels have cut-outs where the options name none."""

_NOTHING = np.zeros((0, 0, 3), np.uint8)
_DIMS = ("channel", "exemplar", "y", "x", "colour")


class Exemplars(Reduction):
    """The images that activate a channel most, each with the pixels that the strongest cell sees.

    An image counts once for each channel: with the greatest of its values and the first cell that has it. The table
    `exemplars` holds the `top` images of every channel of a layer, the greatest value first, equal values in the order
    of their images' ids: `value`, cell (`y`, `x`), and the cell's receptive field in the pixels of the model's input,
    as far as it lies inside: `top`, `left`, `height`, `width`. Where that is not known, or is the whole image, `whole`
    says so and the field is the whole image. Values that are NaN or infinite do not count.

    The maps hold the pixels themselves, `(channel, exemplar, y, x, colour)` uint8, of the channels that are asked for,
    in the order asked for; a cut-out stands in the upper left corner of its place, the rest is 0.
    """

    name = "exemplars"
    yields = "exemplars"
    requires = "layers with a grid of cells; several images"
    citations = {"zhou2015object": "images that activate a unit most, cut out; here the field is the theoretical one"}
    cost = "one pass over a single empty image for each layer and size of images, to know what its cells see"
    polarity = "unsigned"

    class Options(Layered):
        """Options of the exemplars."""

        channels: list[Annotated[int, Field(ge=0)]] | None = Field(
            default=None,
            min_length=1,
            description="channels whose cut-outs are kept and drawn, by index; by default the first 16. The table "
            "holds all channels",
        )
        top: int = Field(default=8, ge=1, le=64, description="how many images for each channel")

    options: Options

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        # What a layer's cells see depends on the size of the images alone, and costs a pass to know.
        self._fields: dict[tuple[str, tuple[int, int]], Any] = {}

    def needs(self) -> Needs:
        """Ask for the layers' outputs, and for the model, to know what their cells see."""
        return Needs(activations=self.options.layers, own_passes=True)

    def compute(self, captured: Captured) -> Result:
        """Return the exemplars among the images of a batch.

        Raises:
            StepError: If a layer returns anything but `(image, channel, y, x)`, or has no such channel.
        """
        return _result([self._of_layer(captured, layer) for layer in captured.activations])

    def merge(self, first: Result, second: Result) -> Result:
        """Return the exemplars among the images of two parts of the set together."""
        parts = zip(_parts(first), _parts(second), strict=True)
        return _result([_best([one, other], top=self.options.top) for one, other in parts])

    def draw(self, result: Result) -> Iterator[Figure]:
        """Draw one sheet for each layer: a row for each channel that was asked for, its exemplars side by side."""
        for part in _parts(result):
            yield _sheet(part)

    def _of_layer(self, captured: Captured, layer: str) -> _Part:
        values = captured.features(layer)
        shown = self._shown(layer, values.shape[1])
        found = [
            self._of_image(captured, layer, image, shown=shown, position=position)
            for position, image in enumerate(values.detach().cpu())
        ]
        return _best(found, top=self.options.top)

    def _of_image(
        self, captured: Captured, layer: str, values: torch.Tensor, *, shown: Sequence[int], position: int
    ) -> _Part:
        image = captured.images[position]
        cells = values.double().flatten(1).numpy()
        cells = np.where(np.isfinite(cells), cells, -np.inf)
        places = cells.argmax(1)
        greatest = cells[np.arange(len(cells)), places]
        y, x = np.divmod(places, values.shape[2])
        rows, columns, whole = self._windows(captured, layer, y, x)
        present = np.isfinite(greatest)
        table = {
            "layer": np.full(len(cells), layer),
            "channel": np.arange(len(cells)),
            "rank": np.ones(len(cells), np.int64),
            "value": greatest,
            "image": np.full(len(cells), image.id),
            "y": y,
            "x": x,
            "top": rows[0],
            "left": columns[0],
            "height": rows[1] - rows[0],
            "width": columns[1] - columns[0],
            "whole": np.full(len(cells), whole),
        }
        cuts = {
            (channel, 1): image.pixels[slice(*rows[:, channel]), slice(*columns[:, channel])]
            for channel in shown
            if present[channel]
        }
        return _Part(layer, Table({name: column[present] for name, column in table.items()}), tuple(shown), cuts)

    def _windows(
        self, captured: Captured, layer: str, y: np.ndarray, x: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, bool]:
        """Return first and last + 1 of the rows and of the columns that cells see, inside the image: `(2, cell)`."""
        height, width = captured.inputs.shape[-2:]
        field = self._field(captured, layer, (height, width))
        windows = [field.window(int(row), int(column)) for row, column in zip(y, x, strict=True)]
        spans = []
        for direction, length in enumerate((height, width)):
            first, last = np.array([window[direction] or (-np.inf, np.inf) for window in windows]).T
            spans.append(np.clip([first, last + 1], 0, length).astype(np.int64))
        whole = all(extent in ("all", None) for extent in field.receptive_field)
        return spans[0], spans[1], whole

    def _field(self, captured: Captured, layer: str, size: tuple[int, int]) -> Any:
        if (layer, size) not in self._fields:
            (self._fields[layer, size],) = captured.model.layers(layer, size=size)
        return self._fields[layer, size]

    def _shown(self, layer: str, count: int) -> list[int]:
        """Return the channels whose cut-outs are kept."""
        wanted = self.options.channels or list(range(min(count, _FIRST)))
        if max(wanted) >= count:
            raise StepError(f"layer {layer} has no channel {max(wanted)}", hint=f"its channels are 0 to {count - 1}")
        return list(dict.fromkeys(wanted))


@dataclass(frozen=True, slots=True)
class _Part:
    """The exemplars of one layer: rows of the table, and the cut-outs of some channels by channel and rank."""

    layer: str
    table: Table
    shown: tuple[int, ...]
    cuts: Mapping[tuple[int, int], np.ndarray]


def _best(parts: Sequence[_Part], *, top: int) -> _Part:
    """Return the first `top` exemplars of each channel among those of several parts."""
    columns = Table.stacked([part.table for part in parts]).columns
    source = np.repeat(np.arange(len(parts)), [len(part.table) for part in parts])
    order = np.lexsort((columns["image"], -columns["value"], columns["channel"]))
    channels = columns["channel"][order]
    starts = np.searchsorted(channels, channels)
    ranks = np.arange(len(order)) - starts + 1
    kept, ranks = order[ranks <= top], ranks[ranks <= top]
    shown = parts[0].shown
    cuts = {
        (channel, rank): parts[source[row]].cuts[channel, columns["rank"][row]]
        for row, channel, rank in zip(kept, columns["channel"][kept].tolist(), ranks.tolist(), strict=True)
        if channel in shown
    }
    table = Table({**{name: column[kept] for name, column in columns.items()}, "rank": ranks})
    return _Part(parts[0].layer, table, shown, cuts)


def _result(parts: Sequence[_Part]) -> Result:
    shown = {
        "layer": np.repeat([part.layer for part in parts], [len(part.shown) for part in parts]),
        "channel": np.concatenate([part.shown for part in parts]),
    }
    return Result(
        arrays={part.layer: _packed(part) for part in parts},
        tables={"exemplars": Table.stacked([part.table for part in parts]), "shown": Table(shown)},
    )


def _packed(part: _Part) -> Array:
    """Return the cut-outs as one array, as large as the largest of them."""
    height, width = (max((cut.shape[axis] for cut in part.cuts.values()), default=1) for axis in (0, 1))
    ranks = max((rank for _, rank in part.cuts), default=1)
    values = np.zeros((len(part.shown), ranks, max(height, 1), max(width, 1), 3), np.uint8)
    for (channel, rank), cut in part.cuts.items():
        values[part.shown.index(channel), rank - 1, : cut.shape[0], : cut.shape[1]] = cut
    return Array(values=values, dims=_DIMS)


def _parts(result: Result) -> list[_Part]:
    """Return the exemplars of a result layer by layer."""
    parts = []
    for layer in result.arrays:
        table = result.tables["exemplars"].where("layer", layer)
        shown = tuple(result.tables["shown"].where("layer", layer)["channel"].tolist())
        values = result.arrays[layer].values
        cuts = {
            (channel, rank): values[shown.index(channel), rank - 1, :height, :width]
            for channel, rank, height, width in zip(
                *(table[name].tolist() for name in ("channel", "rank", "height", "width")), strict=True
            )
            if channel in shown
        }
        parts.append(_Part(layer, table, shown, cuts))
    return parts


def _sheet(part: _Part) -> Figure:
    """Draw the cut-outs of a layer: rows are channels, columns exemplars, with value and image below each."""
    rows, labels, silent = [], [], 0
    for channel in part.shown:
        table = part.table.where("channel", channel)
        active = bool(table["value"].any())
        silent += not active
        labels.append(f"channel {channel}" if active else f"channel {channel}: 0 in every image")
        exhibits = zip(table["rank"].tolist(), table["value"], table["image"], strict=True)
        rows.append(
            [
                # Where a channel is 0 all over an image no cell is the strongest, and the first would mislead.
                figures.Exhibit(part.cuts[channel, rank] if v else _NOTHING, f"{figures.number(v)} · {i}")
                for rank, v, i in exhibits
            ]
            if active
            else []
        )
    field = _field_in_words(part)
    top = int(part.table["rank"].max(initial=0))
    picture = figures.gallery(rows, labels=labels, title=f"{part.layer}: images that activate a channel most")
    caption = (
        f"Exemplars of {part.layer}: for {len(part.shown)} channels the images with the greatest values, {top} at "
        f"most, the greatest first; below each the value and the image, and no pixels where the value is 0. {field}"
        f"{f' Channels that are 0 in every image: {silent}.' if silent else ''}"
    )
    return Figure(name=part.layer, picture=picture, caption=caption, alt=_told(part, field))


def _field_in_words(part: _Part) -> str:
    if part.table["whole"].all():
        return "What a cell sees is the whole image, or not known: the whole image is shown."
    size = f"{part.table['height'].max()}×{part.table['width'].max()}"
    return f"Shown is what the strongest cell sees, {size} pixels at most, cut off at the border of the image."


def _told(part: _Part, field: str) -> str:
    shown = part.table.where("channel", *part.shown)
    if not len(shown):
        return f"Exemplars of {part.layer}: no value is finite."
    best = int(shown["value"].argmax())
    return (
        f"Exemplars of {part.layer}: the greatest value, {figures.number(shown['value'][best])}, is that of channel "
        f"{shown['channel'][best]} in image {shown['image'][best]} at row {shown['y'][best]}, column "
        f"{shown['x'][best]} (counted from 0). {field}"
    )
