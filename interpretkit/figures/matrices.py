"""Matrices: coloured cells with their numbers written in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from interpretkit.figures.colour import (
    INK,
    NOT_FINITE,
    PAPER,
    colours_of,
    is_light,
    levels,
    palette,
    paletted,
    symmetric,
)
from interpretkit.figures.sheet import BAR, NARROWEST, bar, entry, heading, sheet
from interpretkit.figures.text import TEXT, font, paragraph, width_of
from interpretkit.words import count, fixed, number, shape

if TYPE_CHECKING:
    from collections.abc import Sequence

_ROW_HEIGHT, _NARROWEST_COLUMN = 34, 60
_LONGEST_LABEL = 240
_GAP = 8


def matrix(
    values: np.ndarray,
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    limits: tuple[float, float] = (-1.0, 1.0),
) -> Image.Image:
    """Draw a matrix `(row, column)` as coloured cells with their numbers written in.

    Args:
        values: The matrix; a cell that is not finite is marked and says so.
        rows: Labels of the rows.
        columns: Labels of the columns.
        title: What it is; wraps.
        limits: Of the colour scale: coolwarm and symmetric about 0 where they reach below 0, else viridis.

    Raises:
        ValueError: If there is no cell to draw, labels do not fit, or the limits are not finite and ascending.

    Example:
        >>> matrix(np.eye(2), rows=["a", "b"], columns=["a", "b"], title="Agreement").mode
        'RGB'
    """
    if values.shape != (len(rows), len(columns)) or values.size == 0:
        raise ValueError(f"{len(rows)} rows and {len(columns)} columns do not fit shape {shape(values.shape)}")
    low, high = limits
    if not -np.inf < low < high < np.inf:
        raise ValueError(f"limits {limits} are not finite and ascending")
    if low < 0:
        low, high = symmetric(low, high)
    colours = colours_of("signed" if low < 0 else "unsigned")
    body = _body(values, entries=levels(values, low, high), rows=rows, columns=columns, colours=colours)
    width = max(body.width, NARROWEST)
    below = [bar([number(low), number((low + high) / 2), number(high)], width=BAR)]
    broken = int((~np.isfinite(values)).sum())
    if broken:
        below.append(entry(NOT_FINITE, f"not finite: {count(broken, 'cell')}", width=width))
    view = f"{count(len(rows), 'row')}, {count(len(columns), 'column')}"
    return sheet(body, colours=colours, above=[heading(title, view, width=width)], below=below)


def _body(
    values: np.ndarray, *, entries: np.ndarray, rows: Sequence[str], columns: Sequence[str], colours: str
) -> Image.Image:
    """Return cells with their numbers, below and beside their labels."""
    texts = {place: _two_places(float(values[place])) for place in np.ndindex(values.shape)}
    across = max(_NARROWEST_COLUMN, *(width_of(text, TEXT) + 2 * _GAP for text in texts.values()))
    names = [paragraph(label, width=_LONGEST_LABEL) for label in rows]
    heads = _heads(columns, across)
    across = max(across, *(head.shape[1] + _GAP for head in heads))
    left, top = max(name.shape[1] for name in names) + _GAP, max(head.shape[0] for head in heads) + _GAP
    down = max(_ROW_HEIGHT, *(name.shape[0] + 2 for name in names))
    canvas = np.full((top + down * len(names), left + across * len(heads)), PAPER, np.uint8)
    canvas[top:, left:] = entries.repeat(down, axis=0).repeat(across, axis=1)
    for row, name in enumerate(names):
        _put(canvas, name, top + row * down + (down - name.shape[0]) // 2, left - _GAP - name.shape[1])
    for column, head in enumerate(heads):
        _put(canvas, head, top - _GAP - head.shape[0], left + column * across + (across - head.shape[1]) // 2)
    image = paletted(canvas, colours).convert("RGB")
    draw = ImageDraw.Draw(image)
    for (row, column), text in texts.items():
        middle = (left + (column + 0.5) * across, top + (row + 0.5) * down)
        ground = palette(colours)[entries[row, column]]
        fill = palette(colours)[INK if is_light(ground) else PAPER]
        draw.text(middle, text, font=font(TEXT), anchor="mm", fill=tuple(fill.tolist()))
    return image


def _two_places(value: float) -> str:
    written_out = abs(value) < 100  # noqa: PLR2004 - what fits a cell
    return fixed(value) if written_out else number(value)


def _heads(columns: Sequence[str], across: int) -> list[np.ndarray]:
    """Return the labels of the columns; upright where one is wider than its column."""
    if max(width_of(label, TEXT) for label in columns) <= across - _GAP:
        return [paragraph(label, width=across) for label in columns]
    return [np.rot90(paragraph(label, width=_LONGEST_LABEL)) for label in columns]


def _put(canvas: np.ndarray, block: np.ndarray, top: int, left: int) -> None:
    canvas[top : top + block.shape[0], left : left + block.shape[1]] = block
