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
    from collections.abc import Callable, Iterator, Sequence

_PASSED_ON, _RESIZED, _SUMMED, _SCALED = "passed on", "resized", "summed", "scaled"
_NAMES = {
    "softmax": "softmax special_softmax",
    "sigmoid": "sigmoid sigmoid_ expit special_expit",
    "log_softmax": "log_softmax special_log_softmax",
    "linear": "linear bilinear matmul mm bmm mv addmm addmv addbmm baddbmm einsum tensordot inner convolution conv1d "
    "conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d",
    # What changes no value.
    _PASSED_ON: "flatten reshape view squeeze unsqueeze contiguous clone detach permute transpose to type float double "
    "half bfloat16 cpu cuda select __getitem__ __get__ getitem expand narrow movedim moveaxis swapaxes unflatten ravel "
    "chunk split unbind view_as reshape_as expand_as type_as requires_grad_ dequantize dropout dropout2d dropout3d",
    # What mixes neighbouring pixels, class by class.
    _RESIZED: "interpolate upsample upsample_bilinear upsample_nearest upsample_nearest1d upsample_nearest2d "
    "upsample_nearest3d upsample_linear1d upsample_bilinear2d upsample_trilinear3d",
    # What makes logits of logits: their sums, means and greatest, also with a constant.
    _SUMMED: "add add_ sub sub_ subtract rsub __rsub__ neg neg_ negative mean sum stack cat concat concatenate "
    "batch_norm pad pixel_shuffle max amax avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d "
    "adaptive_avg_pool3d max_pool1d max_pool2d max_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d",
    # What makes logits of logits and a constant: a temperature.
    _SCALED: "mul mul_ multiply __rmul__ div div_ true_divide divide",
}
_GROUPS = {name: group for group, names in _NAMES.items() for name in names.split()}
_MADE = ("softmax", "sigmoid", "log_softmax", "linear")


@dataclass(frozen=True, slots=True)
class Ending:
    """What a tensor that a network returned was made by.

    Attributes:
        operation: `softmax`, `sigmoid`, `log_softmax`; `linear` of a linear layer or convolution, also where what it
            returns is added up, averaged or scaled by a constant; `other` for anything else, such as another function
            of these, or a softmax that a matrix mixes; empty where it was not seen, as in TorchScript.
        layer: The path of the layer that returned what the operation was given; empty where none did, or where that
            layer is called more than once.
    """

    operation: str = ""
    layer: str = ""


_OTHER = Ending("other")
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
        # Parameters, buffers, and what is made of them alone.
        self._constants: _Known[bool] = _Known()
        self._calls: list[str] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        for path, part in self._module.named_modules():
            if path and not is_script(part):
                handle = part.register_forward_hook(self._noted(path))
                self._stack.callback(handle.remove)
        for tensor in (*self._module.parameters(), *self._module.buffers()):
            self._constants.put(tensor, fact=True)
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
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        # Operators of exported networks are called `softmax.int` and the like.
        name = getattr(func, "__name__", "").partition(".")[0]
        given = list(_tensors((*args, *kwargs.values())))
        made = list(_tensors((result,)))
        if name == "__setitem__":
            self._note(given[0], _OTHER)
        elif given and all(self._constants.get(tensor) for tensor in given):
            for tensor in made:
                self._constants.put(tensor, fact=True)
        elif made:
            ending = self._made(name, given, smooth=kwargs.get("mode") != "bicubic")
            for tensor in made:
                self._note(tensor, ending)
            if _works_in_place(name) and made[0]._base is not None:  # noqa: SLF001 - views are told in no other way
                self._note(made[0]._base, _OTHER)  # noqa: SLF001
        return result

    def _made(self, name: str, given: Sequence[torch.Tensor], *, smooth: bool) -> Ending | None:
        """Return what a function makes of some tensors; None where nothing is known of any."""
        endings = [self._endings.get(tensor) for tensor in given]
        known = [ending for ending in endings if ending is not None]
        operations = {ending.operation for ending in known}
        group = _GROUPS.get(name, "")
        if group == "linear" and not operations.isdisjoint(("softmax", "log_softmax")):
            return _OTHER
        if group in _MADE:
            return Ending(group, self._layers.get(given[0]) or "" if given else "")
        if not known:
            return None
        first = endings[0]
        if first is not None and (group == _PASSED_ON or (group == _RESIZED and smooth)):
            return first
        scaled = group == _SCALED and first is not None and len(known) == 1
        if operations == {"linear"} and (scaled or group in (_SUMMED, _RESIZED)):
            return Ending("linear")
        return _OTHER

    def _note(self, tensor: torch.Tensor, ending: Ending | None) -> None:
        # What works in place makes something else of what it is given.
        for known in (self._layers, self._endings, self._constants):
            known.forget(tensor)
        if ending is not None:
            self._endings.put(tensor, ending)

    def _noted(self, path: str) -> Callable[..., None]:
        def note(_module: torch.nn.Module, _arguments: Any, output: Any) -> None:
            self._calls.append(path)
            # Of layers that hand on what one inside of them returned, the innermost.
            if isinstance(output, torch.Tensor) and self._layers.get(output) is None:
                self._layers.put(output, path)

        return note


def _works_in_place(name: str) -> bool:
    return name.endswith("_") and not name.endswith("__") and name != "requires_grad_"


def _tensors(values: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors among values, and in lists and tuples of them."""
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)
