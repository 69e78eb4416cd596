"""What the cells of a tensor see of the input: exact spans of pixels, cell by cell, along one axis at a time.

The input has any number of axes: one of a signal, two of an image, three of a volume.

Borders are not taken into account, as is usual for theoretical receptive fields: where the network pads, a cell may see
more pixels than the image has. Araujo et al., Computing Receptive Fields of Convolutional Neural Networks,
Distill 2019, derive the same numbers for plain chains of convolutions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Span = tuple[float, float]
Extent = int | Literal["all"] | None
"""Pixels, the whole image, or not known."""

ALL: Span = (-math.inf, math.inf)
_NOTHING: Span = (math.inf, -math.inf)
_MOST_PHASES = 4096


@dataclass(frozen=True, slots=True)
class Cells:
    """First and last pixel that each cell of an endless row sees.

    Upsampling makes neighbouring cells see the same pixels, so that spans repeat after some cells only.

    Attributes:
        spans: The spans of cells 0, 1, …; after `len(spans)` cells they repeat, `advance` pixels further on. What every
            cell sees alike (the mean of an image, the other tokens) is left out.
        advance: Pixels from a cell to the one `len(spans)` cells further on; 0 where the cells lie in no row.
        see_all: Whether every cell sees the whole image, and not its span alone.
        fine: What each cell sees on the way that keeps the most detail, where ways of several meet, as in a U-Net: that
            is where it lies. Nothing where its spans are all there is.
        coarsest: The greatest step on that way, in pixels.

    Example:
        >>> pixels = Cells(((0, 0),), 1)
        >>> strided = pixels.through(1, 2, lambda cell: range(2 * cell, 2 * cell + 3))
        >>> strided.field, strided.stride
        (3, 2)
    """

    spans: tuple[Span, ...]
    advance: int
    see_all: bool = False
    fine: tuple[Span, ...] = ()
    coarsest: float = 1

    @property
    def stride(self) -> float | None:
        """Pixels from cell to cell; None without a row of cells."""
        stride = self.advance / len(self.spans)
        if stride == 0:
            return None
        return int(stride) if stride.is_integer() else stride

    @property
    def field(self) -> Extent:
        """Pixels seen by the cell that sees most."""
        if self.see_all:
            return "all"
        return int(max(last - first + 1 for first, last in self.spans))

    @property
    def middles(self) -> tuple[float, float] | None:
        """Where the cells lie: the middle of cell 0, in pixels from the edge of the image, and the step to the next.

        The middle of the first pixel lies half a pixel from the edge. Where several cells see the same pixels, they
        lie side by side around the middle of these. None without a row of cells, and where ways of equal detail come
        from places as far apart as their steps.

        Example:
            >>> pixels = Cells(((0, 0),), 1)
            >>> pixels.middles, pixels.through(1, 2, lambda cell: range(2 * cell, 2 * cell + 3)).middles
            ((0.5, 1.0), (1.5, 2.0))
        """
        if self.advance == 0:
            return None
        count = len(self.spans)
        step = self.advance / count
        firsts = [(first + last + 1) / 2 - cell * step for cell, (first, last) in enumerate(self.fine or self.spans)]
        middle = sum(firsts) / count
        # Of a transposed convolution some cells may see nothing.
        return (middle, step) if math.isfinite(middle) else None

    @property
    def scattered(self) -> bool:
        """Whether cells of places far apart, such as those of two crops, were put together."""
        return ALL in self.fine

    def everywhere(self) -> Cells:
        """Return the same cells, each of which sees the whole image."""
        return replace(self, see_all=True)

    def through(self, period: int, shift: int, taps: Callable[[int], Iterable[int]]) -> Cells | None:
        """Return the cells of an operation's output; None if they repeat too late. These cells are its input.

        Args:
            period: The number of output cells after which the pattern repeats.
            shift: The number of input cells that lie between one repetition and the next.
            taps: Which cells of the input a cell of the output reads.
        """
        phases = len(self.spans)
        turns = phases // math.gcd(shift, phases)
        count = turns * period
        if count > _MOST_PHASES:
            return None
        read = [list(taps(cell)) for cell in range(count)]
        spans = tuple(_hull(map(self._near, cells)) for cells in read)
        fine = tuple(_hull(map(self._finely, cells)) for cells in read) if self.fine else ()
        advance = self.advance * shift * turns // phases
        return Cells(spans, advance, self.see_all, fine, max(self.coarsest, advance / count))

    def joined(self, other: Cells) -> Cells | None:
        """Return cells that see what both see; None if they do not lie on one grid."""
        phases = len(self.spans)
        others = len(other.spans)
        if self.advance * others != other.advance * phases:
            return None
        count = math.lcm(phases, others)
        spans = tuple(_hull([self._near(cell), other._near(cell)]) for cell in range(count))
        advance = self.advance * count // phases
        fine = self._finer(other, count)
        coarsest = min(self.coarsest, other.coarsest)
        return Cells(spans, advance, self.see_all or other.see_all, () if fine == spans else fine, coarsest)

    def _finer(self, other: Cells, count: int) -> tuple[Span, ...]:
        """Return what `count` cells see on the way that keeps the most detail; on both, if they keep as much."""
        if self.coarsest > other.coarsest:
            return other._finer(self, count)
        if self.coarsest < other.coarsest:
            return tuple(map(self._finely, range(count)))
        if self._is_apart_from(other):
            return (ALL,) * count
        return tuple(_hull([self._finely(cell), other._finely(cell)]) for cell in range(count))

    def _is_apart_from(self, other: Cells) -> bool:
        """Whether these cells and others lie as far apart as the step that both have come by."""
        middles, others = self.middles, other.middles
        if middles is None or others is None:
            return False
        return abs(middles[0] - others[0]) >= self.coarsest

    def span(self, cell: int) -> Span:
        """Return the first and the last pixel that a cell sees; infinite where that is the whole image."""
        return ALL if self.see_all else self._near(cell)

    def _near(self, cell: int) -> Span:
        """Return the first and the last pixel of a cell's own span."""
        return self._repeated(self.spans, cell)

    def _finely(self, cell: int) -> Span:
        """Return the first and the last pixel that a cell sees on the way that keeps the most detail."""
        return self._repeated(self.fine or self.spans, cell)

    def _repeated(self, spans: Sequence[Span], cell: int) -> Span:
        turn, phase = divmod(cell, len(spans))
        first, last = spans[phase]
        pixels = turn * self.advance
        return first + pixels, last + pixels


