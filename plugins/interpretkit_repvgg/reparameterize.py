"""Structural re-parameterisation: the branches of every block as one convolution, for the same function."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from interpretkit_repvgg.network import DeployBlock, RepVGG, TrainingBlock

if TYPE_CHECKING:
    from collections.abc import Iterator


@torch.no_grad()
def reparameterize(network: RepVGG) -> RepVGG:
    r"""Return the deploy form of a network in training form; `network` itself stays as it is.

    In eval mode a batch normalisation is affine, and so is each branch; the sum of the branches is one convolution with
    $W = \sum_b \frac{\gamma_b}{\sigma_b} W_b$ and $\beta = \sum_b \beta_b - \frac{\gamma_b \mu_b}{\sigma_b}$, where the
    1×1 kernel and the identity stand at the centre tap (section 3.3 of arXiv:2101.03697). The sums are taken in float64
    and then rounded once. dtype, device, stride and padding stay those of the source; a fused convolution requires
    gradients if anything in its block does.

    Args:
        network: A network in training form, in eval mode.

    Returns:
        A new network in eval mode that shares no storage with `network`.

    Raises:
        ValueError: If `network` is in training mode, where it normalises by the statistics of the batch and no single
            convolution equals it; if a normalisation has no running statistics; or if it is in deploy form already.

    Example:
        >>> from interpretkit_repvgg.variants import VARIANTS
        >>> with torch.device("meta"):
        ...     network = RepVGG(VARIANTS["B0"], num_classes=10, block=TrainingBlock)
        >>> sum(parameter.numel() for parameter in reparameterize(network.eval()).parameters())
        13070858
    """
    if any(part.training for part in network.modules()):
        raise ValueError(
            "a network in training mode normalises by the statistics of the batch: call eval() before reparameterize()"
        )
    blocks = {name: part for name, part in network.named_modules() if isinstance(part, TrainingBlock)}
    if not blocks:
        raise ValueError("the network has no branches: it has been re-parameterised already")
    # On the meta device nothing is initialised, so the state of the random generators stays as it is.
    with torch.device("meta"):
        fused = RepVGG(network.variant, num_classes=network.linear.out_features, block=DeployBlock)
    for name, block in blocks.items():
        fused.get_submodule(name).rbr_reparam = _fused_convolution(block)
    fused.linear = _copied(network.linear)
    return fused.eval()


def _fused_convolution(block: TrainingBlock) -> nn.Conv2d:
    dense = block.rbr_dense.conv
    convolution = nn.Conv2d(
        dense.in_channels,
        dense.out_channels,
        kernel_size=3,
        stride=dense.stride[0],
        padding=cast("tuple[int, int]", dense.padding),
        dilation=dense.dilation[0],
        padding_mode=dense.padding_mode,
        device="meta",
    )
    kernels, biases = zip(*_branches(block), strict=True)
    requires_grad = any(parameter.requires_grad for parameter in block.parameters())
    convolution.weight = nn.Parameter(torch.stack(kernels).sum(0).to(dense.weight.dtype), requires_grad=requires_grad)
    convolution.bias = nn.Parameter(torch.stack(biases).sum(0).to(dense.weight.dtype), requires_grad=requires_grad)
    return convolution


def _branches(block: TrainingBlock) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield each branch as a 3×3 kernel `(output, input, y, x)` and a bias `(output,)`, both in float64."""
    scale, shift = _affine(block.rbr_dense.bn)
    yield block.rbr_dense.conv.weight.double() * scale[:, None, None, None], shift
    scale, shift = _affine(block.rbr_1x1.bn)
    yield _centred(block.rbr_1x1.conv.weight.double() * scale[:, None, None, None]), shift
    if block.has_identity:
        scale, shift = _affine(block.rbr_identity)
        yield _centred(scale.diag()[:, :, None, None]), shift


def _affine(norm: nn.BatchNorm2d) -> tuple[torch.Tensor, torch.Tensor]:
    """Return scale and shift of each channel, `(channel,)`, which the running statistics amount to."""
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("a normalisation without running statistics depends on the batch and cannot be fused")
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    return scale, norm.bias.double() - norm.running_mean.double() * scale


def _centred(kernel: torch.Tensor) -> torch.Tensor:
    return nn.functional.pad(kernel, (1, 1, 1, 1))


def _copied(linear: nn.Linear) -> nn.Linear:
    # Not a deep copy, which would take hooks along.
    copy = nn.Linear(linear.in_features, linear.out_features, device="meta")
    copy.weight = nn.Parameter(linear.weight.detach().clone(), requires_grad=linear.weight.requires_grad)
    copy.bias = nn.Parameter(linear.bias.detach().clone(), requires_grad=linear.bias.requires_grad)
    return copy
