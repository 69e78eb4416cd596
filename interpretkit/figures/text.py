"""Text as arrays of palette entries: measured, wrapped, never cut off."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from unicodedata import normalize

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from interpretkit.figures.blocks import padded, widest
from interpretkit.figures.colour import ON_PAPER, Ramp
from interpretkit.figures.settings import matplotlib

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TITLE, TEXT, LABEL = 15, 12, 10
STRONG, SOFT = 1.0, 0.72


@cache
def font(points: int) -> ImageFont.FreeTypeFont:
    """Return the font that matplotlib brings along, so that pictures look the same on every machine."""
    return ImageFont.truetype(str(_font_file()), points, layout_engine=ImageFont.Layout.BASIC)


def _font_file() -> Path:
    return Path(matplotlib().get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")


@cache
def _known() -> frozenset[int]:
    """Return the characters that the font has."""
    path = _font_file()  # loads matplotlib, whatever MPLBACKEND is
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(str(path)).get_charmap())


def legible(text: str) -> str:
    r"""Return `text` with an escape for each printable character that the font lacks, which would be an empty box.

    Letters and accents that stand one by one are put together first.

    Example:
        >>> legible("cafe\u0301, 猫")
        'café, \\u732b'
    """
    composed = normalize("NFC", text)
    return "".join(map(_escaped, composed))


def _escaped(character: str) -> str:
    if ord(character) in _known() or not character.isprintable() or character.isspace():
        return character
    return character.encode("unicode_escape").decode()


def width_of(text: str, points: int) -> int:
    """Return the width of a line in pixels."""
    length = font(points).getlength(legible(text))
    return int(np.ceil(length))


def wrap(text: str, *, points: int, width: int) -> list[str]:
    """Break `text` into lines of at most `width` pixels, between words, and within words that are longer."""
    lines = []
    for part in legible(text).splitlines():
        line = ""
        for piece in _pieces(part, points, width):
            longer = f"{line} {piece}" if line else piece
            if line and width_of(longer, points) > width:
                lines.append(line)
                longer = piece
            line = longer
        lines.append(line)
    return lines or [""]


def paragraph(
    text: str,
    *,
    width: int,
    points: int = TEXT,
    shade: float = STRONG,
    ramp: Ramp = ON_PAPER,
) -> np.ndarray:
    """Return `text`, wrapped to `width` pixels, as palette entries `(y, x)` no wider than it needs."""
    lines = wrap(text, points=points, width=width)
    coverage = _below_one_another([_coverage(line, points) for line in lines])
    return _inked(coverage, shade, ramp)


def labels_of(texts: Sequence[str], *, points: int = LABEL, shade: float = SOFT) -> np.ndarray:
    """Return short texts as palette entries `(text, y, x)`, all of one size, without blank rows.

    Each character is rendered once: drawing a thousand numbers one by one takes ten times as long.
    """
    texts = [legible(text) for text in texts]
    characters = set("".join(texts))
    glyphs = {character: _coverage(character, points) for character in characters}
    empty = _coverage("", points)
    labels = []
    for text in texts:
        line = [glyphs[character] for character in text]
        labels.append(np.concatenate([empty, *line], axis=1))
    stacked = _below_one_another(labels)
    coverage = stacked.reshape(len(texts), len(empty), -1)
    used = np.flatnonzero(coverage.any(axis=(0, 2)))
    if used.size:
        coverage = coverage[:, used[0] : used[-1] + 1]
    return _inked(coverage, shade, ON_PAPER)


def _pieces(line: str, points: int, width: int) -> Iterator[str]:
    """Yield the words of a line, longer ones in pieces that fit the width; unprintable characters are blanks."""
    printable = [character if character.isprintable() else " " for character in line]
    for word in "".join(printable).split():
        piece = ""
        for character in word:
            if piece and width_of(piece + character, points) > width:
                yield piece
                piece = ""
            piece += character
        yield piece


def _coverage(line: str, points: int) -> np.ndarray:
    """Return how much of each pixel `(y, x)` a line covers, of 255."""
    face = font(points)
    height = sum(face.getmetrics())
    image = Image.new("L", (width_of(line, points), height))
    ImageDraw.Draw(image).text((0, 0), line, fill=255, font=face)
    return np.asarray(image)


def _below_one_another(lines: Sequence[np.ndarray]) -> np.ndarray:
    width = widest(lines)
    rows = [padded(line, width=width, ground=0) for line in lines]
    return np.concatenate(rows)


def _inked(coverage: np.ndarray, shade: float, ramp: Ramp) -> np.ndarray:
    """Return the palette entry of each pixel: from the ground of the ramp towards its ink."""
    span = ramp.ink - ramp.ground
    steps = np.arange(256) / 255 * shade * span
    entries = np.round(steps) + ramp.ground
    inked: np.ndarray = entries.astype(np.uint8)[coverage]
    return inked