def _hull(spans: Iterable[Span]) -> Span:
    """Return the span from the first to the last pixel of several spans."""
    hull_first, hull_last = _NOTHING
    for first, last in spans:
        hull_first = min(hull_first, first)
        hull_last = max(hull_last, last)
    return hull_first, hull_last


class Row(NamedTuple):
    """Cells in a row.

    Attributes:
        cells: How many.
        first: The middle of the first, in pixels from the edge of the image.
        step: Pixels to the next.
        sees: The first pixel that the first cell sees, and the last that the last one does; beyond the image where
            it is padded.
    """

    cells: int
    first: float
    step: float
    sees: Span = (0, 0)


class Part(NamedTuple):
    """Which entries of a dim are cells, where others lie beside them: `length` of them from `start` on.

    Along the axis there are `size` cells, `inner` entries apart.
    """

    start: int
    length: int
    inner: int
    size: int


class Place(NamedTuple):
    """Where in a tensor the cells of an axis lie: in `dim`, `inner` entries apart, `size` of them.

    A dim may hold more than one axis (tokens hold all). In one that is not `ordered`, the cells lie among others, as
    tokens beside a class token: in a `part` of it, or in no known order.
    """

    dim: int
    inner: int
    size: int
    ordered: bool = True
    part: Part | None = None

    @property
    def is_known(self) -> bool:
        """Whether the cells lie in a known order."""
        return self.ordered or self.part is not None


