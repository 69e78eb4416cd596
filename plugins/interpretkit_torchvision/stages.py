"""Where the stages of torchvision's families end, and how their layers lay out what they return."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from interpretkit import Layout

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import nn

_FOUR = range(1, 5)
_STAGES = {
    "ConvNeXt": [f"features.{2 * k - 1}" for k in _FOUR],
    "DenseNet": [f"features.denseblock{k}" for k in _FOUR],
    "GoogLeNet": ["conv3", "inception3b", "inception4e", "inception5b"],
    "Inception3": ["Conv2d_4a_3x3", "Mixed_5d", "Mixed_6e", "Mixed_7c"],
    "MaxVit": [f"blocks.{k - 1}" for k in _FOUR],
    "RegNet": [f"trunk_output.block{k}" for k in _FOUR],
    "ResNet": [f"layer{k}" for k in _FOUR],
    "S3D": ["features.0", "features.3", "features.6", "features.12", "features.15"],
    "VideoResNet": [f"layer{k}" for k in _FOUR],
}
# ShuffleNet's own layers are called stage2 to stage4: other stages of these names would only confuse.
_LAST = {"DenseNet": "features.norm5", "ShuffleNetV2": "conv5", "SwinTransformer": "norm", "SwinTransformer3d": "norm"}


_SWIN = ("SwinTransformer", "SwinTransformer3d")


def aliases_of(network: nn.Module) -> dict[str, str]:
    """Return `stage1`, `stage2`, … and `last_conv` as far as the network's family has them.

    `last_conv` is the last layer with a grid of which every cell has a way to the logits. In a Vision Transformer that
    is the input of the last attention: after it only the class token is read.
    """
    family = type(network).__name__
    stages = _STAGES.get(family) or list(_stages(network))
    last = _LAST.get(family) or (stages[-1] if stages else "")
    if family == "VisionTransformer":
        last = f"{stages[-1]}.ln_1"
    named = {f"stage{number}": path for number, path in enumerate(stages, start=1)}
    return named | ({"last_conv": last} if last else {})


def layouts_of(network: nn.Module) -> dict[str, Layout]:
    """Return the layouts of a Vision Transformer's tokens or a Swin Transformer's maps."""
    family = type(network).__name__
    if family == "VisionTransformer":
        side: Any = network.patch_size
        tokens = Layout(kind="tokens", patch=(side, side), prefix=1)
        return {"encoder": tokens, "encoder.**": tokens}
    if family in _SWIN:
        last = Layout(kind="channels_last")
        return {"features": last, "features.**": last, "norm": last}
    return {}


def class_token_of(network: nn.Module) -> str:
    """Return the last block of a Vision Transformer, whose first token its head reads; else nothing."""
    return list(_stages(network))[-1] if type(network).__name__ == "VisionTransformer" else ""


def _stages(network: nn.Module) -> Iterator[str]:
    family = type(network).__name__
    if family in _SWIN:
        # Between any two stages stands a merging of patches.
        yield from (f"features.{k}" for k in range(1, len(list(network.get_submodule("features").children())), 2))
    elif family == "VisionTransformer":
        yield from (f"encoder.layers.{name}" for name, _ in network.get_submodule("encoder.layers").named_children())
    elif family in ("AlexNet", "SqueezeNet", "VGG"):
        yield from _before_pooling(list(network.get_submodule("features").children()), "features")
    elif family in ("EfficientNet", "MNASNet", "MobileNetV2", "MobileNetV3"):
        home = "layers" if family == "MNASNet" else "features"
        # The first ends at half the image's resolution: it is the stem's.
        yield from list(_before_strides(list(network.get_submodule(home).children()), home))[1:]


def _before_pooling(layers: Sequence[nn.Module], home: str) -> Iterator[str]:
    from torch import nn

    pools = [position for position, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d)]
    yield from (f"{home}.{position - 1}" for position in pools)
    if pools[-1] != len(layers) - 1:
        yield f"{home}.{len(layers) - 1}"


def _before_strides(layers: Sequence[nn.Module], home: str) -> Iterator[str]:
    """Yield the last layer of each resolution."""
    from torch import nn

    for position, layer in enumerate(layers[1:]):
        if any(isinstance(part, nn.Conv2d) and max(part.stride) > 1 for part in layer.modules()):
            yield f"{home}.{position}"
    yield f"{home}.{len(layers) - 1}"
