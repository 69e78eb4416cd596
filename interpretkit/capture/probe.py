"""Every call of one forward pass, and the part of the input that the cells of its output see."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from interpretkit.capture.addresses import Address, Call
from interpretkit.capture.capture import left_as_found
from interpretkit.capture.dataflow.flow import Dataflow
from interpretkit.capture.networks import is_script, own_hooks_noted
from interpretkit.capture.returned import tensor_in
from interpretkit.capture.state import forward_watched

if TYPE_CHECKING:
    from collections.abc import Mapping

    from interpretkit.capture.receptive import Cells, Extent

    _Strides = tuple[float | None, ...]
    _Grid = tuple[Cells | None, ...]
    _Seen = tuple[_Strides, tuple[Extent, ...], _Grid]


def probe(module: torch.nn.Module, inputs: torch.Tensor) -> list[Call]:
    """List every module call of one forward pass on `inputs` `(image, channel, y, x)`, in the order in which they end.

    Signals `(image, channel, x)` and volumes `(image, channel, z, y, x)` may be given too. The input may lie on the
    meta device together with the module: then nothing is computed.
    """
    axes = inputs.ndim - 2
    calls: list[Call] = []
    counts: Counter[str] = Counter()

    def note(path: str) -> Any:
        def hook(called: torch.nn.Module, _arguments: Any, output: Any) -> None:
            counts[path] += 1
            address = Address(path, counts[path])
            seen = _seen(output, flow, axes)
            calls.append(_call(address, called, output, seen))

        return hook

    with ExitStack() as stack:
        stack.enter_context(left_as_found(module))
        # Not inference mode: there, operations come whole that are followed in parts.
        stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.no_grad())
        image = inputs.clone()
        flow = Dataflow(image)
        for path, submodule in module.named_modules():
            if path and not is_script(submodule):
                handle = submodule.register_forward_hook(note(path))
                stack.callback(handle.remove)
        stack.enter_context(flow)
        with own_hooks_noted(module), forward_watched(module):
            module(image)
    return [_plainly_named(call, counts) for call in calls]


def _plainly_named(call: Call, counts: Mapping[str, int]) -> Call:
    """Return a call without its number if it is the only call of its module."""
    path = call.address.path
    if counts[path] > 1:
        return call
    return replace(call, address=Address(path))


def _call(address: Address, called: torch.nn.Module, output: Any, seen: _Seen) -> Call:
    values = tensor_in(output)
    shape = None if values is None else tuple(values.shape)
    parameters = sum(parameter.numel() for parameter in called.parameters())
    return Call(address, type(called).__name__, shape, parameters, *seen)


def _seen(output: Any, flow: Dataflow, axes: int) -> _Seen:
    """Return the strides, extents and grid of a module's output, along each of the input's `axes`."""
    unknown: tuple[None, ...] = (None,) * axes
    values = tensor_in(output)
    if values is None:
        return unknown, unknown, unknown
    field = flow.field(values)
    if field is None:
        # What does not depend on the input sees none of it.
        return unknown, (0,) * axes, unknown
    return field.strides, field.extents, field.grid(values.shape)
