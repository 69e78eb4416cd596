"""What a network says of the images that it takes."""

from __future__ import annotations

from fractions import Fraction
from itertools import takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def declared_size(module: torch.nn.Module) -> tuple[int, ...]:
    """Return the size of images that a network says it takes, one length or one for each axis; empty where it does not.

    Example:
        >>> import torch
        >>> net = torch.nn.Identity()
        >>> net.image_size = 32
        >>> declared_size(net)
        (32,)
    """
    for holder in (module, getattr(module, "config", None)):
        for name in ("img_size", "image_size"):
            size = getattr(holder, name, None)
            lengths = tuple(size) if isinstance(size, tuple | list) else (size,)
            if all(isinstance(length, int) for length in lengths):
                return lengths
    return ()


_USUAL_SIZES = {1: (1024,), 2: (224, 224), 3: (64, 64, 64)}


def usual_size(module: torch.nn.Module) -> tuple[int, ...]:
    """Return the size of an image, a signal or a volume that most networks like this one can be run on.

    Example:
        >>> import torch
        >>> usual_size(torch.nn.Conv1d(1, 2, 3)), usual_size(torch.nn.Conv2d(3, 2, 3))
        ((1024,), (224, 224))
    """
    first = first_convolution(module)
    return _USUAL_SIZES[2 if first is None else len(first.kernel_size)]


_USUAL_CHANNELS = (3, 1)


def channels_taken(module: torch.nn.Module) -> tuple[int, ...]:
    """Return how many channels the images may have that a network takes, the likeliest first.

    Those of its first convolution, or what these are before pixels were put into channels, as a `PixelUnshuffle` at
    the entry does; where neither holds, a colour image or a grey one.

    Example:
        >>> from torch import nn
        >>> channels_taken(nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(12, 4, 3)))
        (3, 12, 1)
        >>> channels_taken(nn.Conv2d(4, 4, 3)), channels_taken(nn.Linear(4, 4))
        ((4, 3, 1), (3, 1))
    """
    from torch import nn

    first = first_convolution(module)
    if first is None:
        return _USUAL_CHANNELS
    channels = Fraction(first.in_channels)
    for part in takewhile(lambda part: part is not first, module.modules()):
        if isinstance(part, nn.PixelUnshuffle):
            channels /= part.downscale_factor**2
        elif isinstance(part, nn.PixelShuffle):
            channels *= part.upscale_factor**2
    shuffled = [int(channels)] if channels.denominator == 1 else []
    return tuple(dict.fromkeys([*shuffled, first.in_channels, *_USUAL_CHANNELS]))


_KINDS = {1: "signals (channel, x)", 2: "images (channel, y, x)", 3: "volumes (channel, z, y, x)"}
_OTHERWISE = {
    (3, 2): ": `pages: volume` makes one of the pages of a file",
    (2, 3): ": `pages: each` makes images of the pages of a file",
}
"""What to do, by the axes that a network takes and those that it is fed."""


def misfit(module: torch.nn.Module, axes: int) -> str:
    """Return how a network and images of so many axes do not fit, and what to do; empty where they may.

    Example:
        >>> import torch
        >>> misfit(torch.nn.Conv1d(1, 2, 3), 2)
        'it takes signals (channel, x), not images (channel, y, x)'
    """
    first = first_convolution(module)
    taken = axes if first is None else len(first.kernel_size)
    if taken == axes:
        return ""
    return f"it takes {_KINDS[taken]}, not {_KINDS[axes]}{_OTHERWISE.get((taken, axes), '')}"


def first_convolution(module: torch.nn.Module) -> torch.nn.Conv1d | torch.nn.Conv2d | torch.nn.Conv3d | None:
    """Return the first convolution of a network, which mostly says what it is fed; None without one.

    Example:
        >>> import torch
        >>> first_convolution(torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Conv1d(2, 4, 3))).in_channels
        2
    """
    from torch import nn

    for part in module.modules():
        if isinstance(part, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            return part
    return None
