"""Text as arrays of palette entries: measured, wrapped, never cut off."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from interpretkit.figures.colour import ON_PAPER, Ramp

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TITLE, TEXT, LABEL = 15, 12, 10
STRONG, SOFT = 1.0, 0.72


@cache
def font(points: int) -> ImageFont.FreeTypeFont:
    """Return the font that matplotlib brings along, so that pictures look the same on every machine."""
    import matplotlib as mpl

    path = Path(mpl.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    return ImageFont.truetype(str(path), points, layout_engine=ImageFont.Layout.BASIC)


def width_of(text: str, points: int) -> int:
    """Return the width of a line in pixels."""
    return int(np.ceil(font(points).getlength(text)))


def wrap(text: str, *, points: int, width: int) -> list[str]:
    """Break `text` into lines of at most `width` pixels, between words, and within words that are longer."""
    lines = []
    for part in text.splitlines():
        line = ""
        printable = "".join(character if character.isprintable() else " " for character in part)
        for word in printable.split():
            for piece in _pieces(word, points, width):
                longer = f"{line} {piece}" if line else piece
                if line and width_of(longer, points) > width:
                    lines.append(line)
                    longer = piece
                line = longer
        lines.append(line)
    return lines or [""]


def paragraph(text: str, *, width: int, points: int = TEXT, shade: float = STRONG, ramp: Ramp = ON_PAPER) -> np.ndarray:
    """Return `text`, wrapped to `width` pixels, as palette entries `(y, x)` no wider than it needs."""
    rows = [_coverage(line, points) for line in wrap(text, points=points, width=width)]
    across = max(row.shape[1] for row in rows)
    coverage = np.concatenate([np.pad(row, ((0, 0), (0, across - row.shape[1]))) for row in rows])
    return _inked(coverage, shade, ramp)


def labels_of(texts: Sequence[str], *, points: int = LABEL, shade: float = SOFT) -> np.ndarray:
    """Return short texts as palette entries `(text, y, x)`, all of one size, without blank rows.

    Each character is rendered once: drawing a thousand numbers one by one takes ten times as long.
    """
    glyphs = {character: _coverage(character, points) for character in set("".join(texts))}
    rows = [[glyphs[character] for character in text] for text in texts]
    height = sum(font(points).getmetrics())
    coverage = np.zeros((len(texts), height, max(sum(glyph.shape[1] for glyph in row) for row in rows)), np.uint8)
    for label, row in zip(coverage, rows, strict=True):
        start = 0
        for glyph in row:
            label[:, start : start + glyph.shape[1]] = glyph
            start += glyph.shape[1]
    used = np.flatnonzero(coverage.any(axis=(0, 2)))
    return _inked(coverage[:, used[0] : used[-1] + 1] if used.size else coverage, shade, ON_PAPER)


def _pieces(word: str, points: int, width: int) -> Iterator[str]:
    piece = ""
    for character in word:
        if piece and width_of(piece + character, points) > width:
            yield piece
            piece = ""
        piece += character
    yield piece


def _coverage(line: str, points: int) -> np.ndarray:
    face = font(points)
    image = Image.new("L", (width_of(line, points), sum(face.getmetrics())))
    ImageDraw.Draw(image).text((0, 0), line, fill=255, font=face)
    return np.asarray(image)


def _inked(coverage: np.ndarray, shade: float, ramp: Ramp) -> np.ndarray:
    steps = np.round(np.arange(256) / 255 * shade * (ramp.ink - ramp.ground)) + ramp.ground
    inked: np.ndarray = steps.astype(np.uint8)[coverage]
    return inked
