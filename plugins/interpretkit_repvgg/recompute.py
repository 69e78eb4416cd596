"""Gradient checkpointing: less memory in training, for a second run of each block in the backward pass."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from torch.utils.checkpoint import checkpoint

from interpretkit_repvgg.kernels import BatchNorm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import torch
    from torch import nn


def recomputed(
    function: Callable[[torch.Tensor], torch.Tensor], inputs: torch.Tensor, *, of: nn.Module
) -> torch.Tensor:
    """Return `function(inputs)`; the backward pass computes it again instead of remembering what it needs.

    Args:
        function: Runs the parts of a module.
        inputs: Its only argument.
        of: The module. The second run does not count as a batch in the running statistics of its normalisations.
    """
    return checkpoint(function, inputs, use_reentrant=False, context_fn=lambda: (nullcontext(), _statistics_kept(of)))


@contextmanager
def _statistics_kept(module: nn.Module) -> Iterator[None]:
    norms = [part for part in module.modules() if isinstance(part, BatchNorm)]
    before = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms]
    try:
        for norm in norms:
            # Not `track_running_stats`: without it other tensors are saved, which `checkpoint` takes for an error.
            norm.momentum = 0.0
            norm.num_batches_tracked = None
        yield
    finally:
        for norm, momentum, count in before:
            norm.momentum = momentum
            norm.num_batches_tracked = count
