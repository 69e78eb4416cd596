"""Grids: all channels of a layer as labelled tiles on one canvas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from PIL import Image

from interpretkit.figures.channels import Survey, survey
from interpretkit.figures.colour import CROSS, DEAD, FLAT, NOT_FINITE, PAPER, colours_of, dot, levels, paletted
from interpretkit.figures.sheet import BAR, NARROWEST, bar, beyond_limits, entry, flow, heading, sheet
from interpretkit.figures.text import STRONG, labels_of, paragraph
from interpretkit.figures.words import check_flat, constant
from interpretkit.words import count, number, shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interpretkit.results.map import Polarity

_GAP_ACROSS, _GAP_DOWN, _GAP_OF_LABEL = 6, 9, 3
_WIDEST = 960  # pixels that the tiles of a row take together, where they are not larger by nature
_LARGEST, _SMALLEST = 224, 24  # sides of a tile in pixels
Scope = Literal["channel", "layer", "fixed"]


class _Scale(NamedTuple):
    scope: Scope
    polarity: Polarity
    low: np.ndarray | float
    high: np.ndarray | float
    noun: str = "channel"

    @property
    def colours(self) -> str:
        return colours_of(self.polarity)

    def beyond(self, values: np.ndarray) -> np.ndarray:
        """Return which of `values` the scale does not hold."""
        if self.scope != "fixed":
            return np.zeros(values.shape, np.bool_)
        outside: np.ndarray = np.isfinite(values) & ((values < self.low) | (values > self.high))
        return outside


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
        StepError: If they are channels of a signal or of a volume.
        ValueError: If there is no cell to draw, labels and channels differ in number, or fixed limits do not ascend.

    Example:
        >>> maps = np.arange(2 * 7 * 7, dtype=np.float32).reshape(2, 7, 7)
        >>> grid(maps, title="stage4", labels=["0", "1"], scope="channel", polarity="unsigned").mode
        'P'
    """
    check_flat(values.shape[1:])
    if values.ndim != 3 or values.size == 0:  # noqa: PLR2004 - channel, y, x
        raise ValueError(f"a grid is drawn of channels (channel, y, x), not of shape {shape(values.shape)}")
    if len(labels) != len(values):
        raise ValueError(f"{len(labels)} labels do not fit {len(values)} channels")
    found = survey(values, limits=None if scope == "fixed" else limits)
    scale = _scale_of(found, scope, polarity, limits)._replace(noun=noun)
    layout = _layout(len(values) + (pixels is not None), *values.shape[1:])
    tiles = _tiles(values, found, scale, zoom=layout.zoom)
    if pixels is None:
        body: np.ndarray | Image.Image = _body(tiles, labels_of(labels), layout)
    else:
        body = _after_photo(pixels, tiles, labels, layout, colours=scale.colours)
    width = max(body.shape[1] if isinstance(body, np.ndarray) else body.width, NARROWEST)
    view = f"{count(len(values), noun)} of {shape(values.shape[1:])} cells, nearest ×{layout.zoom}"
    if pixels is not None:
        view += f"; input {shape(pixels.shape[:2])} → {shape(tiles.shape[1:])}"
    key = flow([*_bar(found, scale, width), *_legend(values, found, scale, width)], width=width)
    return sheet(body, colours=scale.colours, above=[heading(title, view, width=width), key])


def _scale_of(found: Survey, scope: Scope, polarity: Polarity, limits: tuple[float, float] | None) -> _Scale:
    low: np.ndarray | float
    high: np.ndarray | float
    if scope == "channel":
        low, high = found.low[:, None, None], found.high[:, None, None]
    elif scope == "layer":
        low, high = found.limits
    elif limits is not None and -np.inf < limits[0] < limits[1] < np.inf:
        low, high = limits
    else:
        raise ValueError(f"fixed limits {limits} are not finite and ascending")
    if polarity == "signed":
        high = np.maximum(np.abs(low), np.abs(high))
        low = -high
    return _Scale(scope, polarity, low, high)


