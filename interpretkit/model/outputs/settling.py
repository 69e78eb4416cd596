"""What a pass of the network shows of outputs that were left open."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from interpretkit.errors import StepError
from interpretkit.model.outputs.classes import Classes
from interpretkit.model.outputs.labels import Labels
from interpretkit.model.outputs.pixels import Pixels

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from interpretkit.capture.ending import Ending
    from interpretkit.model.outputs.output import Output

LOGITS = "logits"
"""The name of the output before a network's own softmax or sigmoid, where a layer returns it."""


def settle(
    outputs: Mapping[str, Output], returned: Any, ending_of: Callable[[Any], Ending], *, axes: int
) -> dict[str, Output]:
    """Return outputs with what was left open settled by a pass of the network.

    Args:
        outputs: How the network is read, by name.
        returned: What it returned.
        ending_of: Tells what a part of that was made by.
        axes: How many axes the grid has that the network is fed: 2 of images.
    """
    settled = dict(outputs)
    for name, output in outputs.items():
        if not output.open or output.layer:
            continue
        settled[name] = fed = output.on_grid(axes)
        try:
            values = output.read(returned)
            ending = ending_of(values)
            settled[name] = fed.settled(ending, values)
        except StepError:
            # What cannot be read says so when it is read.
            continue
        if LOGITS not in settled:
            settled |= _before(settled[name], ending)
    return settled


def _before(output: Output, ending: Ending) -> dict[str, Any]:
    """Return the logits before a network's own softmax or sigmoid, by name; nothing where no layer returns them."""
    if ending.operation in ("softmax", "sigmoid") and ending.layer and isinstance(output, Classes | Labels | Pixels):
        return {LOGITS: replace(output, key=None, layer=ending.layer, returns="logits")}
    return {}
