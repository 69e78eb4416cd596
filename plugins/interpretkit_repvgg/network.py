"""The network in its two forms: blocks of branches for training, one convolution per block for deployment."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

if TYPE_CHECKING:
    from interpretkit_repvgg.variants import Variant


class BranchSum(nn.Module):
    """The sum of a block's branches: a module of its own, so that the values before the ReLU can be looked at."""

    def forward(self, *branches: torch.Tensor) -> torch.Tensor:
        """Return the sum of tensors of one shape `(image, channel, y, x)`."""
        return reduce(torch.add, branches)


class ConvolutionAndNorm(nn.Module):
    """A convolution that keeps the grid centred, and its batch normalisation.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: 1 or 3.
        stride: Step in both directions.
    """

    def __init__(self, in_channels: int, out_channels: int, *, kernel_size: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride=stride, padding=kernel_size // 2, bias=False
        )
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the normalised convolution of `inputs` `(image, channel, y, x)`."""
        return cast("torch.Tensor", self.bn(self.conv(inputs)))


class TrainingBlock(nn.Module):
    """A block in training form: ReLU of the sum of a 3×3, a 1×1 and, where shapes allow it, an identity branch.

    Where the block changes the width or the resolution there is no `rbr_identity`.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        stride: 2 halves the resolution, 1 keeps it.
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int) -> None:
        super().__init__()
        self.rbr_dense = ConvolutionAndNorm(in_channels, out_channels, kernel_size=3, stride=stride)
        self.rbr_1x1 = ConvolutionAndNorm(in_channels, out_channels, kernel_size=1, stride=stride)
        self.has_identity = in_channels == out_channels and stride == 1
        if self.has_identity:
            self.rbr_identity = nn.BatchNorm2d(out_channels)
        self.rbr_sum = BranchSum()
        self.nonlinearity = nn.ReLU()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the block's output `(image, channel, y, x)`."""
        branches = [self.rbr_dense(inputs), self.rbr_1x1(inputs)]
        if self.has_identity:
            branches.append(self.rbr_identity(inputs))
        return cast("torch.Tensor", self.nonlinearity(self.rbr_sum(*branches)))


class DeployBlock(nn.Module):
    """A block in deploy form: ReLU of the one 3×3 convolution that equals the sum of the branches.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        stride: 2 halves the resolution, 1 keeps it.
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int) -> None:
        super().__init__()
        self.rbr_reparam = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1)
        self.nonlinearity = nn.ReLU()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the block's output `(image, channel, y, x)`."""
        return cast("torch.Tensor", self.nonlinearity(self.rbr_reparam(inputs)))


class RepVGG(nn.Module):
    """RepVGG, with its layers under the names of the official state dicts.

    Five stages, each of which halves the resolution, then the mean over the grid and one linear layer. It takes
    images of any size.

    Args:
        variant: Row of the table: depth and width of the stages.
        num_classes: Number of logits.
        block: Kind of block, and with it the form of the network.

    Example:
        >>> from interpretkit_repvgg.variants import VARIANTS
        >>> with torch.device("meta"):
        ...     network = RepVGG(VARIANTS["B0"], num_classes=10, block=DeployBlock)
        ...     network(torch.zeros(1, 3, 97, 181)).shape
        torch.Size([1, 10])
    """

    def __init__(
        self, variant: Variant, *, num_classes: int, block: type[TrainingBlock | DeployBlock] = TrainingBlock
    ) -> None:
        super().__init__()
        widths = variant.widths

        def stage(number: int) -> nn.Sequential:
            first = block(widths[number - 1], widths[number], stride=2)
            others = (block(widths[number], widths[number], stride=1) for _ in range(variant.blocks[number - 1] - 1))
            return nn.Sequential(first, *others)

        self.variant = variant
        self.stage0 = block(3, widths[0], stride=2)
        self.stage1 = stage(1)
        self.stage2 = stage(2)
        self.stage3 = stage(3)
        self.stage4 = stage(4)
        self.gap = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(widths[-1], num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits `(image, class)` for `images` `(image, 3, y, x)`."""
        features = images
        for stage in (self.stage0, self.stage1, self.stage2, self.stage3, self.stage4):
            features = stage(features)
        return cast("torch.Tensor", self.linear(self.gap(features).flatten(1)))