def _layout(channels: int, height: int, width: int) -> _Layout:
    """Choose the columns: full rows where they give a shape near to a square, a little wider than high."""
    columns = np.arange(1, channels + 1)
    rows = -(-channels // columns)
    blank = columns * rows - channels
    unlike = np.abs(np.log(columns * width / (rows * height) / 1.2))
    best = int(np.argmin(unlike + 0.75 * (blank > 0) + blank / channels))
    zoom = min(_WIDEST // (int(columns[best]) * width), _LARGEST // max(height, width))
    least = int(np.ceil(_SMALLEST / np.sqrt(height * width)))
    return _Layout(int(columns[best]), int(rows[best]), max(zoom, least, 1))


def _tiles(values: np.ndarray, found: Survey, scale: _Scale, *, zoom: int) -> np.ndarray:
    """Return the palette entries of the tiles `(channel, y, x)` in pixels of the picture."""
    cells = levels(values, scale.low, scale.high)
    if scale.scope == "channel" or (found.constant and scale.scope == "layer"):
        cells[found.flat] = np.where(cells[found.flat] == NOT_FINITE, NOT_FINITE, FLAT)
    tiles = cells.repeat(zoom, axis=1).repeat(zoom, axis=2)
    beyond = scale.beyond(values)
    if beyond.any():
        blocks = tiles.reshape(len(tiles), values.shape[1], zoom, values.shape[2], zoom).swapaxes(2, 3)
        dot(blocks, beyond, colours=scale.colours)
    tiles[found.dead] = _crossed(*tiles.shape[1:])
    for channel in np.flatnonzero(found.flat):
        if not _write(tiles[channel], constant(found.low[channel], found.high[channel], reach=found.reach)):
            tiles[channel] = FLAT
    return tiles


def _crossed(height: int, width: int) -> np.ndarray:
    tile = np.full((height, width), DEAD, np.uint8)
    steps = np.arange(2 * max(height, width))
    down = steps * height // len(steps)
    across = steps * width // len(steps)
    tile[down, across] = CROSS
    tile[down, width - 1 - across] = CROSS
    return tile


def _write(tile: np.ndarray, text: str) -> bool:
    """Write `text` in the middle of a tile, or as many of its words as there is room for; say whether any is."""
    for words in (text, text.partition(" ")[0], text[:1]):
        block = np.pad(labels_of([words], shade=STRONG)[0], 2, constant_values=PAPER)
        top, left = ((outer - inner) // 2 for outer, inner in zip(tile.shape, block.shape, strict=True))
        if top >= 0 and left >= 0:
            tile[top : top + block.shape[0], left : left + block.shape[1]] = block
            return True
    return False


def _body(tiles: np.ndarray, names: np.ndarray, layout: _Layout) -> np.ndarray:
    """Put the tiles on one canvas, each below its label."""
    channels, height, width = tiles.shape
    top, across = names.shape[1:]
    start = top + _GAP_OF_LABEL
    blocks = np.full(
        (layout.rows * layout.columns, start + height + _GAP_DOWN, max(width, across) + _GAP_ACROSS),
        PAPER,
        dtype=np.uint8,
    )
    blocks[:channels, :top, :across] = names
    blocks[:channels, start : start + height, :width] = tiles
    canvas = blocks.reshape(layout.rows, layout.columns, *blocks.shape[1:]).transpose(0, 2, 1, 3)
    return canvas.reshape(layout.rows * blocks.shape[1], -1)[:-_GAP_DOWN, :-_GAP_ACROSS]


def _after_photo(
    pixels: np.ndarray, tiles: np.ndarray, labels: Sequence[str], layout: _Layout, *, colours: str
) -> Image.Image:
    """Put the photo before the tiles, as large as one of them."""
    blank = np.full((1, *tiles.shape[1:]), PAPER, np.uint8)
    names = labels_of(["input", *labels])
    body = paletted(_body(np.concatenate([blank, tiles]), names, layout), colours).convert("RGB")
    photo = Image.fromarray(pixels).resize((tiles.shape[2], tiles.shape[1]), Image.Resampling.BICUBIC)
    body.paste(photo, (0, names.shape[1] + _GAP_OF_LABEL))
    return body


def _bar(found: Survey, scale: _Scale, width: int) -> list[np.ndarray]:
    """Return the colour bar, and in words whose limits it shows."""
    least, greatest = found.limits
    noun = scale.noun
    whole, its = ("the whole layer", "the layer's") if noun == "channel" else (f"all {noun}s", "all")
    over = f"{its} values range from {number(least)} to {number(greatest)}"
    if scale.scope == "channel" and not found.constant:
        signed = scale.polarity == "signed"
        ticks = ["−m", "0", "m"] if signed else [f"{noun}'s min", f"{noun}'s max"]
        own = f"m: each {noun}'s own greatest magnitude" if signed else f"each {noun} from its own min to its own max"
        return [bar(ticks, width=BAR), paragraph(f"{own}; {over}", width=width)]
    if found.constant and scale.scope != "fixed":
        return [paragraph(f"one value in {whole}: {number(greatest)}", width=width)]
    low, high = float(scale.low), float(scale.high)
    ticks = [number(low), number((low + high) / 2), number(high)]
    extent = f"the values shown range from {number(least)} to {number(greatest)}"
    words = f"fixed limits; {extent}" if scale.scope == "fixed" else f"one scale for all {noun}s: {over}"
    return [bar(ticks, width=BAR), paragraph(words, width=width)]


def _legend(values: np.ndarray, found: Survey, scale: _Scale, width: int) -> list[np.ndarray]:
    """Return a legend of the marks that occur."""
    noun = scale.noun
    dead, flat, broken = (int(which.sum()) for which in (found.dead, found.flat, found.broken))
    lines: list[tuple[np.ndarray | int, str]] = []
    if dead:
        lines.append((_crossed(13, 13), f"{'dead, ' if noun == 'channel' else ''}zero everywhere: {count(dead, noun)}"))
    if flat:
        swatch = np.full((13, 13), FLAT, np.uint8)
        _write(swatch, "≈")
        whole = "the layer's" if noun == "channel" else "that of all"
        lines.append((swatch, f"nearly constant, range below 1e-6 of {whole}: {count(flat, noun)}"))
    if broken:
        cells = int((~np.isfinite(values[found.broken])).sum())
        words = f"not finite: {count(cells, 'cell')} in {count(broken, noun)}"
        lines.append((NOT_FINITE, words))
    marks = [entry(swatch, text, width=width) for swatch, text in lines]
    if beyond := int(scale.beyond(values).sum()):
        marks.append(beyond_limits(beyond, colours=scale.colours, width=width))
    return marks
