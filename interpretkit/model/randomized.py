"""The same network with random weights: what an explanation of trained weights is held against."""

from __future__ import annotations

from contextlib import suppress
from copy import deepcopy
from typing import TYPE_CHECKING

from interpretkit.errors import StepError, cause, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection

    import torch

    from interpretkit.model.model import Model


def randomized(model: Model, *, parts: Collection[str] | None = None, seed: int = 0) -> Model:
    """Return a model of the same network with weights drawn anew; the model itself stays as it is.

    Convolutions and linear layers draw theirs from a normal distribution of variance 2 / fan-in, without a bias, so
    that through any depth the activations keep a size and depend on the image. Other layers draw their own, as
    `reset_parameters` does, which puts the running statistics of batch normalisation back too. Parameters that no
    layer draws, such as class tokens, get their own values in a random order.

    Args:
        model: The model, with its outputs settled.
        parts: Paths of `named_modules()` whose weights and running statistics are drawn; the others keep theirs. By
            default all. What a part draws depends on the seed alone, not on which other parts are drawn with it.
        seed: Seed of the generator.

    Raises:
        StepError: If the network cannot be copied, or has no parameter to draw, or a part has none.

    Example:
        >>> import torch
        >>> from interpretkit import wrap
        >>> model = wrap(torch.nn.Conv2d(3, 4, 3))
        >>> other = randomized(model)
        >>> bool((other.module.weight == model.module.weight).any())
        False
        >>> net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Conv2d(4, 4, 3))
        >>> half = randomized(wrap(net), parts=["1"]).module
        >>> torch.equal(half[0].weight, net[0].weight), torch.equal(half[1].weight, net[1].weight)
        (True, False)
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
    if parts is None:
        return model.of(module, name=f"{model.name} with random weights")
    _put_back(module, model.module, parts)
    return model.of(module, name=f"{model.name} with random weights in {', '.join(parts)}")


def _put_back(module: torch.nn.Module, trained: torch.nn.Module, parts: Collection[str]) -> None:
    """Give all that lies outside of some parts of a network the values of the trained one."""
    import torch

    drawn, before = _tensors(module), _tensors(trained)
    inside: set[int] = set()
    for part in parts:
        found = {id(tensor) for name, tensor in drawn.items() if name.startswith(f"{part}.")}
        if not found:
            hint = did_you_mean(part, dict(module.named_modules()), otherwise="a part is a path of named_modules()")
            raise StepError(f"the network has no weights in {part!r}", hint=hint)
        inside |= found
    with torch.no_grad():
        for name, tensor in drawn.items():
            if id(tensor) not in inside:
                tensor.copy_(before[name])


def _tensors(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return parameters and buffers, those that are shared under each of their names."""
    parameters = module.named_parameters(remove_duplicate=False)
    return {**dict(parameters), **dict(module.named_buffers(remove_duplicate=False))}


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
