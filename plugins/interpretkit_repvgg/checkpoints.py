"""Checkpoints as they are found: either form, official or timm names, with or without a prefix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from interpretkit import WeightsError, load_state

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from interpretkit_repvgg.network import RepVGG
    from interpretkit_repvgg.variants import Form

_OFFICIAL_PARTS = {
    "conv_kxk": "rbr_dense",
    "conv_1x1": "rbr_1x1",
    "identity": "rbr_identity",
    "reparam_conv": "rbr_reparam",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The state dict of a RepVGG under official names; as text, what it looks like.

    Attributes:
        state: Tensors by official name.
        form: Whether its blocks have branches or are fused.
    """

    state: Mapping[str, torch.Tensor]
    form: Form

    @property
    def classes(self) -> int | None:
        """Number of classes of its linear layer; None without one."""
        weight = self.state.get("linear.weight")
        return None if weight is None else weight.shape[0]

    def __str__(self) -> str:
        form = "deploy-form" if self.form == "deploy" else "training-form"
        classes = "without a linear layer" if self.classes is None else f"of {self.classes} classes"
        return f"a {form} checkpoint {classes}"


def read_checkpoint(state: Mapping[str, Any]) -> Checkpoint:
    """Recognise a checkpoint: take off a common `module.`, use the official names.

    Raises:
        WeightsError: If it is no checkpoint of a RepVGG.
    """
    found = _without_prefix(state)
    renamed = {official_name(name): value for name, value in found.items()}
    parts = {part for name in renamed for part in name.split(".")}
    if parts.isdisjoint({"rbr_dense", "rbr_reparam"}):
        examples = ", ".join(repr(name) for name in list(found)[:3])
        raise WeightsError(
            f"this is no RepVGG checkpoint: {len(found)} entries{f' such as {examples}' if examples else ''}",
            hint="expected official names such as 'stage0.rbr_dense.conv.weight', or those of timm",
        )
    return Checkpoint(state=renamed, form="deploy" if "rbr_reparam" in parts else "train")


def load_checkpoint(network: RepVGG, checkpoint: Checkpoint, *, name: str) -> None:
    """Load `checkpoint` into `network` of the same form.

    Args:
        network: Where the weights go.
        checkpoint: The weights.
        name: What errors call the network.

    Raises:
        WeightsError: If it does not fit.
    """
    classes = network.linear.out_features
    if checkpoint.classes not in (None, classes):
        raise WeightsError(
            f"{checkpoint} does not fit {name} of {classes} classes", hint=f"set num_classes: {checkpoint.classes}"
        )
    try:
        load_state(network, checkpoint.state)
    except WeightsError as error:
        what = f"the file looks like {checkpoint}, the model is {name} of {classes} classes"
        raise WeightsError(f"{error.message}; {what}", where=error.where, hint=error.hint) from error


def official_name(name: str) -> str:
    """Return the official name of a timm parameter; any other name as it is.

    Example:
        >>> official_name("stages.0.3.conv_kxk.bn.weight"), official_name("linear.bias")
        ('stage1.3.rbr_dense.bn.weight', 'linear.bias')
    """
    match name.split("."):
        case ["stem", *rest]:
            parts = ["stage0", *rest]
        case ["stages", stage, *rest] if stage.isdecimal():
            parts = [f"stage{int(stage) + 1}", *rest]
        case ["head", "fc", *rest]:
            parts = ["linear", *rest]
        case _:
            return name
    return ".".join(_OFFICIAL_PARTS.get(part, part) for part in parts)


def _without_prefix(state: Mapping[str, Any]) -> Mapping[str, Any]:
    prefix = "module."
    if all(name.startswith(prefix) for name in state):
        return {name.removeprefix(prefix): value for name, value in state.items()}
    return state
