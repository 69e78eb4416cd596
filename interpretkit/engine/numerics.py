"""The numeric setting of a run: put in force, described as it really is, and put back."""

from __future__ import annotations

import os
import random
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from interpretkit.model.model import Model
    from interpretkit.recipe.entries import Numerics


@contextmanager
def in_force(numerics: Numerics) -> Iterator[None]:
    """Seed the generators and, if `deterministic`, refuse what gives other numbers at every run; then put all back.

    Tensor cores that round float32 to 10 bits (TF32) stay off either way, and so does an autocast around this: float32
    shall mean float32. An autocast of the network's own stays on.
    """
    import torch

    deterministic = torch.are_deterministic_algorithms_enabled()
    settings: Any = torch.utils.deterministic  # torch leaves its attributes undeclared
    filling = settings.fill_uninitialized_memory
    backends = torch.backends.cudnn
    before = (backends.benchmark, backends.allow_tf32, torch.backends.cuda.matmul.allow_tf32)
    # cuBLAS reads this at its first use; without it, it refuses to be deterministic. It stays: cuBLAS reads it once.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    with torch.random.fork_rng(), _others_seeded(numerics.seed), _without_autocast():
        try:
            torch.manual_seed(numerics.seed)
            torch.use_deterministic_algorithms(numerics.deterministic)
            # Writing NaN into all memory that is about to be overwritten only costs time.
            settings.fill_uninitialized_memory = False
            backends.benchmark = backends.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
            yield
        finally:
            torch.use_deterministic_algorithms(deterministic)
            settings.fill_uninitialized_memory = filling
            backends.benchmark, backends.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@contextmanager
def as_if_not_drawn() -> Iterator[None]:
    """Put the state of every generator back: what comes after draws the numbers that it would have drawn anyway."""
    import numpy as np
    import torch

    before = random.getstate(), np.random.get_state()  # noqa: NPY002 - the one that is drawn from without asking
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])  # noqa: NPY002


@contextmanager
def _others_seeded(seed: int) -> Iterator[None]:
    """Seed the generators of Python and of numpy, which networks draw from too; then put them back."""
    import numpy as np

    before = random.getstate(), np.random.get_state()  # noqa: NPY002 - the one that is drawn from without asking
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002


@contextmanager
def _without_autocast() -> Iterator[None]:
    import torch

    with ExitStack() as stack:
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield


def describe(numerics: Numerics, models: Iterable[Model]) -> dict[str, Any]:
    """Return the setting as it took effect: the device and dtype that the models are in, and the threads used."""
    import torch

    parameters = [next(model.module.parameters(), torch.zeros(())) for model in models]
    devices = sorted({str(parameter.device) for parameter in parameters})
    dtypes = sorted({str(parameter.dtype).removeprefix("torch.") for parameter in parameters})
    described = {
        **numerics.model_dump(),
        "device": ", ".join(devices),
        "dtype": ", ".join(dtypes),
        "threads": torch.get_num_threads(),
    }
    hardware = [torch.cuda.get_device_name(device) for device in devices if device.startswith("cuda")]
    if hardware:
        described["hardware"] = hardware
    return described
