"""The builder that recipes name as `timm`."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from interpretkit import (
    EightBit,
    Headed,
    Model,
    ModelBuilder,
    PluginError,
    Preprocessing,
    RecipeError,
    Vector,
    WeightsError,
    did_you_mean,
    load_state,
    without_prefix,
)
from interpretkit_timm.features import aliases_of, class_token_of, layouts_of
from interpretkit_timm.names import under_timm_names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import torch
    from PIL.Image import Image
    from torch import nn

    from interpretkit import Output

_IMAGENET_CLASSES = 1000
_RGB = 3


class TimmBuilder(ModelBuilder):
    """Any classifier of timm (`pip install interpretkit[timm]`).

    Preprocessing is timm's. `stage1`, `stage2`, … are the layers of timm's `feature_info`, `last_conv` the layer for
    Grad-CAM. Weights from the hub are those of the repository `timm/NAME.TAG`. `tf_efficientnet_…` also takes weights
    under the names of EfficientNet-PyTorch, such as those of the extra `photo`.
    """

    name = "timm"
    citations = {"wightman2019timm": ""}

    class Options(Headed, ModelBuilder.Options):
        """Which classifier."""

        name: str
        """Its name in timm, with or without a tag: resnet50, resnet50.a1_in1k, deit_tiny_patch16_224."""

        num_classes: int | None = Field(default=None, ge=0)
        """Number of classes; by default timm's. 0 takes the head away: the network returns an embedding."""

        form: Literal["train", "deploy"] = "train"
        """Of networks whose branches can be fused, such as MobileOne, FastViT, RepViT and RepGhost: `deploy` fuses them
        as timm does, for the same function, and takes weights of either form."""

        in_channels: int = Field(default=_RGB, ge=1)
        """Channels of its input. 1 turns images into grey ones; other numbers than 1 and 3 need tensors."""

    options: Options

    def build(self, state: Mapping[str, torch.Tensor] | None) -> Model:
        """Build the model in eval mode and load `state` into it; without one its weights stay as initialised.

        Raises:
            PluginError: If timm is not installed.
            RecipeError: If timm has no such model.
            WeightsError: If `state` does not fit.
        """
        timm = _timm()
        name, channels = self.options.name, self.options.in_channels
        _check_name(timm, name)
        classes = {} if self.options.num_classes is None else {"num_classes": self.options.num_classes}
        network = timm.create_model(name, pretrained=False, in_chans=channels, **classes).eval()
        deployed = self.options.form == "deploy"
        if deployed:
            network = _deployed(network, state, name)
        elif state is not None:
            _load(network, state, name)
        return Model(
            module=network,
            name=name,
            preprocessing=_preprocessing(timm, network, channels),
            outputs=_outputs(network, self.options),
            aliases=aliases_of(network),
            layouts=layouts_of(network),
            notes=("reparameterized",) if deployed else (),
        )


def _load(network: nn.Module, state: Mapping[str, torch.Tensor], name: str) -> None:
    """Load weights of the training form; those of a head that the network does not have are left out."""
    try:
        load_state(network, _current(_timm(), name, network, state), without=_dropped(network, name))
    except WeightsError as error:
        if not _is_fused(state, network):
            raise
        what = f"the weights are fused, and {name} is built with its branches"
        raise WeightsError(what, where=error.where, hint="set form: deploy") from error


def _deployed(network: nn.Module, state: Mapping[str, torch.Tensor] | None, name: str) -> nn.Module:
    """Return the network with its branches fused, and weights that are fused already or are fused then.

    Raises:
        RecipeError: If it has no branches.
        WeightsError: If the weights do not fit.
    """
    fused = _fused(network)
    if fused.state_dict().keys() == network.state_dict().keys():
        raise RecipeError(f"{name} has no branches to be fused", hint="leave form out", subject="deploy")
    if state is not None and _is_fused(state, network):
        load_state(fused, without_prefix(state, fused.state_dict().__contains__))
        return fused
    if state is not None:
        _load(network, state, name)
    return _fused(network)


