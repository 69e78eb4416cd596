"""The last operation of a network, and the layer that feeds it: what turns logits into probabilities."""

from __future__ import annotations

import weakref
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import torch
from torch.overrides import TorchFunctionMode

from interpretkit.capture.networks import is_script

if TYPE_CHECKING:
    from collections.abc import Callable

_NAMES = {
    "softmax": ("softmax", "special_softmax"),
    "sigmoid": ("sigmoid", "sigmoid_", "expit", "special_expit"),
    "log_softmax": ("log_softmax", "special_log_softmax"),
    "linear": ("linear", "matmul", "mm", "addmm", "bmm", "einsum", "conv1d", "conv2d", "conv3d"),
}
_OPERATIONS = {name: operation for operation, names in _NAMES.items() for name in names}

_PASSED_ON = frozenset(
    (
        *(
            "flatten",
            "reshape",
            "view",
            "squeeze",
            "unsqueeze",
            "contiguous",
            "clone",
            "detach",
            "permute",
            "transpose",
        ),
        *("to", "type", "float", "double", "half", "bfloat16", "cpu", "select", "__getitem__", "getitem", "expand"),
    )
)
"""What changes no value: what comes out is of the kind that went in."""


@dataclass(frozen=True, slots=True)
class Ending:
    """What a tensor that a network returned was made by.

    Attributes:
        operation: `softmax`, `sigmoid`, `log_softmax` or `linear`; empty for anything else.
        layer: The path of the layer that returned what the operation was given; empty where none did, or where that
            layer is called more than once.
    """

    operation: str = ""
    layer: str = ""


Fact = TypeVar("Fact")


class _Known(Generic[Fact]):
    """Facts about tensors, which are not kept alive; the id of one that is gone may come back for another."""

    def __init__(self) -> None:
        self._facts: dict[int, tuple[weakref.ref[torch.Tensor], Fact]] = {}

    def put(self, tensor: torch.Tensor, fact: Fact) -> None:
        self._facts[id(tensor)] = weakref.ref(tensor), fact

    def get(self, tensor: Any) -> Fact | None:
        known, fact = self._facts.get(id(tensor), (lambda: None, None))
        return fact if known() is tensor else None

    def forget(self, tensor: torch.Tensor) -> None:
        self._facts.pop(id(tensor), None)


class Endings(TorchFunctionMode):
    """Watches a pass of a network inside this context, and tells what each tensor that it returns was made by.

    Args:
        module: The network.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2), torch.nn.Softmax(1))
        >>> with Endings(net) as endings:
        ...     returned = net(torch.zeros(1, 1, 2, 2))
        >>> endings.of(returned)
        Ending(operation='softmax', layer='1')
    """

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self._module = module
        self._endings: _Known[Ending] = _Known()
        self._layers: _Known[str] = _Known()
        self._calls: list[str] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        for path, part in self._module.named_modules():
            if path and not is_script(part):
                handle = part.register_forward_hook(self._noted(path))
                self._stack.callback(handle.remove)
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self._stack.close()

    def of(self, values: Any) -> Ending:
        """Return what made a tensor, which is a part of what the network returned."""
        ending = self._endings.get(values) or Ending()
        if self._calls.count(ending.layer) > 1:
            return replace(ending, layer="")
        return ending

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function of torch, and note what it makes."""
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            first = args[0] if args else (kwargs or {}).get("input")
            self._note(getattr(func, "__name__", ""), first, result)
        return result

    def _note(self, name: str, first: Any, result: torch.Tensor) -> None:
        passed_on = self._endings.get(first) if name in _PASSED_ON else None
        layer = self._layers.get(first) or ""
        # What works in place makes something else of what it is given.
        self._layers.forget(result)
        self._endings.forget(result)
        if name in _OPERATIONS:
            self._endings.put(result, Ending(_OPERATIONS[name], layer))
        elif passed_on is not None:
            self._endings.put(result, passed_on)

    def _noted(self, path: str) -> Callable[..., None]:
        def note(_module: torch.nn.Module, _arguments: Any, output: Any) -> None:
            self._calls.append(path)
            # Of layers that hand on what one inside of them returned, the innermost.
            if isinstance(output, torch.Tensor) and self._layers.get(output) is None:
                self._layers.put(output, path)

        return note
