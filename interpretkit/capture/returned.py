"""What a layer returns: a tensor, or a tuple or mapping with one tensor in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch


def tensor_in(output: Any) -> torch.Tensor | None:
    """Return the tensor that a layer returned, or the only one in a tuple, list or mapping; None if there is none.

    Example:
        >>> tensor_in((torch.ones(1), None)), tensor_in((torch.ones(1), torch.ones(1)))
        (tensor([1.]), None)
    """
    if isinstance(output, torch.Tensor):
        return output
    parts = output.values() if isinstance(output, Mapping) else output if isinstance(output, tuple | list) else ()
    tensors = [part for part in parts if isinstance(part, torch.Tensor)]
    return tensors[0] if len(tensors) == 1 else None


def with_tensor(output: Any, tensor: torch.Tensor) -> Any:
    """Return what a layer returned with another tensor in place of the one that `tensor_in` finds.

    Example:
        >>> with_tensor((torch.ones(1), None), torch.zeros(1))
        (tensor([0.]), None)
    """
    if isinstance(output, torch.Tensor):
        return tensor
    if isinstance(output, Mapping):
        changed = {name: tensor if isinstance(part, torch.Tensor) else part for name, part in output.items()}
        return type(output)(**changed)
    parts = [tensor if isinstance(part, torch.Tensor) else part for part in output]
    # A named tuple takes its parts one by one.
    return type(output)(*parts) if hasattr(output, "_fields") else type(output)(parts)
