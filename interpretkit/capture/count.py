"""Counting the passes that a network makes, whoever starts them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from interpretkit.capture.networks import is_script
from interpretkit.capture.returned import tensor_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import torch


@contextmanager
def counted(module: torch.nn.Module, passed: Callable[[int], object]) -> Iterator[None]:
    """Call `passed` after each forward pass of the whole network, with how many images it was of.

    These are the rows of what the network returned; where it returns several tensors, or none, it counts as one.

    Example:
        >>> import torch
        >>> network, passes = torch.nn.Identity(), []
        >>> with counted(network, passes.append):
        ...     _ = network(torch.zeros(1)), network(torch.zeros(3, 2))
        >>> passes
        [1, 3]
    """

    def after(_module: object, _inputs: object, output: object) -> None:
        values = tensor_in(output)
        passed(1 if values is None or not values.ndim else len(values))

    if is_script(module):
        # It takes no hooks, so its passes are not counted.
        yield
        return
    handle = module.register_forward_hook(after)
    try:
        yield
    finally:
        handle.remove()
