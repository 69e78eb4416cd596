"""Which rule says what the output of an operation sees of the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit.capture.dataflow import mixtures, places, windows
from interpretkit.capture.dataflow.operation import Operation, aligned, kept, unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch

    from interpretkit.capture.receptive import Axis, Field

    Rule = Callable[[Operation, torch.Tensor], Field]


def field_of(operation: Operation, output: torch.Tensor) -> Field | None:
    """Return what an output of an operation sees of the image; None if it does not depend on it."""
    if not operation.fields or operation.name in _CONSTANT:
        return None
    field = _rule(operation)(operation, output)
    return field.each(lambda axis: axis if _lies_in(axis, output.shape) else axis.lost())


def _rule(operation: Operation) -> Rule:
    if operation.reshapes:
        return unknown
    if operation.pointwise or operation.name in _POINTWISE:
        return aligned
    if operation.name.startswith("_scaled_dot_product"):
        return mixtures.attention
    return _RULES.get(operation.name, unknown)


def _lies_in(axis: Axis, shape: Sequence[int]) -> bool:
    place = axis.place
    if place is None:
        return True
    return place.dim < len(shape) and shape[place.dim] % (place.inner * place.size) == 0


# torch marks the operations that work cell by cell, but not all of them.
_POINTWISE = frozenset(
    (
        *("_prelu_kernel", "hardshrink", "hardswish", "log_sigmoid_forward", "mish", "rrelu_with_noise", "softplus"),
        *("softshrink", "_to_copy", "alias", "copy", "detach", "expand", "lift_fresh", "native_dropout"),
    )
)

_CONSTANT = frozenset(
    (
        *("empty_like", "full_like", "ones_like", "rand_like", "randn_like", "zeros_like"),
        *("fill", "zero", "new_empty", "new_empty_strided", "new_full", "new_ones", "new_zeros"),
    )
)

_KINDS: dict[Rule, tuple[str, ...]] = {
    windows.convolution: ("convolution",),
    windows.pool: (*("avg_pool2d", "avg_pool3d", "max_pool2d", "max_pool2d_with_indices", "max_pool3d_with_indices"),),
    windows.adaptive_pool: (
        *("_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "adaptive_max_pool2d", "adaptive_max_pool3d"),
    ),
    windows.upsample: (
        *("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d"),
        *("_upsample_nearest_exact1d", "_upsample_nearest_exact2d", "_upsample_nearest_exact3d"),
        *("upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d", "upsample_bicubic2d"),
    ),
    windows.pixel_shuffle: ("pixel_shuffle",),
    windows.pixel_unshuffle: ("pixel_unshuffle",),
    windows.pad: (
        *("constant_pad_nd", "reflection_pad1d", "reflection_pad2d", "reflection_pad3d"),
        *("replication_pad1d", "replication_pad2d", "replication_pad3d"),
    ),
    windows.slice_: ("slice",),
    places.split: ("split", "split_with_sizes"),
    places.select: ("select", "unbind"),
    places.concatenation: ("cat",),
    places.stack: ("stack",),
    places.unsqueeze: ("unsqueeze",),
    places.squeeze: ("squeeze",),
    places.permutation: ("permute", "t", "transpose"),
    places.view: ("_reshape_alias", "_unsafe_view", "view"),
    mixtures.reduction: (
        *("all", "amax", "amin", "any", "argmax", "argmin", "linalg_vector_norm", "logsumexp", "max", "mean", "min"),
        *("prod", "std", "std_mean", "sum", "var", "var_mean"),
    ),
    mixtures.over_dim: ("_log_softmax", "_safe_softmax", "_softmax"),
    mixtures.batch_norm: (
        *("_native_batch_norm_legit", "_native_batch_norm_legit_no_training", "native_batch_norm"),
        *("cudnn_batch_norm", "miopen_batch_norm"),
    ),
    mixtures.layer_norm: ("_fused_rms_norm", "native_layer_norm"),
    mixtures.group_norm: ("native_group_norm",),
    mixtures.product: tuple(mixtures.FACTORS),
    mixtures.attention: ("_native_multi_head_attention", "_transformer_encoder_layer_fwd"),
    kept: ("channel_shuffle",),
}
_RULES = {name: rule for rule, names in _KINDS.items() for name in names}