def _fused(network: nn.Module) -> nn.Module:
    from timm.utils.model import reparameterize_model

    fused: nn.Module = reparameterize_model(network)
    return fused


def _is_fused(state: Mapping[str, torch.Tensor], network: nn.Module) -> bool:
    """Whether more tensors have names of the network fused than of the network with its branches."""
    names = network.state_dict(), _fused(network).state_dict()
    here, fused = (len(without_prefix(state, each.__contains__).keys() & each.keys()) for each in names)
    return fused > here


def _dropped(network: nn.Module, name: str) -> set[str]:
    """Return the names of the tensors of a head that the network does not have, though networks of its name do."""
    import torch

    if _classes(network):
        return set()
    with torch.device("meta"):
        whole: nn.Module = _timm().create_model(name)
    return whole.state_dict().keys() - network.state_dict().keys()


def _classes(network: nn.Module) -> int:
    count: int = getattr(network, "num_classes")  # noqa: B009 - of a type that torch does not declare
    return count


def _outputs(network: nn.Module, options: Headed) -> dict[str, Output]:
    """Return how the network is read: its classes, and its class token if the head reads one."""
    count = _classes(network)
    if count == 0:
        return {"embedding": options.output_of(count)}
    known = _imagenet_classes() if count == _IMAGENET_CLASSES else ()
    outputs: dict[str, Output] = {"classes": options.output_of(count, known=known)}
    if token := class_token_of(network):
        outputs["class_token"] = Vector(name="class token", layer=token, token=0)
    return outputs


def _timm() -> Any:
    try:
        import timm
    except ImportError as error:
        hint = "pip install interpretkit[timm]"
        raise PluginError(f"the model 'timm' needs the package timm: {error}", hint=hint) from error
    return timm


def _check_name(timm: Any, name: str) -> None:
    known = timm.list_pretrained() if "." in name else timm.list_models()
    if name not in known:
        hint = did_you_mean(name, known, otherwise="https://huggingface.co/timm has a page for each")
        raise RecipeError(f"timm has no model {name!r}", hint=hint, subject=name)


def _current(timm: Any, name: str, network: nn.Module, state: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
    """Return the weights under today's names: timm's modules translate older and original checkpoints themselves."""
    state = under_timm_names(state, network, name)
    state = without_prefix(state, network.state_dict().__contains__)
    home = sys.modules[timm.model_entrypoint(name).__module__]
    translate = getattr(home, "checkpoint_filter_fn", None)
    if translate is None or state.keys() == network.state_dict().keys():
        return state
    try:
        translated: Mapping[str, torch.Tensor] = translate(dict(state), network)
    except Exception:  # noqa: BLE001 - of a checkpoint of something else it may raise anything; load_state says more
        return state
    return translated


def _preprocessing(timm: Any, network: nn.Module, channels: int) -> Callable[[Image], torch.Tensor]:
    """Return timm's preprocessing as data, or its own transform where it does more than resize and crop."""
    config = timm.data.resolve_model_data_config(network)
    _, height, width = config["input_size"]
    mean, std = config["mean"], config["std"]
    if channels != len(mean):
        mean, std = (sum(mean) / len(mean),) * channels, (sum(std) / len(std),) * channels
    interpolation = config["interpolation"]
    if height != width or config["crop_mode"] != "center" or interpolation not in ("nearest", "bilinear", "bicubic"):
        return EightBit(timm.data.create_transform(**config))
    return Preprocessing(
        resize=math.floor(height / config["crop_pct"]),
        crop=height,
        mean=tuple(mean),
        std=tuple(std),
        interpolation=interpolation,
    )


def _imagenet_classes() -> tuple[str, ...]:
    from torchvision.models import ResNet50_Weights

    return tuple(ResNet50_Weights.IMAGENET1K_V1.meta["categories"])
