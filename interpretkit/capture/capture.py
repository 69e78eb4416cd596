"""The only file that hooks a model: one forward pass, and one backward pass for each distinct target.

Everything that any number of steps asks of a batch is recorded during the same pass. The module is left exactly as
it was found, also after an exception: mode, weights, buffers, `.grad`, hooks, and the state of the random generators.
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, Self

import torch

from interpretkit.capture.addresses import EVERY, INPUT, OTHER_LAYER, Address
from interpretkit.capture.dataflow.flow import Dataflow
from interpretkit.capture.networks import hooks_of, own_hooks, run, uncompiled
from interpretkit.capture.returned import tensor_in, with_tensor
from interpretkit.capture.state import tensors_as_found
from interpretkit.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager
    from types import TracebackType

    from interpretkit.capture.receptive import Field


class Capture:
    """Record activations and gradients during one forward pass.

    Activations are the values that the addressed modules return. What is recorded and what the network goes on with are
    copies of each other, so that an in-place operation further on (`ReLU(inplace=True)`, `x += y`) overwrites neither
    the recorded value nor its gradient. Gradient mode is switched on at the first module whose gradient is wanted: what
    runs before it costs what inference costs.

    Args:
        module: The network, in any mode; it runs in eval mode and gets its own mode back.
        activations: The calls whose outputs are wanted.
        gradients: The calls for whose outputs gradients are wanted; their activations are recorded too.
        input_gradient: Whether the gradient for the input is wanted; `backward` then has it under `INPUT`.
        follow: Whether every operation of the pass is followed, to tell where the cells of what is recorded lie.

    Attributes:
        activations: What was recorded, by address; each call by its number where every call is wanted.
        fields: What the cells of what was recorded see, and where they lie, by address; empty unless the pass is
            followed, and of what does not depend on the input.
        drew: Whether the pass has drawn random numbers.
        refused: Why an address could not be recorded: it was not called, was called more often than it says, or
            returned something that is not a tensor. One unfit layer does not spoil the pass for the others.

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
        input_gradient: bool = False,
        follow: bool = False,
    ) -> None:
        self.activations: dict[Address, torch.Tensor] = {}
        self.fields: dict[Address, Field] = {}
        self.refused: dict[Address, StepError] = {}
        self.drew = False
        self._module = module
        self._input: torch.Tensor | None = None
        self._wants_input = input_gradient
        self._follows = follow
        self._flow: Dataflow | None = None
        self._with_gradient = set(gradients)
        self._addresses = tuple(dict.fromkeys([*activations, *self._with_gradient]))
        self._calls: Counter[str] = Counter()
        self._rows: Counter[str] = Counter()
        self._hooked = any(any(hooks_of(part)) for part in module.modules())
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(left_as_found(self._module))
            for path in dict.fromkeys(address.path for address in self._addresses):
                handle = self._module.get_submodule(path).register_forward_hook(self._recorder(path))
                stack.callback(handle.remove)
            # Not inference mode: its tensors count no in-place changes, so a plugin's could not be noticed.
            stack.enter_context(torch.no_grad())
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
        if self._wants_input:
            torch.set_grad_enabled(True)
            self._input = inputs.detach().requires_grad_()
            inputs = self._input
        before = _random_state(inputs.device)
        with self._followed(inputs):
            output = run(self._module, inputs, again=self._begin_anew)
        self.drew = not torch.equal(before, _random_state(inputs.device))
        for address in self._addresses:
            calls, rows = self._calls[address.path], self._rows[address.path]
            problem = address.problem(calls=calls, one_by_one=rows == len(inputs))
            if problem is not None:
                self.activations.pop(address, None)
                self.refused[address] = problem
        return output

    def _followed(self, inputs: torch.Tensor) -> AbstractContextManager[object]:
        if not self._follows:
            return nullcontext()
        self._flow = Dataflow(inputs)
        return self._flow

    def _begin_anew(self) -> None:
        self._calls.clear()
        self._rows.clear()
        # The score is taken of this pass, with its gradients.
        torch.set_grad_enabled(True)

    def backward(self, score: torch.Tensor) -> dict[Address, torch.Tensor]:
        """Return the gradient of the summed `score` `(image,)` by address; a layer off the way to it is left out."""
        wanted = self._with_gradient
        recorded = {address: value for address, value in self.activations.items() if address in wanted}
        if self._input is not None:
            recorded[INPUT] = self._input
        if not recorded or not score.requires_grad:
            return {}
        values = list(recorded.values())
        gradients = torch.autograd.grad(score.sum(), values, retain_graph=True, allow_unused=True)
        by_address = zip(recorded, gradients, strict=True)
        return {address: gradient for address, gradient in by_address if gradient is not None}

    def _recorder(self, path: str) -> Any:
        wanted = [address for address in self._addresses if address.path == path]

        def record(_module: torch.nn.Module, _arguments: Any, output: Any) -> Any:
            self._calls[path] += 1
            number = self._calls[path]
            values = tensor_in(output)
            self._rows[path] += len(values) if values is not None and values.ndim else 0
            # A layer that is called once may be asked for with and without the number of its call.
            addresses = [address for address in wanted if address.call in (None, EVERY, number)]
            if not addresses:
                return None
            wants_gradient = not self._with_gradient.isdisjoint(addresses)
            if values is None or not _can_be_kept(values, differentiated=wants_gradient):
                self.refused |= {address: _refused(address, output, values) for address in addresses}
                return None
            if wants_gradient:
                torch.set_grad_enabled(True)
            field = None if self._flow is None else self._flow.field(values)
            # Copies: what a module returns may be a buffer of its own, which its next call overwrites.
            if not wants_gradient:
                values = values.clone()
            elif not values.requires_grad:
                # A hook of the network's own may have kept this very tensor, to go on with it.
                values = values if self._hooked else values.detach().clone()
                values.requires_grad_()
            for address in addresses:
                this = Address(path, number) if address.call == EVERY else address
                self.activations[this] = values
                self.fields |= {} if field is None else {this: field}
                if address in self._with_gradient:
                    self._with_gradient.add(this)
            # Without a gradient the network goes on with what is its own.
            return with_tensor(output, values.clone()) if wants_gradient else None

        return record


