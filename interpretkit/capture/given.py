"""What the first layer with weights is given: how a network itself takes the axes of what it is fed."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from interpretkit.capture.capture import left_as_found
from interpretkit.capture.networks import is_script, run

if TYPE_CHECKING:
    from collections.abc import Callable

    Given = tuple[nn.Module, torch.Tensor]

_WEIGHTED = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear | nn.RNNBase


class _EnoughError(BaseException):
    """Ends a pass; no network catches it."""


def first_given(module: nn.Module, inputs: torch.Tensor) -> Given | None:
    """Return the first convolution, linear or recurrent layer of a pass, and what it is given; None without one.

    The pass ends there.

    Args:
        module: The network.
        inputs: `(image, channel, y, x)`.

    Example:
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
        >>> layer, given = first_given(net, torch.zeros(1, 1, 2, 2))
        >>> layer, given.shape
        (Linear(in_features=4, out_features=2, bias=True), torch.Size([1, 4]))
    """
    found: list[Given] = []
    with left_as_found(module), torch.no_grad(), ExitStack() as stack:
        for part in module.modules():
            if isinstance(part, _WEIGHTED) and not is_script(part):
                handle = part.register_forward_pre_hook(_ending_the_pass(found))
                stack.callback(handle.remove)
        # What fails here fails in the pass itself, and is told there.
        with suppress(_EnoughError, Exception):
            run(module, inputs)
    return found[0] if found else None


def _ending_the_pass(found: list[Given]) -> Callable[..., None]:
    def note(layer: nn.Module, arguments: Any) -> None:
        if arguments and isinstance(arguments[0], torch.Tensor):
            found.append((layer, arguments[0].clone()))
        raise _EnoughError

    return note
