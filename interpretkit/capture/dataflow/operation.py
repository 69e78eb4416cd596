"""One operation, and what most rules about operations share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.utils._pytree import tree_leaves

from interpretkit.capture.receptive import Axis, Field, join

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Operation:
    """One operation that was carried out.

    Args:
        function: The overload that was called.
        args: Its arguments by position.
        kwargs: Its arguments by name.
        known: What the tensors see that depend on the image.

    Attributes:
        name: Without namespace, and without the `_` of the forms that work in place.
        writes: Whether it writes into one of its arguments.
        reshapes: Whether it gives its argument another shape, so that the one it had is gone.
        pointwise: Whether torch says that it works cell by cell.
        fields: The tensors that it reads and that depend on the image, each with what it sees.
    """

    def __init__(self, function: Any, args: Sequence[Any], kwargs: Mapping[str, Any], known: Any) -> None:
        schema = function._schema  # noqa: SLF001 - torch describes an operation nowhere else
        self.writes: bool = schema.is_mutable
        self.name: str = schema.name.removeprefix("aten::")
        if self.writes:
            self.name = self.name.removesuffix("_")
        self.reshapes = torch.Tag.inplace_view in function.tags
        self.pointwise = torch.Tag.pointwise in function.tags
        names = (each.name for each in schema.arguments)
        defaults = (each for each in schema.arguments if each.has_default_value())
        self._arguments = {each.name: each.default_value for each in defaults}
        self._arguments.update(zip(names, args, strict=False))
        self._arguments.update(kwargs)
        # What is overwritten has no part in what comes of it.
        read = [value for name, value in self._arguments.items() if (self.name, name) != ("copy", "self")]
        tensors = [leaf for leaf in tree_leaves(read) if isinstance(leaf, torch.Tensor)]
        self.fields: list[tuple[torch.Tensor, Field]] = [(each, known[each]) for each in tensors if each in known]

    def __getitem__(self, name: str) -> Any:
        """Return an argument; None if it has none of this name."""
        return self._arguments.get(name)

    def field_of(self, name: str) -> Field | None:
        """Return what the argument of this name sees; None if it is no tensor that depends on the image."""
        return next((field for tensor, field in self.fields if tensor is self[name]), None)

    @property
    def source(self) -> torch.Tensor:
        """The first tensor that depends on the image; for most operations the only one."""
        return self.fields[0][0]

    @property
    def field(self) -> Field:
        """What that tensor sees."""
        return self.fields[0][1]


def unknown(operation: Operation, _output: torch.Tensor) -> Field:
    """Nothing can be said of what comes of it, unless all that it reads sees the whole image."""
    return join([field.each(Axis.lost) for _, field in operation.fields])


def aligned(operation: Operation, output: torch.Tensor) -> Field:
    """Cell by cell, with broadcasting."""
    return join([broadcast(field, tensor.shape, output.shape) for tensor, field in operation.fields])


def broadcast(field: Field, shape: Sequence[int], wanted: Sequence[int]) -> Field:
    """Return the field of a tensor of `shape` once it has the `wanted` shape."""
    more = len(wanted) - len(shape)

    def change(axis: Axis) -> Axis | None:
        dim = axis.dim + more
        same = dim >= 0 and shape[axis.dim] == wanted[dim]
        return axis.moved(dim) if same else axis.lost()

    return field.each(change)


def kept(operation: Operation, _output: torch.Tensor) -> Field:
    """The cells stay where they are."""
    return operation.field


def dims_of(operation: Operation) -> list[int]:
    """Return the dims that its argument `dim` names, counted from 0; all where it has none."""
    count, named = operation.source.ndim, operation["dim"]
    if named is None:
        return list(range(count))
    dims = [named] if isinstance(named, int) else named
    return [dim % count for dim in dims]


def without(axis: Axis, dims: Sequence[int]) -> Axis:
    """Return the axis of a tensor that has lost `dims`."""
    before = [dim for dim in dims if dim < axis.dim]
    return axis.moved(axis.dim - len(before))


def with_new(axis: Axis, dim: int) -> Axis:
    """Return the axis of a tensor that has got a new `dim`."""
    return axis.moved(axis.dim + 1) if axis.dim >= dim else axis
