"""What the cells of a tensor see of the input: exact spans of pixels, cell by cell, along one axis at a time.

The input has any number of axes: one of a signal, two of an image, three of a volume.

Borders are left out of account, as is usual for theoretical receptive fields: a cell may see more pixels than the
image has, where the network pads. Araujo et al., Computing Receptive Fields of Convolutional Neural Networks,
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
        spans: Of cells 0, 1, …; after `len(spans)` cells they repeat, `advance` pixels further on.
        advance: Pixels from a cell to the one `len(spans)` cells further on; 0 where there is no row.

    Example:
        >>> pixels = Cells(((0, 0),), 1)
        >>> strided = pixels.through(1, 2, lambda cell: range(2 * cell, 2 * cell + 3))
        >>> strided.field, strided.stride
        (3, 2)
    """

    spans: tuple[Span, ...]
    advance: int

    @property
    def stride(self) -> float | None:
        """Pixels from cell to cell; None without a row of cells."""
        stride = self.advance / len(self.spans)
        return (int(stride) if stride.is_integer() else stride) or None

    @property
    def field(self) -> Extent:
        """Pixels that the cell sees which sees most."""
        sizes = (last - first + 1 for first, last in self.spans)
        greatest = max(sizes)
        return "all" if math.isinf(greatest) else int(greatest)

    @property
    def see_all(self) -> bool:
        """Whether every cell sees the whole image."""
        return all(span == ALL for span in self.spans)

    def everywhere(self) -> Cells:
        """Return the same cells, each of which sees the whole image."""
        return Cells((ALL,) * len(self.spans), self.advance)

    def through(self, period: int, shift: int, taps: Callable[[int], Iterable[int]]) -> Cells | None:
        """Return the cells of an operation's output, of which these are the input; None if there is no end to it.

        Args:
            period: After so many cells of the output the pattern repeats,
            shift: so many cells of the input further on.
            taps: Which cells of the input a cell of the output reads.
        """
        phases = len(self.spans)
        turns = phases // math.gcd(shift, phases)
        if turns * period > _MOST_PHASES:
            return None
        read = (map(self.span, taps(cell)) for cell in range(turns * period))
        return Cells(tuple(map(_hull, read)), self.advance * shift * turns // phases)

    def joined(self, other: Cells) -> Cells | None:
        """Return cells that see what both see; None if they do not lie on one grid."""
        phases, others = len(self.spans), len(other.spans)
        if self.advance * others != other.advance * phases:
            return None
        count = math.lcm(phases, others)
        pairs = ((self.span(cell), other.span(cell)) for cell in range(count))
        return Cells(tuple(map(_hull, pairs)), self.advance * count // phases)

    def span(self, cell: int) -> Span:
        """Return the first and the last pixel that a cell sees; infinite where that is the whole image."""
        turn, phase = divmod(cell, len(self.spans))
        first, last = self.spans[phase]
        return first + turn * self.advance, last + turn * self.advance


def _hull(spans: Iterable[Span]) -> Span:
    first, last = _NOTHING
    for span in spans:
        first, last = min(first, span[0]), max(last, span[1])
    return first, last


class Place(NamedTuple):
    """Where in a tensor the cells of an axis lie: in `dim`, `inner` entries apart, `size` of them.

    A dim may hold more than one axis (tokens hold all). In one that is not `ordered`, the cells lie in no known order
    among others (tokens and a class token).
    """

    dim: int
    inner: int
    size: int
    ordered: bool = True


@dataclass(frozen=True, slots=True)
class Axis:
    """What a tensor sees along one axis of the input, and where in it; nowhere, if all its cells were put together."""

    cells: Cells
    place: Place | None

    @property
    def dim(self) -> int:
        """The dim in which the cells lie; -1 if they were put together."""
        return -1 if self.place is None else self.place.dim

    @property
    def row(self) -> Cells | None:
        """The cells in their order; None where they lie in none."""
        return self.cells if self.place and self.place.ordered else None

    def moved(self, dim: int) -> Axis:
        """Return the same cells in another dim."""
        return self if self.place is None else replace(self, place=self.place._replace(dim=dim))

    def unordered(self, size: int) -> Axis:
        """Return so many cells of its dim, in no known order."""
        return replace(self, place=Place(self.dim, 1, size, ordered=False))

    def lost(self) -> Axis | None:
        """Return what is known once the cells' places are not: that they see the whole image, if they do."""
        return COLLAPSED if self.cells.see_all else None

    def everywhere(self) -> Axis:
        """Return the same cells, each of which sees the whole image."""
        return Axis(self.cells.everywhere(), self.place)

    def settled(self, length: int) -> Cells | None:
        """Return the cells as those of the dim, whose length is `length`, if they alone make it up."""
        place = self.place
        if place is None or not place.ordered:
            return None
        inner = place.inner
        if inner * place.size != length:
            return None
        return self.cells.through(inner, 1, lambda cell: [cell // inner])


COLLAPSED = Axis(Cells((ALL,), 0), None)


@dataclass(frozen=True, slots=True)
class Field:
    """What a tensor sees of the input: one `Axis` for each axis of the input's grid, None where that is not known.

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

    @property
    def grid(self) -> tuple[Cells | None, ...]:
        """The cells in their order; None where they lie in none, or it is not known."""
        return tuple(None if axis is None else axis.row for axis in self.axes)

    def each(self, change: Callable[[Axis], Axis | None]) -> Field:
        """Return the field with each axis changed whose cells lie somewhere; those that were put together stay so."""
        return Field(tuple(change(axis) if axis and axis.place else axis for axis in self.axes))


def of_grid(sizes: Sequence[int]) -> Field:
    """Return the field of an input `(image, channel, …)` whose other axes have these sizes: each pixel sees itself."""
    pixels = Cells(((0, 0),), 1)
    places = (Place(dim, 1, size) for dim, size in enumerate(sizes, start=2))
    return Field(tuple(Axis(pixels, place) for place in places))


def join(fields: Sequence[Field]) -> Field:
    """Return the field of what is computed from tensors of one shape, cell by cell."""
    along = zip(*(field.axes for field in fields), strict=True)
    return Field(tuple(map(_join_axes, along)))


def _join_axes(axes: Sequence[Axis | None]) -> Axis | None:
    joined = axes[0]
    for other in axes[1:]:
        if joined is None or other is None:
            return None
        joined = _join_two(joined, other)
    return joined


def _join_two(first: Axis, second: Axis) -> Axis | None:
    if first.place is None or second.place is None:
        # Cells that were put together see everything, and so does what is made with them.
        return (second if first.place is None else first).everywhere()
    if first.place != second.place:
        return first.lost() and second.lost()
    # Cells in no known order may lie in two orders.
    same = first.place.ordered or first.cells.see_all or second.cells.see_all
    cells = first.cells.joined(second.cells) if same else None
    return None if cells is None else Axis(cells, first.place)
