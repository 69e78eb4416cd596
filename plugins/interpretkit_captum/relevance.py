"""Rules of relevance for the layers of a network, and the networks that have none."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from torch import nn

from interpretkit import StepError
from interpretkit_captum.operations import observe
from interpretkit_captum.rectifiers import one_for_each_call, own_input, replaced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interpretkit import Captured
    from interpretkit_captum.operations import Observed

_WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
# Linear as those of images are, for which captum has rules by itself.
_OF_OTHER_GRIDS = (
    *(nn.Conv1d, nn.Conv3d, nn.AvgPool1d, nn.AvgPool3d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool3d),
    *(nn.BatchNorm1d, nn.BatchNorm3d),
)
# Each has one value for each it is given: relevance passes as it is.
_PASSING = (nn.Identity, nn.Flatten, nn.Unflatten)
# Functions that change nothing but the shape.
_SHAPES = frozenset({
    "view", "_unsafe_view", "reshape", "_reshape_alias", "clone", "alias", "detach", "t", "transpose", "permute",
    "unsqueeze", "squeeze", "expand", "contiguous", "_to_copy", "lift_fresh",
})  # fmt: skip
_OTHER = "integrated_gradients, smooth_grad and occlusion take any network"


@contextmanager
def with_relevance(captured: Captured, network: nn.Module) -> Iterator[None]:
    """Let captum propagate relevance through a network.

    Raises:
        StepError: If an operation of it has no rule, or a module with weights is called several times.
    """
    from captum.attr._core.lrp import SUPPORTED_LAYERS_WITH_RULES, SUPPORTED_NON_LINEAR_LAYERS

    activations = tuple(SUPPORTED_NON_LINEAR_LAYERS)
    known = (*SUPPORTED_LAYERS_WITH_RULES, *_OF_OTHER_GRIDS, *activations, *_PASSING)
    seen = observe(network, captured.inputs[:1])
    sums = set()
    for path, part in network.named_modules():
        leaf = bool(path) and not any(part.children())
        if leaf and type(part) not in known and path in seen.calls:
            if not _adds(part, seen):
                raise StepError(f"LRP has no rule for {path} ({type(part).__name__})", hint=_OTHER)
            sums.add(part)
        if leaf and type(part) not in activations and seen.calls.get(path, 0) > 1:
            what = f"LRP cannot follow {path} ({type(part).__name__}), which is called {seen.calls[path]} times"
            raise StepError(what, hint="let each call have a module of its own")
    for each in seen.operations:
        if type(each.module) not in known and each.module not in sums and each.name not in _SHAPES:
            what = "branches that meet by " if each.branches > 1 else ""
            raise StepError(f"LRP has rules for modules, and none for {what}a function {each}", hint=_OTHER)
    with replaced(network, one_for_each_call(network, seen, activations)), own_input(captured, network, activations):
        yield


def _adds(part: nn.Module, seen: Observed) -> bool:
    """Whether a module does nothing but add what it is given: then relevance is shared out as in any linear layer."""
    names = {each.name for each in seen.operations if each.module is part}
    return names <= _SHAPES | {"add"} and not any(part.parameters())


def set_rules(network: nn.Module, rule: str, *, epsilon: float, gamma: float) -> None:
    """Give every layer of a network its rule; captum takes them away again after each image.

    Args:
        network: The network.
        rule: Of convolutions and linear layers: `epsilon`, `gamma` or `alpha1_beta0`.
        epsilon: Of the rule of that name.
        gamma: Of the rule of that name.
    """
    from captum.attr._core.lrp import SUPPORTED_NON_LINEAR_LAYERS
    from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule, EpsilonRule, GammaRule

    for part in network.modules():
        if isinstance(part, _WEIGHTED) and rule == "gamma":
            part.rule = GammaRule(gamma)
        elif isinstance(part, _WEIGHTED) and rule == "alpha1_beta0":
            part.rule = Alpha1_Beta0_Rule()
        elif type(part) not in SUPPORTED_NON_LINEAR_LAYERS and not any(part.children()):
            # Also to layers that are never called: captum wants one for each.
            part.rule = EpsilonRule(epsilon)
