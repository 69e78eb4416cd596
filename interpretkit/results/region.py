"""Regions of a grid, as data: which cells a score is summed over."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Region:
    """Some cells of a grid, as lengths of runs.

    Attributes:
        size: The lengths of the grid's axes, `(y, x)`, or `(z, y, x)`.
        runs: How many cells, row by row, lie outside, then inside, then outside, and so on; the first may be 0.

    Example:
        >>> region = Region.of(np.array([[False, True], [True, True]]))
        >>> region.runs, region.cells, region.inside.tolist()
        ((1, 3), 3, [[False, True], [True, True]])
    """

    size: tuple[int, ...]
    runs: tuple[int, ...]

    @classmethod
    def of(cls, inside: np.ndarray) -> Region:
        """Return the region of the cells that are True."""
        flat = inside.astype(np.bool_).reshape(-1)
        changes = np.flatnonzero(np.diff(flat)) + 1
        starts = [0, *changes.tolist(), flat.size]
        runs = np.diff(starts).tolist()
        # The first run is one of cells outside.
        first = [0] if flat.size and flat[0] else []
        return cls(tuple(inside.shape), (*first, *runs))

    @property
    def inside(self) -> np.ndarray:
        """Which cells are in it, bool of its size."""
        flags = np.arange(len(self.runs)) % 2 == 1
        return np.repeat(flags, self.runs).reshape(self.size)

    @property
    def cells(self) -> int:
        """How many cells are in it."""
        return sum(self.runs[1::2])
