"""Galleries: small photos in labelled rows, each with its own words below."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from interpretkit.figures.colour import PAPER, paletted
from interpretkit.figures.sheet import NARROWEST, heading, sheet
from interpretkit.figures.text import LABEL, SOFT, paragraph
from interpretkit.words import count, shape

if TYPE_CHECKING:
    from collections.abc import Sequence

_SIDE = 112  # pixels of the square that each photo fits in
_GAP, _WIDEST_LABEL = 10, 110
_COLOURS = "viridis"
_FRAME = "#d0d7de"


class Exhibit(NamedTuple):
    """A photo of a gallery.

    Attributes:
        pixels: The photo `(y, x, 3)` uint8; one without pixels leaves its place empty.
        words: What stands below it; wraps.
    """

    pixels: np.ndarray
    words: str


def gallery(rows: Sequence[Sequence[Exhibit]], *, labels: Sequence[str], title: str) -> Image.Image:
    """Draw rows of small photos on one scale: the largest fits a square of 112 pixels.

    Photos are enlarged by a whole number, nearest neighbour, or shrunk by area averaging.

    Args:
        rows: The photos, row by row.
        labels: One for each row; stands before it, wraps.
        title: What it is; wraps.

    Raises:
        ValueError: If there is no row, labels do not fit, or a photo is none.

    Example:
        >>> cat = Exhibit(np.zeros((7, 7, 3), np.uint8), "cat: 3.2")
        >>> gallery([[cat, cat], [cat]], labels=["channel 0", "channel 5"], title="exemplars").mode
        'RGB'
    """
    if not rows or len(labels) != len(rows):
        raise ValueError(f"{len(labels)} labels do not fit {len(rows)} rows")
    photos = [exhibit.pixels for row in rows for exhibit in row]
    for pixels in photos:
        if pixels.ndim != 3 or pixels.shape[-1] != 3 or pixels.dtype != np.uint8:  # noqa: PLR2004 - y, x, colours
            raise ValueError(f"a photo is uint8 (y, x, 3), not {pixels.dtype} {shape(pixels.shape)}")
    scale = _SIDE / max((max(pixels.shape[:2]) for pixels in photos if pixels.size), default=_SIDE)
    names = [paragraph(label, width=_WIDEST_LABEL) for label in labels]
    left = max(name.shape[1] for name in names) + _GAP
    width = max(left + max(map(len, rows)) * (_SIDE + _GAP) - _GAP + 1, NARROWEST)
    strips = [_strip(name, row, left=left, width=width, scale=scale) for name, row in zip(names, rows, strict=True)]
    body = Image.new("RGB", (width, sum(strip.height for strip in strips)))
    top = 0
    for strip in strips:
        body.paste(strip, (0, top))
        top += strip.height
    view = f"{count(len(photos), 'picture')}, {f'nearest ×{int(scale)}' if scale >= 1 else f'shrunk ×{scale:.2g}'}"
    return sheet(body, colours=_COLOURS, above=[heading(title, view, width=width)])


def _strip(name: np.ndarray, row: Sequence[Exhibit], *, left: int, width: int, scale: float) -> Image.Image:
    """Return one row: its label, its photos at the bottom of their squares, and the words below them."""
    words = [paragraph(exhibit.words, width=_SIDE, points=LABEL, shade=SOFT) for exhibit in row]
    photos = [_scaled(exhibit.pixels, scale) if exhibit.pixels.size else None for exhibit in row]
    side = max((photo.height for photo in photos if photo), default=0) + 1
    deepest = max((block.shape[0] for block in words), default=0)
    canvas = np.full((max(side + 3 + deepest, name.shape[0]) + _GAP, width), PAPER, np.uint8)
    top = max((side - name.shape[0]) // 2, 0)
    canvas[top : top + name.shape[0], : name.shape[1]] = name
    starts = range(left, width, _SIDE + _GAP)
    for start, block in zip(starts, words, strict=False):
        canvas[side + 3 :][: block.shape[0], start : start + block.shape[1]] = block
    strip = paletted(canvas, _COLOURS).convert("RGB")
    for start, photo in zip(starts, photos, strict=False):
        if photo:
            # A thin frame tells a white photo from the paper.
            around = (start - 1, side - photo.height - 1, start + photo.width, side)
            ImageDraw.Draw(strip).rectangle(around, outline=_FRAME)
            strip.paste(photo, (start, side - photo.height))
    return strip


def _scaled(pixels: np.ndarray, scale: float) -> Image.Image:
    if scale >= 1:
        return Image.fromarray(pixels.repeat(int(scale), axis=0).repeat(int(scale), axis=1))
    height, width = (max(int(length * scale), 1) for length in pixels.shape[:2])
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BOX)
