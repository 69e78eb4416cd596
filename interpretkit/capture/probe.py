"""Every call of one forward pass, and what each sees of the image."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import torch

from interpretkit.capture.addresses import Address, Call
from interpretkit.capture.capture import left_as_found
from interpretkit.capture.dataflow.flow import Dataflow


def probe(module: torch.nn.Module, inputs: torch.Tensor) -> list[Call]:
    """List every module call of one forward pass on `inputs` `(image, channel, y, x)`, in the order in which they end.

    The input may lie on the meta device together with the module: then nothing is computed.
    """
    calls: list[Call] = []
    counts: Counter[str] = Counter()

    def note(path: str) -> Any:
        def hook(called: torch.nn.Module, _arguments: Any, output: Any) -> None:
            counts[path] += 1
            parameters = sum(parameter.numel() for parameter in called.parameters())
            call = Call(Address(path, counts[path]), type(called).__name__, None, parameters)
            if isinstance(output, torch.Tensor):
                field = flow.field(output)
                # What does not depend on the image sees none of it.
                call = replace(call, shape=tuple(output.shape), extents=(0, 0))
                if field:
                    call = replace(call, strides=field.strides, extents=field.extents, grid=field.grid)
            calls.append(call)

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
