"""The same network with random weights: what an explanation of trained weights is held against."""

from __future__ import annotations

from contextlib import suppress
from copy import deepcopy
from typing import TYPE_CHECKING

from interpretkit.errors import StepError, cause

if TYPE_CHECKING:
    import torch

    from interpretkit.model.model import Model


def randomized(model: Model, *, seed: int = 0) -> Model:
    """Return a model of the same network with weights drawn anew; the model itself stays as it is.

    Convolutions and linear layers draw theirs from a normal distribution of variance 2 / fan-in, without a bias, so
    that through any depth the activations keep a size and depend on the image. Other layers draw their own, as
    `reset_parameters` does, which puts the running statistics of batch normalisation back too. Parameters that no
    layer draws, such as class tokens, get their own values in a random order.

    Args:
        model: The model, with its outputs settled.
        seed: Seed of the generator.

    Raises:
        StepError: If the network cannot be copied, or has no parameter to draw.

    Example:
        >>> import torch
        >>> from interpretkit import wrap
        >>> model = wrap(torch.nn.Conv2d(3, 4, 3))
        >>> other = randomized(model)
        >>> bool((other.module.weight == model.module.weight).any())
        False
    """
    import torch

    try:
        module = deepcopy(model.module)
    except Exception as error:
        raise StepError(f"the network cannot be copied, to give the copy random weights: {cause(error)}") from error
    devices = {each.device.index or 0 for each in module.parameters() if each.device.type == "cuda"}
    with torch.random.fork_rng(devices=sorted(devices)), torch.no_grad():
        torch.manual_seed(seed)
        for part in module.modules():
            _draw(part)
        pairs = zip(module.parameters(), model.module.parameters(), strict=True)
        kept = [mine for mine, theirs in pairs if torch.equal(mine, theirs)]
        for parameter in kept:
            order = torch.randperm(parameter.numel(), device=parameter.device)
            parameter.copy_(parameter.flatten()[order].view_as(parameter))
    pairs = zip(module.parameters(), model.module.parameters(), strict=True)
    if all(torch.equal(mine, theirs) for mine, theirs in pairs):
        raise StepError("the network has no weights that could be random")
    return model.of(module, name=f"{model.name} with random weights")


def _draw(part: torch.nn.Module) -> None:
    """Let a layer draw its weights, if it can."""
    from torch import nn
    from torch.nn.modules.conv import _ConvNd

    for name in ("reset_parameters", "_reset_parameters"):
        # Some want arguments, or weights that a parametrization has put elsewhere: those are shuffled.
        with suppress(Exception):
            getattr(part, name)()
    if isinstance(part, nn.Linear | _ConvNd):
        nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
        if part.bias is not None:
            nn.init.zeros_(part.bias)
