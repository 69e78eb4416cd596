"""Structural re-parameterisation: the branches of every block as one convolution, for the same function."""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import Any, TypeVar, cast

import torch
from torch import nn

from interpretkit_repvgg.network import DeployBlock, TrainingBlock
from interpretkit_repvgg.plus import RepVGGPlus

Network = TypeVar("Network", bound=nn.Module)

_HOOKS = frozenset(name for name in vars(nn.Module()) if "ward_" in name and "_hooks" in name)


@torch.no_grad()
def reparameterize(module: Network) -> Network:
    """Return the deploy form of a module in training form; `module` itself stays as it is.

    It may be a RepVGG, a block, or any module that has such blocks somewhere in it, a backbone for instance. Each block
    becomes one convolution with its `equivalent_kernel_bias()`; dtype, device, stride, groups, dilation and padding
    stay those of the 3×3 branch, and the convolution requires gradients if anything in the branches does. All else is
    copied, without hooks. Auxiliary heads, which serve training alone, are left out.

    Args:
        module: A module in training form, in eval mode.

    Returns:
        A new module in eval mode that shares no storage with `module`.

    Raises:
        ValueError: If `module` is in training mode, where it normalises by the statistics of the batch and no single
            convolution equals it; if a normalisation has no running statistics; or if there are no branches.

    Example:
        >>> from interpretkit_repvgg.network import RepVGG
        >>> from interpretkit_repvgg.variants import VARIANTS
        >>> with torch.device("meta"):
        ...     network = RepVGG(VARIANTS["B0"], num_classes=10)
        >>> sum(parameter.numel() for parameter in reparameterize(network.eval()).parameters())
        13070858
    """
    if any(part.training for part in module.modules()):
        raise ValueError(
            "a network in training mode normalises by the statistics of the batch: call eval() before reparameterize()"
        )
    blocks = {name: part for name, part in module.named_modules() if isinstance(part, TrainingBlock)}
    if not blocks:
        done = any(isinstance(part, DeployBlock) for part in module.modules())
        why = "it has been re-parameterised already" if done else "it holds no block of a RepVGG"
        raise ValueError(f"the network has no branches: {why}")
    memo = _left_out(module)
    for name, block in blocks.items():
        try:
            memo[id(block)] = _fused(block, memo)
        except ValueError as error:
            raise ValueError(f"{name or type(block).__name__}: {error}") from error
    twin = copy.deepcopy(module, memo)
    for part in twin.modules():
        if isinstance(part, RepVGGPlus):
            part.drop_heads()
    return twin


def _fused(block: TrainingBlock, memo: dict[int, Any]) -> DeployBlock:
    dense = block.rbr_dense.conv
    # On the meta device nothing is initialised, so the state of the random generators stays as it is.
    with torch.device("meta"):
        fused = DeployBlock(dense.in_channels, dense.out_channels, stride=dense.stride[0])
        convolution = nn.Conv2d(
            dense.in_channels,
            dense.out_channels,
            kernel_size=3,
            stride=cast("tuple[int, int]", dense.stride),
            padding=cast("tuple[int, int]", dense.padding),
            dilation=cast("tuple[int, int]", dense.dilation),
            groups=dense.groups,
            padding_mode=dense.padding_mode,
        )
    kernel, bias = block.equivalent_kernel_bias()
    branches = [part for name, part in block.named_children() if name.startswith("rbr_")]
    requires_grad = any(parameter.requires_grad for part in branches for parameter in part.parameters())
    convolution.weight = nn.Parameter(kernel, requires_grad=requires_grad)
    convolution.bias = nn.Parameter(bias, requires_grad=requires_grad)
    fused.rbr_reparam = convolution
    fused.nonlinearity = copy.deepcopy(block.nonlinearity, memo)
    fused.checkpointing = block.checkpointing
    fused.se_ratio, fused.post_se_ratio = block.se_ratio, block.post_se_ratio
    if block.se_ratio:
        fused.se = copy.deepcopy(block.se, memo)
    if block.post_se_ratio:
        fused.post_se = copy.deepcopy(block.post_se, memo)
    return fused.eval()


def _left_out(module: nn.Module) -> dict[int, Any]:
    """Return the memo of a deep copy that leaves out hooks, and detaches what somebody has kept of a forward pass."""
    memo: dict[int, Any] = {}
    for part in module.modules():
        for name, value in vars(part).items():
            if name in _HOOKS:
                memo[id(value)] = OrderedDict()
            elif isinstance(value, torch.Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach().clone()
    return memo
