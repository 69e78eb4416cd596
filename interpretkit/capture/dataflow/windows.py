"""Operations that slide over the cells: convolution, pooling, resampling, padding, slicing."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING

from interpretkit.capture.dataflow.operation import Operation, unknown
from interpretkit.capture.receptive import COLLAPSED, Axis, Field, Part, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import torch

    Window = tuple[int, int, Callable[[int], Iterable[int]]]

_TWO = (0, 1)
_AROUND = {"linear": _TWO, "bilinear": _TWO, "trilinear": _TWO, "bicubic": (-1, 0, 1, 2)}
_SCALES = {1: ("scales",), 2: ("scales_h", "scales_w"), 3: ("scales_d", "scales_h", "scales_w")}


def convolution(operation: Operation, output: torch.Tensor) -> Field:
    """Windows of the kernel's size; transposed, a cell of the output reads the cells that reach it."""
    source, kernel = operation["input"], operation["weight"].shape[2:]
    field = operation.field_of("input")
    if field is None or operation.field_of("weight") is not None:
        return unknown(operation, output)
    kind = _transposed if operation["transposed"] else _window

    def change(axis: Axis) -> Axis | None:
        index = axis.dim - 2
        if index < 0:
            return axis if axis.dim == 0 else COLLAPSED
        sizes = (_at(operation[name], index) for name in ("stride", "padding", "dilation"))
        return _slid(axis, source, output, kind(kernel[index], *sizes))

    return field.each(change)


def pool(operation: Operation, output: torch.Tensor) -> Field:
    """Windows of the pool's size; with `ceil_mode` the last ones stick out, which makes no difference here."""
    kernel, padding = operation["kernel_size"], operation["padding"]
    stride, dilation = operation["stride"] or kernel, operation["dilation"] or [1]
    source = operation.source
    # torch makes pools over one dim of pools over two.
    first = source.ndim - (3 if "3d" in operation.name else 2)

    def change(axis: Axis) -> Axis | None:
        index = axis.dim - first
        if index < 0:
            return axis
        sizes = (_at(values, index) for values in (kernel, stride, padding, dilation))
        return _slid(axis, source, output, _window(*sizes))

    return operation.field.each(change)


def adaptive_pool(operation: Operation, output: torch.Tensor) -> Field:
    """Windows where they are all of one size; everything where one cell is left."""
    source = operation.source

    def change(axis: Axis) -> Axis | None:
        length, wanted = source.shape[axis.dim], output.shape[axis.dim]
        if length == wanted:
            return axis
        if wanted == 1:
            return COLLAPSED
        step, rest = divmod(length, wanted)
        return axis.lost() if rest else _slid(axis, source, output, _window(step, step, 0, 1))

    return operation.field.each(change)


def upsample(operation: Operation, output: torch.Tensor) -> Field:
    """The nearest cell, or those around the place where a cell falls."""
    source = operation.source
    method = operation.name.removeprefix("_").removeprefix("upsample_").rstrip("123d")

    def change(axis: Axis) -> Axis | None:
        length, wanted = source.shape[axis.dim], output.shape[axis.dim]
        if length == wanted:
            return axis
        ratio = _ratio(operation, axis.dim, length, wanted)
        centred = not operation["align_corners"] and method != "nearest"
        offset = (ratio - 1) / 2 if centred else Fraction(0)
        window = ratio.denominator, ratio.numerator, partial(_resampled, method, ratio, offset)
        return _slid(axis, source, output, window)

    return operation.field.each(change)


def _ratio(operation: Operation, dim: int, length: int, wanted: int) -> Fraction:
    """Return how many cells of the source go to a cell of the output, along a dim."""
    if operation["align_corners"]:
        return Fraction(length - 1, max(wanted - 1, 1))
    names = _SCALES[operation.source.ndim - 2]
    scale = operation[names[dim - 2]] if dim > 1 else None
    if not scale:
        return Fraction(length, wanted)
    return Fraction(1 / scale).limit_denominator(1000)


