"""Networks as people have them: wrapped, compiled, scripted."""

from __future__ import annotations

import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from interpretkit.capture.state import forward_watched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_RUN_BEFORE: weakref.WeakSet[nn.Module] = weakref.WeakSet()
_OWN_HOOKS: weakref.WeakKeyDictionary[nn.Module, set[int]] = weakref.WeakKeyDictionary()
_NO_GRADIENT = (
    "cannot register a hook on a tensor that doesn't require gradient",
    "does not require grad and does not have a grad_fn",
    "One of the differentiated Tensors does not require grad",
)
"""What a network raises that wants gradients in its own forward, where none are taken."""


def plain(module: nn.Module) -> nn.Module:
    """Return the network inside of `torch.compile`, `DataParallel` and their like, whose layers have their own names.

    Example:
        >>> net = nn.Sequential(nn.ReLU())
        >>> plain(nn.DataParallel(net)) is net
        True
    """
    while True:
        inside = getattr(module, "_orig_mod", None)
        if inside is None and isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
            inside = module.module
        if not isinstance(inside, nn.Module):
            return module
        module = inside


def is_script(part: nn.Module) -> bool:
    """Return whether a module is TorchScript, scripted or traced: nothing can be hooked in it."""
    return isinstance(part, torch.jit.ScriptModule)


def script_around(module: nn.Module, path: str) -> str | None:
    """Return the path of the TorchScript that a layer is, or lies in; empty for the network itself, None if in none.

    Example:
        >>> script_around(nn.Sequential(nn.ReLU()), "0") is None
        True
    """
    parts = dict(module.named_modules())
    names = path.split(".")
    around = [".".join(names[:count]) for count in range(len(names) + 1)]
    scripts = [each for each in around if each in parts and is_script(parts[each])]
    return scripts[0] if scripts else None


@contextmanager
def uncompiled(module: nn.Module) -> Iterator[None]:
    """Run what is compiled in a network as plain Python meanwhile: compiled code calls no hooks."""
    parts = module.modules()
    if not any(hasattr(part, "_orig_mod") or getattr(part, "_compiled_call_impl", None) for part in parts):
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


def run(module: nn.Module, inputs: torch.Tensor, *, again: Callable[[], None] | None = None) -> Any:
    """Run a network once on a copy of `inputs`: its first operation may work in place.

    Networks that register hooks on their own tensors, or differentiate them, want gradients there; where none are
    taken, they run again with gradients.

    Args:
        module: The network.
        inputs: `(image, channel, y, x)`.
        again: Called before it runs again.
    """
    with own_hooks_noted(module), forward_watched(module):
        try:
            return module(inputs.clone())
        except RuntimeError as error:
            lacks = any(words in str(error) for words in _NO_GRADIENT)
            if not lacks or inputs.requires_grad:
                raise
            if again is not None:
                again()
            with torch.enable_grad():
                return module(inputs.detach().clone().requires_grad_())


def hooks_of(part: nn.Module) -> Iterator[dict[int, Any]]:
    """Yield the dictionaries in which a module keeps its hooks: torch has no other way to list them."""
    for name in ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks"):
        yield getattr(part, name)


def own_hooks(part: nn.Module) -> set[int]:
    """Return the numbers of the hooks that a network has put on a module by itself, in its first pass."""
    return _OWN_HOOKS.get(part, set())


@contextmanager
def own_hooks_noted(module: nn.Module) -> Iterator[None]:
    """Note which hooks a network puts on its modules in its first pass, and takes to be there in all others."""
    if module in _RUN_BEFORE:
        yield
        return
    before = {part: _numbers(part) for part in module.modules()}
    yield
    _RUN_BEFORE.add(module)
    for part, numbers in before.items():
        new = _numbers(part) - numbers
        if new:
            _OWN_HOOKS[part] = new


def _numbers(part: nn.Module) -> set[int]:
    return {number for hooks in hooks_of(part) for number in hooks}
