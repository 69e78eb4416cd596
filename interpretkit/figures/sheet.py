"""A picture's sheet: blocks of palette entries, stacked and flowing, around a body."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from interpretkit.figures.blocks import beside, highest, paper, put, stack
from interpretkit.figures.colour import INK, LEVELS, NOT_FINITE, PAPER, dot, paletted
from interpretkit.figures.text import LABEL, SOFT, TEXT, TITLE, paragraph
from interpretkit.words import count, number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

MARGIN = 12
NARROWEST = 320
BAR = 260  # wide enough for three numbers side by side
SWATCH = 13
_THICKNESS = 12
_TICK = 3
_GAP = 8


def heading(title: str, view: str, *, width: int) -> np.ndarray:
    """Return the title, and below it in grey the words for the view."""
    above = paragraph(title, width=width, points=TITLE)
    below = paragraph(view, width=width, shade=SOFT)
    return stack([above, below], gap=1)


def ticks_of(low: float, high: float) -> list[str]:
    """Return the numbers at the start, in the middle and at the end of a scale."""
    middle = (low + high) / 2
    return [number(low), number(middle), number(high)]


def bar(ticks: Sequence[str], *, width: int) -> np.ndarray:
    """Return a colour bar with ticks at equal distances from its first to its last colour."""
    texts = [paragraph(tick, width=width, points=LABEL, shade=SOFT) for tick in ticks]
    top = _THICKNESS + 5
    canvas = paper(top + highest(texts), width)
    canvas[:_THICKNESS] = np.arange(width) * LEVELS // width
    places = np.linspace(0, width - 1, len(texts))
    for place, text in zip(places.astype(int), texts, strict=True):
        canvas[_THICKNESS : _THICKNESS + _TICK, place] = INK
        text_width = text.shape[1]
        centred = max(place - text_width // 2, 0)
        put(canvas, text, top, min(centred, width - text_width))
    return canvas


def swatch_of(level: int) -> np.ndarray:
    """Return a small square of one palette entry."""
    return np.full((SWATCH, SWATCH), level, np.uint8)


def entry(swatch: np.ndarray, text: str, *, width: int) -> np.ndarray:
    """Return a line of a legend: a swatch, and what it means."""
    room = width - swatch.shape[1] - 6
    words = paragraph(text, width=room, points=TEXT, shade=SOFT)
    return beside([swatch, words], gap=6)


def cells_not_finite(cells: int, *, width: int) -> np.ndarray:
    """Return the line of a legend for cells that are NaN or infinite."""
    swatch = swatch_of(NOT_FINITE)
    return entry(swatch, f"not finite: {count(cells, 'cell')}", width=width)


def beyond_limits(cells: int, *, colours: str, width: int) -> np.ndarray:
    """Return the line of a legend for cells beyond the limits of the scale."""
    swatch = swatch_of(LEVELS - 1)
    dot(swatch, np.array(True), colours=colours)  # noqa: FBT003 - a mask of one
    words = f"beyond the limits: {count(cells, 'cell')}"
    return entry(swatch, words, width=width)


def sheet(
    body: np.ndarray | Image.Image,
    *,
    colours: str,
    above: Sequence[np.ndarray],
    below: Sequence[np.ndarray] = (),
) -> Image.Image:
    """Return a finished picture: blocks above and below a body, on paper, with a margin.

    The picture is paletted where the body is an array of palette entries; a body in RGB makes it RGB.
    """
    if isinstance(body, np.ndarray):
        return _on_paper([*above, body, *below], colours)
    place = paper(body.height, body.width)
    image = _on_paper([*above, place, *below], colours).convert("RGB")
    top = MARGIN + sum(block.shape[0] + _GAP for block in above)
    image.paste(body, (MARGIN, top))
    return image


def _on_paper(blocks: Sequence[np.ndarray], colours: str) -> Image.Image:
    stacked = stack(blocks, gap=_GAP)
    framed = np.pad(stacked, MARGIN, constant_values=PAPER)
    return paletted(framed, colours)
