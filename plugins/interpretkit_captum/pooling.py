"""DeepLIFT's rule for max pooling, for windows that overlap too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch.nn.modules.pooling import _MaxPoolNd

_SMALL = 1e-10
POOLS = {nn.MaxPool1d: functional.max_pool1d, nn.MaxPool2d: functional.max_pool2d, nn.MaxPool3d: functional.max_pool3d}
"""What each module of this kind computes."""


class MaxPool(nn.Module):
    r"""Stands for a max pooling where DeepLIFT is computed: image and baseline come as two halves of a batch.

    With outputs $y$ and $y'$ and $\hat y = \max(y, y')$, the difference $y - y'$ is shared between two cells: the
    greatest of the image gets $\hat y - y'$, the greatest of the baseline $y - \hat y$. A cell that several windows
    share gets the sum; captum's own rule keeps one of them, and fails where results must be deterministic.

    Args:
        part: The module that it stands for.
    """

    def __init__(self, part: _MaxPoolNd) -> None:
        super().__init__()
        self._part = [part]  # in a list, so that it is no part of this one

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Pool `values` `(image, channel, y, x)`: images, then as many baselines."""
        (part,) = self._part
        pooled, places = POOLS[type(part)](
            values.detach(),
            part.kernel_size,
            part.stride,
            part.padding,
            part.dilation,
            ceil_mode=part.ceil_mode,
            return_indices=True,
        )
        result: torch.Tensor = _Rule.apply(values, pooled, places)
        return result


class _Rule(torch.autograd.Function):
    """Backward, multipliers of the outputs become those of the inputs."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, pooled: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(values, pooled, places)
        return pooled.clone()

    @staticmethod
    def backward(ctx: Any, *multipliers: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        values, pooled, places = ctx.saved_tensors
        (multiplier,) = multipliers
        image, baseline = pooled.chunk(2)
        greatest = torch.maximum(image, baseline)
        shared = _unpooled(multiplier * torch.cat([greatest - baseline, image - greatest]), places, values)
        change = values[: len(values) // 2] - values[len(values) // 2 :]
        # Where a cell has not changed there is no slope but the gradient.
        still = change.abs() < _SMALL
        slope = sum(shared.chunk(2)) / torch.where(still, 1.0, change)
        gradient = _unpooled(multiplier, places, values)
        return torch.where(torch.cat([still, still]), gradient, torch.cat([slope, slope])), None, None


def _unpooled(values: torch.Tensor, places: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return `values` added up at the cells that they come from."""
    flat = torch.zeros_like(like).flatten(2)
    return flat.scatter_add(2, places.flatten(2), values.flatten(2)).view_as(like)
