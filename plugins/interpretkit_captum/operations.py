"""Which operations a network carries out, and in which module: captum sees modules only."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import nn


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a forward pass.

    Attributes:
        name: As torch's own kernels are called, without the underscore of in-place ones: `relu`, `add`.
        path: The innermost module that runs it, as in `named_modules()`.
        module: That module.
        branches: How many tensors it reads that are no parameter or buffer and have a batch: 2 where branches meet.
    """

    name: str
    path: str
    module: nn.Module
    branches: int

    def __str__(self) -> str:
        return f"{self.name} in {self.path or 'the network itself'} ({type(self.module).__name__})"


@dataclass(frozen=True, slots=True)
class Observed:
    """What a forward pass does.

    Attributes:
        operations: In the order in which they are run.
        calls: How often each module is called, by path; a module of several paths goes by the first.
    """

    operations: tuple[Operation, ...]
    calls: Mapping[str, int]


def observe(network: nn.Module, images: torch.Tensor) -> Observed:
    """Run the network once on `images` `(image, channel, y, x)` without gradients, and say what it does."""
    calls: Counter[str] = Counter()
    inside: list[tuple[str, nn.Module]] = [("", network)]
    handles = []
    for path, module in network.named_modules():
        if path:
            handles += [
                module.register_forward_pre_hook(lambda module, _, path=path: inside.append((path, module))),
                module.register_forward_hook(lambda _m, _a, _o, path=path: _left(inside, calls, path)),
            ]
    watch = _Watch(inside, [*network.parameters(), *network.buffers()])
    try:
        with torch.no_grad(), watch:
            network(images.clone())
    finally:
        for handle in handles:
            handle.remove()
    return Observed(tuple(watch.seen), calls)


def _left(inside: list[tuple[str, nn.Module]], calls: Counter[str], path: str) -> None:
    inside.pop()
    calls[path] += 1


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes every operation below autograd: functions, methods, and what modules run alike."""

    def __init__(self, inside: list[tuple[str, nn.Module]], constants: list[torch.Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: list[Operation] = []
        self._inside = inside
        self._constants = {each.untyped_storage().data_ptr() for each in constants}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        path, module = self._inside[-1]
        branches = sum(each.untyped_storage().data_ptr() not in self._constants for each in _batched(args))
        self.seen.append(Operation(func.overloadpacket.__name__.rstrip("_"), path, module, branches))
        return func(*args, **(kwargs or {}))


def _batched(args: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors among arguments that have a batch and something else."""
    for each in args:
        if isinstance(each, torch.Tensor) and each.ndim > 1:
            yield each
        elif isinstance(each, list | tuple):
            yield from _batched(each)
