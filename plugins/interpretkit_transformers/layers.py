"""Where the stages of a network of transformers end, and how its layers lay out what they return."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from interpretkit import Layout

if TYPE_CHECKING:
    from torch import nn

_FIRST_NORMS = ("layernorm_before", "layer_norm1", "norm1")
"""What families call the norm before the attention of a layer."""

_HEADS = ("decode_head", "auxiliary_head")
_SWIN = ("swin", "swinv2")


def aliases_of(network: nn.Module, config: Any) -> dict[str, str]:
    """Return `stage1`, `stage2`, … and `last_conv`, as far as the network has them.

    `last_conv` is the last layer with a grid of which every cell has a way to the output. In a Vision Transformer that
    is the norm before the last attention: after it only the class token may be read.
    """
    path = _stages(network)
    if not path:
        return {}
    stages = [f"{path}.{name}" for name, _ in network.get_submodule(path).named_children()]
    if config.model_type in _SWIN:
        # What a stage returns beside its maps makes a tuple of it.
        stages = [f"{stage}.blocks.{len(_children(network, f'{stage}.blocks')) - 1}" for stage in stages]
    last = stages[-1]
    norm = next((name for name in _FIRST_NORMS if name in _children(network, last)), None)
    if norm is not None and config.model_type not in _SWIN:
        last = f"{last}.{norm}"
    named = {f"stage{number}": stage for number, stage in enumerate(stages, start=1)}
    return {**named, "last_conv": last}


def layouts_of(network: nn.Module, config: Any) -> dict[str, Layout]:
    """Return the layouts of tokens that nothing but the network's family says."""
    if config.model_type not in _SWIN:
        return {}
    path, patch = _stages(network), int(config.patch_size)
    layouts = {}
    for number, name in enumerate(_children(network, path)):
        side = patch * 2**number
        layouts[f"{path}.{name}.blocks.**"] = Layout(kind="tokens", patch=(side, side))
    return layouts


def _stages(network: nn.Module) -> str:
    """Return the path of the first list of layers, which is that of the encoder; empty if there is none."""
    from torch import nn

    for path, part in network.named_modules():
        if isinstance(part, nn.ModuleList) and len(part) > 1 and path.split(".")[0] not in _HEADS:
            return str(path)
    return ""


def _children(network: nn.Module, path: str) -> list[str]:
    return [name for name, _ in network.get_submodule(path).named_children()]
