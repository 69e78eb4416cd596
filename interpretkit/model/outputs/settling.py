"""What a pass of the network shows of outputs that were left open."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from interpretkit.errors import StepError
from interpretkit.model.outputs.classes import Classes
from interpretkit.model.outputs.labels import Labels
from interpretkit.model.outputs.parts import check_rows
from interpretkit.model.outputs.pixels import Pixels

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from interpretkit.capture.ending import Ending
    from interpretkit.model.outputs.output import Output

LOGITS = "logits"
"""The name of the output before a network's own softmax or sigmoid, where a layer returns it."""


def settle(
    outputs: Mapping[str, Output], returned: Any, ending_of: Callable[[Any], Ending], *, images: int, axes: int
) -> dict[str, Output] | None:
    """Return outputs with what was left open settled by a pass of the network; None where its rows are no images.

    Args:
        outputs: How the network is read, by name.
        returned: What it returned.
        ending_of: Tells what a part of that was made by.
        images: How many images it was fed.
        axes: How many axes the grid has that the network is fed: 2 of images.
    """
    settled = dict(outputs)
    for name, output in outputs.items():
        if not output.open or output.layer:
            continue
        settled[name] = fed = output.on_grid(axes)
        try:
            values = output.read(returned)
        except StepError:
            # What cannot be read says so when it is read.
            continue
        if not _are_rows(values, images=images):
            return None
        ending = ending_of(values)
        with suppress(StepError):
            settled[name] = fed.settled(ending, values)
        if LOGITS not in settled:
            settled |= _before(settled[name], ending)
    return settled


def _are_rows(values: Any, *, images: int) -> bool:
    try:
        check_rows(values, images=images)
    except StepError:
        return False
    return True


def _before(output: Output, ending: Ending) -> dict[str, Any]:
    """Return the logits before a network's own softmax or sigmoid, by name; nothing where no layer returns them."""
    if ending.operation in ("softmax", "sigmoid") and ending.layer and isinstance(output, Classes | Labels | Pixels):
        return {LOGITS: replace(output, key=None, layer=ending.layer, returns="logits")}
    return {}
