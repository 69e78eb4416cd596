"""Whether a network gives an image the same numbers alone and among others, and twice the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from interpretkit.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import nn


@dataclass(frozen=True, slots=True)
class Batching:
    """How passes of variants of an image may go.

    Attributes:
        apart: Whether each must go alone, since the network mixes the images of a batch.
        alert: What a reader must know; empty if there is nothing.
    """

    apart: bool = False
    alert: str = ""


def mixes(module: nn.Module) -> bool:
    """Return whether a network normalises over the images of a batch: batch normalisation without running statistics.

    Example:
        >>> from torch import nn
        >>> mixes(nn.Sequential(nn.BatchNorm2d(2))), mixes(nn.BatchNorm2d(2, track_running_stats=False))
        (False, True)
    """
    from torch.nn.modules.batchnorm import _BatchNorm

    norms = [part for part in module.modules() if isinstance(part, _BatchNorm)]
    return any(norm.running_mean is None for norm in norms)


def batching_of(run: Callable[[torch.Tensor], Any], image: torch.Tensor) -> Batching:
    """Return how variants of an image may go through a network, by a pass of it alone, again, and among others.

    Args:
        run: Runs the network and returns the numbers of each image, `(image, …)`; anything else cannot be compared.
        image: `(1, channel, y, x)`.

    Raises:
        StepError: If the network keeps a state from pass to pass.
    """
    import torch

    with torch.no_grad():
        torch.manual_seed(0)
        first = run(image)
        if not isinstance(first, torch.Tensor) or not first.is_floating_point():
            return Batching()
        torch.manual_seed(1)
        again = run(image)
        if not _alike(first, again):
            torch.manual_seed(0)
            return _unsteady(first, again, run(image))
        among = run(torch.cat([image, image.flip(-1) / 2]))
        if len(among) and not _alike(first, among[:1]):
            text = f"an image gives {_number(first)} alone and {_number(among)} beside another"
            return Batching(apart=True, alert=f"the network mixes the images of a batch: {text}")
    return Batching()


def _unsteady(first: torch.Tensor, other: torch.Tensor, again: torch.Tensor) -> Batching:
    """Return what is to say of a network that gives one image two numbers.

    Args:
        first: What it gave first.
        other: What it gave then, with other random numbers.
        again: What it gave with the first random numbers once more.
    """
    if not _alike(first, again):
        raise StepError(
            f"the network keeps a state from pass to pass: the same image gives {_number(first)}, then "
            f"{_number(again)}",
            hint="let it begin anew in each forward; what it gave in the shared pass can be explained by grad_cam",
        )
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
