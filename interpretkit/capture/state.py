"""The parameters and buffers of a network, put back as they were: a forward may change them."""

from __future__ import annotations

import weakref
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn.parameter import is_lazy

from interpretkit.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, MutableMapping

    from torch import nn

    Held = MutableMapping[str, torch.Tensor | None]

_CHANGED: weakref.WeakKeyDictionary[nn.Module, set[str]] = weakref.WeakKeyDictionary()
"""The parameters, by name, that a network's first pass has changed; of networks that have run."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """A parameter or buffer, with a copy of the values that it had.

    Attributes:
        name: Its name in the network.
        held: The parameters or buffers of its module: setting an attribute may run code of the module's own.
        key: Its name among these.
        tensor: The parameter or buffer itself.
        memory: The memory that its values are in; a network may give it another.
        values: A copy of them.
    """

    name: str
    held: Held
    key: str
    tensor: torch.Tensor
    memory: torch.Tensor
    values: torch.Tensor

    @property
    def is_changed(self) -> bool:
        """Whether the module has another tensor of this shape, or this one with other values."""
        now = self.held[self.key] if self.key in self.held else None  # noqa: SIM401 - those of TorchScript have no get
        if now is None or now.shape != self.values.shape:
            return False
        return now is not self.tensor or not _same(now, self.values)

    def put_back(self) -> None:
        """Give the module the tensor back, with the values that it had."""
        with torch.no_grad(), torch.inference_mode(self.tensor.is_inference()):
            if not _same(self.memory, self.values):
                self.memory.copy_(self.values)
            if self.tensor.data_ptr() != self.memory.data_ptr():
                self.tensor.data = self.memory
        # TorchScript returns its own tensors, each time in another object.
        if isinstance(self.held, dict):
            self.held[self.key] = self.tensor


def _same(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Return whether tensors of one shape hold the same values, NaN included."""
    if torch.equal(first, second):
        return True
    neither = (first != first) & (second != second)  # noqa: PLR0124 - so is NaN told in every dtype
    return bool(((first == second) | neither).all())


@contextmanager
def tensors_as_found(module: nn.Module) -> Iterator[None]:
    """Give a network its parameters and buffers back, with the values that they had, whatever happens.

    Of parameters, which may be large, all are copied for a network's first pass alone, and then those that this has
    changed. What the network replaces by a tensor of another shape is no state but a cache, which its other attributes
    may count on: it stays.
    """
    kept = list(_copies(module, _CHANGED.get(module)))
    try:
        yield
    finally:
        changed = [each for each in kept if each.is_changed]
        for each in changed:
            each.put_back()
        if module in _CHANGED:
            _CHANGED[module].update(each.name for each in changed)


def _copies(module: nn.Module, names: Collection[str] | None) -> Iterator[_Kept]:
    """Yield all buffers, and the parameters of these names, or all of them, each with a copy."""
    copies: dict[int, torch.Tensor] = {}
    for path, part in module.named_modules():
        # Not by named_parameters() and named_buffers(), which leave out what is there twice.
        for held in (part._parameters, part._buffers):  # noqa: SLF001
            for key, tensor in held.items():
                name = _name(path, key)
                wanted = held is part._buffers or names is None or name in names  # noqa: SLF001
                # Of a lazy layer there is nothing yet to put back; its first pass makes it what it is.
                if tensor is None or tensor.is_meta or is_lazy(tensor) or not wanted:
                    continue
                memory = tensor.detach()
                values = copies.setdefault(id(tensor), memory.clone())
                yield _Kept(name, held, key, tensor, memory, values)


@contextmanager
def forward_watched(module: nn.Module) -> Iterator[None]:
    """Note which parameters the first pass of a network changes, within; later passes may change no others.

    Raises:
        StepError: If one does: there is no copy to put back.
    """
    before = _versions(module)
    yield
    after = _versions(module)
    changed = {name for name, version in before.items() if after.get(name) != version}
    if module not in _CHANGED:
        _CHANGED[module] = changed
        return
    others = sorted(changed - _CHANGED[module])
    if others:
        what = f"the network has changed its parameter {others[0]}, which its first pass had left alone"
        raise StepError(what, hint="let its forward change no parameters, or give a copy: copy.deepcopy(net)")


def changed_in_forward(module: nn.Module) -> Collection[str]:
    """Return the names of the parameters that a network changes by itself, as far as passes have shown it."""
    return _CHANGED.get(module, ())


def _name(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _versions(module: nn.Module) -> dict[str, tuple[int, int]]:
    """Return of each parameter which tensor it is, and how often that was written in place."""
    found = {}
    for path, part in module.named_modules():
        held = part._parameters  # noqa: SLF001
        for key, tensor in held.items():
            if tensor is not None and not is_lazy(tensor) and not tensor.is_inference():
                which = id(tensor) if isinstance(held, dict) else 0
                found[_name(path, key)] = which, tensor._version  # noqa: SLF001
    return found
