"""The mode in which every operation is followed."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from interpretkit.capture.dataflow.operation import Operation
from interpretkit.capture.dataflow.rules import field_of
from interpretkit.capture.receptive import Field, join, of_grid


class Dataflow(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within it, every operation is followed.

    Args:
        image: What the network is fed: `(image, channel, y, x)`, or with other axes of a grid.

    Example:
        >>> image = torch.zeros(1, 3, 32, 32, device="meta")
        >>> with torch.no_grad(), Dataflow(image) as flow:
        ...     halved = torch.nn.functional.max_pool2d(image, 3, stride=2)
        >>> flow.field(halved).extents, flow.field(halved).strides
        ((3, 3), (2, 2))
    """

    def __init__(self, image: torch.Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._fields: Any = WeakTensorKeyDictionary({image: of_grid(image.shape[2:])})

    def field(self, tensor: torch.Tensor) -> Field | None:
        """Return what `tensor` sees of the image; None if it does not depend on it."""
        found: Field | None = self._fields.get(tensor)
        return found

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Carry out an operation, and note what comes of it."""
        result = func(*args, **(kwargs or {}))
        operation = Operation(func, args, kwargs or {}, self._fields)
        if operation.fields or operation.writes:
            for output in tree_leaves(result):
                if isinstance(output, torch.Tensor):
                    self._note(output, field_of(operation, output), written=operation.writes)
        return result

    def _note(self, output: torch.Tensor, field: Field | None, *, written: bool) -> None:
        base = output._base if written else None  # noqa: SLF001 - torch names the tensor behind a view nowhere else
        if base is not None and base is not output:
            self._note_part(base, output, field)
        if field is None:
            self._fields.pop(output, None)
        else:
            self._fields[output] = field

    def _note_part(self, base: torch.Tensor, part: torch.Tensor, field: Field | None) -> None:
        """Note that a part of `base` was written."""
        before = self.field(base)
        if field is None or (before is not None and _same_cells(before, field)):
            return
        if not _fits(field, part, base):
            self._fields[base] = Field((None,) * len(field.axes))
            return
        self._fields[base] = field if before is None else join([before, field])


def _fits(field: Field, part: torch.Tensor, base: torch.Tensor) -> bool:
    """Whether the cells of a part are all cells of its base."""
    if base.ndim != part.ndim:
        return False
    places = [axis.place for axis in field.axes if axis is not None]
    whole = (place is None or base.shape[place.dim] == part.shape[place.dim] for place in places)
    return len(places) == len(field.axes) and all(whole)


def _same_cells(first: Field, second: Field) -> bool:
    pairs = zip(first.axes, second.axes, strict=True)
    return all(a is not None and b is not None and a.cells == b.cells for a, b in pairs)