def _resampled(method: str, ratio: Fraction, offset: Fraction, cell: int) -> list[int]:
    """Return the cells that a cell of a resampled tensor reads."""
    position = cell * ratio + offset
    if method == "nearest_exact":
        position += Fraction(1, 2)
    whole = math.floor(position)
    if whole == position or method not in _AROUND:
        return [whole]
    return [whole + step for step in _AROUND[method]]


def pixel_shuffle(operation: Operation, output: torch.Tensor) -> Field:
    """Channels become cells: neighbours see the same."""
    factor = operation["upscale_factor"]
    return _in_the_last_two(operation, output, (factor, 1, lambda cell: [cell // factor]))


def pixel_unshuffle(operation: Operation, output: torch.Tensor) -> Field:
    """Cells become channels."""
    factor = operation["downscale_factor"]
    return _in_the_last_two(operation, output, _window(factor, factor, 0, 1))


def _in_the_last_two(operation: Operation, output: torch.Tensor, window: Window) -> Field:
    """Windows slide along the last two dims; the one before them is that of the channels."""
    source = operation.source
    channels = source.ndim - 3

    def change(axis: Axis) -> Axis | None:
        if axis.dim > channels:
            return _slid(axis, source, output, window)
        return axis if axis.dim < channels else axis.lost()

    return operation.field.each(change)


def pad(operation: Operation, output: torch.Tensor) -> Field:
    """Cells are moved along; what is filled up at the borders is left out of account."""
    source, padding = operation.source, operation["pad"] or operation["padding"]

    def change(axis: Axis) -> Axis | None:
        index = 2 * (source.ndim - 1 - axis.dim)
        if not any(padding[index : index + 2]):
            return axis
        window = 1, 1, lambda cell: [cell - padding[index]]
        return _slid(axis, source, output, window)

    return operation.field.each(change)


def slice_(operation: Operation, output: torch.Tensor) -> Field:
    """A part of the cells, or one of every so many."""
    source = operation.source
    dim, step = operation["dim"] % source.ndim, operation["step"]
    length, left = source.shape[dim], output.shape[dim]
    if left == length:
        return operation.field
    start = operation["start"] or 0
    start = max(start + length, 0) if start < 0 else start
    window = 1, step, lambda cell: [start + step * cell]

    def change(axis: Axis) -> Axis | None:
        place = axis.place
        if place is None or place.dim != dim:
            return axis
        if place.ordered:
            return _slid(axis, source, output, window)
        return Axis(axis.cells, place._replace(size=left, part=_cut(place.part, start, step, left)))

    return operation.field.each(change)


def _cut(part: Part | None, start: int, step: int, left: int) -> Part | None:
    """Return where cells lie of which every so many entries are `left` from a start on; None unless all of them are."""
    if part is None or step != 1 or not start <= part.start <= start + left - part.length:
        return None
    return part._replace(start=part.start - start)


def _slid(axis: Axis, source: torch.Tensor, output: torch.Tensor, window: Window) -> Axis | None:
    """Return what is seen by windows that slide along the axis' own dim."""
    dim = axis.dim
    settled = axis.settled(source.shape[dim])
    cells = settled and settled.through(*window)
    if cells is None:
        return axis.lost()
    return Axis(cells, Place(dim, 1, output.shape[dim]))


def _window(kernel: int, stride: int, padding: int, dilation: int) -> Window:
    def taps(cell: int) -> range:
        first = cell * stride - padding
        return range(first, first + kernel * dilation, dilation)

    return 1, stride, taps


def _transposed(kernel: int, stride: int, padding: int, dilation: int) -> Window:
    def taps(cell: int) -> list[int]:
        last = cell + padding
        reached = (last - tap * dilation for tap in range(kernel))
        return [place // stride for place in reached if place % stride == 0]

    return stride, 1, taps


def _at(values: Sequence[int], index: int) -> int:
    return values[index] if len(values) > 1 else values[0]
