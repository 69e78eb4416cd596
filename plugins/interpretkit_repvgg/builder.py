"""The builder that recipes name as `repvgg`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from interpretkit import Headed, Model, ModelBuilder, Preprocessing, WeightsError
from interpretkit_repvgg.variants import VARIANTS, Form, Variant, VariantName, custom

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from interpretkit import Output
    from interpretkit_repvgg.checkpoints import Checkpoint
    from interpretkit_repvgg.network import RepVGG
    from interpretkit_repvgg.plus import RepVGGPlus

_IMAGENET_CLASSES = 1000

_FourSizes = Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=4, max_length=4)]


class RepVGGBuilder(ModelBuilder):
    """RepVGG in training form, with all branches, or in deploy form, with one convolution per block.

    `stage1` … `stage4` are short names for the output of the last block of each stage, `stage0.pre` … `stage4.pre` for
    the sum before its ReLU, with its sign, in either form. In training form the branches of a block are `rbr_dense`,
    `rbr_1x1` and `rbr_identity`, and their sum is `rbr_sum`; in deploy form that sum is `rbr_reparam`. D2se has
    squeeze-and-excitation `se` between that sum and the ReLU, L2pse (RepVGGplus) has it as `post_se` after the ReLU.

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
    citations = {"ding2021repvgg": ""}

    class Options(Headed, ModelBuilder.Options):
        """Which RepVGG."""

        variant: VariantName | Literal["custom"] = "B0"
        """Depth and width, by the name in the paper; L2pse is RepVGGplus; `custom` takes `depths` and `widths`."""

        form: Form = "train"
        """`train` keeps the branches of every block; `deploy` fuses them into one convolution, the same function."""

        num_classes: int = Field(default=_IMAGENET_CLASSES, ge=0)
        """Number of classes that the linear layer tells apart; 1000 are taken to be those of ImageNet. 0 takes it away:
        the network returns an embedding."""

        in_channels: int = Field(default=3, ge=1)
        """Channels of the images: 3 for colour, 1 for grey; images of other numbers are given as tensors."""

        depths: _FourSizes | None = None
        """Number of blocks of stage1 … stage4 of the variant `custom`."""

        widths: _FourSizes | None = None
        """Channels of stage1 … stage4 of the variant `custom`; stage0 has as many as stage1, and at most 64."""

        @model_validator(mode="after")
        def _custom_is_complete(self) -> Self:
            given = (self.depths is not None, self.widths is not None)
            if given != (self.variant == "custom",) * 2:
                raise ValueError("the variant `custom` takes depths and widths, and no other variant takes them")
            return self

    options: Options

    def build(self, state: Mapping[str, torch.Tensor] | None) -> Model:
        """Build the model in eval mode and load `state` into it; without one its weights stay as initialised.

        The checkpoint may have either form, names of the authors, of timm or of MMPretrain, and any prefix that all
        names share. The same random seed gives the same function in both forms.

        Raises:
            WeightsError: If `state` is no RepVGG, has another shape, or lacks the branches of the training form.
        """
        network = self._network(state)
        return Model(
            module=network,
            name=self._title,
            preprocessing=_preprocessing(network.variant, self.options.in_channels),
            outputs=self._outputs(network),
            aliases=aliases_of(network.last_blocks, self.options.form),
            notes=("reparameterized",) if self.options.form == "deploy" else (),
        )

    def convert(self, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return a checkpoint of either form in deploy form, under official names, in the dtype of its first kernel.

        Variant, classes and channels are those of the checkpoint where the options do not give them.

        Raises:
            WeightsError: If `state` is no RepVGG, or does not fit the options.
        """
        import torch

        from interpretkit_repvgg.checkpoints import read_checkpoint
        from interpretkit_repvgg.reparameterize import reparameterize

        checkpoint = read_checkpoint(state)
        given = self.options.model_fields_set
        variant = self._variant if "variant" in given else checkpoint.variant
        if variant is None:
            raise WeightsError(
                f"{checkpoint}: its depths and widths cannot be read from its shapes", hint="set variant"
            )
        classes = self.options.num_classes if "num_classes" in given else checkpoint.classes
        channels = self.options.in_channels if "in_channels" in given else checkpoint.in_channels
        # What is initialised here is overwritten; the caller's random numbers stay as they are.
        with torch.random.fork_rng(devices=[]):
            network = _loaded(
                checkpoint,
                variant,
                name=f"RepVGG of {variant}",
                num_classes=classes or 0,
                in_channels=channels or 3,
                dtype=torch.float64,
            )
        deployed = reparameterize(network) if checkpoint.form == "train" else network
        return deployed.to(checkpoint.dtype).state_dict()

    def _outputs(self, network: RepVGG | RepVGGPlus) -> dict[str, Output]:
        """Return how the network is read; heads that serve training are read at their layers, which run in any mode."""
        count = self.options.num_classes
        known = _imagenet_classes() if count == _IMAGENET_CLASSES else ()
        if count == 0:
            return {"embedding": self.options.output_of(count)}
        outputs = {"main": self.options.output_of(count, known=known, key="main")}
        for head in getattr(network, "heads", ()):
            outputs[head] = self.options.output_of(count, known=known, layer=head)
        return outputs

    @property
    def _variant(self) -> Variant:
        options = self.options
        if options.variant == "custom":
            return custom(options.depths or (), options.widths or ())
        return VARIANTS[options.variant]

    @property
    def _title(self) -> str:
        return f"{'RepVGGplus' if self._variant.post_se else 'RepVGG'}-{self.options.variant}"

    def _network(self, state: Mapping[str, torch.Tensor] | None) -> RepVGG | RepVGGPlus:
        from interpretkit_repvgg.checkpoints import read_checkpoint
        from interpretkit_repvgg.reparameterize import reparameterize

        checkpoint = None if state is None else read_checkpoint(state)
        fused = checkpoint is not None and checkpoint.form == "deploy"
        if fused and self.options.form == "train":
            raise WeightsError(
                f"{checkpoint} has been re-parameterised: the branches of {self._title} no longer exist in it",
                hint="set form: deploy, or give the training-form weights",
            )
        network = _loaded(
            checkpoint,
            self._variant,
            name=self._title,
            num_classes=self.options.num_classes,
            in_channels=self.options.in_channels,
        )
        return reparameterize(network) if self.options.form == "deploy" and not fused else network


def _loaded(
    checkpoint: Checkpoint | None,
    variant: Variant,
    *,
    name: str,
    num_classes: int,
    in_channels: int,
    dtype: torch.dtype | None = None,
) -> RepVGG | RepVGGPlus:
    """Return the network in the form and with the weights of a checkpoint, in eval mode."""
    from interpretkit_repvgg.checkpoints import load_checkpoint
    from interpretkit_repvgg.network import DeployBlock, RepVGG, TrainingBlock
    from interpretkit_repvgg.plus import RepVGGPlus

    kind = RepVGGPlus if variant.post_se else RepVGG
    block = DeployBlock if checkpoint is not None and checkpoint.form == "deploy" else TrainingBlock
    network = kind(variant, num_classes=num_classes, block=block, in_channels=in_channels).to(dtype).eval()
    if checkpoint is not None:
        load_checkpoint(network, checkpoint, name=name)
    return network


def aliases_of(last_blocks: Mapping[str, str], form: Form) -> dict[str, str]:
    """Return the short names of the stages' outputs, and of the sums before them, for paths of modules."""
    part = "rbr_sum" if form == "train" else "rbr_reparam"
    blocks = {"stage0": "stage0", **last_blocks}
    return {**last_blocks, **{f"{stage}.pre": f"{block}.{part}" for stage, block in blocks.items()}}


def _preprocessing(variant: Variant, in_channels: int) -> Preprocessing:
    usual = Preprocessing(resize=variant.resize, crop=variant.crop)
    # Grey images: the averages over the three channels of ImageNet.
    return replace(usual, mean=(0.449,), std=(0.226,)) if in_channels == 1 else usual


def _imagenet_classes() -> tuple[str, ...]:
    from torchvision.models import ResNet50_Weights

    return tuple(ResNet50_Weights.IMAGENET1K_V1.meta["categories"])