def _can_be_kept(values: torch.Tensor, *, differentiated: bool) -> bool:
    kept = values.is_floating_point() or not (differentiated or values.is_complex())
    return kept and not _is_transformed(values)


def _refused(address: Address, output: Any, values: torch.Tensor | None) -> StepError:
    """Return why what a call returns cannot be kept."""
    if values is not None and _is_transformed(values):
        what = f"{address} runs inside a transform of torch.func, such as vmap, which lets nothing out"
        return StepError(what, hint="methods at the input take such a network: saliency, occlusion")
    if values is not None and values.is_complex():
        what = f"{address} returns complex numbers ({values.dtype}), which have no order, so there are no maps of them"
        return StepError(what, hint=f"{OTHER_LAYER}, or one after the absolute values are taken")
    what = f"{address} returns {_describe(output)}, not a tensor of floating-point numbers"
    return StepError(what, hint=OTHER_LAYER)


def _is_transformed(values: torch.Tensor) -> bool:
    """Whether a tensor stands for others inside a transform of torch.func."""
    # torch has no public way to ask.
    return bool(torch._C._functorch.is_functorch_wrapped_tensor(values))  # noqa: SLF001


def _random_state(device: torch.device) -> torch.Tensor:
    if device.type == "cuda":
        return torch.cuda.get_rng_state(device)
    return torch.get_rng_state()


def _describe(output: Any) -> str:
    if isinstance(output, tuple | list):
        return f"a {type(output).__name__} of {len(output)}"
    if isinstance(output, torch.Tensor):
        return f"{output.dtype}"
    return f"a {type(output).__name__}"


@contextmanager
def left_as_found(module: torch.nn.Module) -> Iterator[None]:
    """Put `module` in eval mode; give back modes, parameters, buffers, hooks, `.grad` and random state in any case."""
    parts = list(module.modules())
    # Frozen TorchScript has no mode: its layers are frozen as they are in eval mode.
    modes = [(part, part.training) for part in parts if hasattr(part, "training")]
    hooks = [(part, kept, dict(kept)) for part in parts for kept in hooks_of(part)]
    parameters = list(module.parameters())
    states = [(parameter.grad, parameter.requires_grad) for parameter in parameters]
    devices = {parameter.device.index or 0 for parameter in parameters if parameter.device.type == "cuda"}
    with torch.random.fork_rng(devices=sorted(devices)), uncompiled(module), tensors_as_found(module):
        try:
            # What `torch.export` returns has the mode that it was exported in, and no other.
            with suppress(NotImplementedError):
                if modes:
                    module.eval()
            yield
        finally:
            for part, mode in modes:
                part.training = mode
            for part, kept, before in hooks:
                own = own_hooks(part)
                stay = {number: hook for number, hook in kept.items() if number in own}
                kept.clear()
                kept.update(before | stay)
            for parameter, (grad, wanted) in zip(parameters, states, strict=True):
                parameter.grad = grad
                parameter.requires_grad_(wanted)


class Substitution:
    """Run the network with what one call returns replaced.

    Args:
        module: The network.
        address: The call.
        replace: Gets what the call returned, and returns what the network goes on with.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Identity())
        >>> Substitution(net, Address("1"), lambda values: values + 1).forward(torch.zeros(1, 2))
        tensor([[1., 1.]])
    """

    def __init__(
        self, module: torch.nn.Module, address: Address, replace: Callable[[torch.Tensor], torch.Tensor]
    ) -> None:
        self._module = module
        self._address = address
        self._replace = replace
        self._calls = 0

    def forward(self, inputs: torch.Tensor) -> Any:
        """Run the network on `inputs` `(image, channel, y, x)` without gradients and return what it returns.

        Raises:
            StepError: If the call was not made, or does not return a tensor.
        """
        self._begin()
        with left_as_found(self._module), torch.no_grad():
            handle = self._module.get_submodule(self._address.path).register_forward_hook(self._hook)
            try:
                output = run(self._module, inputs, again=self._begin)
            finally:
                handle.remove()
        problem = self._address.problem(calls=self._calls)
        if problem is not None:
            raise problem
        return output

    def _begin(self) -> None:
        self._calls = 0

    def _hook(self, _module: torch.nn.Module, _arguments: Any, output: Any) -> Any:
        self._calls += 1
        if self._address.call not in (None, self._calls):
            return None
        values = tensor_in(output)
        if values is None:
            raise StepError(f"{self._address} returns {_describe(output)}, not a tensor", hint=OTHER_LAYER)
        return with_tensor(output, self._replace(values))
