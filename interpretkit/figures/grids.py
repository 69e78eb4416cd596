"""Grids: all channels of a layer as labelled tiles on one canvas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from PIL import Image

from interpretkit.figures.blocks import enlarged, flow, paper, put
from interpretkit.figures.channels import Survey, survey
from interpretkit.figures.colour import CROSS, DEAD, FLAT, NOT_FINITE, PAPER, colours_of, dot, levels, paletted
from interpretkit.figures.sheet import (
    BAR,
    NARROWEST,
    SWATCH,
    bar,
    beyond_limits,
    entry,
    heading,
    sheet,
    swatch_of,
    ticks_of,
)
from interpretkit.figures.slices import beside_one_another, strongest
from interpretkit.figures.text import STRONG, labels_of, paragraph
from interpretkit.figures.words import constant, not_finite
from interpretkit.results.axes import spatial
from interpretkit.results.grid import Row
from interpretkit.words import count, number, shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interpretkit.results.map import Polarity

_GAP_ACROSS, _GAP_DOWN, _GAP_OF_LABEL = 6, 9, 3
_WIDEST = 960  # pixels that the tiles of a row take together, where they are not larger by nature
_LARGEST, _SMALLEST = 224, 24  # sides of a tile in pixels
_AXES = (1, 2, 3)  # of signals, images and volumes
_STRIP = 6  # a strip is so much longer than high
Scope = Literal["channel", "layer", "fixed"]


class _Scale(NamedTuple):
    scope: Scope
    polarity: Polarity
    low: np.ndarray | float
    high: np.ndarray | float
    noun: str

    @property
    def colours(self) -> str:
        return colours_of(self.polarity)

    def beyond(self, values: np.ndarray) -> np.ndarray:
        """Return which of `values` the scale does not hold."""
        if self.scope != "fixed":
            return np.zeros(values.shape, np.bool_)
        outside = (values < self.low) | (values > self.high)
        beyond: np.ndarray = outside & np.isfinite(values)
        return beyond


class _Layout(NamedTuple):
    columns: int
    rows: int
    zoom: int


def grid(
    values: np.ndarray,
    *,
    title: str,
    labels: Sequence[str],
    scope: Scope,
    polarity: Polarity,
    limits: tuple[float, float] | None = None,
    pixels: np.ndarray | None = None,
    noun: str = "channel",
) -> Image.Image:
    """Draw channels as labelled tiles: nearest neighbour, one whole number of pixels to a cell, one colour bar.

    Of volumes `(channel, z, y, x)` a tile is three slices side by side, those of greatest sum of magnitudes over all
    channels; of signals `(channel, x)` a strip of equal rows.

    Args:
        values: The channels `(channel, y, x)`, in the order in which they are drawn.
        title: What it is: the layer, the image; wraps.
        labels: One for each channel: its number.
        scope: Whether each channel has its own limits, all have those of the layer, or all have fixed `limits`.
        polarity: `unsigned` is drawn in viridis, `signed` in coolwarm with limits symmetric about 0.
        limits: Least and greatest value of the layer, where `values` are some of its channels; with a `fixed` scope
            those of the scale: cells beyond them are dotted and counted.
        pixels: The photo `(y, x, 3)` uint8 that the channels are about; drawn first, as large as a tile.
        noun: What a tile is, where it is no channel of one layer: `map`.

    Returns:
        A paletted picture, in RGB with a photo. Dead channels are crossed out; nearly constant ones are drawn flat and
        say their value.

    Raises:
        ValueError: If there is no cell to draw, labels and channels differ in number, or fixed limits do not ascend.

    Example:
        >>> maps = np.arange(2 * 7 * 7, dtype=np.float32).reshape(2, 7, 7)
        >>> grid(maps, title="stage4", labels=["0", "1"], scope="channel", polarity="unsigned").mode
        'P'
    """
    _check(values, labels)
    # Of all cells, whichever are shown.
    layer = survey(values, limits=None if scope == "fixed" else limits)
    cells = shape(values.shape[1:])
    values, pixels, how = _laid_flat(values, pixels)
    low, high = _limits(layer, scope, polarity, limits)
    scale = _Scale(scope, polarity, low, high, noun)
    tiles_in_all = len(values) if pixels is None else len(values) + 1
    layout = _layout(tiles_in_all, *values.shape[1:])
    tiles = _tiles(values, layer, scale, zoom=layout.zoom)
    view = f"{count(len(values), noun)} of {cells} cells{how}, nearest ×{layout.zoom}"
    body: np.ndarray | Image.Image
    if pixels is None:
        body = _body(tiles, labels_of(labels), layout)
        across = body.shape[1]
    else:
        body = _after_photo(pixels, tiles, labels, layout, colours=scale.colours)
        across = body.width
        shrunk = shape(tiles.shape[1:])
        view += f"; input {shape(pixels.shape[:2])} → {shrunk}"
    width = max(across, NARROWEST)
    marks = [*_bar(layer, scale, width), *_legend(values, layer, scale, width)]
    above = [heading(title, view, width=width), flow(marks, width=width)]
    return sheet(body, colours=scale.colours, above=above)


def _laid_flat(values: np.ndarray, pixels: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None, str]:
    """Return channels and photo as those of images, and what was done to volumes and signals, in words."""
    if values.ndim == len(("channel", *spatial(1))):
        rows = max(values.shape[1] // _STRIP, 1)
        return values[:, None].repeat(rows, axis=1), pixels, ", as strips"
    if values.ndim != len(("channel", *spatial(3))):
        return values, pixels, ""
    chosen = strongest(np.abs(np.where(np.isfinite(values), values, 0)).sum(0))
    if pixels is not None:
        planes = Row.even(values.shape[1], len(pixels)).middles[chosen]
        pixels = np.concatenate(pixels[planes], axis=1)
    how = f", slices z {', '.join(map(str, chosen))} side by side"
    return beside_one_another(values, chosen), pixels, how


def _check(values: np.ndarray, labels: Sequence[str]) -> None:
    if values.ndim - 1 not in _AXES or values.size == 0:
        given = shape(values.shape)
        raise ValueError(f"a grid is drawn of channels (channel, y, x), not of shape {given}")
    if len(labels) != len(values):
        raise ValueError(f"{len(labels)} labels do not fit {len(values)} channels")


def _limits(
    layer: Survey, scope: Scope, polarity: Polarity, limits: tuple[float, float] | None
) -> tuple[np.ndarray | float, np.ndarray | float]:
    """Return the limits of the scale: of each channel `(channel, 1, 1)`, or of all."""
    low: np.ndarray | float
    high: np.ndarray | float
    if scope == "channel":
        low = layer.low[:, None, None]
        high = layer.high[:, None, None]
    elif scope == "layer":
        low, high = layer.limits
    else:
        low, high = limits or (0.0, 0.0)
        if not -np.inf < low < high < np.inf:
            raise ValueError(f"fixed limits {limits} are not finite and ascending")
    if polarity == "signed":
        high = np.maximum(np.abs(low), np.abs(high))
        low = -high
    return low, high


def _layout(channels: int, height: int, width: int) -> _Layout:
    """Choose the columns: full rows where they give a shape near to a square, a little wider than high."""
    columns = np.arange(1, channels + 1)
    rows = -(-channels // columns)
    blank = columns * rows - channels
    ratios = columns * width / (rows * height)
    unlike = np.abs(np.log(ratios / 1.2))
    costs = unlike + 0.75 * (blank > 0) + blank / channels
    best = int(np.argmin(costs))
    across = int(columns[best])
    down = int(rows[best])
    fitting = _WIDEST // (across * width)
    most = _LARGEST // max(height, width)
    least = int(np.ceil(_SMALLEST / np.sqrt(height * width)))
    zoom = max(min(fitting, most), least, 1)
    return _Layout(across, down, zoom)


def _tiles(values: np.ndarray, layer: Survey, scale: _Scale, *, zoom: int) -> np.ndarray:
    """Return the palette entries of the tiles `(channel, y, x)` in pixels of the picture."""
    cells = levels(values, scale.low, scale.high)
    if scale.scope == "channel" or (layer.constant and scale.scope == "layer"):
        flat = layer.flat[:, None, None] & np.isfinite(values)
        cells[flat] = FLAT
    tiles = enlarged(cells, zoom, axis=1)
    beyond = scale.beyond(values)
    if beyond.any():
        channels, rows, columns = values.shape
        squares = tiles.reshape(channels, rows, zoom, columns, zoom)
        dot(squares.swapaxes(2, 3), beyond, colours=scale.colours)
    tiles[layer.dead] = _crossed(*tiles.shape[1:])
    for channel in np.flatnonzero(layer.flat):
        low = layer.low[channel]
        high = layer.high[channel]
        words = constant(low, high, reach=layer.reach)
        if not _write(tiles[channel], words):
            tiles[channel] = FLAT
    return tiles


def _crossed(height: int, width: int) -> np.ndarray:
    tile = np.full((height, width), DEAD, np.uint8)
    length = 2 * max(height, width)
    steps = np.arange(length)
    down = steps * height // length
    across = steps * width // length
    tile[down, across] = CROSS
    tile[down, width - 1 - across] = CROSS
    return tile


def _write(tile: np.ndarray, text: str) -> bool:
    """Write `text` in the middle of a tile, or as many of its words as there is room for; say whether any is."""
    height, width = tile.shape
    first_word = text.partition(" ")[0]
    for words in (text, first_word, text[:1]):
        label = labels_of([words], shade=STRONG)[0]
        block = np.pad(label, 2, constant_values=PAPER)
        top = (height - block.shape[0]) // 2
        left = (width - block.shape[1]) // 2
        if top >= 0 and left >= 0:
            put(tile, block, top, left)
            return True
    return False


def _body(tiles: np.ndarray, names: np.ndarray, layout: _Layout) -> np.ndarray:
    """Put the tiles on one canvas, each below its label."""
    channels, height, width = tiles.shape
    _, label_height, label_width = names.shape
    start = label_height + _GAP_OF_LABEL
    stop = start + height
    down = stop + _GAP_DOWN
    across = max(width, label_width) + _GAP_ACROSS
    shape_of_grid = (layout.rows, layout.columns, down, across)
    grid = np.full(shape_of_grid, PAPER, dtype=np.uint8)
    places = grid.reshape(-1, down, across)
    places[:channels, :label_height, :label_width] = names
    places[:channels, start:stop, :width] = tiles
    canvas = grid.swapaxes(1, 2).reshape(layout.rows * down, -1)
    return canvas[:-_GAP_DOWN, :-_GAP_ACROSS]


def _after_photo(
    pixels: np.ndarray,
    tiles: np.ndarray,
    labels: Sequence[str],
    layout: _Layout,
    *,
    colours: str,
) -> Image.Image:
    """Put the photo before the tiles, as large as one of them."""
    height, width = tiles.shape[1:]
    names = labels_of(["input", *labels])
    places = np.concatenate([paper(height, width)[None], tiles])
    body = paletted(_body(places, names, layout), colours).convert("RGB")
    photo = Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)
    body.paste(photo, (0, names.shape[1] + _GAP_OF_LABEL))
    return body


def _bar(layer: Survey, scale: _Scale, width: int) -> list[np.ndarray]:
    """Return the colour bar, and below it in words what its limits are; of a constant layer only words."""
    noun = scale.noun
    least, greatest = map(number, layer.limits)
    extent = f"values range from {least} to {greatest}"
    if scale.scope == "fixed":
        words = f"fixed limits; the values shown range from {least} to {greatest}"
        ticks = ticks_of(float(scale.low), float(scale.high))
    elif layer.constant:
        whole = "the whole layer" if noun == "channel" else f"all {noun}s"
        return [paragraph(f"one value in {whole}: {greatest}", width=width)]
    elif scale.scope == "layer":
        words = f"one scale for all {noun}s: {_of_all(noun)} {extent}"
        ticks = ticks_of(float(scale.low), float(scale.high))
    elif scale.polarity == "signed":
        words = f"m: each {noun}'s own greatest magnitude; {_of_all(noun)} {extent}"
        ticks = ["−m", "0", "m"]
    else:
        words = f"each {noun} from its own min to its own max; {_of_all(noun)} {extent}"
        ticks = [f"{noun}'s min", f"{noun}'s max"]
    return [bar(ticks, width=BAR), paragraph(words, width=width)]


def _of_all(noun: str) -> str:
    return "the layer's" if noun == "channel" else "all"


def _legend(values: np.ndarray, layer: Survey, scale: _Scale, width: int) -> list[np.ndarray]:
    """Return a legend of the marks that occur."""
    noun = scale.noun
    dead = int(layer.dead.sum())
    flat = int(layer.flat.sum())
    broken = int(layer.broken.sum())
    marks = []
    if dead:
        swatch = _crossed(SWATCH, SWATCH)
        what = "dead, zero everywhere" if noun == "channel" else "zero everywhere"
        marks.append(entry(swatch, f"{what}: {count(dead, noun)}", width=width))
    if flat:
        swatch = swatch_of(FLAT)
        _write(swatch, "≈")
        whole = "the layer's" if noun == "channel" else "that of all"
        text = f"nearly constant, range below 1e-6 of {whole}: {count(flat, noun)}"
        marks.append(entry(swatch, text, width=width))
    if broken:
        cells = count(not_finite(values), "cell")
        text = f"not finite: {cells} in {count(broken, noun)}"
        marks.append(entry(swatch_of(NOT_FINITE), text, width=width))
    beyond = int(scale.beyond(values).sum())
    if beyond:
        marks.append(beyond_limits(beyond, colours=scale.colours, width=width))
    return marks
