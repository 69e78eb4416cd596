"""The network in its two forms: blocks of branches for training, one convolution per block for deployment."""

from __future__ import annotations

from abc import abstractmethod
from functools import reduce
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from interpretkit_repvgg.kernels import affine, centred, identity_kernel
from interpretkit_repvgg.recompute import recomputed

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        groups: Groups of channels that do not see each other.
    """

    def __init__(self, in_channels: int, out_channels: int, *, kernel_size: int, stride: int, groups: int = 1) -> None:
        super().__init__()
        padding = kernel_size // 2
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride=stride, padding=padding, groups=groups, bias=False
        )
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the normalised convolution of `inputs` `(image, channel, y, x)`."""
        return cast("torch.Tensor", self.bn(self.conv(inputs)))

    def scaled(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the kernel `(output, input, y, x)` and bias `(output,)` that both amount to in eval mode, in float64.

        Raises:
            ValueError: If the normalisation has no running statistics.
        """
        scale, shift = affine(self.bn)
        kernel = self.conv.weight.double()
        return kernel * scale[:, None, None, None], shift


class SqueezeExcitation(nn.Module):
    """Channels weighted by a gate between 0 and 1 that depends on their means over the grid (arXiv:1709.01507).

    Args:
        channels: Channels of input and output.
        ratio: How many times fewer channels the hidden layer has.
    """

    def __init__(self, channels: int, *, ratio: int) -> None:
        super().__init__()
        hidden = max(1, channels // ratio)
        self.down = nn.Conv2d(channels, hidden, 1)
        self.relu = nn.ReLU()
        self.up = nn.Conv2d(hidden, channels, 1)
        self.gate = nn.Sigmoid()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return `inputs` `(image, channel, y, x)` times the gates `(image, channel, 1, 1)`."""
        means = inputs.mean((2, 3), keepdim=True)
        return inputs * cast("torch.Tensor", self.gate(self.up(self.relu(self.down(means)))))


class RepVGGBlock(nn.Module):
    """What both forms of a block have in common: whatever comes after the sum of the branches.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        stride: 2 halves the resolution, 1 keeps it.
        groups: Groups of the convolutions.
        se: Ratio of a squeeze-and-excitation before the ReLU; 0 for none.
        post_se: Ratio of one after the ReLU; 0 for none.

    Attributes:
        checkpointing: Whether, in training mode, the backward pass computes the block again to save memory. Forward
            hooks on parts of the block then see two runs.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, stride: int, groups: int = 1, se: int = 0, post_se: int = 0
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.checkpointing = False
        self.se_ratio = se
        self.post_se_ratio = post_se
        self._add_convolutions(in_channels, out_channels, stride=stride, groups=groups)
        if se:
            self.se = SqueezeExcitation(out_channels, ratio=se)
        self.nonlinearity = nn.ReLU()
        if post_se:
            self.post_se = SqueezeExcitation(out_channels, ratio=post_se)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the block's output `(image, channel, y, x)`."""
        if self.checkpointing and self.training and torch.is_grad_enabled():
            return recomputed(self._output, inputs, of=self)
        return self._output(inputs)

    @abstractmethod
    def equivalent_kernel_bias(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the one kernel `(output, input, 3, 3)` and bias `(output,)` that equal the block's branches.

        Differentiable; for penalties, for pruning and quantisation, or to look at.
        """

    @abstractmethod
    def custom_l2(self) -> torch.Tensor:
        """Return the squared norm, a scalar, of the kernel that the block amounts to, for weight decay."""

    @abstractmethod
    def _add_convolutions(self, in_channels: int, out_channels: int, *, stride: int, groups: int) -> None:
        """Register the convolutions."""

    @abstractmethod
    def _summed(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the values before squeeze-and-excitation and ReLU."""

    def _output(self, inputs: torch.Tensor) -> torch.Tensor:
        features = self._summed(inputs)
        if self.se_ratio:
            features = self.se(features)
        features = self.nonlinearity(features)
        return cast("torch.Tensor", self.post_se(features)) if self.post_se_ratio else features


class TrainingBlock(RepVGGBlock):
    """A block in training form: ReLU of the sum of a 3×3, a 1×1 and, where shapes allow it, an identity branch.

    Where the block changes the width or the resolution there is no `rbr_identity`.
    """

    def _add_convolutions(self, in_channels: int, out_channels: int, *, stride: int, groups: int) -> None:
        self.rbr_dense = ConvolutionAndNorm(in_channels, out_channels, kernel_size=3, stride=stride, groups=groups)
        self.rbr_1x1 = ConvolutionAndNorm(in_channels, out_channels, kernel_size=1, stride=stride, groups=groups)
        self.has_identity = in_channels == out_channels and stride == 1
        if self.has_identity:
            self.rbr_identity = nn.BatchNorm2d(out_channels)
        self.rbr_sum = BranchSum()

    def _summed(self, inputs: torch.Tensor) -> torch.Tensor:
        branches = [self.rbr_dense(inputs), self.rbr_1x1(inputs)]
        if self.has_identity:
            branches.append(self.rbr_identity(inputs))
        return cast("torch.Tensor", self.rbr_sum(*branches))

    def equivalent_kernel_bias(self) -> tuple[torch.Tensor, torch.Tensor]:
        r"""Return the one kernel `(output, input, 3, 3)` and bias `(output,)` that equal the branches in eval mode.

        There a batch normalisation is affine, and so is each branch; their sum is one convolution with
        $W = \sum_b \frac{\gamma_b}{\sigma_b} W_b$ and $\beta = \sum_b \beta_b - \frac{\gamma_b \mu_b}{\sigma_b}$, where
        the 1×1 kernel and the identity stand at the centre tap (section 3.3 of arXiv:2101.03697). Differentiable. The
        sums are taken in float64 and then rounded once to the dtype of the kernels.

        Raises:
            ValueError: If a normalisation has no running statistics.
        """
        dtype = self.rbr_dense.conv.weight.dtype
        kernels, biases = zip(*self._branches(), strict=True)
        kernel, bias = reduce(torch.add, kernels), reduce(torch.add, biases)
        return kernel.to(dtype), bias.to(dtype)

    def custom_l2(self) -> torch.Tensor:
        r"""Return what the authors' weight decay penalises instead of the 3×3 and 1×1 kernels, a scalar.

        Off the centre it is $\sum W_3^2$; at the centre, where both kernels meet, it is
        $\sum (t_3 W_3 + t_1 W_1)^2 / (t_3^2 + t_1^2)$ with $t_b = \gamma_b / \sigma_b$ taken as constants. A channel
        with both $t_b = 0$ adds nothing at the centre.
        """
        dense, point = self.rbr_dense.conv.weight, self.rbr_1x1.conv.weight
        scale, _ = affine(self.rbr_dense.bn)
        other_scale, _ = affine(self.rbr_1x1.bn)
        scale, other_scale = scale.detach().to(dense.dtype), other_scale.detach().to(dense.dtype)
        norm = torch.hypot(scale, other_scale)
        norm = torch.where(norm > 0, norm, torch.ones_like(norm))
        centre, other_centre = dense[:, :, 1, 1], point[:, :, 0, 0]
        together = centre * (scale / norm)[:, None] + other_centre * (other_scale / norm)[:, None]
        return dense.square().sum() - centre.square().sum() + together.square().sum()

    def _branches(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield each branch as a 3×3 kernel `(output, input, y, x)` and a bias `(output,)`, both in float64."""
        yield self.rbr_dense.scaled()
        kernel, shift = self.rbr_1x1.scaled()
        yield centred(kernel), shift
        if self.has_identity:
            scale, shift = affine(self.rbr_identity)
            yield identity_kernel(scale, self.rbr_dense.conv.groups), shift


class DeployBlock(RepVGGBlock):
    """A block in deploy form: ReLU of the one 3×3 convolution that equals the sum of the branches."""

    def _add_convolutions(self, in_channels: int, out_channels: int, *, stride: int, groups: int) -> None:
        self.rbr_reparam = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, groups=groups)

    def _summed(self, inputs: torch.Tensor) -> torch.Tensor:
        return cast("torch.Tensor", self.rbr_reparam(inputs))

    def equivalent_kernel_bias(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the kernel `(output, input, 3, 3)` and the bias `(output,)` of the convolution."""
        return self.rbr_reparam.weight, cast("torch.Tensor", self.rbr_reparam.bias)

    def custom_l2(self) -> torch.Tensor:
        """Return the squared norm of the kernel, a scalar: without branches there is nothing to correct."""
        return self.rbr_reparam.weight.square().sum()


class RepVGG(nn.Module):
    """RepVGG, with its layers under the names of the official state dicts.

    Five stages, each of which halves the resolution, then the mean over the grid and one linear layer. It takes
    images of any size.

    Args:
        variant: Row of the table: depth, width, groups and squeeze-and-excitation of the stages.
        num_classes: Number of logits; 0 for none: then it returns what the linear layer would be given.
        block: Kind of block, and with it the form of the network.
        in_channels: Channels of the images.
        checkpointing: Whether training saves memory by computing every block again in the backward pass.

    Example:
        >>> from interpretkit_repvgg.variants import VARIANTS
        >>> with torch.device("meta"):
        ...     network = RepVGG(VARIANTS["B0"], num_classes=10, block=DeployBlock)
        ...     network(torch.zeros(1, 3, 97, 181)).shape
        torch.Size([1, 10])
    """

    def __init__(
        self,
        variant: Variant,
        *,
        num_classes: int,
        block: type[RepVGGBlock] = TrainingBlock,
        in_channels: int = 3,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.variant = variant
        self.stage0 = first_block(variant, block, in_channels)
        self.stage1 = nn.Sequential(*stage_blocks(variant, 1, block))
        self.stage2 = nn.Sequential(*stage_blocks(variant, 2, block))
        self.stage3 = nn.Sequential(*stage_blocks(variant, 3, block))
        self.stage4 = nn.Sequential(*stage_blocks(variant, 4, block))
        self.gap = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(variant.widths[-1], num_classes) if num_classes else nn.Identity()
        set_checkpointing(self, checkpointing)

    @property
    def last_blocks(self) -> dict[str, str]:
        """The path of the last block of each stage, by stage; stage0 is a block itself and stays out."""
        stages = ("stage1", "stage2", "stage3", "stage4")
        counts = zip(stages, self.variant.blocks, strict=True)
        return {stage: f"{stage}.{count - 1}" for stage, count in counts}

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits `(image, class)`, or an embedding `(image, channel)`, of images `(image, channel, y, x)`."""
        features = images
        for stage in (self.stage0, self.stage1, self.stage2, self.stage3, self.stage4):
            features = stage(features)
        return cast("torch.Tensor", self.linear(self.gap(features).flatten(1)))


def first_block(variant: Variant, block: type[RepVGGBlock], in_channels: int) -> RepVGGBlock:
    """Return stage0, which is one block."""
    return block(in_channels, variant.widths[0], stride=2, se=variant.se, post_se=variant.post_se)


def stage_blocks(variant: Variant, number: int, block: type[RepVGGBlock]) -> list[RepVGGBlock]:
    """Return the blocks of stage1 … stage4; the first of them halves the resolution."""
    before, width = variant.widths[number - 1 : number + 1]
    index = 1 + sum(variant.blocks[: number - 1])
    return [
        block(
            width if position else before,
            width,
            stride=1 if position else 2,
            groups=variant.groups_of(index + position),
            se=variant.se,
            post_se=variant.post_se,
        )
        for position in range(variant.blocks[number - 1])
    ]


def set_checkpointing(network: nn.Module, checkpointing: bool) -> None:  # noqa: FBT001 - it is the value itself
    """Switch gradient checkpointing of every block of `network` on or off."""
    for part in network.modules():
        if isinstance(part, RepVGGBlock):
            part.checkpointing = checkpointing
