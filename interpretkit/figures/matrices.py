"""Matrices: coloured cells with their numbers written in."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from interpretkit.figures.blocks import highest, paper, put, widest
from interpretkit.figures.colour import colours_of, ink_on, levels, palette, paletted, symmetric
from interpretkit.figures.sheet import BAR, NARROWEST, bar, cells_not_finite, heading, sheet, ticks_of
from interpretkit.figures.text import LABEL, TEXT, font, paragraph, width_of
from interpretkit.figures.words import not_finite
from interpretkit.words import count, fixed, number, shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interpretkit.results.map import Polarity

_ROW_HEIGHT, _NARROWEST_COLUMN = 34, 60
_RANGE_HEIGHT = 12  # of the smaller numbers below
_LONGEST_LABEL = 240
_GAP = 8


def matrix(
    values: np.ndarray,
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    limits: tuple[float, float] = (-1.0, 1.0),
    ranges: tuple[np.ndarray, np.ndarray] | None = None,
) -> Image.Image:
    """Draw a matrix `(row, column)` as coloured cells with their numbers written in.

    Args:
        values: The matrix; a cell that is not finite is marked and says so.
        rows: Labels of the rows.
        columns: Labels of the columns.
        title: What it is; wraps.
        limits: Of the colour scale: coolwarm and symmetric about 0 where they reach below 0, else viridis.
        ranges: Two matrices of numbers to set the cells against, such as what each is by chance: from where to where,
            written small below the number; a cell whose range is NaN has none.

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
    polarity: Polarity = "unsigned"
    if low < 0:
        polarity = "signed"
        low, high = symmetric(low, high)
    colours = colours_of(polarity)
    layout = _layout(values, _ranges(ranges, values.shape), rows, columns)
    body = _body(values, levels(values, low, high), layout, colours)
    width = max(body.width, NARROWEST)
    below = [bar(ticks_of(low, high), width=BAR)]
    broken = not_finite(values)
    if broken:
        below.append(cells_not_finite(broken, width=width))
    view = f"{count(len(rows), 'row')}, {count(len(columns), 'column')}"
    above = [heading(title, view, width=width)]
    return sheet(body, colours=colours, above=above, below=below)


class _Layout(NamedTuple):
    """The labels of a matrix as blocks, what stands below its numbers, the size of its cells, where the first lies."""

    names: list[np.ndarray]
    heads: list[np.ndarray]
    ranges: list[list[str]]
    down: int
    across: int
    top: int
    left: int


def _ranges(ranges: tuple[np.ndarray, np.ndarray] | None, shape_of: tuple[int, ...]) -> list[list[str]]:
    """Return the words below each number, row by row: empty where there is no range."""
    rows, columns = shape_of
    if ranges is None:
        return [[""] * columns] * rows
    pairs = np.stack(ranges, axis=-1).tolist()
    return [[_reach(low, high) for low, high in row] for row in pairs]


def _reach(low: float, high: float) -> str:
    return "" if math.isnan(low) else f"{_two_places(low)}…{_two_places(high)}"


def _layout(values: np.ndarray, ranges: list[list[str]], rows: Sequence[str], columns: Sequence[str]) -> _Layout:
    numbers = [_two_places(value) for value in values.ravel().tolist()]
    small = [width_of(text, LABEL) for row in ranges for text in row]
    longest = max(*(width_of(text, TEXT) for text in numbers), *small)
    height = _ROW_HEIGHT + (_RANGE_HEIGHT if any(small) else 0)
    across = max(_NARROWEST_COLUMN, longest + 2 * _GAP)
    names = [paragraph(label, width=_LONGEST_LABEL) for label in rows]
    heads = _heads(columns, across)
    return _Layout(
        names=names,
        heads=heads,
        ranges=ranges,
        down=max(height, highest(names) + 2),
        across=max(across, widest(heads) + _GAP),
        top=highest(heads) + _GAP,
        left=widest(names) + _GAP,
    )


def _body(values: np.ndarray, entries: np.ndarray, layout: _Layout, colours: str) -> Image.Image:
    """Return cells with their numbers, below and beside their labels."""
    labelled = _labelled(entries, layout)
    image = paletted(labelled, colours).convert("RGB")
    draw = ImageDraw.Draw(image)
    for (row, column), value in np.ndenumerate(values):
        x = layout.left + (column + 0.5) * layout.across
        y = layout.top + (row + 0.5) * layout.down
        ground = int(entries[row, column])
        ink = palette(colours)[ink_on(ground, colours)]
        red, green, blue = ink.tolist()
        text, small = _two_places(float(value)), layout.ranges[row][column]
        up = _RANGE_HEIGHT / 2 if small else 0
        draw.text((x, y - up), text, font=font(TEXT), anchor="mm", fill=(red, green, blue))
        draw.text((x, y + up + 2), small, font=font(LABEL), anchor="mm", fill=(red, green, blue))
    return image


def _labelled(entries: np.ndarray, layout: _Layout) -> np.ndarray:
    """Return the cells without their numbers, below and beside their labels."""
    names, heads, _, down, across, top, left = layout
    cells = entries.repeat(down, axis=0).repeat(across, axis=1)
    canvas = paper(top + cells.shape[0], left + cells.shape[1])
    put(canvas, cells, top, left)
    for row, name in enumerate(names):
        height, width = name.shape
        start = top + row * down
        middle = (down - height) // 2
        put(canvas, name, start + middle, left - _GAP - width)
    for column, head in enumerate(heads):
        height, width = head.shape
        start = left + column * across
        middle = (across - width) // 2
        put(canvas, head, top - _GAP - height, start + middle)
    return canvas


def _two_places(value: float) -> str:
    """Return a number as it is written into a cell: short enough to fit it."""
    if abs(value) < 100:  # noqa: PLR2004 - two digits and two decimals
        return fixed(value)
    return number(value)


def _heads(columns: Sequence[str], across: int) -> list[np.ndarray]:
    """Return the labels of the columns; upright where one is wider than its column."""
    widest = max(width_of(label, TEXT) for label in columns)
    if widest <= across - _GAP:
        return [paragraph(label, width=across) for label in columns]
    return [np.rot90(paragraph(label, width=_LONGEST_LABEL)) for label in columns]
