"""Calls of modules: what a hook can catch, and what is known of each after a pass."""

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
            them, be there none.

    Example:
        >>> str(Address("relu", 2)), str(Address("relu", EVERY))
        ('relu#2', 'relu#*')
    """

    path: str
    call: int | None = None

    def __str__(self) -> str:
        return self.path if self.call is None else f"{self.path}#{'*' if self.call == EVERY else self.call}"

    def problem(self, *, calls: int) -> StepError | None:
        """Say what is wrong with it in a pass that made so many calls of the module; None if nothing is."""
        if self.call == EVERY:
            return None
        if calls == 0:
            return StepError(f"layer {self} was not called in this forward pass", hint=OTHER_LAYER)
        if self.call is None and calls > 1:
            return StepError(f"layer {self} was called {calls} times", hint=f"say which: {self}#1 to {self}#{calls}")
        if self.call is not None and self.call > calls:
            return StepError(f"layer {self.path} was called {calls} times, so there is no {self}")
        return None


INPUT = Address("<input>")
"""Stands for what the network is fed, where gradients are told apart; no module can be called so in a recipe."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call that a probe has seen, in the order of execution.

    Attributes:
        address: The call.
        kind: The module's class.
        shape: Of the tensor that it returns; None where that is none.
        parameters: Number of parameters in the module.
        strides: Pixels from one cell of that tensor to the next, along each axis of the input's grid; None where it has
            no cells along that axis, or where that is not known.
        extents: Pixels that a cell sees along each axis; None where that is not known.
        grid: What each of its cells sees along each axis; None where they lie in no order, or that is not known.
    """

    address: Address
    kind: str
    shape: tuple[int, ...] | None
    parameters: int
    strides: tuple[float | None, ...]
    extents: tuple[Extent, ...]
    grid: tuple[Cells | None, ...]