@dataclass(frozen=True, slots=True)
class Axis:
    """What the cells of a tensor see along one axis of the input, and where in the tensor they lie.

    They have no place once all of them were put together, as by a mean.
    """

    cells: Cells
    place: Place | None

    @property
    def dim(self) -> int:
        """The dim in which the cells lie; -1 if they were put together."""
        return -1 if self.place is None else self.place.dim

    @property
    def row(self) -> Cells | None:
        """The cells in their order; None where they have no order."""
        ordered = self.place is not None and self.place.ordered
        return self.cells if ordered else None

    @property
    def lying(self) -> Row | None:
        """Where the cells lie; None where they have no order, or it is not known."""
        middles = None if self.row is None else self.row.middles
        if middles is None or self.place is None:
            return None
        sees = (self.cells.span(0)[0], self.cells.span(self.place.size - 1)[1])
        return Row(self.place.size, *middles, sees)

    def moved(self, dim: int) -> Axis:
        """Return the same cells in another dim."""
        if self.place is None:
            return self
        place = self.place._replace(dim=dim)
        return replace(self, place=place)

    def unordered(self, size: int, part: Part | None = None) -> Axis:
        """Return so many cells of its dim, in no known order, or in the order of a part of them."""
        return replace(self, place=Place(self.dim, 1, size, ordered=False, part=part))

    def without_part(self) -> Axis:
        """Return the axis without the part of its dim in which the cells lie, if they lie in one."""
        if self.place is None or self.place.part is None:
            return self
        return replace(self, place=self.place._replace(part=None))

    def lost(self) -> Axis | None:
        """Return the axis without its place: cells that see the whole image still do, of others nothing is known."""
        return COLLAPSED if self.cells.see_all else None

    def everywhere(self) -> Axis:
        """Return the same cells, each of which sees the whole image."""
        return Axis(self.cells.everywhere(), self.place)

    def settled(self, length: int) -> Cells | None:
        """Return the cells as those of their dim, which has this `length`; None if other cells lie in it too."""
        place = self.place
        if place is None or not place.ordered:
            return None
        inner = place.inner
        if inner * place.size != length:
            return None
        return self.cells.through(inner, 1, lambda cell: [cell // inner])


COLLAPSED = Axis(Cells((ALL,), 0, see_all=True), None)


@dataclass(frozen=True, slots=True)
class Field:
    """The receptive field of a tensor: an `Axis` for each axis of the input's grid, None where nothing is known.

    Example:
        >>> of_grid((8, 16, 16)).extents
        (1, 1, 1)
    """

    axes: tuple[Axis | None, ...]

    @property
    def strides(self) -> tuple[float | None, ...]:
        """Pixels from cell to cell."""
        return tuple(None if axis is None else axis.cells.stride for axis in self.axes)

    @property
    def extents(self) -> tuple[Extent, ...]:
        """Pixels that a cell sees."""
        return tuple(None if axis is None else axis.cells.field for axis in self.axes)

    def grid(self, shape: Sequence[int]) -> tuple[Cells | None, ...]:
        """Return the cells in their order; None where they lie in none, or it is not known.

        Args:
            shape: That of the tensor. A dim that holds other entries than these cells, as of several crops, is no row.
        """
        held = dict.fromkeys(range(-1, len(shape)), 1)
        for axis in self.axes:
            if axis is not None and axis.place is not None:
                held[axis.dim] *= axis.place.size
        fits = [axis is not None and axis.dim >= 0 and held[axis.dim] == shape[axis.dim] for axis in self.axes]
        return tuple(axis.row if axis and fit else None for axis, fit in zip(self.axes, fits, strict=True))

    @property
    def rows(self) -> tuple[Row | None, ...]:
        """Where the cells lie; None where they lie in no row, or it is not known."""
        return tuple(None if axis is None else axis.lying for axis in self.axes)

    @property
    def places(self) -> tuple[Place, ...]:
        """Where in the tensor the cells of each axis lie; nothing unless they lie in a known order along all."""
        places = [axis.place for axis in self.axes if axis is not None]
        known = [place for place in places if place is not None and place.is_known]
        return tuple(known) if len(known) == len(self.axes) else ()

    def each(self, change: Callable[[Axis], Axis | None]) -> Field:
        """Return the field with each axis changed whose cells lie somewhere; those that were put together stay so."""
        return Field(tuple(change(axis) if axis and axis.place else axis for axis in self.axes))


def of_grid(sizes: Sequence[int]) -> Field:
    """Return the field of an input `(image, channel, …)`, in which each pixel sees itself.

    Args:
        sizes: The lengths of its axes after `image` and `channel`.
    """
    pixels = Cells(((0, 0),), 1)
    axes = []
    for dim, size in enumerate(sizes, start=2):
        place = Place(dim, 1, size)
        axes.append(Axis(pixels, place))
    return Field(tuple(axes))


def join(fields: Sequence[Field]) -> Field:
    """Return the field of a tensor that is computed cell by cell from tensors of one shape."""
    axes = [field.axes for field in fields]
    along = zip(*axes, strict=True)
    return Field(tuple(map(_join_axes, along)))


def _join_axes(axes: Sequence[Axis | None]) -> Axis | None:
    joined = axes[0]
    for other in axes[1:]:
        if joined is None or other is None:
            return None
        joined = _join_two(joined, other)
    return joined


def _join_two(first: Axis, second: Axis) -> Axis | None:
    # Cells that were put together see everything, and so does what is made with them.
    if first.place is None:
        return second.everywhere()
    if second.place is None:
        return first.everywhere()
    if first.place != second.place:
        first, second = first.without_part(), second.without_part()
    if first.place is None or first.place != second.place:
        return first.lost() and second.lost()
    # Cells in no known order may lie in two orders.
    if not (first.place.ordered or first.cells.see_all or second.cells.see_all):
        return None
    cells = first.cells.joined(second.cells)
    return None if cells is None else Axis(cells, first.place)
