"""Operations that put cells together: reductions, normalisation, products of matrices, attention."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit.capture.dataflow.operation import Operation, broadcast, dims_of, without
from interpretkit.capture.receptive import COLLAPSED, Axis, Field, join

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

FACTORS = {
    "mm": ("self", "mat2"),
    "bmm": ("self", "mat2"),
    "addmm": ("mat1", "mat2"),
    "baddbmm": ("batch1", "batch2"),
    "linear": ("input", "weight"),
}
"""The two factors of each kind of product of matrices."""


def reduction(operation: Operation, output: torch.Tensor) -> Field:
    """What lies along the dims that are reduced is put together."""
    source = operation.source
    reduced = dims_of(operation) or range(source.ndim)
    gone = [] if output.ndim == source.ndim else reduced
    return operation.field.each(lambda axis: COLLAPSED if axis.dim in reduced else without(axis, gone))


def over_dim(operation: Operation, _output: torch.Tensor) -> Field:
    """Every entry along a dim has a part in every other."""
    dim = operation["dim"] % operation.source.ndim
    return operation.field.each(lambda axis: axis.everywhere() if axis.dim == dim else axis)


def batch_norm(operation: Operation, _output: torch.Tensor) -> Field:
    """Cell by cell, or over all cells where statistics are taken from the input."""
    field = operation.field
    return field.each(Axis.everywhere) if operation["training"] else field


def layer_norm(operation: Operation, _output: torch.Tensor) -> Field:
    """Everything along the last dims has a part in every cell."""
    first = operation.source.ndim - len(operation["normalized_shape"])
    return operation.field.each(lambda axis: axis.everywhere() if axis.dim >= first else axis)


def group_norm(operation: Operation, _output: torch.Tensor) -> Field:
    """Everything in an image has a part in every cell."""
    return operation.field.each(lambda axis: axis.everywhere() if axis.dim > 0 else axis)


def product(operation: Operation, output: torch.Tensor) -> Field:
    """A product of matrices: what lies along the dim that is summed over is put together."""
    left, right = FACTORS[operation.name]
    along = -1 if right == "weight" else -2
    parts = [_summed_over(operation, left, -1), _summed_over(operation, right, along)]
    added = operation.field_of("self") if left != "self" else None
    if added is not None:
        parts.append(broadcast(added, operation["self"].shape, output.shape))
    return _paired([part for part in parts if part is not None])


def attention(operation: Operation, _output: torch.Tensor) -> Field:
    """The cells of the queries see what all keys and values see."""
    query = operation.field_of("query") or operation.field_of("src")
    given = (name for name in ("key", "value", "src") if operation[name] is not None)
    others = [_summed_over(operation, name, -2) for name in given]
    return _paired([part for part in (query, *others) if part is not None])


def _summed_over(operation: Operation, name: str, dim: int) -> Field | None:
    field = operation.field_of(name)
    if field is None:
        return None
    summed = operation[name].ndim + dim
    return field.each(lambda axis: COLLAPSED if axis.dim == summed else axis)


def _paired(fields: Sequence[Field]) -> Field:
    """Return the field of what has an entry for every pair of cells: some pairs lie at opposite ends of the image."""
    first = fields[0]
    for other in fields[1:]:
        joined = join([first, other])
        axes = zip(first.axes, other.axes, joined.axes, strict=True)
        first = Field(tuple(_pair(*each) for each in axes))
    return first


def _pair(first: Axis | None, other: Axis | None, joined: Axis | None) -> Axis | None:
    """Return the axis of all pairs of cells; `joined` where each is paired with its like."""
    if first is None or other is None or first.place is None or other.place is None:
        return joined
    return joined if first.place == other.place else first.everywhere()
