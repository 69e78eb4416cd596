"""What timm's `feature_info` says about a network's layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from interpretkit import Layout

if TYPE_CHECKING:
    from torch import nn


# Families of which `feature_info` names parts that are never called, or that return several tensors: their last layer
# with a grid before the logits, a part of the last in `feature_info` where it begins with a dot; empty for none.
_LAST = {
    "HighResolutionNet": "final_layer",
    "PoolingVisionTransformer": ".norm1",
    "TNT": ".norm_out",
    "CoaT": "",
    "CrossVit": "",
    "EfficientViM": "norm.3",
}


def aliases_of(network: nn.Module) -> dict[str, str]:
    """Return `stage0`, `stage1`, … and `last_conv` as far as `feature_info` has them.

    `stage1` is the first at a quarter of the image's resolution or less, `stage0` the one before. `last_conv` is the
    last layer with a grid of which every cell has a way to the logits. In a Vision Transformer that is the input of the
    last attention: after it some read only the class token.
    """
    features = _features(network)
    family = type(network).__name__
    if family in _LAST:
        last = _last_of(network, _LAST[family], features)
        return {"last_conv": last} if last else {}
    early = [path for path, reduction in features if reduction < 4]  # noqa: PLR2004 - a quarter of the resolution
    late = [path for path, reduction in features if reduction >= 4]  # noqa: PLR2004
    named = {"stage0": early[-1]} if early else {}
    named |= {f"stage{number}": path for number, path in enumerate(late, start=1)}
    if features and not _is_unrolled(network):
        last = features[-1][0]
        attends = _prefix(network) > 0 and hasattr(network.get_submodule(last), "norm1")
        named["last_conv"] = f"{last}.norm1" if attends else last
        if _ends_in_a_convolution(network):
            named["last_conv"] = "bn2"
    return named


def _ends_in_a_convolution(network: nn.Module) -> bool:
    """Return whether a convolution of one pixel and its normalisation follow the last stage, as in EfficientNets."""
    names = [name for name, _ in network.named_children()]
    return names[-4:-1] == ["conv_head", "bn2", "global_pool"] if len(names) > 4 else False  # noqa: PLR2004


def _last_of(network: nn.Module, name: str, features: list[tuple[str, int]]) -> str:
    """Return the last layer of a family in `_LAST`."""
    if not name.startswith("."):
        return name
    last = features[-1][0]
    blocks: Any = getattr(network.get_submodule(last), "blocks", None)
    within = f".blocks.{len(blocks) - 1}" if blocks is not None else ""
    return f"{last}{within}{name}"


def layouts_of(network: nn.Module) -> dict[str, Layout]:
    """Return the layouts of the layers of a transformer: tokens with their prefix, or maps with channels last."""
    if _is_unrolled(network):
        return {}
    layouts: dict[str, Layout] = {}
    for path, reduction in _features(network):
        if getattr(network, "output_fmt", None) == "NHWC":
            layout = Layout(kind="channels_last")
        else:
            layout = Layout(kind="tokens", patch=(reduction, reduction), prefix=_prefix(network))
        layouts |= {path: layout, f"{path}.**": layout}
    return layouts


def _is_unrolled(network: nn.Module) -> bool:
    """Return whether tokens are not in the order of the rows of a grid, as in Hiera."""
    return hasattr(network, "reroll")


def class_token_of(network: nn.Module) -> str:
    """Return the last block whose first token the head reads; empty if it reads another or all."""
    if getattr(network, "global_pool", None) != "token" or getattr(network, "cls_token", None) is None:
        return ""
    features = _features(network)
    return features[-1][0] if features else ""


def _features(network: nn.Module) -> list[tuple[str, int]]:
    """Return path and reduction of the layers of `feature_info` that are modules, in its order."""
    paths = {path for path, _ in network.named_modules() if path}
    rows: Any = getattr(network, "feature_info", None) or []
    return [(row["module"], int(row["reduction"])) for row in rows if row.get("module") in paths]


def _prefix(network: nn.Module) -> int:
    token: Any = getattr(network, "cls_token", None)
    # PiT has class tokens, and no number of them.
    return int(getattr(network, "num_prefix_tokens", 0 if token is None else token.shape[1]))
