"""Blocks: arrays of palette entries `(y, x)`, enlarged, put beside and below one another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from interpretkit.figures.colour import PAPER

if TYPE_CHECKING:
    from collections.abc import Sequence

_GAP = 24


def paper(height: int, width: int) -> np.ndarray:
    """Return an empty block."""
    return np.full((height, width), PAPER, np.uint8)


def widest(blocks: Sequence[np.ndarray]) -> int:
    """Return the width of the widest block."""
    widths: list[int] = [block.shape[1] for block in blocks]
    return max(widths)


def highest(blocks: Sequence[np.ndarray]) -> int:
    """Return the height of the highest block."""
    heights: list[int] = [block.shape[0] for block in blocks]
    return max(heights)


def put(canvas: np.ndarray, block: np.ndarray, top: int, left: int) -> None:
    """Put a block on a canvas, in place."""
    height, width = block.shape
    canvas[top : top + height, left : left + width] = block


def enlarged(cells: np.ndarray, zoom: int, *, axis: int = 0) -> np.ndarray:
    """Return cells as squares of pixels; the rows of cells lie along `axis`, the columns along the next one."""
    rows = cells.repeat(zoom, axis=axis)
    return rows.repeat(zoom, axis=axis + 1)


def padded(block: np.ndarray, *, width: int, ground: int = PAPER) -> np.ndarray:
    """Return a block with ground added at the right up to `width`."""
    missing = width - block.shape[1]
    return np.pad(block, ((0, 0), (0, missing)), constant_values=ground)


def stack(blocks: Sequence[np.ndarray], *, gap: int = 0) -> np.ndarray:
    """Return blocks one below the other, aligned at the left."""
    width = widest(blocks)
    space = paper(gap, width)
    rows = []
    for block in blocks:
        rows.append(space)
        rows.append(padded(block, width=width))
    return np.concatenate(rows[1:])


def beside(blocks: Sequence[np.ndarray], *, gap: int) -> np.ndarray:
    """Return blocks side by side, aligned at the top."""
    width = sum(block.shape[1] + gap for block in blocks) - gap
    canvas = paper(highest(blocks), width)
    left = 0
    for block in blocks:
        put(canvas, block, 0, left)
        left += block.shape[1] + gap
    return canvas


def flow(blocks: Sequence[np.ndarray], *, width: int) -> np.ndarray:
    """Return blocks side by side in as many rows as they need, none wider than `width` unless a block is."""
    rows: list[list[np.ndarray]] = []
    room = 0
    for block in blocks:
        needed = block.shape[1]
        if not rows or needed > room:
            rows.append([])
            room = width
        rows[-1].append(block)
        room -= needed + _GAP
    return stack([beside(row, gap=_GAP) for row in rows], gap=6)
