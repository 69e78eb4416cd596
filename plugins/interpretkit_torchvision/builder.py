"""The builder that recipes name as `torchvision`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pydantic import Field

from interpretkit import (
    Model,
    ModelBuilder,
    Published,
    RecipeError,
    Vector,
    did_you_mean,
    load_state,
)
from interpretkit_torchvision.heads import MARK, drop_heads
from interpretkit_torchvision.stages import aliases_of, class_token_of, layouts_of
from interpretkit_torchvision.tasks import (
    OF_CLASSES,
    Tasks,
    backbone_aliases,
    output_of,
    preprocessing_of,
    settings_of,
    task_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from torch import nn

    from interpretkit import Output
    from interpretkit_torchvision.tasks import Task

# Published checkpoints of DenseNet and of Vision Transformers have the names of torchvision's first versions.
_RENAMED = (
    (re.compile(r"(.*denselayer\d+\.(?:norm|conv))\.([12]\..*)"), r"\1\2"),
    (re.compile(r"(.*encoder_layer_\d+\.mlp)\.linear_1\.(.*)"), r"\1.0.\2"),
    (re.compile(r"(.*encoder_layer_\d+\.mlp)\.linear_2\.(.*)"), r"\1.3.\2"),
)


class TorchvisionBuilder(ModelBuilder):
    """Any classifier of torchvision, of images and of clips, and its networks for segmentation and detection.

    Preprocessing and class names are those of the best weights that torchvision publishes for it, which
    `weights: DEFAULT` downloads and `weights: {path: FILE}` reads from a file; `preprocessing` names others.
    `stage1`, `stage2`, … are the ends of its stages (of its blocks, in a Vision
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

    class Options(Tasks, ModelBuilder.Options):
        """Which network."""

        name: str
        """Its name in torchvision, such as resnet50, vit_b_16, deeplabv3_resnet50, fasterrcnn_resnet50_fpn."""

        num_classes: int | None = Field(default=None, ge=0)
        """Number of classes; by default those of the published weights, with their names. 0 takes the head away: the
        network returns an embedding."""

        preprocessing: str = "DEFAULT"
        """Whose size of images, preprocessing and class names: the name of published weights, such as IMAGENET1K_V1."""

    options: Options

    def build(self, state: Mapping[str, torch.Tensor] | None) -> Model:
        """Build the model in eval mode and load `state` into it; without one its weights stay as initialised.

        Raises:
            RecipeError: If torchvision has no network, or no weights, of this name, or an option is not for it.
            WeightsError: If `state` does not fit.
        """
        from torchvision import models

        name, classes = self.options.name, self.options.num_classes
        task = task_of(name)
        chosen = _weights(name, self.options.preprocessing)
        categories = tuple(chosen.meta["categories"])
        count = len(categories) if classes is None else classes
        settings = settings_of(task, name, self.options, state) or _settings(name, chosen.transforms())
        network = models.get_model(name, weights=None, num_classes=count or MARK, **settings).eval()
        heads = () if count else drop_heads(network)
        if state is not None:
            load_state(network, {_current(key): tensor for key, tensor in state.items()}, without=heads)
        return Model(
            module=network,
            name=name,
            preprocessing=preprocessing_of(task, chosen.transforms(), frames=self.options.frames),
            outputs=_outputs(network, output_of(task, self.options, count, categories)),
            aliases=aliases_of(network) if task in OF_CLASSES else backbone_aliases(network),
            layouts=layouts_of(network),
        )

    def published(self, name: str) -> Published:
        """Return the file of torchvision's weights `name`: DEFAULT, or a name such as IMAGENET1K_V1.

        Raises:
            RecipeError: If there are no such weights, or they need another preprocessing than the option names.
        """
        wanted, chosen = (_weights(self.options.name, each) for each in (name, self.options.preprocessing))
        task = task_of(self.options.name)
        made = [_fed(task, each, frames=self.options.frames) for each in (wanted, chosen)]
        if made[0] != made[1]:
            raise RecipeError(
                f"the weights {name} of {self.options.name} are not made for the preprocessing of {chosen.name}",
                hint=f"add `preprocessing: {name}` under `with:`",
            )
        digits = re.search(r"-([0-9a-f]{8,64})\.\w+$", wanted.url)
        return Published(url=wanted.url, sha256=digits[1] if digits else "")


def _fed(task: Task, weights: Any, *, frames: int) -> tuple[str, list[str]]:
    """Return what weights are fed, in words, and the names of their classes."""
    # torchvision's transforms of clips are equal to themselves alone.
    return repr(preprocessing_of(task, weights.transforms(), frames=frames)), weights.meta["categories"]


def _outputs(network: nn.Module, classes: Output) -> dict[str, Output]:
    """Return how the network is read: its classes, and its class token if the head reads one."""
    if isinstance(classes, Vector):
        return {"embedding": classes}
    outputs = {"classes": classes}
    if token := class_token_of(network):
        outputs["class_token"] = Vector(name="class token", layer=token, token=0)
    return outputs


def _weights(model: str, name: str) -> Any:
    """Return the weights, as torchvision describes them, that it publishes for a network under a name."""
    from torchvision import models

    task_of(model)
    # Those without categories are of a part of the network.
    members = {
        key: each for key, each in models.get_model_weights(model).__members__.items() if each.meta["categories"]
    }
    if name not in members:
        hint = did_you_mean(name, members, otherwise=f"there are {', '.join(members)}")
        raise RecipeError(f"torchvision publishes no weights {name!r} for {model}", hint=hint, subject=name)
    return members[name]


def _current(key: str) -> str:
    """Return the name that a tensor of a published checkpoint has today."""
    for old, new in _RENAMED:
        key = old.sub(new, key)
    return key


def _settings(name: str, transform: Any) -> dict[str, Any]:
    """Return what a family must be told so that the published weights and their preprocessing fit it."""
    if name.startswith("vit_"):
        return {"image_size": transform.crop_size[0]}
    if name in ("googlenet", "inception_v3"):
        return {"transform_input": True, "aux_logits": True, "init_weights": True}
    return {}
