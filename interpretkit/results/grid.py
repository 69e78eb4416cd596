"""Where the cells of a map lie on the network's input, and what follows: its pixels, other grids, masks, pictures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_BITS = 46  # of a map's greatest magnitude that its averages are rounded to
_DECIMALS = 9  # of a cell, so that a pixel on a border lies on one side of it whatever the rounding


@dataclass(frozen=True, slots=True)
class Row:
    """Cells along one axis of the input.

    Attributes:
        cells: How many.
        pixels: The length of the axis.
        first: The middle of the first cell, in pixels from the edge; that of the first pixel is 0.5.
        step: Pixels from the middle of a cell to that of the next.

    Example:
        >>> Row.even(2, 4).edges.tolist(), Row(2, 4, first=0.5, step=2.0).edges.tolist()
        ([0.0, 2.0, 4.0], [0.0, 1.5, 3.5])
    """

    cells: int
    pixels: int
    first: float
    step: float

    @classmethod
    def even(cls, cells: int, pixels: int) -> Row:
        """Return cells that tile the axis evenly."""
        step = pixels / cells
        return cls(cells, pixels, step / 2, step)

    @property
    def is_even(self) -> bool:
        """Whether the cells tile the axis evenly."""
        return self == Row.even(self.cells, self.pixels)

    @property
    def middles(self) -> np.ndarray:
        """The pixel in the middle of each cell; of a middle outside of the input the nearest, `(cell,)` int."""
        middles = np.floor(np.round(self.first + np.arange(self.cells) * self.step, _DECIMALS))
        return middles.astype(np.int64).clip(0, self.pixels - 1)

    @property
    def edges(self) -> np.ndarray:
        """Where cells begin and end, half a step from their middles, within the input, `(cell + 1,)`."""
        if self.is_even:
            return np.arange(self.cells + 1) * (self.pixels / self.cells)
        edges = self.first + (np.arange(self.cells + 1) - 0.5) * self.step
        return np.asarray(edges.clip(0, self.pixels))

    @property
    def nearest(self) -> np.ndarray:
        """The cell that is nearest to each pixel, `(pixel,)` int: cells at the border go on to the edge."""
        cells = np.floor(np.round(self._positions + 0.5, _DECIMALS))
        return cells.astype(np.int64).clip(0, self.cells - 1)

    @property
    def linear(self) -> np.ndarray:
        """The weights of cells at each pixel in linear interpolation, `(pixel, cell)`; beyond the cells, the last's."""
        positions = self._positions.clip(0, self.cells - 1)
        before = np.floor(positions).astype(np.int64)
        after = (before + 1).clip(max=self.cells - 1)
        share = positions - before
        pixels = np.arange(self.pixels)
        weights = np.zeros((self.pixels, self.cells))
        np.add.at(weights, (pixels, before), 1 - share)
        np.add.at(weights, (pixels, after), share)
        return weights

    @property
    def _positions(self) -> np.ndarray:
        """Where the middle of each pixel lies among the cells, `(pixel,)`: 0 at the middle of the first cell."""
        return np.asarray((np.arange(self.pixels) + 0.5 - self.first) / self.step)

    def onto(self, other: Row) -> np.ndarray:
        """Return which part each of these cells is of each cell of another row, `(other cell, cell)`; rows sum to 1."""
        # These cells go on to the edges, so that there is something everywhere.
        own = self.edges.copy()
        own[0], own[-1] = 0, self.pixels
        # An input of another size is the same picture at another resolution.
        scale = self.pixels / other.pixels
        parts = _common(other.edges * scale, own)
        lengths = parts.sum(1, keepdims=True)
        # A cell that lies outside of the input is what is nearest to it.
        nearest = self.nearest[(other.middles * scale).astype(np.int64)]
        outside = np.zeros_like(parts)
        outside[np.arange(other.cells), nearest] = 1
        return np.asarray(np.where(lengths > 0, parts / np.where(lengths > 0, lengths, 1), outside))


