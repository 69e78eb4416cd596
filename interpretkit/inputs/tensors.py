"""Tensors as networks are fed: checked, and described."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from interpretkit.digests import sha256_bytes
from interpretkit.errors import InputError
from interpretkit.results.axes import CHANNEL, IMAGE, spatial
from interpretkit.results.image import InputImage

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

ONE = tuple((CHANNEL, *spatial(count)) for count in (2, 1, 3))
"""The axes of what a network may be fed: of an image, a signal, a volume."""

SEVERAL = tuple((IMAGE, *each) for each in ONE)
"""The axes of several of them in one tensor."""


def checked(
    tensor: Any,
    *,
    axes: Sequence[tuple[str, ...]],
    what: str,
    hint: str,
    where: str = "",
    dtype: torch.dtype | None = None,
) -> torch.Tensor:
    """Return a tensor of one of these lists of axes on the CPU.

    Raises:
        InputError: If it is none, or holds other than finite floats.

    Example:
        >>> import torch
        >>> checked(torch.zeros(3, 4, 4), axes=ONE, what="the image is", hint="").shape
        torch.Size([3, 4, 4])
    """
    import torch

    known = [len(each) for each in axes]
    if not isinstance(tensor, torch.Tensor):
        found = f"a {type(tensor).__name__}"
    elif tensor.layout != torch.strided:
        found = "a sparse tensor"
    elif tensor.is_meta:
        found = "a tensor on the device meta, which has no values"
    elif tensor.ndim not in known or not tensor.is_floating_point() or tensor.numel() == 0:
        found = shaped(tensor)
    else:
        values: torch.Tensor = tensor.detach().to(device="cpu", dtype=dtype)
        if bool(values.isfinite().all()):
            return values
        found = "NaN or infinity"
    listed = map(", ".join, axes)
    wanted = " or ".join(f"({each})" for each in listed)
    raise InputError(f"{what} {found}, not finite floats {wanted}", where=where, hint=hint)


def shaped(tensor: torch.Tensor) -> str:
    """Return what a tensor is, in words."""
    return f"{tensor.dtype} of shape {tuple(tensor.shape)}"


def described(tensor: torch.Tensor, position: int) -> InputImage:
    """Return what is known of an image that is handed over as a network is fed, `(channel, …)`.

    Its size is that of a slice of a volume, and of a signal its length × 1.
    """
    import torch

    width, *others = reversed(tensor.shape[1:])
    return InputImage(
        id=f"image{position}",
        position=position,
        source=f"tensor[{position}]",
        # numpy has no bfloat16, but its bytes are as good.
        sha256=sha256_bytes(tensor.contiguous().view(torch.uint8).numpy().tobytes()),
        size=(width, others[0] if others else 1),
    )
