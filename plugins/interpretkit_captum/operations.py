"""Which operations a network carries out, and in which module: captum sees modules only."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from interpretkit import StepError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import nn


_PRODUCTS = frozenset({"mul", "div"})
_NORMS = frozenset({"native_batch_norm", "_native_batch_norm_legit", "cudnn_batch_norm", "miopen_batch_norm"})
_TRAINING = 5  # where these say whether they normalise by the statistics of their own input


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a forward pass.

    Attributes:
        name: As torch's own kernels are called, without the underscore of in-place ones: `relu`, `add`.
        path: The innermost module that runs it, as in `named_modules()`.
        module: That module.
        branches: How many tensors it reads that are no parameter or buffer and have a batch: 2 where branches meet.
        depends: Which of the tensors that it reads depend on the images, in their order.
        masks: Whether it multiplies by what a comparison of activations gave: zeros and ones.
    """

    name: str
    path: str
    module: nn.Module
    branches: int
    depends: tuple[bool, ...]
    masks: bool

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
    """Run the network once on `images` `(image, channel, y, x)` without gradients, and say what it does.

    Raises:
        StepError: If a part of it is TorchScript, in which nothing can be seen.
    """
    for path, module in network.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            where = f"layer {path}" if path else "the network"
            raise StepError(
                f"{where} is TorchScript, in which no operation can be given a rule",
                hint="give the nn.Module that it was made of; integrated_gradients and occlusion take it as it is",
            )
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
    given = watch.follow(images.clone())
    try:
        with torch.no_grad(), watch:
            network(given)
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
        # By id; all of one image are kept, so that no other tensor gets the id of one that is gone.
        self._followed: dict[int, torch.Tensor] = {}
        self._masks: set[int] = set()

    def follow(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return a tensor, and note that it depends on the images."""
        self._followed[id(tensor)] = tensor
        return tensor

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        path, module = self._inside[-1]
        branches = sum(each.untyped_storage().data_ptr() not in self._constants for each in _batched(args))
        tensors = list(_tensors([*args, *(kwargs or {}).values()]))
        depends = tuple(id(each) in self._followed for each in tensors)
        name = _name(func, args)
        masked = [id(each) in self._masks for each in tensors]
        self.seen.append(Operation(name, path, module, branches, depends, any(masked) and name in _PRODUCTS))
        result = func(*args, **(kwargs or {}))
        if any(depends):
            for each in _tensors([result]):
                self.follow(each)
                if each.dtype == torch.bool or (all(masked) and name not in _PRODUCTS):
                    self._masks.add(id(each))
        return result


def _name(func: Any, args: Any) -> str:
    """Return what an operation is called; a normalisation by the statistics of its own input is another."""
    name = str(func.overloadpacket.__name__).rstrip("_")
    return f"{name} in training" if name in _NORMS and args[_TRAINING] else name


def _tensors(args: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors among arguments."""
    for each in args:
        if isinstance(each, torch.Tensor):
            yield each
        elif isinstance(each, list | tuple):
            yield from _tensors(each)


def _batched(args: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors among arguments that have a batch and something else."""
    for each in args:
        if isinstance(each, torch.Tensor) and each.ndim > 1:
            yield each
        elif isinstance(each, list | tuple):
            yield from _batched(each)