@dataclass(frozen=True, slots=True)
class Grid:
    """The cells of a map on the network's input, along each of its axes.

    Attributes:
        rows: The cells along y and x; along x in a signal; along z, y and x in a volume.

    Example:
        >>> grid = Grid.even((2, 2), (4, 4))
        >>> grid.averaged(np.eye(2), Grid.even((1, 2), (4, 4))).tolist()
        [[0.5, 0.5]]
    """

    rows: tuple[Row, ...]

    @classmethod
    def even(cls, cells: Sequence[int], pixels: Sequence[int]) -> Grid:
        """Return cells that tile the input evenly: nothing else is known of them, or they are its pixels."""
        return cls(tuple(Row.even(*along) for along in zip(cells, pixels, strict=True)))

    @classmethod
    def placed(
        cls, cells: Mapping[str, int], extent: Mapping[str, int], spacing: Mapping[str, tuple[float, float]]
    ) -> Grid:
        """Return cells that lie where a spacing says, and tile the input evenly along other axes.

        Args:
            cells: How many there are, by axis.
            extent: The lengths in pixels of the input's axes, in their order.
            spacing: The middle of the first cell and the step to the next, as `Map.spacing`.
        """
        rows = []
        for axis, pixels in extent.items():
            known = spacing.get(axis)
            rows.append(Row(cells[axis], pixels, *known) if known else Row.even(cells[axis], pixels))
        return cls(tuple(rows))

    @classmethod
    def common(cls, *grids: Grid) -> Grid:
        """Return the coarsest of several grids along each axis: maps on any of them can be averaged to it.

        Example:
            >>> sizes = [(7, 7), (14, 5), (8, 8)]
            >>> Grid.common(*(Grid.even(cells, (28, 28)) for cells in sizes)).cells
            (7, 5)
        """
        axes = zip(*(grid.rows for grid in grids), strict=True)
        return cls(tuple(min(along, key=lambda row: row.cells) for along in axes))

    @property
    def cells(self) -> tuple[int, ...]:
        """How many cells there are along each axis."""
        return tuple(row.cells for row in self.rows)

    @property
    def pixels(self) -> tuple[int, ...]:
        """The lengths of the input's axes."""
        return tuple(row.pixels for row in self.rows)

    @property
    def is_even(self) -> bool:
        """Whether the cells tile the input evenly."""
        return all(row.is_even for row in self.rows)

    @property
    def areas(self) -> np.ndarray:
        """How many pixels each cell takes of the input, `(y, x)`: half a step around its middle."""
        return _outer([np.diff(row.edges) for row in self.rows])

    @property
    def nearest(self) -> np.ndarray:
        """Which cell each pixel is nearest to, `(y, x)` int, counted row by row.

        Example:
            >>> Grid.even((1, 2), (2, 4)).nearest.tolist()
            [[0, 0, 1, 1], [0, 0, 1, 1]]
        """
        along = np.ix_(*(row.nearest for row in self.rows))
        return np.asarray(np.ravel_multi_index(along, self.cells))

    def at_middles(self, pixels: np.ndarray) -> np.ndarray:
        """Return the value of `pixels` `(y, x)` in the middle of each cell, `(y, x)`."""
        return np.asarray(pixels[np.ix_(*(row.middles for row in self.rows))])

    def raised(self, values: np.ndarray) -> np.ndarray:
        """Return `values` `(…, y, x)` at every pixel, interpolated linearly between the middles of cells; float64."""
        return _along_axes([row.linear for row in self.rows], values.astype(np.float64))

    def averaged(self, values: np.ndarray, onto: Grid) -> np.ndarray:
        """Return `values` `(…, y, x)` averaged by exact area over the cells of another grid of the same input; float64.

        Of a cell that straddles a border the part inside counts, so nothing is interpolated; a mean with a value that
        is not finite is NaN. Means are rounded to 46 bits of the map's greatest magnitude. Otherwise equal areas could
        differ by a rounding of their sums, and ranks would tell them apart.

        Args:
            values: The maps.
            onto: The other grid, usually a coarser one.

        Example:
            >>> Grid.even((3,), (3,)).averaged(np.array([1.0, 2.0, 6.0]), Grid.even((2,), (3,))).round(3).tolist()
            [1.333, 4.667]
        """
        values = values.astype(np.float64)
        if self == onto:
            return values
        parts = [row.onto(other) for row, other in zip(self.rows, onto.rows, strict=True)]
        finite = np.isfinite(values)
        known = np.where(finite, values, 0.0)
        greatest = np.abs(known).max(tuple(range(-len(parts), 0)), keepdims=True)
        _, exponent = np.frexp(greatest)
        quantum = np.ldexp(1.0, exponent - _BITS)
        means = np.rint(_along_axes(parts, known) / quantum) * quantum
        if finite.all():
            return np.asarray(means)
        broken = _along_axes(parts, (~finite).astype(np.float64)) > 0
        return np.where(broken, np.nan, means)

    def inside(self, mask: np.ndarray) -> np.ndarray:
        """Return which part of each cell is inside of a `mask` of pixels `(y, x)` bool, `(y, x)` from 0 to 1."""
        return Grid.even(mask.shape, mask.shape).averaged(mask, self)


def _common(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the length that each two intervals between edges have in common, `(first, second)`."""
    starts = np.maximum(first[:-1, None], second[:-1])
    ends = np.minimum(first[1:, None], second[1:])
    return np.asarray((ends - starts).clip(min=0.0))


def _outer(lengths: Sequence[np.ndarray]) -> np.ndarray:
    """Return the products of lengths along all axes."""
    return np.asarray(reduce(np.multiply.outer, lengths))


def _along_axes(matrices: Sequence[np.ndarray], values: np.ndarray) -> np.ndarray:
    """Return the last axes of `values` each multiplied by a matrix `(new, old)`."""
    for axis, matrix in zip(range(-len(matrices), 0), matrices, strict=True):
        values = np.moveaxis(np.moveaxis(values, axis, -1) @ matrix.T, -1, axis)
    return np.asarray(values)
