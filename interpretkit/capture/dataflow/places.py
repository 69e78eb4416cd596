"""Operations that move cells to other places of a tensor: parts, joints, new orders of the dims, views."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

from interpretkit.capture.dataflow.operation import Operation, dims_of, with_new, without
from interpretkit.capture.receptive import Axis, Field, Part, join

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch


def split(operation: Operation, output: torch.Tensor) -> Field:
    """One of the parts: which one is not followed, so that their cells lie in no known order."""
    dim = operation["dim"] % output.ndim
    size = output.shape[dim]
    if size == operation.source.shape[dim]:
        return operation.field
    return operation.field.each(lambda axis: axis.unordered(size) if axis.dim == dim else axis)


def select(operation: Operation, _output: torch.Tensor) -> Field:
    """One entry of a dim, which is lost."""
    dim = operation["dim"] % operation.source.ndim
    return operation.field.each(lambda axis: axis.lost() if axis.dim == dim else without(axis, [dim]))


def concatenation(operation: Operation, output: torch.Tensor) -> Field:
    """Tensors one after the other."""
    dim = operation["dim"] % output.ndim
    parts = []
    start = 0
    waiting = list(operation.fields)
    for tensor in operation["tensors"]:
        if waiting and tensor is waiting[0][0]:
            _, field = waiting.pop(0)
            beside = partial(_beside, dim=dim, start=start, length=tensor.shape[dim], size=output.shape[dim])
            parts.append(field.each(beside))
        # Of a tensor without entries, torch takes the dims for whatever they must be.
        start += tensor.shape[dim] if tensor.ndim == output.ndim else 0
    # Cells put one after the other are not put on one another: their order does not matter for their union.
    anywhere = [field.each(Axis.without_part) for field in parts]
    joined = _same(parts) or _same(anywhere) or join(parts)
    return joined if dim else _of_one_place(joined)


def _same(fields: Sequence[Field]) -> Field | None:
    """Return the field that all of some are; None if they differ."""
    first, *others = fields
    return first if all(field == first for field in others) else None


def _beside(axis: Axis, *, dim: int, start: int, length: int, size: int) -> Axis:
    """Return an axis with other entries beside it in a dim, which is `size` long: it lies from `start` on."""
    place = axis.place
    if place is None or place.dim != dim:
        return axis
    if place.ordered:
        return axis.unordered(size, Part(start, length, place.inner, place.size))
    part = place.part
    return axis.unordered(size, part and part._replace(start=start + part.start))


def stack(operation: Operation, output: torch.Tensor) -> Field:
    """Tensors one after the other in a new dim."""
    dim = operation["dim"] % output.ndim
    return _of_one_place(join([field.each(lambda axis: with_new(axis, dim)) for _, field in operation.fields]))


def _of_one_place(field: Field) -> Field:
    """Lose cells of crops, beside one another in a dim that is none of the channels: each sees its own crop alone."""
    return field.each(lambda axis: axis.lost() if axis.cells.scattered else axis)


def unsqueeze(operation: Operation, output: torch.Tensor) -> Field:
    """A new dim."""
    dim = operation["dim"] % output.ndim
    return operation.field.each(lambda axis: with_new(axis, dim))


def squeeze(operation: Operation, _output: torch.Tensor) -> Field:
    """Dims of length 1 are lost."""
    shape = operation.source.shape
    gone = [dim for dim in dims_of(operation) if shape[dim] == 1]
    return operation.field.each(lambda axis: axis.lost() if axis.dim in gone else without(axis, gone))


def permutation(operation: Operation, _output: torch.Tensor) -> Field:
    """The dims in another order."""
    order = _order(operation)
    return operation.field.each(lambda axis: axis.moved(order.index(axis.dim)))


def _order(operation: Operation) -> list[int]:
    """Return which dim of the source each dim of the output is."""
    count = operation.source.ndim
    if operation["dims"] is not None:
        return [dim % count for dim in operation["dims"]]
    swapped = (0, -1) if operation.name == "t" else (operation["dim0"], operation["dim1"])
    first, second = (dim % count for dim in swapped)
    order = list(range(count))
    order[first], order[second] = second, first
    return order


def view(operation: Operation, output: torch.Tensor) -> Field:
    """The cells keep their distance in the flat order of all entries; find the dim that holds them all."""
    axes, shape = operation.field.axes, operation.source.shape
    numbered = zip(axes, range(len(axes), 0, -1), strict=True)
    viewed = (axis and _viewed(axis, shape, output.shape, from_last=place) for axis, place in numbered)
    return Field(tuple(viewed))


def _viewed(axis: Axis, shape: Sequence[int], wanted: Sequence[int], *, from_last: int) -> Axis | None:
    """Return an axis in the `wanted` shape; its dim is usually the one so many from the last."""
    place = axis.place
    if place is None:
        return axis
    flat = place.inner * math.prod(shape[place.dim + 1 :])
    spans = {}
    for dim, length in enumerate(wanted):
        step = math.prod(wanted[dim + 1 :])
        if _holds(flat, place.size, step=step, span=step * length):
            spans[dim] = step * length
    if not spans:
        return axis.lost()
    # More than one dim holds a single cell: the tightest, and of equals the one where the axis usually lies.
    least = min(spans.values())
    tightest = [dim for dim, span in spans.items() if span == least]
    dim = tightest[-min(from_last, len(tightest))]
    inner = flat // math.prod(wanted[dim + 1 :])
    return Axis(axis.cells, place._replace(dim=dim, inner=inner))


def _holds(flat: int, size: int, *, step: int, span: int) -> bool:
    """Whether a dim, with entries `step` apart over a `span` of them, holds `size` cells that lie `flat` apart."""
    cells = flat * size
    return flat % step == 0 and cells <= span and span % cells == 0
