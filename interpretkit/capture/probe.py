"""Every call of one forward pass, and what each sees of the input."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from interpretkit.capture.addresses import Address, Call
from interpretkit.capture.capture import left_as_found
from interpretkit.capture.dataflow.flow import Dataflow

if TYPE_CHECKING:
    from interpretkit.capture.receptive import Cells, Extent

    _Seen = tuple[tuple[float | None, ...], tuple[Extent, ...], tuple[Cells | None, ...]]


def probe(module: torch.nn.Module, inputs: torch.Tensor) -> list[Call]:
    """List every module call of one forward pass on `inputs` `(image, channel, y, x)`, in the order in which they end.

    Signals `(image, channel, x)` and volumes `(image, channel, z, y, x)` are followed alike. The input may lie on the
    meta device together with the module: then nothing is computed.
    """
    axes = inputs.ndim - 2
    calls: list[Call] = []
    counts: Counter[str] = Counter()

    def note(path: str) -> Any:
        def hook(called: torch.nn.Module, _arguments: Any, output: Any) -> None:
            counts[path] += 1
            calls.append(_call(Address(path, counts[path]), called, output, _seen(output, flow, axes)))

        return hook

    with ExitStack() as stack:
        stack.enter_context(left_as_found(module))
        # Not inference mode: there, operations come whole that are followed in parts.
        stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.no_grad())
        image = inputs.clone()
        flow = Dataflow(image)
        for path, submodule in module.named_modules():
            if path:
                stack.callback(submodule.register_forward_hook(note(path)).remove)
        stack.enter_context(flow)
        module(image)
    return [
        call if counts[call.address.path] > 1 else replace(call, address=Address(call.address.path)) for call in calls
    ]


def _call(address: Address, called: torch.nn.Module, output: Any, seen: _Seen) -> Call:
    shape = tuple(output.shape) if isinstance(output, torch.Tensor) else None
    parameters = sum(parameter.numel() for parameter in called.parameters())
    return Call(address, type(called).__name__, shape, parameters, *seen)


def _seen(output: Any, flow: Dataflow, axes: int) -> _Seen:
    """Return strides, extents and grid of what a module returns, on an input of so many axes."""
    unknown: tuple[None, ...] = (None,) * axes
    if not isinstance(output, torch.Tensor):
        return unknown, unknown, unknown
    field = flow.field(output)
    if field is None:
        # What does not depend on the input sees none of it.
        return unknown, (0,) * axes, unknown
    return field.strides, field.extents, field.grid
