"""Classifiers of torchvision without what classifies: what they return then is an embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

MARK = 7
"""As many classes a network is built with whose head is dropped: no other layer of torchvision has so many outputs."""

_AUXILIARY = ("aux1", "aux2", "AuxLogits")
"""Heads that serve training alone."""


def drop_heads(network: nn.Module) -> tuple[str, ...]:
    """Take away the heads of a network of `MARK` classes; return their paths.

    Example:
        >>> from torchvision.models import resnet18
        >>> drop_heads(resnet18(num_classes=MARK))
        ('fc',)
    """
    from torch import nn

    auxiliary = [name for name in _AUXILIARY if hasattr(network, name)]
    for name in auxiliary:
        setattr(network, name, None)
    layers = [name for name, layer in network.named_modules() if _outputs(layer) == MARK]
    head = layers[-1]
    parent, _, name = head.rpartition(".")
    setattr(network.get_submodule(parent), name, nn.Identity())
    return (head, *auxiliary)


def _outputs(layer: nn.Module) -> int | None:
    """Return how many numbers or channels a layer returns; None of a layer that multiplies nothing."""
    found: int | None = getattr(layer, "out_features", getattr(layer, "out_channels", None))
    return found
