"""What the parts of a branch amount to in eval mode: an affine map of each channel, and 3×3 kernels."""

from __future__ import annotations

import torch
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

__all__ = ["BatchNorm", "affine", "centred", "identity_kernel"]


def affine(norm: BatchNorm) -> tuple[torch.Tensor, torch.Tensor]:
    """Return scale and shift of each channel, `(channel,)` in float64, which the running statistics amount to.

    Raises:
        ValueError: If `norm` has no running statistics.
    """
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("a normalisation without running statistics depends on the batch and cannot be fused")
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    # Without `affine` there is neither a weight nor a bias.
    if norm.weight is not None:
        scale = scale * norm.weight.double()
    shift = -norm.running_mean.double() * scale
    return scale, shift if norm.bias is None else shift + norm.bias.double()


def centred(kernel: torch.Tensor) -> torch.Tensor:
    """Return a 1×1 kernel `(output, input, 1, 1)` as the centre tap of a 3×3 one."""
    return functional.pad(kernel, (1, 1, 1, 1))


def identity_kernel(scale: torch.Tensor, groups: int) -> torch.Tensor:
    """Return the 3×3 kernel `(channel, channel of the group, 3, 3)` that multiplies each channel by its `scale`."""
    width = len(scale) // groups
    eye = torch.eye(width, dtype=scale.dtype, device=scale.device).repeat(groups, 1)
    return centred((eye * scale[:, None])[:, :, None, None])
