"""What timm's `feature_info` says about a network's layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from interpretkit import Layout

if TYPE_CHECKING:
    from torch import nn


def aliases_of(network: nn.Module) -> dict[str, str]:
    """Return `stage0`, `stage1`, … and `last_conv` as far as `feature_info` has them.

    `stage1` is the first at a quarter of the image's resolution or less, `stage0` the one before. `last_conv` is the
    last layer with a grid of which every cell has a way to the logits. In a Vision Transformer that is the input of the
    last attention: after it some read only the class token.
    """
    features = _features(network)
    early = [path for path, reduction in features if reduction < 4]  # noqa: PLR2004 - a quarter of the resolution
    late = [path for path, reduction in features if reduction >= 4]  # noqa: PLR2004
    named = {"stage0": early[-1]} if early else {}
    named |= {f"stage{number}": path for number, path in enumerate(late, start=1)}
    if features:
        last = features[-1][0]
        attends = _prefix(network) > 0 and hasattr(network.get_submodule(last), "norm1")
        named["last_conv"] = f"{last}.norm1" if attends else last
    return named


def layouts_of(network: nn.Module) -> dict[str, Layout]:
    """Return the layouts of the layers of a transformer: tokens with their prefix, or maps with channels last."""
    # Hiera's tokens are not in the order of the rows of a grid.
    if hasattr(network, "reroll"):
        return {}
    layouts: dict[str, Layout] = {}
    for path, reduction in _features(network):
        if getattr(network, "output_fmt", None) == "NHWC":
            layout = Layout(kind="channels_last")
        else:
            layout = Layout(kind="tokens", patch=(reduction, reduction), prefix=_prefix(network))
        layouts |= {path: layout, f"{path}.**": layout}
    return layouts


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
    return int(getattr(network, "num_prefix_tokens", 0))
