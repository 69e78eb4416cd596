"""Finished pictures: side by side, stamped with what every reader must know, encoded."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from interpretkit.figures.blocks import padded
from interpretkit.figures.colour import CROSS, ON_AMBER, ON_PAPER, PAPER, Ramp, paletted
from interpretkit.figures.sheet import MARGIN, NARROWEST
from interpretkit.figures.text import SOFT, STRONG, TEXT, TITLE, paragraph

if TYPE_CHECKING:
    from collections.abc import Sequence

# zlib's default, 6, takes 1.3 to 4 times as long on grids and overlays, for 1 to 8 % fewer bytes.
_COMPRESSION = 4


def panels(pictures: Sequence[Image.Image], *, title: str = "", columns: int | None = None) -> Image.Image:
    """Put pictures side by side on white, aligned at the top.

    Args:
        pictures: The pictures.
        title: Stands above them; wraps.
        columns: Pictures in a row; by default all are in one row.

    Raises:
        ValueError: If there is no picture.

    Example:
        >>> panels([Image.new("RGB", (30, 20)), Image.new("RGB", (40, 10))], columns=1).size
        (40, 30)
    """
    if not pictures:
        raise ValueError("there is no picture to put side by side")
    columns = columns or len(pictures)
    starts = range(0, len(pictures), columns)
    rows = [pictures[start : start + columns] for start in starts]
    widths = [_widest(pictures[column::columns]) for column in range(len(rows[0]))]
    lefts = [sum(widths[:column]) for column in range(len(widths))]
    head = _title(title, sum(widths))
    height = head.height + sum(map(_highest, rows))
    sheet = Image.new("RGB", (head.width, height), "white")
    sheet.paste(head, (0, 0))
    top = head.height
    for row in rows:
        for left, picture in zip(lefts, row, strict=False):
            sheet.paste(_opaque(picture).convert("RGB"), (left, top))
        top += _highest(row)
    return sheet


def stamp(picture: Image.Image, lines: Sequence[str], *, alert: str = "") -> Image.Image:
    """Add a footer with `lines`, and an `alert` across the top, in dark on amber.

    Text is wrapped to the width of the picture. A paletted picture stays paletted: what is added takes the nearest
    entries of its palette.

    Example:
        >>> stamp(Image.new("RGB", (400, 100)), ["model: repvgg B0"], alert="random weights").size[0]
        400
    """
    body = _opaque(picture)
    width = max(body.width, NARROWEST)
    head = foot = np.empty((0, width), np.uint8)
    if alert:
        head = _strip([alert], width=width, points=TITLE, ramp=ON_AMBER, margin=8)
    if lines:
        foot = _strip(lines, width=width, shade=SOFT)
        foot[0, MARGIN:-MARGIN] = CROSS
    top = len(head)
    bottom = top + body.height
    paper = _alike(np.full((1, 1), PAPER, np.uint8), body)
    sheet = paper.resize((width, bottom + len(foot)))
    sheet.paste(body, (0, top))
    if alert:
        sheet.paste(_alike(head, body), (0, 0))
    if lines:
        sheet.paste(_alike(foot, body), (0, bottom))
    return sheet


def png(picture: Image.Image) -> bytes:
    """Encode a picture as PNG.

    Example:
        >>> png(Image.new("RGB", (2, 2)))[1:4]
        b'PNG'
    """
    buffer = BytesIO()
    picture.save(buffer, "PNG", compress_level=_COMPRESSION)
    return buffer.getvalue()


def _strip(
    lines: Sequence[str],
    *,
    width: int,
    points: int = TEXT,
    shade: float = STRONG,
    ramp: Ramp = ON_PAPER,
    margin: int = 6,
) -> np.ndarray:
    """Return lines of text over the whole width, on the ground of the ramp, with a margin."""
    room = width - 2 * MARGIN
    texts = [paragraph(line, width=room, points=points, shade=shade, ramp=ramp) for line in lines]
    rows = [padded(text, width=room, ground=ramp.ground) for text in texts]
    margins = ((margin, margin), (MARGIN, MARGIN))
    return np.pad(np.concatenate(rows), margins, constant_values=ramp.ground)


def _widest(pictures: Sequence[Image.Image]) -> int:
    return max(picture.width for picture in pictures)


def _highest(pictures: Sequence[Image.Image]) -> int:
    return max(picture.height for picture in pictures)


def _title(title: str, width: int) -> Image.Image:
    """Return the title of panels in RGB; without one, a strip of no height."""
    if not title:
        return Image.new("RGB", (width, 0))
    strip = _strip([title], width=width, points=TITLE)
    return paletted(strip, "viridis").convert("RGB")


def _opaque(picture: Image.Image) -> Image.Image:
    """Return a paletted picture as it is, any other as RGB, without transparency."""
    if picture.mode in {"P", "RGB"} and not picture.has_transparency_data:
        return picture
    ground = Image.new("RGBA", picture.size, "white")
    blended = Image.alpha_composite(ground, picture.convert("RGBA"))
    return blended.convert("RGB")


def _alike(block: np.ndarray, picture: Image.Image) -> Image.Image:
    """Return a block of palette entries in the mode, and with the palette, of `picture`."""
    image = paletted(block, "viridis").convert("RGB")
    if picture.mode == "P":
        return image.quantize(palette=picture, dither=Image.Dither.NONE)
    return image
