"""Operations that move cells to other places of a tensor: parts, joints, new orders of the dims, views."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from interpretkit.capture.dataflow.operation import Operation, dim_of, dims_of, with_new, without
from interpretkit.capture.receptive import Axis, Field, Place, join

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch


def split(operation: Operation, output: torch.Tensor) -> Field:
    """One of the parts: which one is not followed, so that their cells lie in no known order."""
    source, dim = operation.source, operation["dim"] % operation.source.ndim

    def change(axis: Axis) -> Axis | None:
        if axis.place is None or axis.place.dim != dim or output.shape[dim] == source.shape[dim]:
            return axis
        return Axis(axis.cells, Place(dim, 1, output.shape[dim], ordered=False))

    return operation.field.each(change)


def select(operation: Operation, _output: torch.Tensor) -> Field:
    """One entry of a dim, which is lost."""
    dim = operation["dim"] % operation.source.ndim
    return operation.field.each(lambda axis: without(axis, [dim]) if dim_of(axis) != dim else axis.lost())


def concatenation(operation: Operation, output: torch.Tensor) -> Field:
    """Tensors one after the other."""
    dim = operation["dim"] % output.ndim

    def change(axis: Axis) -> Axis | None:
        return axis if dim_of(axis) != dim else Axis(axis.cells, Place(dim, 1, output.shape[dim], ordered=False))

    # Cells put one after the other are not put on one another: their order does not matter for their union.
    first, *others = (field.each(change) for _, field in operation.fields)
    return first if all(field == first for field in others) else join([first, *others])


def stack(operation: Operation, output: torch.Tensor) -> Field:
    """Tensors one after the other in a new dim."""
    dim = operation["dim"] % output.ndim
    return join([field.each(lambda axis: with_new(axis, dim)) for _, field in operation.fields])


def unsqueeze(operation: Operation, output: torch.Tensor) -> Field:
    """A new dim."""
    dim = operation["dim"] % output.ndim
    return operation.field.each(lambda axis: with_new(axis, dim))


def squeeze(operation: Operation, _output: torch.Tensor) -> Field:
    """Dims of length 1 are lost."""
    shape = operation.source.shape
    gone = [dim for dim in dims_of(operation) if shape[dim] == 1]
    return operation.field.each(lambda axis: axis.lost() if dim_of(axis) in gone else without(axis, gone))


def permutation(operation: Operation, _output: torch.Tensor) -> Field:
    """The dims in another order."""
    order = _order(operation)
    return operation.field.each(lambda axis: axis if axis.place is None else axis.moved(order.index(axis.place.dim)))


def _order(operation: Operation) -> list[int]:
    """Return which dim of the source each dim of the output is."""
    count = operation.source.ndim
    if operation["dims"] is not None:
        return [dim % count for dim in operation["dims"]]
    order = list(range(count))
    first, second = (0, count - 1) if operation.name == "t" else (operation["dim0"], operation["dim1"])
    order[first], order[second] = order[second], order[first]
    return order


def view(operation: Operation, output: torch.Tensor) -> Field:
    """The cells keep their distance in the flat order of all entries; find the dim that holds them all."""
    axes, shape = operation.field.axes, operation.source.shape
    from_last = range(len(axes), 0, -1)
    pairs = zip(axes, from_last, strict=True)
    return Field(tuple(axis and _viewed(axis, shape, output.shape, from_last=place) for axis, place in pairs))


def _viewed(axis: Axis, shape: Sequence[int], wanted: Sequence[int], *, from_last: int) -> Axis | None:
    """Return an axis in the `wanted` shape; its dim is usually the one so many from the last."""
    place = axis.place
    if place is None:
        return axis
    flat = place.inner * math.prod(shape[place.dim + 1 :])
    steps = [math.prod(wanted[dim + 1 :]) for dim in range(len(wanted))]
    spans = [step * length for step, length in zip(steps, wanted, strict=True)]
    holding = [dim for dim in range(len(wanted)) if _holds(flat, place.size, step=steps[dim], span=spans[dim])]
    if not holding:
        return axis.lost()
    # More than one dim holds a single cell: the tightest, and of equals the one where the axis usually lies.
    least = min(spans[dim] for dim in holding)
    tightest = [dim for dim in holding if spans[dim] == least]
    dim = tightest[-min(from_last, len(tightest))]
    return Axis(axis.cells, place._replace(dim=dim, inner=flat // steps[dim]))


def _holds(flat: int, size: int, *, step: int, span: int) -> bool:
    """Whether a dim, with entries `step` apart over a `span` of them, holds `size` cells that lie `flat` apart."""
    cells = flat * size
    return flat % step == 0 and cells <= span and span % cells == 0
