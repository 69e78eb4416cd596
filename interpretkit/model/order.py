"""In which order a network takes the axes of what it is fed: channels come second, or it is told that they do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit.errors import StepError
from interpretkit.model.expected import first_convolution
from interpretkit.words import shape

if TYPE_CHECKING:
    import torch
    from torch import nn

_FRAMES, _LAST = "(image, frame, channel, y, x)", "(image, …, channel)"
_INSTEAD = {
    _FRAMES: "(image, channel, frame, y, x): wrap a module that calls net(inputs.transpose(1, 2))",
    _LAST: "(image, channel, …): wrap a module that calls net(inputs.movedim(1, -1))",
}
_MOST_COLOURS = 4
"""More channels than these have few images, and no linear layer works on so few pixels of a line."""


def misread(module: nn.Module, inputs: torch.Tensor) -> StepError | None:
    """Return why maps of what a network is fed would be of other axes than they seem; None where channels come second.

    Only where the first layer leaves a doubt, the beginning of two passes of an image shows it: which part of what that
    layer is given changes with the first entry along the second axis, which should be a channel.

    Args:
        module: The network.
        inputs: What it is fed.

    Example:
        >>> import torch
        >>> net = torch.nn.Conv2d(3, 2, 1)
        >>> misread(net, torch.rand(1, 3, 8, 8)) is None
        True
    """
    from interpretkit.capture.given import first_given

    if not _in_doubt(module, inputs):
        return None
    image = inputs[:1]
    other = image.clone()
    other[:, 0] += 1 + image.abs().max()
    before, after = first_given(module, image), first_given(module, other)
    if before is None or after is None or before[1].shape != after[1].shape:
        return None
    layer, given = before
    order = _order(layer, given != after[1], tuple(inputs.shape[1:]))
    if not order:
        return None
    what = f"the network is fed {shape(inputs.shape)}, and takes it for {order}: its maps would be of other axes"
    return StepError(what, hint=f"feed {_INSTEAD[order]}")


def _in_doubt(module: nn.Module, inputs: torch.Tensor) -> bool:
    """Return whether the first layer with weights does not work on as many channels as come second, and on all axes."""
    first = first_convolution(module)
    if first is not None:
        return len(first.kernel_size) != inputs.ndim - 2 or first.in_channels != inputs.shape[1]
    sizes = {getattr(part, "in_features", getattr(part, "input_size", 0)) for part in module.modules()}
    return inputs.shape[-1] in sizes


def _order(layer: nn.Module, changed: torch.Tensor, taken: tuple[int, ...]) -> str:
    """Return the order of the axes, if it is another, by what has changed with the first entry of the second axis."""
    from torch import nn

    if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        axes = len(layer.kernel_size)
        if changed.ndim != axes + len(("image", "channel")):
            return ""
        rows = changed.flatten(1).any(1)
        some_rows = bool(rows.any()) and not bool(rows.all())
        if axes == len(taken) - 2 and layer.in_channels == taken[1] and some_rows:
            return _FRAMES
        lines = changed.flatten(0, 1).any(0).flatten(1).any(1) if axes > 1 else changed.flatten(0, 1).any(0)
        one_line = int(lines.sum()) == 1 < len(lines)
        return _LAST if axes == len(taken) - 1 and layer.in_channels == taken[-1] and one_line else ""
    one_entry = tuple(changed.shape[1:]) == taken and bool(changed[:, 0].any()) and not bool(changed[:, 1:].any())
    few = taken[-1] <= _MOST_COLOURS < taken[0]
    return _LAST if one_entry and (few or isinstance(layer, nn.RNNBase)) else ""
