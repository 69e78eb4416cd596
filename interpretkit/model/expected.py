"""What a network says of the images that it takes."""

from __future__ import annotations

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
