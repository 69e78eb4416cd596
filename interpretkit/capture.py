"""The only file that hooks a model: one forward pass, and one backward pass for each distinct target.

Everything that any number of steps asks of a batch is recorded during the same pass. The module is left exactly as
it was found, also after an exception: mode, weights, `.grad`, hooks, and the state of the random generators.
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import torch

from interpretkit.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import TracebackType


@dataclass(frozen=True, slots=True)
class Address:
    """One call of one module: what a hook can catch.

    Attributes:
        path: The module's name in `named_modules()`.
        call: Which of its calls in a forward pass, counted from 1; None where it is called once.
    """

    path: str
    call: int | None = None

    def __str__(self) -> str:
        return self.path if self.call is None else f"{self.path}#{self.call}"


@dataclass(frozen=True, slots=True)
class Call:
    """One call that a probe has seen, in the order of execution."""

    address: Address
    kind: str
    shape: tuple[int, ...] | None
    parameters: int


class Capture:
    """Record activations and gradients during one forward pass.

    Activations are the values that the addressed modules return. The network goes on with a copy of each, so that an
    in-place operation further on (`ReLU(inplace=True)`, `x += y`) overwrites the copy and neither the recorded value
    nor its gradient. Gradient mode is switched on at the first module whose gradient is wanted: what runs before it
    costs what inference costs.

    Args:
        module: The network, in any mode; it runs in eval mode and gets its own mode back.
        activations: The calls whose outputs are wanted.
        gradients: The calls for whose outputs gradients are wanted; their activations are recorded too.

    Raises:
        StepError: From `forward`, if an address was not called, was called more often than it says, or returned
            something that is not a tensor.

    Example:
        >>> import torch
        >>> net = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.ReLU(inplace=True), torch.nn.Flatten())
        >>> conv = Address("0")
        >>> with Capture(net, gradients=[conv]) as capture:
        ...     output = capture.forward(torch.ones(1, 3, 4, 4))
        ...     gradients = capture.backward(output.sum())
        >>> capture.activations[conv].shape, gradients[conv].shape
        (torch.Size([1, 2, 2, 2]), torch.Size([1, 2, 2, 2]))
    """

    def __init__(
        self,
        module: torch.nn.Module,
        *,
        activations: Iterable[Address] = (),
        gradients: Iterable[Address] = (),
    ) -> None:
        self.activations: dict[Address, torch.Tensor] = {}
        self._module = module
        self._with_gradient = frozenset(gradients)
        self._addresses = tuple(dict.fromkeys([*activations, *self._with_gradient]))
        self._calls: Counter[str] = Counter()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(_left_as_found(self._module))
            for path in dict.fromkeys(address.path for address in self._addresses):
                handle = self._module.get_submodule(path).register_forward_hook(self._recorder(path))
                stack.callback(handle.remove)
            # Inference mode is faster still, but its tensors can never take part in a gradient.
            stack.enter_context(torch.no_grad() if self._with_gradient else torch.inference_mode())
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def forward(self, inputs: torch.Tensor) -> Any:
        """Run the network once on `inputs` `(image, channel, y, x)` and return what it returns."""
        output = self._module(inputs)
        for address in self._addresses:
            _check_was_called(address, self._calls[address.path])
        return output

    def backward(self, score: torch.Tensor) -> dict[Address, torch.Tensor]:
        """Return the gradient of the summed `score` `(image,)` for every address in `gradients`.

        Raises:
            StepError: If the score does not depend on one of the layers.
        """
        addresses = [address for address in self._addresses if address in self._with_gradient]
        if not score.requires_grad:
            raise StepError(
                f"the score does not depend on {', '.join(map(str, addresses))}",
                hint="choose a layer on the way to the output; a forward under torch.no_grad() hides its layers",
            )
        found = torch.autograd.grad(
            score.sum(), [self.activations[address] for address in addresses], retain_graph=True, allow_unused=True
        )
        gradients = dict(zip(addresses, found, strict=True))
        for address, gradient in gradients.items():
            if gradient is None:
                raise StepError(
                    f"the score does not depend on {address}", hint="choose a layer on the way to the output"
                )
        return gradients

    def _recorder(self, path: str) -> Any:
        wanted = {address.call: address for address in self._addresses if address.path == path}

        def record(_module: torch.nn.Module, _arguments: Any, output: Any) -> Any:
            self._calls[path] += 1
            address = wanted.get(self._calls[path], wanted.get(None))
            if address is None:
                return None
            if not isinstance(output, torch.Tensor):
                raise StepError(f"{address} returns {_describe(output)}, not a tensor", hint=_OTHER_LAYER)
            if address in self._with_gradient:
                if not output.is_floating_point():
                    raise StepError(f"{address} returns {output.dtype}, which has no gradient", hint=_OTHER_LAYER)
                torch.set_grad_enabled(True)
                if not output.requires_grad:
                    # Detached first: what a module returns may be a buffer of its own.
                    output = output.detach().requires_grad_()
            self.activations[address] = output
            return output.clone()

        return record


def probe(module: torch.nn.Module, inputs: torch.Tensor) -> list[Call]:
    """List every module call of one forward pass on `inputs`, in the order in which the calls end.

    The input may lie on the meta device together with the module: then nothing is computed.
    """
    calls: list[Call] = []
    counts: Counter[str] = Counter()

    def note(path: str) -> Any:
        def hook(called: torch.nn.Module, _arguments: Any, output: Any) -> None:
            counts[path] += 1
            shape = tuple(output.shape) if isinstance(output, torch.Tensor) else None
            parameters = sum(parameter.numel() for parameter in called.parameters())
            calls.append(Call(Address(path, counts[path]), type(called).__name__, shape, parameters))

        return hook

    with ExitStack() as stack:
        stack.enter_context(_left_as_found(module))
        stack.enter_context(torch.no_grad())
        for path, submodule in module.named_modules():
            if path:
                stack.callback(submodule.register_forward_hook(note(path)).remove)
        module(inputs)
    return [
        call if counts[call.address.path] > 1 else _with_address(call, Address(call.address.path)) for call in calls
    ]


_OTHER_LAYER = "`interpretkit layers` lists what each layer returns"


def _with_address(call: Call, address: Address) -> Call:
    return Call(address, call.kind, call.shape, call.parameters)


def _check_was_called(address: Address, calls: int) -> None:
    if calls == 0:
        raise StepError(f"layer {address} was not called in this forward pass", hint=_OTHER_LAYER)
    if address.call is None and calls > 1:
        raise StepError(f"layer {address} was called {calls} times", hint=f"say which: {address}#1 … {address}#{calls}")
    if address.call is not None and address.call > calls:
        raise StepError(f"layer {address.path} was called {calls} times, so there is no {address}")


def _describe(output: Any) -> str:
    if isinstance(output, tuple | list):
        return f"{type(output).__name__} of {len(output)}"
    return type(output).__name__


@contextmanager
def _left_as_found(module: torch.nn.Module) -> Iterator[None]:
    """Put `module` in eval mode; give back modes and random state whatever happens."""
    modes: Mapping[torch.nn.Module, bool] = {part: part.training for part in module.modules()}
    devices = sorted({p.device.index or 0 for p in module.parameters() if p.device.type == "cuda"})
    with torch.random.fork_rng(devices=devices):
        try:
            module.eval()
            yield
        finally:
            for part, mode in modes.items():
                part.training = mode
