"""Galleries: small photos in labelled rows, each with its own words below."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image, ImageDraw

from interpretkit.figures.blocks import enlarged, highest, paper, put, widest
from interpretkit.figures.colour import paletted
from interpretkit.figures.sheet import NARROWEST, heading, sheet
from interpretkit.figures.text import LABEL, SOFT, paragraph
from interpretkit.figures.words import check_photo
from interpretkit.words import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

_SIDE = 112  # pixels of the square that each photo fits in
_GAP, _WIDEST_LABEL = 10, 110
_COLOURS = "viridis"
_FRAME = "#d0d7de"
_CROSS, _OUTLINE = "#ffd33d", "#1f2328"
_FREE, _STROKE = 4, 6  # pixels of a cross


class Exhibit(NamedTuple):
    """A photo of a gallery.

    Attributes:
        pixels: The photo `(y, x, 3)` uint8; one without pixels leaves its place empty.
        words: What stands below it; wraps.
        mark: Where on it a cross stands, y and x in its pixels, 0.5 being the middle of the first; outside it, nowhere.
    """

    pixels: np.ndarray
    words: str
    mark: tuple[float, float] | None = None


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
        >>> import numpy as np
        >>> cat = Exhibit(np.zeros((7, 7, 3), np.uint8), "cat: 3.2")
        >>> gallery([[cat, cat], [cat]], labels=["channel 0", "channel 5"], title="exemplars").mode
        'RGB'
    """
    if not rows or len(labels) != len(rows):
        raise ValueError(f"{len(labels)} labels do not fit {len(rows)} rows")
    scale = _scale(rows)
    names = [paragraph(label, width=_WIDEST_LABEL) for label in labels]
    left = widest(names) + _GAP
    lengths = [len(row) for row in rows]
    across = max(lengths) * (_SIDE + _GAP) - _GAP
    width = max(left + across + 1, NARROWEST)
    strips = []
    for name, row in zip(names, rows, strict=True):
        strip = _strip(name, row, left=left, width=width, scale=scale)
        strips.append(strip)
    how = f"nearest ×{int(scale)}" if scale >= 1 else f"shrunk ×{scale:.2g}"
    view = f"{count(sum(lengths), 'picture')}, {how}"
    above = [heading(title, view, width=width)]
    return sheet(_below_one_another(strips), colours=_COLOURS, above=above)


def _scale(rows: Sequence[Sequence[Exhibit]]) -> float:
    """Return by how much all photos are enlarged, so that the largest fits its square."""
    longest = 0
    for exhibit in chain.from_iterable(rows):
        if exhibit.pixels.size:
            check_photo(exhibit.pixels)
            longest = max(longest, *exhibit.pixels.shape[:2])
    return _SIDE / (longest or _SIDE)


def _strip(name: np.ndarray, row: Sequence[Exhibit], *, left: int, width: int, scale: float) -> Image.Image:
    """Return one row: its label, its photos at the bottom of their squares, and the words below them."""
    words = [paragraph(exhibit.words, width=_SIDE, points=LABEL, shade=SOFT) for exhibit in row]
    photos = [_scaled(exhibit.pixels, scale) for exhibit in row]
    side = 1 + max((photo.height for photo in photos), default=0)
    below = side + 3
    bottom = below + (highest(words) if words else 0)
    name_height = name.shape[0]
    canvas = paper(max(bottom, name_height) + _GAP, width)
    put(canvas, name, max((side - name_height) // 2, 0), 0)
    starts = range(left, width, _SIDE + _GAP)
    for start, block in zip(starts, words, strict=False):
        put(canvas, block, below, start)
    strip = paletted(canvas, _COLOURS).convert("RGB")
    for start, photo, exhibit in zip(starts, photos, row, strict=False):
        if photo.width:
            _hang(_marked(photo, exhibit), strip, left=start, bottom=side)
    return strip


def _marked(photo: Image.Image, exhibit: Exhibit) -> Image.Image:
    """Return a scaled photo with its cross: four strokes that leave the middle free, light in a dark outline."""
    if exhibit.mark is None:
        return photo
    height, width = exhibit.pixels.shape[:2]
    y, x = exhibit.mark[0] / height * photo.height, exhibit.mark[1] / width * photo.width
    draw = ImageDraw.Draw(photo)
    for colour, wider in ((_OUTLINE, 1), (_CROSS, 0)):
        for down, across in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            near, far = _FREE - wider, _FREE + _STROKE + wider
            line = (x + across * near, y + down * near, x + across * far, y + down * far)
            draw.line(line, fill=colour, width=1 + 2 * wider)
    return photo


def _hang(photo: Image.Image, strip: Image.Image, *, left: int, bottom: int) -> None:
    """Put a photo on a strip, in a thin frame that tells a white photo from the paper."""
    top = bottom - photo.height
    frame = (left - 1, top - 1, left + photo.width, bottom)
    ImageDraw.Draw(strip).rectangle(frame, outline=_FRAME)
    strip.paste(photo, (left, top))


def _below_one_another(strips: Sequence[Image.Image]) -> Image.Image:
    height = sum(strip.height for strip in strips)
    body = Image.new("RGB", (strips[0].width, height))
    top = 0
    for strip in strips:
        body.paste(strip, (0, top))
        top += strip.height
    return body


def _scaled(pixels: np.ndarray, scale: float) -> Image.Image:
    """Return a photo enlarged by a whole number or shrunk; of no pixels, a picture of none."""
    if pixels.size == 0:
        return Image.new("RGB", (0, 0))
    if scale >= 1:
        return Image.fromarray(enlarged(pixels, int(scale)))
    photo = Image.fromarray(pixels)
    width = max(int(photo.width * scale), 1)
    height = max(int(photo.height * scale), 1)
    return photo.resize((width, height), Image.Resampling.BOX)
