"""RepVGGplus: deeper, squeeze-and-excitation after the ReLU, and auxiliary heads that serve training."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from torch import nn

from interpretkit_repvgg.network import RepVGGBlock, TrainingBlock, first_block, set_checkpointing, stage_blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from interpretkit_repvgg.variants import Variant

_STAGES = ("stage1", "stage2", "stage3_first", "stage3_second", "stage4")
_WITH_HEAD = ("stage1", "stage2", "stage3_first")


class PlusStage(nn.Module):
    """A stage whose blocks have, in the official state dicts, `blocks` in their names.

    Args:
        blocks: From the first to the last.
    """

    def __init__(self, blocks: Sequence[RepVGGBlock]) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the output of the last block, `(image, channel, y, x)`."""
        return cast("torch.Tensor", self.blocks(inputs))


class RepVGGPlus(nn.Module):
    """RepVGGplus, with its layers under the names of the official state dicts.

    stage3 is split in two halves. In training form three auxiliary heads classify what stage1, stage2 and the first
    half of stage3 return; in deploy form there are none.

    Args:
        variant: Row of the table, with `post_se`.
        num_classes: Number of logits; 0 for none, and no auxiliary heads: then it returns an embedding.
        block: Kind of block, and with it the form of the network.
        in_channels: Channels of the images.
        checkpointing: Whether training saves memory by computing every block again in the backward pass.

    Example:
        >>> import torch
        >>> from interpretkit_repvgg.variants import VARIANTS
        >>> with torch.device("meta"):
        ...     network = RepVGGPlus(VARIANTS["L2pse"], num_classes=10)
        ...     list(network(torch.zeros(2, 3, 64, 64))), network.eval()(torch.zeros(2, 3, 64, 64)).shape
        (['main', 'stage1_aux', 'stage2_aux', 'stage3_first_aux'], torch.Size([2, 10]))
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
        self.heads: tuple[str, ...] = ()
        self.stage0 = first_block(variant, block, in_channels)
        third, half = stage_blocks(variant, 3, block), variant.blocks[2] // 2
        stages = (
            stage_blocks(variant, 1, block),
            stage_blocks(variant, 2, block),
            third[:half],
            third[half:],
            stage_blocks(variant, 4, block),
        )
        widths = (*variant.widths[1:4], *variant.widths[3:])
        for name, blocks, width in zip(_STAGES, stages, widths, strict=True):
            self.add_module(name, PlusStage(blocks))
            if num_classes and name in _WITH_HEAD and issubclass(block, TrainingBlock):
                self.heads += (f"{name}_aux",)
                self.add_module(f"{name}_aux", _head(width, num_classes))
        self.gap = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(widths[-1], num_classes) if num_classes else nn.Identity()
        set_checkpointing(self, checkpointing)

    @property
    def last_blocks(self) -> dict[str, str]:
        """The path of the last block of each stage, by stage; stage0 is a block itself and stays out."""
        first, second, third, fourth = self.variant.blocks
        return {
            "stage1": f"stage1.blocks.{first - 1}",
            "stage2": f"stage2.blocks.{second - 1}",
            "stage3": f"stage3_second.blocks.{third - third // 2 - 1}",
            "stage4": f"stage4.blocks.{fourth - 1}",
        }

    def forward(self, images: torch.Tensor) -> torch.Tensor | dict[str, torch.Tensor]:
        """Return logits `(image, class)` for `images` `(image, channel, y, x)`.

        In training mode, and where there are auxiliary heads, the logits are `main` beside those of the heads. In eval
        mode the heads run as well, so that every layer can be looked at, but nothing depends on them.
        """
        features = self.stage0(images)
        auxiliary = {}
        for name in _STAGES:
            features = self.get_submodule(name)(features)
            if (head := f"{name}_aux") in self.heads:
                auxiliary[head] = self.get_submodule(head)(features)
        logits = cast("torch.Tensor", self.linear(self.gap(features).flatten(1)))
        return {"main": logits, **auxiliary} if auxiliary and self.training else logits

    def drop_heads(self) -> None:
        """Take away the auxiliary heads."""
        for head in self.heads:
            delattr(self, head)
        self.heads = ()


def _head(channels: int, num_classes: int) -> nn.Sequential:
    """Return a 3×3 convolution that halves the resolution, the mean over the grid, and a linear layer."""
    convolution = nn.Sequential()
    convolution.add_module("conv", nn.Conv2d(channels, channels, 3, stride=2, padding=1, bias=False))
    convolution.add_module("bn", nn.BatchNorm2d(channels))
    convolution.add_module("relu", nn.ReLU())
    return nn.Sequential(convolution, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes))
