"""Maps moved about at random, all of a piece: what two maps have in common when their places have nothing to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ENDS = (0.05, 0.95)
"""Quantiles over shuffled maps that a measure lies between by chance."""

_AT_ONCE = 2**20  # values


@dataclass(frozen=True, slots=True)
class Shuffles:
    """Random ways to move a map about: mirrored along some axes, then shifted, what leaves on one side coming in again.

    Neighbours stay neighbours but for a seam, so a shuffled map has the map's own values and its own smoothness; only
    its places are others. Cells shuffled one by one would make a map as rough as noise, and noise agrees with nothing:
    two smooth maps of unrelated places would look alike beyond chance.

    Attributes:
        mirrored: Along which axes, `(draw, axis)` bool.
        shifts: By how many cells, `(draw, axis)`.
    """

    mirrored: np.ndarray
    shifts: np.ndarray

    @classmethod
    def drawn(cls, cells: Sequence[int], count: int, seed: Sequence[int]) -> Shuffles:
        """Return so many shuffles of maps of a grid.

        Args:
            cells: How many there are along each axis.
            count: How many shuffles.
            seed: Of the image, and more numbers for what else is to differ.
        """
        generator = np.random.default_rng(seed)
        mirrored = generator.integers(2, size=(count, len(cells))).astype(np.bool_)
        return cls(mirrored, generator.integers(cells, size=(count, len(cells))))

    def of(self, values: np.ndarray) -> Iterator[np.ndarray]:
        """Yield a map `(y, x)` shuffled in all ways, `(draw, y, x)`, in parts that fit into memory.

        Example:
            >>> shuffles = Shuffles(np.array([[False], [True]]), np.array([[1], [0]]))
            >>> [part.tolist() for part in shuffles.of(np.array([1, 2, 3]))]
            [[[3, 1, 2], [3, 2, 1]]]
        """
        axes = np.arange(values.ndim)
        at_once = max(_AT_ONCE // values.size, 1)
        for start in range(0, len(self.shifts), at_once):
            ways = zip(self.mirrored[start : start + at_once], self.shifts[start : start + at_once], strict=True)
            yield np.stack([np.roll(np.flip(values, axes[mirrored]), shift, axes) for mirrored, shift in ways])
