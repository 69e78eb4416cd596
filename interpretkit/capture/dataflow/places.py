"""Operations that move cells to other places of a tensor: parts, joints, new orders of the dims, views."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from interpretkit.capture.dataflow.operation import Operation, dim_of, with_new, without
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
    along = [field.each(change) for _, field in operation.fields]
    return along[0] if all(field == along[0] for field in along) else join(along)


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
    dims = operation["dim"] if operation["dim"] is not None else range(len(shape))
    gone = [dim % len(shape) for dim in ([dims] if isinstance(dims, int) else dims) if shape[dim] == 1]
    return operation.field.each(lambda axis: axis.lost() if dim_of(axis) in gone else without(axis, gone))


def permutation(operation: Operation, _output: torch.Tensor) -> Field:
    """The dims in another order."""
    source = operation.source
    order = list(range(source.ndim))
    if operation["dims"] is not None:
        order = [dim % source.ndim for dim in operation["dims"]]
    else:
        first, second = (0, source.ndim - 1) if operation.name == "t" else (operation["dim0"], operation["dim1"])
        order[first], order[second] = order[second], order[first]
    return operation.field.each(lambda axis: axis if axis.place is None else axis.moved(order.index(axis.place.dim)))


def view(operation: Operation, output: torch.Tensor) -> Field:
    """The cells keep their distance in the flat order of all entries; find the dim that holds them all."""
    field, shape = operation.field, operation.source.shape
    y, x = (
        axis and _viewed(axis, shape, output.shape, last=last) for axis, last in zip(field, (False, True), strict=True)
    )
    return Field(y, x)


def _viewed(axis: Axis, shape: Sequence[int], wanted: Sequence[int], *, last: bool) -> Axis | None:
    place = axis.place
    if place is None:
        return axis
    flat = place.inner * math.prod(shape[place.dim + 1 :])
    steps = [math.prod(wanted[dim + 1 :]) for dim in range(len(wanted))]
    holding = [
        dim
        for dim, step in enumerate(steps)
        if flat % step == 0
        and flat * place.size <= step * wanted[dim]
        and step * wanted[dim] % (flat * place.size) == 0
    ]
    if not holding:
        return axis.lost()
    # More than one dim holds a single cell: the tightest, and of equals the one where the direction usually lies.
    dim = min(holding[::-1] if last else holding, key=lambda dim: steps[dim] * wanted[dim])
    return Axis(axis.cells, place._replace(dim=dim, inner=flat // steps[dim]))
