"""Whether a network gives an image the same numbers alone and among others, and twice the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import nn


_LOUDER = 4
_SHOWN = 3
"""How many layers an alert names."""


@dataclass(frozen=True, slots=True)
class Batching:
    """How passes of variants of an image may go.

    Attributes:
        apart: Whether each must go alone, since the network mixes the images of a batch.
        alert: What a reader must know; empty if there is nothing.
        state: What shows that the network keeps a state from pass to pass; empty if it keeps none.
    """

    apart: bool = False
    alert: str = ""
    state: str = ""


def mixes(module: nn.Module) -> bool:
    """Return whether a network normalises over the images of a batch.

    Batch normalisation does where it has no running statistics, and where it is in training mode.

    Example:
        >>> from torch import nn
        >>> mixes(nn.BatchNorm2d(2).eval()), mixes(nn.BatchNorm2d(2, track_running_stats=False).eval())
        (False, True)
        >>> mixes(nn.BatchNorm2d(2))
        True
    """
    from torch.nn.modules.batchnorm import _BatchNorm

    norms = [part for part in module.modules() if isinstance(part, _BatchNorm)]
    return any(norm.training or norm.running_mean is None for norm in norms)


def still_training(module: nn.Module) -> str:
    """Return in words which layers are in training mode although the network is in eval mode; empty if none is.

    A network's own `train()` may keep some so. Only layers whose outputs depend on their mode count.

    Example:
        >>> from torch import nn
        >>> net = nn.Sequential(nn.ReLU(), nn.BatchNorm2d(2)).eval()
        >>> net[0].training = net[1].training = True
        >>> still_training(net)
        'in eval mode a layer still trains: 1 (BatchNorm2d)'
    """
    from torch import nn
    from torch.nn.modules.batchnorm import _BatchNorm
    from torch.nn.modules.dropout import _DropoutNd

    kinds = (_BatchNorm, _DropoutNd, nn.RReLU)
    training = []
    for name, part in module.named_modules():
        if isinstance(part, kinds) and part.training:
            training.append(f"{name} ({type(part).__name__})" if name else type(part).__name__)
    if not training:
        return ""
    shown = ", ".join(training[:_SHOWN])
    if len(training) == 1:
        return f"in eval mode a layer still trains: {shown}"
    more = ", …" if len(training) > _SHOWN else ""
    return f"in eval mode {len(training)} layers still train: {shown}{more}"


def batching_of(run: Callable[[torch.Tensor], Any], image: torch.Tensor) -> Batching:
    """Return how variants of an image may go through a network, by a pass of it alone, again, and among others.

    Args:
        run: Runs the network and returns the numbers of each image, `(image, …)`; anything else cannot be compared.
        image: `(1, channel, y, x)`.
    """
    import torch

    with torch.no_grad():
        torch.manual_seed(0)
        first = run(image)
        if not isinstance(first, torch.Tensor) or not first.is_floating_point():
            return Batching()
        torch.manual_seed(1)
        again = run(image)
        if again is None:
            # It has failed, and will say so where it is to give numbers.
            return Batching()
        if not _alike(first, again):
            torch.manual_seed(0)
            return _unsteady(first, again, run(image))
        # In the middle, after a louder image and before a fainter one: a maximum over the batch is another's then, and
        # so is what is first or last.
        others = run(torch.cat([image.flip(-1) * _LOUDER, image, image.flip(-1) / 2]))
        if others is None:
            # Exported or traced for batches of one image.
            return Batching(apart=True, alert="the network takes one image at a time, so each goes alone")
        # Of other numbers of rows it is not known whose they are; who reads them refuses them.
        each = first.ndim and len(first) == 1 and len(others) == 3  # noqa: PLR2004 - images
        if each and not _alike(first, others[1:2]):
            text = f"an image gives {_number(first)} alone and {_number(others[1])} among others"
            return Batching(apart=True, alert=f"the network mixes the images of a batch, so each goes alone: {text}")
    return Batching()


def _unsteady(first: torch.Tensor, other: torch.Tensor, again: torch.Tensor) -> Batching:
    """Return what is to say of a network that gives one image two numbers.

    Args:
        first: What it gave first.
        other: What it gave then, with other random numbers.
        again: What it gave with the first random numbers once more.
    """
    if not _alike(first, again):
        text = f"the same image gives {_number(first)}, then {_number(again)}"
        return Batching(state=f"the network keeps a state from pass to pass: {text}")
    text = f"two passes of the same image give {_number(first)} and {_number(other)}"
    return Batching(alert=f"the network is random in eval mode: {text}")


def _alike(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Return whether numbers are the same but for rounding."""
    import torch

    if first.shape != second.shape:
        return False
    rounding = torch.finfo(first.dtype).eps ** 0.5
    scale = float(first.nan_to_num(posinf=0.0, neginf=0.0).abs().max())
    return bool(torch.allclose(first, second, rtol=0, atol=rounding * scale, equal_nan=True))


def _number(values: torch.Tensor) -> str:
    return f"{float(values.flatten()[0]):.6g}"
