"""Networks made fit for methods that change the backward pass at modules, and refused where that would be wrong."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.modules.pooling import _MaxPoolNd

from interpretkit import StepError
from interpretkit_captum.network import out_of_place
from interpretkit_captum.operations import observe
from interpretkit_captum.pooling import POOLS, MaxPool

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from interpretkit import Captured
    from interpretkit_captum.operations import Observed, Operation

_OTHER = "integrated_gradients, smooth_grad and occlusion take any network"
# What torch runs for operations that are linear, up to a constant, in the first tensor that they read. Of all else that
# depends on the images, nobody has shown it.
_LINEAR = frozenset({
    "convolution", "_convolution", "mkldnn_convolution", "cudnn_convolution", "convolution_overrideable",
    "avg_pool1d", "avg_pool2d", "avg_pool3d", "_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "adaptive_avg_pool1d",
    "native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm", "miopen_batch_norm",
    "constant_pad_nd", "reflection_pad1d", "reflection_pad2d", "reflection_pad3d",
    "replication_pad1d", "replication_pad2d", "replication_pad3d",
    "upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "upsample_linear1d", "upsample_bilinear2d",
    "upsample_trilinear3d", "upsample_bicubic2d", "_upsample_nearest_exact1d", "_upsample_nearest_exact2d",
    "_upsample_nearest_exact3d", "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa",
    "pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "native_channel_shuffle", "im2col", "col2im",
    "view", "_unsafe_view", "reshape", "_reshape_alias", "permute", "transpose", "t", "movedim", "expand", "slice",
    "select", "split", "split_with_sizes", "unsafe_split", "unsafe_split_with_sizes", "unbind", "unsqueeze", "squeeze",
    "as_strided", "unfold", "diagonal", "narrow", "repeat", "flip", "roll", "rot90", "tril", "triu",
    "clone", "contiguous", "alias", "lift_fresh", "_to_copy", "to",
    "sum", "mean", "neg", "cumsum", "trace",
    "index", "index_select", "gather", "masked_fill",
    "div", "mul", "mm", "bmm", "addmm", "baddbmm", "mv", "addmv", "dot",
})  # fmt: skip
_SUMS = frozenset({"add", "sub", "rsub", "cat", "stack", "copy", "where"})
# What reads the shape alone.
_CONSTANT = frozenset({
    "empty_like", "zeros_like", "ones_like", "full_like", "rand_like", "randn_like", "zero", "fill",
    "new_empty", "new_zeros", "new_ones", "new_full", "new_empty_strided",
    "sym_size", "sym_numel", "sym_stride", "is_same_size",
})  # fmt: skip
# What lets only one side of a threshold through, whatever it is called.
_RECTIFY = frozenset({"clamp", "clamp_min", "clamp_max", "maximum", "minimum", "hardtanh"})
_CHOOSE = frozenset({"where", "masked_fill"})
# What torch runs for the activation functions and other operations that are not linear in their input.
_NOT_LINEAR = frozenset({
    "relu", "threshold", "clamp", "clamp_min", "clamp_max", "hardtanh", "leaky_relu", "_prelu_kernel", "elu", "celu",
    "gelu", "silu", "mish", "softplus", "sigmoid", "log_sigmoid_forward", "tanh", "hardswish", "hardsigmoid",
    "_softmax", "_log_softmax", "maximum", "minimum", "abs", "exp", "log", "pow", "sqrt", "rsqrt",
    "max_pool2d_with_indices", "max_pool2d", "adaptive_max_pool2d", "amax", "max",
    "max_pool3d_with_indices", "adaptive_max_pool3d",
    "native_layer_norm", "native_group_norm", "linalg_vector_norm",
    "_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_efficient_attention", "_scaled_dot_product_cudnn_attention",
})  # fmt: skip
_HAVE_MODULES = frozenset({"relu", "max_pool2d_with_indices", "max_pool3d_with_indices"})
_PRODUCTS = frozenset({"mul", "div", "mm", "bmm", "matmul"})


@contextmanager
def with_rectifiers(captured: Captured, network: nn.Module, *, method: str) -> Iterator[None]:
    """Let captum change the gradient at every ReLU of the network.

    Raises:
        StepError: If a ReLU is no module, or there is none: captum would change nothing there, and not say so.
    """
    seen = observe(network, captured.inputs[:1])
    for each in seen.operations:
        if _rectifies(each) and not isinstance(each.module, nn.ReLU):
            raise StepError(
                f"{method} changes the gradient at modules nn.ReLU, but there is a function {each}",
                hint="make it a module nn.ReLU of its own",
            )
    if not any(isinstance(part, nn.ReLU) for part in _called(network, seen)):
        others = {str(each) for each in seen.operations if each.name in _NOT_LINEAR}
        instead = f", but {min(others)}" if others else ""
        raise StepError(
            f"{method} changes the gradient at modules nn.ReLU; the network has none{instead}: the result would be the "
            "plain gradient",
            hint=_OTHER,
        )
    with replaced(network, one_for_each_call(network, seen, (nn.ReLU,))), own_input(captured, network, (nn.ReLU,)):
        yield


@contextmanager
def with_rules(captured: Captured, network: nn.Module) -> Iterator[None]:
    """Let DeepLift apply its rules at every operation of the network that is not linear.

    Raises:
        StepError: If there is one without a rule: captum would take the plain gradient there, and not say so.
    """
    from captum.attr._core.deep_lift import SUPPORTED_NON_LINEAR

    kinds = tuple(SUPPORTED_NON_LINEAR)
    seen = observe(network, captured.inputs[:1])
    for each in seen.operations:
        if not _is_linear(each) and type(each.module) not in kinds:
            product = each.name in _PRODUCTS and sum(each.depends) > 1
            what = f"a product of activations: {each}" if product else f"a function {each}"
            known = ", ".join(kind.__name__ for kind in kinds)
            raise StepError(
                f"DeepLift has rules for modules {known}, but there is {what}",
                hint="make it such a module" if each.name in _HAVE_MODULES else _OTHER,
            )
    found = (part for part in network.modules() if isinstance(part, _MaxPoolNd))
    pools = {part: MaxPool(part) for part in found if type(part) in POOLS}
    others = one_for_each_call(network, seen, tuple(kind for kind in kinds if kind not in POOLS))
    with replaced(network, pools | others), own_input(captured, network, kinds), _cleared(network, kinds):
        yield


def _is_linear(operation: Operation) -> bool:
    """Return whether an operation is linear, up to a constant, in what it reads of the images."""
    depends = operation.depends
    if not any(depends) or operation.name in _CONSTANT:
        return True
    if operation.name == "where":
        return not depends[0]
    if operation.name in _SUMS:
        return True
    # Products are linear in one factor; quotients, and what is chosen by an index, in the first alone.
    first_alone = operation.name in {"div", "index", "gather", "index_select", "masked_fill"}
    return operation.name in _LINEAR and sum(depends) == 1 and (depends[0] or not first_alone)


def _rectifies(operation: Operation) -> bool:
    """Return whether an operation is a ReLU, or does the same under another name."""
    if operation.name in {"relu", "threshold"}:
        return True
    if not any(operation.depends):
        return False
    chosen = operation.name in _CHOOSE and operation.depends[operation.name == "masked_fill"]
    return operation.name in _RECTIFY or chosen or operation.masks


@contextmanager
def _cleared(network: nn.Module, kinds: tuple[type[nn.Module], ...]) -> Iterator[None]:
    """Give modules of these kinds back their attributes: captum leaves what it keeps there if a pass fails."""
    before = [(part, dict(part.__dict__)) for part in network.modules() if isinstance(part, kinds)]
    try:
        yield
    finally:
        for part, found in before:
            for name in ("input", "output"):
                part.__dict__.pop(name, None)
                if name in found:
                    part.__dict__[name] = found[name]


def _called(network: nn.Module, seen: Observed) -> Iterator[nn.Module]:
    return (part for path, part in network.named_modules() if path in seen.calls)


def one_for_each_call(
    network: nn.Module, seen: Observed, kinds: tuple[type[nn.Module], ...]
) -> dict[nn.Module, nn.Module]:
    """Return what to put in place of modules of these kinds that are called several times."""
    return {
        part: _Calls(part, seen.calls[path])
        for path, part in network.named_modules()
        if isinstance(part, kinds) and seen.calls.get(path, 0) > 1
    }


@contextmanager
def replaced(network: nn.Module, instead: Mapping[nn.Module, nn.Module]) -> Iterator[None]:
    """Put modules in place of others meanwhile, wherever they are."""
    places = [
        (parent, name, part)
        for parent in network.modules()
        for name, part in parent._modules.items()  # noqa: SLF001 - named_children() leaves out what has two names
        if part is not None and part in instead
    ]
    try:
        for parent, name, part in places:
            setattr(parent, name, instead[part])
        yield
    finally:
        for parent, name, part in places:
            setattr(parent, name, part)


@contextmanager
def own_input(captured: Captured, network: nn.Module, kinds: tuple[type[nn.Module], ...]) -> Iterator[None]:
    """Give modules of these kinds a copy of their input, and let them work out of place.

    captum's hooks change the whole gradient of what a module is given: also what comes from its other readers, and
    too late for the module that has returned it.
    """
    with ExitStack() as stack:
        # First, so that it is noticed where the network needs a module to overwrite what it is given.
        stack.enter_context(out_of_place(captured, network))
        for part in network.modules():
            if isinstance(part, kinds):
                stack.callback(part.register_forward_pre_hook(_copied).remove)
        yield


def _copied(_module: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(each.clone() if isinstance(each, torch.Tensor) else each for each in given)


class _Calls(nn.Module):
    """Stands for a module without parameters that is called several times: each call has a module of its own."""

    def __init__(self, part: nn.Module, calls: int) -> None:
        super().__init__()
        # Deep: hooks on a shallow copy are hooks on all.
        self.each = nn.ModuleList(deepcopy(part) for _ in range(calls))
        self._count = 0

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Run the module of this call."""
        part = self.each[self._count % len(self.each)]
        self._count += 1
        result: torch.Tensor = part(values)
        return result
