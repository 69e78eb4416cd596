"""Operations that slide over the cells: convolution, pooling, resampling, padding, slicing."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

from interpretkit.capture.dataflow.operation import Operation, unknown
from interpretkit.capture.receptive import COLLAPSED, Axis, Field, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import torch

    Window = tuple[int, int, Callable[[int], Iterable[int]]]


def convolution(operation: Operation, output: torch.Tensor) -> Field:
    """Windows of the kernel's size; transposed, a cell of the output reads the cells that reach it."""
    source, kernel = operation["input"], operation["weight"].shape[2:]
    field = operation.field_of("input")
    if field is None or operation.field_of("weight") is not None:
        return unknown(operation, output)
    kind = _transposed if operation["transposed"] else _window

    def change(axis: Axis) -> Axis | None:
        if axis.place is None or axis.place.dim == 0:
            return axis
        index = axis.place.dim - 2
        if index < 0:
            return COLLAPSED
        sizes = (_at(operation[name], index) for name in ("stride", "padding", "dilation"))
        return _slid(axis, source, output, kind(kernel[index], *sizes))

    return field.each(change)


def pool(operation: Operation, output: torch.Tensor) -> Field:
    """Windows of the pool's size; with `ceil_mode` the last ones stick out, which makes no difference here."""
    kernel = operation["kernel_size"]
    stride = operation["stride"] or kernel
    source, dims = operation.source, 3 if "3d" in operation.name else 2

    def change(axis: Axis) -> Axis | None:
        index = -1 if axis.place is None else axis.place.dim - (source.ndim - dims)
        if index < 0:
            return axis
        sizes = (_at(values, index) for values in (kernel, stride, operation["padding"], operation["dilation"] or [1]))
        return _slid(axis, source, output, _window(*sizes))

    return operation.field.each(change)


def adaptive_pool(operation: Operation, output: torch.Tensor) -> Field:
    """Windows where they are all of one size; everything where one cell is left."""
    source = operation.source

    def change(axis: Axis) -> Axis | None:
        if axis.place is None:
            return axis
        length, wanted = source.shape[axis.place.dim], output.shape[axis.place.dim]
        if length == wanted:
            return axis
        if wanted == 1:
            return COLLAPSED
        step = length // wanted
        return axis.lost() if length % wanted else _slid(axis, source, output, _window(step, step, 0, 1))

    return operation.field.each(change)


def upsample(operation: Operation, output: torch.Tensor) -> Field:
    """The nearest cell, or the two or four around the place where a cell falls."""
    source = operation.source
    method = operation.name.removeprefix("_").removeprefix("upsample_").rstrip("123d")
    scales = {2 + index: operation[name] for index, name in enumerate(("scales_h", "scales_w"))}

    def change(axis: Axis) -> Axis | None:
        if axis.place is None:
            return axis
        dim = axis.place.dim
        length, wanted = source.shape[dim], output.shape[dim]
        if length == wanted:
            return axis
        scale = scales.get(dim)
        ratio = Fraction(length, wanted) if not scale else Fraction(1 / scale).limit_denominator(1000)
        if operation["align_corners"]:
            ratio = Fraction(length - 1, max(wanted - 1, 1))
        centred = not operation["align_corners"] and method != "nearest"
        offset = (ratio - 1) / 2 if centred else Fraction(0)
        around = {"bilinear": (0, 1), "bicubic": (-1, 0, 1, 2)}.get(method)

        def taps(cell: int) -> list[int]:
            position = cell * ratio + offset
            if method == "nearest_exact":
                position += Fraction(1, 2)
            whole = math.floor(position)
            return [whole] if around is None or whole == position else [whole + step for step in around]

        return _slid(axis, source, output, (ratio.denominator, ratio.numerator, taps))

    return operation.field.each(change)


def pixel_shuffle(operation: Operation, output: torch.Tensor) -> Field:
    """Channels become cells: neighbours see the same."""
    factor = operation["upscale_factor"]
    return operation.field.each(
        lambda axis: _slid(axis, operation.source, output, (factor, 1, lambda cell: [cell // factor]))
    )


def pixel_unshuffle(operation: Operation, output: torch.Tensor) -> Field:
    """Cells become channels."""
    factor = operation["downscale_factor"]
    return operation.field.each(lambda axis: _slid(axis, operation.source, output, _window(factor, factor, 0, 1)))


def pad(operation: Operation, output: torch.Tensor) -> Field:
    """Cells are moved along; what is filled up at the borders is left out of account."""
    source, padding = operation.source, operation["pad"] or operation["padding"]

    def change(axis: Axis) -> Axis | None:
        index = 0 if axis.place is None else 2 * (source.ndim - 1 - axis.place.dim)
        if axis.place is None or not any(padding[index : index + 2]):
            return axis
        return _slid(axis, source, output, (1, 1, lambda cell: [cell - padding[index]]))

    return operation.field.each(change)


def slice_(operation: Operation, output: torch.Tensor) -> Field:
    """A part of the cells, or one of every so many."""
    source = operation.source
    dim, start, step = operation["dim"] % source.ndim, operation["start"] or 0, operation["step"]
    length = source.shape[dim]
    start = max(start + length, 0) if start < 0 else start

    def change(axis: Axis) -> Axis | None:
        if axis.place is None or axis.place.dim != dim or output.shape[dim] == length:
            return axis
        if not axis.place.ordered:
            return Axis(axis.cells, axis.place._replace(size=output.shape[dim]))
        return _slid(axis, source, output, (1, step, lambda cell: [start + step * cell]))

    return operation.field.each(change)


def _slid(axis: Axis, source: torch.Tensor, output: torch.Tensor, window: Window) -> Axis | None:
    """Return what is seen by windows that slide along the axis' own dim."""
    if axis.place is None:
        return axis
    dim = axis.place.dim
    settled = axis.settled(source.shape[dim])
    cells = None if settled is None else settled.through(*window)
    return axis.lost() if cells is None else Axis(cells, Place(dim, 1, output.shape[dim]))


def _window(kernel: int, stride: int, padding: int, dilation: int) -> Window:
    return 1, stride, lambda cell: range(cell * stride - padding, cell * stride - padding + kernel * dilation, dilation)


def _transposed(kernel: int, stride: int, padding: int, dilation: int) -> Window:
    def taps(cell: int) -> list[int]:
        reached = (cell + padding - tap * dilation for tap in range(kernel))
        return [place // stride for place in reached if place % stride == 0]

    return stride, 1, taps


def _at(values: Sequence[int], index: int) -> int:
    return values[index] if len(values) > 1 else values[0]
