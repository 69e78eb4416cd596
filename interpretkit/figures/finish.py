"""Finished pictures: side by side, stamped with what every reader must know, encoded."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from interpretkit.figures.colour import CROSS, ON_AMBER, ON_PAPER, PAPER, Ramp, paletted
from interpretkit.figures.sheet import MARGIN, NARROWEST, padded
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
    rows = [pictures[start : start + columns] for start in range(0, len(pictures), columns)]
    across = [max(each.width for each in pictures[column::columns]) for column in range(len(rows[0]))]
    width = sum(across)
    head = _strip([title], width=width, points=TITLE) if title else np.empty((0, width), np.uint8)
    height = len(head) + sum(max(each.height for each in row) for row in rows)
    sheet = Image.new("RGB", (max(width, head.shape[1]), height), "white")
    sheet.paste(paletted(head, "viridis").convert("RGB"), (0, 0))
    top = len(head)
    for row in rows:
        for column, picture in enumerate(row):
            sheet.paste(_opaque(picture).convert("RGB"), (sum(across[:column]), top))
        top += max(each.height for each in row)
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
    head = _strip([alert], width=width, points=TITLE, ramp=ON_AMBER, margin=8) if alert else None
    foot = _strip(lines, width=width, shade=SOFT, rule=True) if lines else None
    above, below = (0 if strip is None else len(strip) for strip in (head, foot))
    sheet = _alike(np.full((1, 1), PAPER, np.uint8), body).resize((width, above + body.height + below))
    sheet.paste(body, (0, above))
    for strip, top in ((head, 0), (foot, above + body.height)):
        if strip is not None:
            sheet.paste(_alike(strip, body), (0, top))
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
    rule: bool = False,
) -> np.ndarray:
    room = width - 2 * MARGIN
    texts = [paragraph(line, width=room, points=points, shade=shade, ramp=ramp) for line in lines]
    rows = np.concatenate([padded(text, width=room, ground=ramp.ground) for text in texts])
    strip = np.pad(rows, ((margin, margin), (MARGIN, MARGIN)), constant_values=ramp.ground)
    if rule:
        strip[0, MARGIN:-MARGIN] = CROSS
    return strip


def _opaque(picture: Image.Image) -> Image.Image:
    """Return a paletted picture as it is, any other as RGB, without transparency."""
    if picture.mode in {"P", "RGB"} and not picture.has_transparency_data:
        return picture
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture.convert("RGBA")).convert("RGB")


def _alike(block: np.ndarray, picture: Image.Image) -> Image.Image:
    """Return a block of palette entries in the mode, and with the palette, of `picture`."""
    image = paletted(block, "viridis").convert("RGB")
    return image.quantize(palette=picture, dither=Image.Dither.NONE) if picture.mode == "P" else image
