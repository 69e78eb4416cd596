"""The builder that recipes name as `torchvision`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pydantic import Field

from interpretkit import Model, ModelBuilder, Preprocessing, RecipeError, did_you_mean, load_state
from interpretkit_torchvision.stages import aliases_of, layouts_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

# Published checkpoints of DenseNet and of Vision Transformers have the names of torchvision's first versions.
_RENAMED = (
    (re.compile(r"(.*denselayer\d+\.(?:norm|conv))\.([12]\..*)"), r"\1\2"),
    (re.compile(r"(.*encoder_layer_\d+\.mlp)\.linear_1\.(.*)"), r"\1.0.\2"),
    (re.compile(r"(.*encoder_layer_\d+\.mlp)\.linear_2\.(.*)"), r"\1.3.\2"),
)


class TorchvisionBuilder(ModelBuilder):
    """Any classifier of torchvision.

    Preprocessing and class names are those of the best weights that torchvision publishes for it, whose file
    `weights: {path: FILE}` loads as it is. `stage1`, `stage2`, … are the ends of its stages (of its blocks, in a Vision
    Transformer), `last_conv` is the layer for Grad-CAM.

    Example:
        >>> model = TorchvisionBuilder(TorchvisionBuilder.Options(name="resnet18")).build(None)
        >>> print(model.layers("stage*", "fc"))
        layer   kind        output     stride  receptive field  parameters
        stage1  Sequential  64×56×56        4               43     147,968  = layer1
        stage2  Sequential  128×28×28       8               99     525,568  = layer2
        stage3  Sequential  256×14×14      16              211   2,099,712  = layer3
        stage4  Sequential  512×7×7        32              435   8,393,728  = layer4
        fc      Linear      1000            –              all     513,000
    """

    name = "torchvision"

    class Options(ModelBuilder.Options):
        """Which classifier."""

        name: str
        """Its name in torchvision, such as resnet50, vit_b_16, swin_t."""

        num_classes: int | None = Field(default=None, ge=1)
        """Number of classes; by default those of the published weights, with their names."""

    options: Options

    def build(self, state: Mapping[str, torch.Tensor] | None) -> Model:
        """Build the model in eval mode and load `state` into it; without one its weights stay as initialised.

        Raises:
            RecipeError: If torchvision has no classifier of this name.
            WeightsError: If `state` does not fit.
        """
        from torchvision import models

        name, classes = self.options.name, self.options.num_classes
        known = models.list_models(models)
        if name not in known:
            hint = did_you_mean(name, known, otherwise=f"it has {', '.join(known)}")
            raise RecipeError(f"torchvision has no classifier {name!r}", hint=hint)
        published = models.get_model_weights(name).DEFAULT
        transform = published.transforms()
        categories = tuple(published.meta["categories"])
        network = models.get_model(
            name, weights=None, num_classes=classes or len(categories), **_settings(name, transform.crop_size[0])
        ).eval()
        if state is not None:
            load_state(network, {_current(key): tensor for key, tensor in state.items()})
        return Model(
            module=network,
            name=name,
            preprocessing=Preprocessing(
                resize=transform.resize_size[0],
                crop=transform.crop_size[0],
                mean=tuple(transform.mean),
                std=tuple(transform.std),
                interpolation=transform.interpolation.value,
            ),
            classes=categories if classes in (None, len(categories)) else (),
            aliases=aliases_of(network),
            layouts=layouts_of(network),
        )


def _current(key: str) -> str:
    """Return the name that a tensor of a published checkpoint has today."""
    for old, new in _RENAMED:
        key = old.sub(new, key)
    return key


def _settings(name: str, side: int) -> dict[str, Any]:
    """Return what a family must be told so that the published weights and their preprocessing fit it."""
    if name.startswith("vit_"):
        return {"image_size": side}
    if name in ("googlenet", "inception_v3"):
        return {"transform_input": True, "aux_logits": True, "init_weights": True}
    return {}
