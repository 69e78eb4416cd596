"""Counting the passes that a network makes, whoever starts them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from interpretkit.capture.networks import is_script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import torch


@contextmanager
def counted(module: torch.nn.Module, passed: Callable[[], None]) -> Iterator[None]:
    """Call `passed` after each forward pass of the whole network.

    Example:
        >>> import torch
        >>> network, passes = torch.nn.Identity(), []
        >>> with counted(network, lambda: passes.append(1)):
        ...     _ = network(torch.zeros(1)), network(torch.zeros(1))
        >>> len(passes)
        2
    """

    def after(*_: object) -> None:
        passed()

    if is_script(module):
        # It takes no hooks, so its passes are not counted.
        yield
        return
    handle = module.register_forward_hook(after)
    try:
        yield
    finally:
        handle.remove()
