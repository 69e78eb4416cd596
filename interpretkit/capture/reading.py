"""What a layer returned, in place of what the network returned."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from interpretkit.capture.returned import tensor_in, with_tensor
from interpretkit.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import nn


@contextmanager
def read_at(module: nn.Module, path: str) -> Iterator[Callable[[Any], Any]]:
    """Yield a function that turns what the network returned into what the layer returned in the same pass.

    Args:
        module: The network.
        path: The layer's name in `named_modules()`; empty for the network itself, which leaves it as it is.

    Raises:
        StepError: From the function, if the pass did not call the layer.

    Example:
        >>> import torch
        >>> net = torch.nn.Sequential(torch.nn.Identity(), torch.nn.Sigmoid())
        >>> with read_at(net, "0") as read:
        ...     read(net(torch.zeros(1)))
        tensor([0.])
    """
    if not path:
        yield lambda returned: returned
        return
    layer = module.get_submodule(path)
    seen: list[Any] = []

    def begin(*_: object) -> None:
        # Registered anew for each call, so that it comes after hooks that replace what the layer returns.
        handle = layer.register_forward_hook(end)
        handles.append(handle)

    def end(_layer: nn.Module, _arguments: Any, output: Any) -> Any:
        handles.pop().remove()
        values = tensor_in(output)
        seen.append(output if values is None else values)
        # Later operations may work in place.
        return None if values is None else with_tensor(output, values.clone())

    def read(_returned: Any) -> Any:
        if not seen:
            raise StepError(f"layer {path} was not called in this pass, so there is nothing to explain")
        output = seen[-1]
        seen.clear()
        return output

    handles: list[Any] = []
    handle = layer.register_forward_pre_hook(begin)
    try:
        yield read
    finally:
        handle.remove()
        while handles:
            handles.pop().remove()
