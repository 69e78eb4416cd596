"""EfficientNets under the names of `EfficientNet-PyTorch`, which other checkpoints of them use, and under timm's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit import WeightsError, without_prefix

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import torch
    from torch import nn

_FIRST = "_conv_stem.weight"
_AROUND_THE_BLOCKS = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_GATE = {"_se_reduce": "se.conv_reduce", "_se_expand": "se.conv_expand"}
_SEPARABLE = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", **_GATE, "_project_conv": "conv_pw", "_bn2": "bn2"}
_INVERTED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    **_GATE,
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_OF_TENSORFLOW = "tf_efficientnet_"
"""What timm's names of the networks begin with that pad and normalise as those of TensorFlow, as that port does."""


def under_timm_names(state: Mapping[str, torch.Tensor], network: nn.Module, name: str) -> Mapping[str, torch.Tensor]:
    """Return the weights of an EfficientNet of the port under timm's names; weights under other names as they are.

    Args:
        state: The tensors by name, with or without a prefix that hides the names.
        network: The network of timm that they are for.
        name: Its name in timm.

    Raises:
        WeightsError: If the network pads otherwise than the one that they come from, so that they would fit and the
            numbers would be others; or if a tensor is there under both names.
    """
    if not any(each.endswith(_FIRST) for each in state) or not hasattr(network, "blocks"):
        return state
    layers = layer_names(network)
    freed = without_prefix(state, lambda each: each.rpartition(".")[0] in layers)
    if not name.startswith(_OF_TENSORFLOW):
        what = f"the weights are of an EfficientNet that pads as TensorFlow does, which {name} does not"
        raise WeightsError(what, hint=f"set name: {_OF_TENSORFLOW}…, as timm calls those", subject=name)
    renamed = {_renamed(each, layers): tensor for each, tensor in freed.items()}
    if len(renamed) < len(freed):
        raise WeightsError("the checkpoint holds the same parameters under the names of two libraries")
    return renamed


def layer_names(network: nn.Module) -> dict[str, str]:
    """Return timm's names of the layers of an EfficientNet, by those of the port.

    The port counts blocks through all stages, and calls alike what has the same part in a block, whether that begins
    with an expansion or not.

    Args:
        network: One of timm's.

    Example:
        >>> import timm
        >>> names = layer_names(timm.create_model("tf_efficientnet_lite0"))
        >>> names["_blocks.0._project_conv"], names["_blocks.3._project_conv"]
        ('blocks.0.0.conv_pw', 'blocks.2.0.conv_pwl')
    """
    names = dict(_AROUND_THE_BLOCKS)
    for number, (path, block) in enumerate(_blocks(network)):
        parts = _INVERTED if hasattr(block, "conv_pwl") else _SEPARABLE
        names |= {f"_blocks.{number}.{theirs}": f"{path}.{ours}" for theirs, ours in parts.items()}
    return names


def _blocks(network: nn.Module) -> Iterable[tuple[str, nn.Module]]:
    for stage, blocks in network.get_submodule("blocks").named_children():
        for number, block in blocks.named_children():
            yield f"blocks.{stage}.{number}", block


def _renamed(name: str, layers: Mapping[str, str]) -> str:
    layer, _, tensor = name.rpartition(".")
    return f"{layers[layer]}.{tensor}" if layer in layers else name
