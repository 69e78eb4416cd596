"""Calls of modules: their addresses, and the facts of each after a pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from interpretkit.errors import StepError

if TYPE_CHECKING:
    from interpretkit.capture.receptive import Cells, Extent

EVERY = 0
"""In place of the number of a call: every call of a module."""

OTHER_LAYER = "`interpretkit layers` lists what each layer returns"


@dataclass(frozen=True, slots=True)
class Address:
    """One call of one module: what a hook can catch.

    Attributes:
        path: The module's name in `named_modules()`.
        call: Which of its calls in a forward pass, counted from 1; None where it is called once; `EVERY` for all of
            them, or none.

    Example:
        >>> str(Address("relu", 2)), str(Address("relu", EVERY))
        ('relu#2', 'relu#*')
    """

    path: str
    call: int | None = None

    def __str__(self) -> str:
        if self.call is None:
            return self.path
        number = "*" if self.call == EVERY else self.call
        return f"{self.path}#{number}"

    def problem(self, *, calls: int, one_by_one: bool = False) -> StepError | None:
        """Return the error of an address that a pass cannot serve; None if it can.

        Args:
            calls: How many times the pass called the module.
            one_by_one: Whether each call was given other images of the batch.
        """
        if self.call == EVERY:
            return None
        if calls == 0:
            return StepError(f"layer {self} was not called in this forward pass", hint=OTHER_LAYER)
        if self.call is None and calls > 1:
            which = f"say which: {self}#1 to {self}#{calls}"
            apart = "each call sees other images of the batch: look at one image at a time, by batch_size=1"
            return StepError(f"layer {self} was called {calls} times", hint=apart if one_by_one else which)
        if self.call is not None and self.call > calls:
            return StepError(f"layer {self.path} was called {calls} times, so there is no {self}")
        return None


INPUT = Address("<input>")
"""The key of the gradient at the network's input; no module can have this name in a recipe."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call that a probe has seen, in the order of execution.

    Attributes:
        address: The call.
        kind: The module's class.
        shape: The shape of the tensor that it returns; None where it returns something else.
        parameters: Number of parameters in the module.
        strides: Pixels from one cell of that tensor to the next, along each axis of the input's grid; None where it has
            no cells along that axis, or the distance is not known.
        extents: How many pixels a cell sees along each axis; None where it is not known.
        grid: The pixels that each of its cells sees along each axis; None where the cells lie in no order, or it is not
            known what they see.
    """

    address: Address
    kind: str
    shape: tuple[int, ...] | None
    parameters: int
    strides: tuple[float | None, ...]
    extents: tuple[Extent, ...]
    grid: tuple[Cells | None, ...]
