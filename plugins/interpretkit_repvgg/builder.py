"""The builder that recipes name as `repvgg`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from interpretkit import Model, ModelBuilder, Preprocessing, WeightsError
from interpretkit_repvgg.variants import VARIANTS, Form, VariantName

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from interpretkit_repvgg.network import RepVGG

_IMAGENET_CLASSES = 1000


class RepVGGBuilder(ModelBuilder):
    """RepVGG in training form, with all branches, or in deploy form, with one convolution per block.

    `stage1` … `stage4` are short names for the output of the last block of each stage. In training form the branches
    of a block are `rbr_dense`, `rbr_1x1` and `rbr_identity`, and their sum before the ReLU is `rbr_sum`; in deploy
    form that sum is `rbr_reparam`.

    Example:
        >>> model = RepVGGBuilder(RepVGGBuilder.Options(form="deploy", num_classes=10)).build(None)
        >>> print(model.layers("stage0", "stage?", "linear"))
        layer   kind         output      stride  receptive field  parameters
        stage0  DeployBlock  64×112×112       2                3       1,792
        stage1  DeployBlock  64×56×56         4               31      36,928  = stage1.3
        stage2  DeployBlock  128×28×28        8              119     147,584  = stage2.5
        stage3  DeployBlock  256×14×14       16              615     590,080  = stage3.15
        stage4  DeployBlock  1280×7×7        32              647   2,950,400  = stage4.0
        linear  Linear       10               –              all      12,810
    """

    name = "repvgg"
    citation = "Ding et al., RepVGG: Making VGG-style ConvNets Great Again, CVPR 2021, arXiv:2101.03697"

    class Options(ModelBuilder.Options):
        """Which RepVGG."""

        variant: VariantName = "B0"
        """Depth and width, by the name in the paper."""

        form: Form = "train"
        """`train` keeps the branches of every block; `deploy` fuses them into one convolution, the same function."""

        num_classes: int = Field(default=_IMAGENET_CLASSES, ge=1)
        """Number of classes that the linear layer tells apart; 1000 are taken to be those of ImageNet."""

    options: Options

    def build(self, state: Mapping[str, torch.Tensor] | None) -> Model:
        """Build the model in eval mode and load `state` into it; without one its weights stay as initialised.

        The checkpoint may have either form, official or timm names, and a prefix `module.`. The same random seed gives
        the same function in both forms.

        Raises:
            WeightsError: If `state` is no RepVGG, has another shape, or lacks the branches of the training form.
        """
        variant = VARIANTS[self.options.variant]
        return Model(
            module=self._network(state),
            name=self._title,
            preprocessing=Preprocessing(),
            classes=_imagenet_classes() if self.options.num_classes == _IMAGENET_CLASSES else (),
            aliases=variant.last_blocks,
            notes=("reparameterized",) if self.options.form == "deploy" else (),
        )

    @property
    def _title(self) -> str:
        return f"RepVGG-{self.options.variant}"

    def _network(self, state: Mapping[str, torch.Tensor] | None) -> RepVGG:
        from interpretkit_repvgg.checkpoints import load_checkpoint, read_checkpoint
        from interpretkit_repvgg.network import DeployBlock, RepVGG, TrainingBlock
        from interpretkit_repvgg.reparameterize import reparameterize

        checkpoint = None if state is None else read_checkpoint(state)
        fused = checkpoint is not None and checkpoint.form == "deploy"
        if fused and self.options.form == "train":
            raise WeightsError(
                f"{checkpoint} has been re-parameterised: the branches of {self._title} no longer exist in it",
                hint="set form: deploy, or give the training-form weights",
            )
        block = DeployBlock if fused else TrainingBlock
        network = RepVGG(VARIANTS[self.options.variant], num_classes=self.options.num_classes, block=block).eval()
        if checkpoint is not None:
            load_checkpoint(network, checkpoint, name=self._title)
        return reparameterize(network) if self.options.form == "deploy" and not fused else network


def _imagenet_classes() -> tuple[str, ...]:
    from torchvision.models import ResNet50_Weights

    return tuple(ResNet50_Weights.IMAGENET1K_V1.meta["categories"])
