"""Checkpoints as they are found: either form, names of three libraries, with or without a prefix."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import nn

from interpretkit import WeightsError, load_state, without_prefix
from interpretkit_repvgg.names import is_known, official_name
from interpretkit_repvgg.variants import VARIANTS, Variant, custom

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import torch

    from interpretkit_repvgg.network import RepVGG
    from interpretkit_repvgg.plus import RepVGGPlus
    from interpretkit_repvgg.variants import Form

_KERNEL = re.compile(
    r"(?P<block>stage(?P<stage>\d)(?P<half>_first|_second)?(\.blocks)?(\.(?P<index>\d+))?)"
    r"\.rbr_(dense\.conv|reparam)\.weight"
)
_STAGES = 4
_GATES = ("se", "post_se")
_HEADS = ("linear", "stage1_aux", "stage2_aux", "stage3_first_aux")


class _Block(NamedTuple):
    """A block of a checkpoint, in the order of the network."""

    stage: int
    half: str
    number: int
    path: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The state dict of a RepVGG under official names; as text, what it looks like.

    Attributes:
        state: Tensors by official name.
        form: Whether its blocks have branches or are fused.
        variant: What the shapes of its kernels amount to; None if they fit together in no way.
    """

    state: Mapping[str, torch.Tensor]
    form: Form
    variant: Variant | None

    @property
    def classes(self) -> int | None:
        """Number of classes of its linear layer; None without one."""
        return _size(self.state.get("linear.weight"), 0)

    @property
    def in_channels(self) -> int | None:
        """Channels of its images; None without a first kernel."""
        return _size(self._first, 1)

    @property
    def dtype(self) -> torch.dtype | None:
        """What its kernels are made of; None without a first kernel."""
        return None if self._first is None else self._first.dtype

    @property
    def _first(self) -> torch.Tensor | None:
        return self.state.get(f"stage0.{'rbr_reparam' if self.form == 'deploy' else 'rbr_dense.conv'}.weight")

    def __str__(self) -> str:
        form = "deploy-form" if self.form == "deploy" else "training-form"
        variant = f"of {self.variant or 'no known shape'}"
        classes = "without a linear layer" if self.classes is None else f"{self.classes} classes"
        return f"a {form} checkpoint {variant}, {classes}"


def read_checkpoint(state: Mapping[str, Any]) -> Checkpoint:
    """Recognise a checkpoint: take off a prefix that all names share, use the official names.

    Raises:
        WeightsError: If it is no checkpoint of a RepVGG, or holds the same parameter under two names.
    """
    freed = without_prefix(state, is_known)
    renamed = {official_name(name): value for name, value in freed.items()}
    parts = {part for name in renamed for part in name.split(".")}
    if parts.isdisjoint({"rbr_dense", "rbr_reparam"}):
        examples = ", ".join(repr(name) for name in list(state)[:3])
        raise WeightsError(
            f"this is no RepVGG checkpoint: {len(state)} entries{f' such as {examples}' if examples else ''}",
            hint="expected official names such as 'stage0.rbr_dense.conv.weight', or those of timm or MMPretrain",
        )
    if len(renamed) < len(freed):
        raise WeightsError("the checkpoint holds the same parameters under the names of two libraries")
    form: Form = "deploy" if "rbr_reparam" in parts else "train"
    return Checkpoint(state=renamed, form=form, variant=_variant(renamed))


def load_checkpoint(network: RepVGG | RepVGGPlus, checkpoint: Checkpoint, *, name: str) -> None:
    """Load `checkpoint` into `network` of the same form.

    Args:
        network: Where the weights go.
        checkpoint: The weights.
        name: What errors call the network.

    Raises:
        WeightsError: If it does not fit.
    """
    headless = isinstance(network.linear, nn.Identity)
    classes = 0 if headless else network.linear.out_features
    settings = {
        "variant": (_name(checkpoint.variant), _name(network.variant)),
        "num_classes": (checkpoint.classes, classes),
        "in_channels": (checkpoint.in_channels, network.stage0.in_channels),
    }
    others = []
    for key, (theirs, ours) in settings.items():
        if theirs is not None and theirs != ours and not (key == "num_classes" and headless):
            others.append(f"{key}: {theirs}")
    if others:
        raise WeightsError(f"{checkpoint} does not fit {name} of {classes} classes", hint=f"set {', '.join(others)}")
    try:
        load_state(network, checkpoint.state, without=_HEADS if headless else ())
    except WeightsError as error:
        missing = _counted(name for name in network.state_dict() if name not in checkpoint.state)
        what = f"the file looks like {checkpoint}, the model is {name} of {classes} classes"
        message = "; ".join(filter(None, [error.message, missing and f"missing are {missing}", what]))
        raise WeightsError(message, where=error.where, hint=error.hint) from error


def _size(tensor: torch.Tensor | None, axis: int) -> int | None:
    return tensor.shape[axis] if tensor is not None and tensor.ndim > axis else None


def _name(variant: Variant | None) -> str | None:
    """Return the name that a variant has in the table; None without one."""
    return None if variant not in VARIANTS.values() else str(variant)


def _counted(names: Iterable[str]) -> str:
    """Count parameters by the kind of their module."""
    kinds = Counter(_kind(name) for name in names if not name.endswith("num_batches_tracked"))
    return ", ".join(f"{count} of {kind}" for kind, count in sorted(kinds.items()))


def _kind(name: str) -> str:
    """Return the branch or the squeeze-and-excitation that a parameter belongs to, else the first part of its name.

    Example:
        >>> _kind("stage1.0.rbr_dense.conv.weight"), _kind("linear.bias")
        ('rbr_dense', 'linear')
    """
    parts = name.split(".")
    return next((part for part in parts if part.startswith("rbr_") or part in _GATES), parts[0])


def _variant(state: Mapping[str, torch.Tensor]) -> Variant | None:
    """Read depths, widths, groups and squeeze-and-excitation from the shapes of the kernels."""
    blocks = _blocks(state)
    stages = [_shapes(blocks, stage) for stage in range(_STAGES + 1)]
    shapes = list(chain.from_iterable(stages))
    complete = all(stages)
    if not complete or not all(map(_is_kernel, shapes)):
        return None
    ratios = {}
    for gate in _GATES:
        bias = state.get(f"{blocks[-1].path}.{gate}.down.bias")
        if bias is not None:
            ratios[gate] = shapes[-1][0] // max(1, bias.numel())
    return custom(
        depths=[len(stage) for stage in stages[1:]],
        widths=[stage[0][0] for stage in stages[1:]],
        groups=max(before[0] // shape[1] for before, shape in pairwise(shapes)),
        **ratios,
    )


def _blocks(state: Mapping[str, torch.Tensor]) -> list[_Block]:
    """Return the blocks whose kernels a checkpoint holds, from the first to the last."""
    blocks = []
    for match in filter(None, map(_KERNEL.fullmatch, state)):
        place = int(match["stage"]), match["half"] or "", int(match["index"] or 0)
        blocks.append(_Block(*place, match["block"], tuple(state[match[0]].shape)))
    return sorted(blocks)


def _shapes(blocks: Iterable[_Block], stage: int) -> list[tuple[int, ...]]:
    return [block.shape for block in blocks if block.stage == stage]


def _is_kernel(shape: tuple[int, ...]) -> bool:
    """Say whether a shape is that of a kernel `(output, input, y, x)`."""
    return len(shape) == len("oiyx") and 0 not in shape
