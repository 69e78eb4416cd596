"""A picture's sheet: blocks of palette entries, stacked and flowing, around a body."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from interpretkit.figures.colour import INK, LEVELS, PAPER, dot, paletted
from interpretkit.figures.text import LABEL, SOFT, TEXT, TITLE, paragraph
from interpretkit.words import count

if TYPE_CHECKING:
    from collections.abc import Sequence

MARGIN = 12
NARROWEST = 320
BAR = 260  # wide enough for three numbers side by side
_GAP = 24
_THICKNESS = 12
SWATCH = 13


def padded(block: np.ndarray, *, width: int, ground: int = PAPER) -> np.ndarray:
    """Return a block of palette entries `(y, x)` with ground added at the right up to `width`."""
    return np.pad(block, ((0, 0), (0, width - block.shape[1])), constant_values=ground)


def stack(blocks: Sequence[np.ndarray], *, gap: int = 0) -> np.ndarray:
    """Return blocks one below the other, aligned at the left."""
    width = max(block.shape[1] for block in blocks)
    space = np.full((gap, width), PAPER, np.uint8)
    rows = [part for block in blocks for part in (space, padded(block, width=width))]
    return np.concatenate(rows[1:])


def flow(blocks: Sequence[np.ndarray], *, width: int) -> np.ndarray:
    """Return blocks side by side in as many rows as they need, none wider than `width` unless a block is."""
    rows: list[list[np.ndarray]] = [[]]
    for block in blocks:
        taken = sum(each.shape[1] + _GAP for each in rows[-1])
        if rows[-1] and taken + block.shape[1] > width:
            rows.append([])
        rows[-1].append(block)
    return stack([_beside(row, gap=_GAP) for row in rows], gap=6)


def heading(title: str, view: str, *, width: int) -> np.ndarray:
    """Return the title, and below it in grey what view it is."""
    return stack([
        paragraph(title, width=width, points=TITLE),
        paragraph(view, width=width, shade=SOFT),
    ], gap=1)  # fmt: skip


def bar(ticks: Sequence[str], *, width: int) -> np.ndarray:
    """Return a colour bar with ticks at equal distances from its first to its last colour."""
    texts = [paragraph(tick, width=width, points=LABEL, shade=SOFT) for tick in ticks]
    canvas = np.full((_THICKNESS + 5 + max(text.shape[0] for text in texts), width), PAPER, np.uint8)
    canvas[:_THICKNESS] = np.arange(width) * LEVELS // width
    for position, text in zip(np.linspace(0, width - 1, len(texts)).astype(int), texts, strict=True):
        canvas[_THICKNESS : _THICKNESS + 3, position] = INK
        start = min(max(position - text.shape[1] // 2, 0), width - text.shape[1])
        canvas[_THICKNESS + 5 :][: text.shape[0], start : start + text.shape[1]] = text
    return canvas


def entry(swatch: np.ndarray | int, text: str, *, width: int) -> np.ndarray:
    """Return a line of a legend: a swatch, and what it means."""
    square = np.full((SWATCH, SWATCH), swatch, np.uint8) if isinstance(swatch, int) else swatch
    words = paragraph(text, width=width - square.shape[1] - 6, points=TEXT, shade=SOFT)
    return _beside([square, words], gap=6)


def beyond_limits(cells: int, *, colours: str, width: int) -> np.ndarray:
    """Return the line of a legend for cells beyond the limits of the scale."""
    swatch = np.full((SWATCH, SWATCH), LEVELS - 1, np.uint8)
    dot(swatch, np.array(True), colours=colours)  # noqa: FBT003 - a mask of one
    return entry(swatch, f"beyond the limits: {count(cells, 'cell')}", width=width)


def sheet(
    body: np.ndarray | Image.Image, *, colours: str, above: Sequence[np.ndarray], below: Sequence[np.ndarray] = ()
) -> Image.Image:
    """Return a finished picture: blocks above and below a body, on paper, with a margin.

    The picture is paletted where the body is an array of palette entries; a body in RGB makes it RGB.
    """
    place = body if isinstance(body, np.ndarray) else np.full((body.height, body.width), PAPER, np.uint8)
    blocks = stack([*above, place, *below], gap=8)
    image = paletted(np.pad(blocks, MARGIN, constant_values=PAPER), colours)
    if isinstance(body, Image.Image):
        image = image.convert("RGB")
        image.paste(body, (MARGIN, MARGIN + sum(block.shape[0] + 8 for block in above)))
    return image


def _beside(blocks: Sequence[np.ndarray], *, gap: int) -> np.ndarray:
    canvas = np.full(
        (max(block.shape[0] for block in blocks), sum(block.shape[1] + gap for block in blocks) - gap), PAPER, np.uint8
    )
    start = 0
    for block in blocks:
        canvas[: block.shape[0], start : start + block.shape[1]] = block
        start += block.shape[1] + gap
    return canvas
