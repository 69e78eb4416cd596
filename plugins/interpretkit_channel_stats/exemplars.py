"""Exemplars: the images that activate each channel most, and the part of each that the strongest cell sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from interpretkit import Figure, Layered, Needs, Reduction, Result, StepError, Table
from interpretkit_channel_stats import exemplars_figure
from interpretkit_channel_stats.exemplar_parts import Part, best, packed, unpacked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch

    from interpretkit import Captured

_WINDOW = {"z": ("front", "depth"), "y": ("top", "height"), "x": ("left", "width")}
"""What the table calls the first pixel that a cell sees along an axis, and how many it sees."""

_FIRST = 16
"""So many channels have cut-outs where the options name none."""


class Exemplars(Reduction):
    """The images that activate a channel most, each with the pixels that the strongest cell sees.

    An image counts once for each channel: with the greatest of its values and the first cell that has it. The table
    `exemplars` holds the `top` images of every channel of a layer, the greatest value first, equal values in the order
    of their images' ids: `value`, cell (`y`, `x`), and the cell's receptive field in the pixels of the model's input,
    as far as it lies inside the image: `top`, `left`, `height`, `width`. Where the field is not known, or is the whole
    image, `whole` says so, and the whole image is taken. `middle_y` and `middle_x` are the middle of the cell on the
    input, that of the first pixel being 0.5. Values that are NaN or infinite do not count. Of volumes there are also
    `z`, `front`, `depth` and `middle_z`; of signals only `x`, `left`, `width` and `middle_x`.

    The arrays hold the pixels themselves, `(channel, exemplar, y, x, colour)` uint8, of the channels that are asked
    for, in the order asked for; a cut-out stands in the upper left corner of its place, the rest is 0. Of a volume it
    is the slice in the middle of what the cell sees, of a signal a strip.
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
        self._fields: dict[tuple[str, tuple[int, ...]], Any] = {}

    def needs(self) -> Needs:
        """Ask for the layers' outputs, and for the model, to know what their cells see."""
        return Needs(activations=self.options.layers, own_passes=True)

    def compute(self, captured: Captured) -> Result:
        """Return the exemplars among the images of a batch.

        Raises:
            StepError: If a layer returns anything but `(image, channel, y, x)`, or has no such channel.
        """
        return packed([self._of_layer(captured, layer) for layer in captured.activations])

    def merge(self, first: Result, second: Result) -> Result:
        """Return the exemplars among the images of two parts of the set together."""
        parts = zip(unpacked(first), unpacked(second), strict=True)
        return packed([best(both, top=self.options.top) for both in parts])

    def draw(self, result: Result) -> Iterator[Figure]:
        """Draw one sheet for each layer: a row for each channel that was asked for, its exemplars side by side."""
        for part in unpacked(result):
            yield exemplars_figure.draw(part)

    def _of_layer(self, captured: Captured, layer: str) -> Part:
        values = captured.features(layer)
        shown = self._shown(layer, values.shape[1])
        parts = []
        for position, image in enumerate(values.detach().cpu()):
            parts.append(self._of_image(captured, layer, image, shown=shown, position=position))
        return best(parts, top=self.options.top)

    def _of_image(
        self, captured: Captured, layer: str, values: torch.Tensor, *, shown: Sequence[int], position: int
    ) -> Part:
        """Return the greatest value of each channel of one image, where it is, and what the cell there sees."""
        image = captured.images[position]
        cells = values.double().flatten(1).numpy()
        cells = np.where(np.isfinite(cells), cells, -np.inf)
        count = len(cells)
        places = cells.argmax(1)
        greatest = cells[np.arange(count), places]
        axes = captured.axes_of(layer)[2:]
        cell = np.unravel_index(places, values.shape[1:])
        windows, whole = self._windows(captured, layer, cell)
        seen: dict[str, np.ndarray] = {}
        for axis, window in zip(axes, windows, strict=True):
            start, length = _WINDOW[axis]
            seen |= {start: window[0], length: window[1] - window[0]}
        for axis, row, at in zip(axes, captured.grid(layer).rows, cell, strict=True):
            seen[f"middle_{axis}"] = row.first + at * row.step
        table = {
            "layer": np.full(count, layer),
            "channel": np.arange(count),
            "rank": np.ones(count, np.int64),
            "value": greatest,
            "image": np.full(count, image.id),
            **dict(zip(axes, cell, strict=True)),
            **seen,
            "whole": np.full(count, whole),
        }
        present = np.isfinite(greatest)
        cuts = {}
        for channel in shown:
            if present[channel]:
                cuts[channel, 1] = _cut(image.pixels, [window[:, channel] for window in windows])
        kept = Table({name: column[present] for name, column in table.items()})
        return Part(layer, kept, tuple(shown), cuts)

    def _windows(self, captured: Captured, layer: str, places: Sequence[np.ndarray]) -> tuple[list[np.ndarray], bool]:
        """Return first and last + 1 of what cells see inside the image along each axis, `(2, cell)`; whether all."""
        size = tuple(captured.inputs.shape[2:])
        field = self._field(captured, layer, size)
        windows = [field.window(*map(int, cell)) for cell in zip(*places, strict=True)]
        along = zip(zip(*windows, strict=True), size, strict=True)
        whole = all(extent in ("all", None) for extent in field.receptive_field)
        return [_clipped(spans, length) for spans, length in along], whole

    def _field(self, captured: Captured, layer: str, size: tuple[int, ...]) -> Any:
        if (layer, size) not in self._fields:
            (self._fields[layer, size],) = captured.model.layers(layer, size=size)
        return self._fields[layer, size]

    def _shown(self, layer: str, count: int) -> list[int]:
        """Return the channels whose cut-outs are kept."""
        wanted = self.options.channels or list(range(min(count, _FIRST)))
        if max(wanted) >= count:
            raise StepError(f"layer {layer} has no channel {max(wanted)}", hint=f"its channels are 0 to {count - 1}")
        return list(dict.fromkeys(wanted))


def _cut(pixels: np.ndarray, windows: Sequence[np.ndarray]) -> np.ndarray:
    """Return the pixels in a window, `(y, x, colour)`: of a volume those of its slice in the middle."""
    inside = [slice(*window) for window in windows]
    if len(inside) == 1:
        return pixels[:, inside[0]]
    if len(inside) == len(("y", "x")):
        return pixels[inside[0], inside[1]]
    first, last = windows[0]
    return pixels[(first + last - 1) // 2, inside[1], inside[2]]


def _clipped(spans: Sequence[tuple[float, float] | None], length: int) -> np.ndarray:
    """Return first and last + 1 of what cells see along an axis, inside the image; of what is not known all of it."""
    known = [span or (-np.inf, np.inf) for span in spans]
    first, last = np.array(known).T
    inside = np.clip([first, last + 1], 0, length)
    return np.asarray(inside, np.int64)
