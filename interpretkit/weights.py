"""Weights: read from a file, wherever it comes from, without running anything in it; fitted strictly and loaded."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from interpretkit import hub
from interpretkit.download import download
from interpretkit.errors import InterpretkitError, PluginError, WeightsError, cause
from interpretkit.model import Model
from interpretkit.provenance import WeightsInfo, sha256_file
from interpretkit.reach import UnreachableError
from interpretkit.recipe import HubWeights, PathWeights, PublishedWeights

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch
    from torch import nn

    from interpretkit.contracts import ModelBuilder

_NESTS = ("state_dict", "model", "model_state_dict", "state_dict_ema")
_EXAMPLES = 3
# Some 20,000 tensors: ten times what vision networks have. A longer header takes seconds to read.
_LONGEST_HEADER = 2 * 1024 * 1024


def load(
    builder: ModelBuilder,
    weights: Literal["random"] | PathWeights | HubWeights | PublishedWeights,
    *,
    seed: int,
    device: str,
    dtype: str,
) -> Model:
    """Return the model that `builder` builds, with `weights`, on `device`, in eval mode.

    Random weights are initialised from `seed`, leave the caller's random numbers alone, and put the note `untrained`
    on the model. `otherwise: random` stands in for a server that cannot be reached, and for nothing else: a
    repository, revision or file that it does not have, a damaged file, or weights that do not fit are errors with or
    without it.

    Args:
        builder: Builds the network.
        weights: Where they come from.
        seed: Seeds the initialisation, which is computed on the CPU.
        device: `auto` (CUDA if there is any, else the CPU), `cpu`, `cuda`, `cuda:1`, `mps`.
        dtype: Name of the torch dtype that floating-point weights are turned into.

    Raises:
        WeightsError: If the weights cannot be had or read, do not fit, or are not finite in `dtype`.
        PluginError: If there is no such device, or the builder does not return a Model.
    """
    import torch

    precision: torch.dtype = getattr(torch, dtype)
    place = _device(device, precision)
    state, info = _state(weights, builder)
    try:
        model = _built(builder, state, seed=seed, device="cpu")
    except WeightsError as error:
        raise WeightsError(error.message, where=error.where or info.source, hint=error.hint) from error
    model.module.to(place, precision).eval()
    _check_finite(model.module, where=info.source, dtype=dtype)
    notes = (*model.notes, "untrained") if state is None else model.notes
    return replace(model, weights=info, notes=tuple(dict.fromkeys(notes)))


def blank(builder: ModelBuilder) -> Model:
    """Return the model that `builder` builds, without memory for weights: to list and to plan, not to run."""
    model = _built(builder, None, seed=0, device="meta")
    model.module.to("meta")
    return model


def load_state(module: nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """Copy `state` into `module`: every name and every shape must fit, or nothing is copied.

    Only `num_batches_tracked` of batch normalisation may be missing: older checkpoints lack it, and it is not used in
    eval mode.

    Raises:
        WeightsError: If tensors are missing, unexpected or of another shape; it counts them and shows some of each.

    Example:
        >>> import torch
        >>> load_state(torch.nn.Linear(2, 1), {"weight": torch.ones(1, 3)})
        Traceback (most recent call last):
        interpretkit.errors.WeightsError: the weights do not fit: 1 missing ('bias' 1), 1 of another shape ('weight' 1×3
        instead of 1×2) (a checkpoint of another architecture, variant or form?)
    """
    wanted: dict[str, torch.Tensor] = module.state_dict()
    both = wanted.keys() & state.keys()
    missing = [name for name in wanted if name not in both and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in state if name not in both]
    misshaped = [name for name in wanted if name in both and wanted[name].shape != state[name].shape]
    faults = [
        _counted("missing", [f"{name!r} {_shape(wanted[name])}" for name in missing]),
        _counted("unexpected", [f"{name!r} {_shape(state[name])}" for name in unexpected]),
        _counted(
            "of another shape",
            [f"{name!r} {_shape(state[name])} instead of {_shape(wanted[name])}" for name in misshaped],
        ),
    ]
    if any(faults):
        raise WeightsError(
            f"the weights do not fit: {', '.join(filter(None, faults))}",
            hint="a checkpoint of another architecture, variant or form?",
        )
    # Into a state of the module's own, which knows the version of its layout; a plain mapping says nothing of it.
    wanted.update(state)
    module.load_state_dict(wanted)


def read_state(path: Path, *, sha256: str = "") -> dict[str, torch.Tensor]:
    """Return the tensors of a weights file by name, on the CPU. Nothing in the file is run.

    What the file holds decides how it is read, not its name: safetensors, or a PyTorch checkpoint, of which torch's
    `weights_only` reader takes tensors and refuses the rest. From a checkpoint that holds a mapping `state_dict`,
    `model`, `model_state_dict` or `state_dict_ema` beside other things, that mapping is returned.

    Args:
        path: The file.
        sha256: The hash that it must have, or its first digits, hexadecimal; it is compared before the file is read.

    Raises:
        WeightsError: If there is no such file, its hash is another, or it does not hold tensors by name.
    """
    return _read_verified(Path(path), sha256)[0]


def _state(
    weights: Literal["random"] | PathWeights | HubWeights | PublishedWeights, builder: ModelBuilder
) -> tuple[dict[str, torch.Tensor] | None, WeightsInfo]:
    if isinstance(weights, PathWeights):
        state, digest = _read_verified(Path(weights.path), weights.sha256)
        return state, WeightsInfo(kind="path", source=weights.path, sha256=digest)
    if weights == "random":
        return None, WeightsInfo(kind="random")
    try:
        return _from_hub(weights) if isinstance(weights, HubWeights) else _from_authors(weights, builder)
    except UnreachableError as error:
        if weights.otherwise != "random":
            raise
        source = weights.hub if isinstance(weights, HubWeights) else f"published {weights.published}"
        return None, WeightsInfo(kind="random", source=source, fallback=error.message)


def _from_hub(weights: HubWeights) -> tuple[dict[str, torch.Tensor], WeightsInfo]:
    fetched = hub.fetch(weights.hub, weights.file, revision=weights.revision)
    state, digest = _read_verified(fetched.path, fetched.sha256)
    source = f"hub {weights.hub}@{fetched.commit}: {weights.file}"
    return state, WeightsInfo(kind="hub", source=source, sha256=digest)


def _from_authors(weights: PublishedWeights, builder: ModelBuilder) -> tuple[dict[str, torch.Tensor], WeightsInfo]:
    try:
        published = builder.published(weights.published)
    except InterpretkitError:
        raise
    except Exception as error:
        raise PluginError(f"model {builder.name!r}: published() failed: {cause(error)}") from error
    state, digest = _read_verified(download(published), published.sha256)
    source = f"published {weights.published}: {published.url}"
    return state, WeightsInfo(kind="published", source=source, sha256=digest)


def _built(builder: ModelBuilder, state: Mapping[str, torch.Tensor] | None, *, seed: int, device: str) -> Model:
    import torch

    # `torch.manual_seed` would also reseed the generators of all GPUs, which `fork_rng` does not bring back.
    with torch.random.fork_rng(devices=[]), torch.device(device), _numbers_on_cpu():
        torch.default_generator.manual_seed(seed)
        try:
            model: object = builder.build(state)
        except InterpretkitError:
            raise
        except Exception as error:
            raise PluginError(f"model {builder.name!r}: build() failed: {cause(error)}") from error
    if not isinstance(model, Model):
        raise PluginError(f"model {builder.name!r}: `build` returns a {type(model).__name__}, not a Model")
    return model


@contextmanager
def _numbers_on_cpu() -> Iterator[None]:
    """Make tensors of given numbers on the CPU: constructors reckon widths and depths with them, which meta cannot."""
    import torch
    from torch.overrides import TorchFunctionMode

    class NumbersOnCpu(TorchFunctionMode):
        def __torch_function__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = dict(kwargs or {})
            if func in (torch.arange, torch.linspace, torch.tensor):
                kwargs.setdefault("device", "cpu")
            return func(*args, **kwargs)

    with NumbersOnCpu():
        yield


def _device(name: str, dtype: torch.dtype) -> torch.device:
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.zeros(1, device=name, dtype=dtype).device
    # torch has no one way to say that it lacks a device, or that a device lacks a dtype.
    except (RuntimeError, AssertionError, TypeError, ImportError) as error:
        raise PluginError(
            f"device {name!r} cannot be used with {dtype}: {str(error).splitlines()[0]}",
            where="numerics.device",
            hint="`auto` or `cpu` run anywhere",
        ) from error


def _check_finite(module: nn.Module, *, where: str, dtype: str) -> None:
    import torch

    for name, tensor in module.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise WeightsError(f"weights {name!r} hold NaN or infinity in {dtype}", where=where)


def _counted(what: str, examples: Sequence[str]) -> str:
    if not examples:
        return ""
    more = ", …" if len(examples) > _EXAMPLES else ""
    return f"{len(examples)} {what} ({', '.join(examples[:_EXAMPLES])}{more})"


def _shape(tensor: torch.Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "scalar"


def _read_verified(path: Path, sha256: str) -> tuple[dict[str, torch.Tensor], str]:
    """Return the tensors of a file, and its hash."""
    try:
        if not path.is_file():
            raise WeightsError("no such file" if not path.exists() else "not a regular file", where=str(path))
        digest = sha256_file(path)
        if not digest.startswith(sha256.lower()):
            raise WeightsError(
                f"the file has the SHA-256 {digest}, not {sha256.lower()}",
                where=str(path),
                hint="it is damaged or another file: remove and fetch it again, or correct `sha256:`",
            )
        return _tensors(_contents(path), where=str(path)), digest
    except OSError as error:
        raise WeightsError(f"cannot be read: {error.strerror or error}", where=str(path)) from error


def _contents(path: Path) -> Any:
    """Return what a file holds. Its first bytes tell its kind."""
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith(b"version https://git-lfs"):
        hint = "fetch the file that it stands for: `git lfs pull`"
        raise WeightsError("this is a Git LFS pointer, not the weights", where=str(path), hint=hint)
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html", b"<?xml")):
        hint = "the download was answered with a page, perhaps of an error or a login: fetch the file again"
        raise WeightsError("this is a web page, not the weights", where=str(path), hint=hint)
    if head[8:9] == b"{":
        return _read_safetensors(path, header=int.from_bytes(head[:8], "little"))
    if head.startswith((b"PK\x03\x04", b"\x80")):
        return _read_checkpoint(path)
    what = "neither safetensors nor a PyTorch checkpoint" if head else "an empty file"
    raise WeightsError(f"this is {what}", where=str(path))


def _read_safetensors(path: Path, *, header: int) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if header > _LONGEST_HEADER:
        raise WeightsError(f"damaged safetensors file: a header of {header:,} bytes", where=str(path))
    try:
        state: dict[str, torch.Tensor] = load_file(path)
    except SafetensorError as error:
        # It may quote names from the file: `repr` keeps control characters off the terminal.
        raise WeightsError(f"damaged safetensors file: {str(error)[:160]!r}", where=str(path)) from error
    return state


def _read_checkpoint(path: Path) -> Any:
    """Read tensors with torch's `weights_only` reader, and by no other way if it refuses."""
    import torch

    hint = "fetch the file again; if you trust it, save its state dict alone as safetensors"
    try:
        # An open file has no name: torch would take the name's word for what it holds.
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols: what it reads is checked in any case
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        # A damaged pickle can raise anything. torch's own message advises to read the file without protection.
        refused = re.search(r"GLOBAL (\S+)", str(error))
        if refused and isinstance(error, pickle.UnpicklingError):
            what = f"more than tensors ({refused[1]!r}); it is refused, and nothing in it was run"
        elif "TorchScript" in str(error):
            what = "a TorchScript program, not a state dict"
        else:
            what = "something that cannot be read: it is damaged, or no state dict"
        raise WeightsError(f"the checkpoint holds {what}", where=str(path), hint=hint) from error


def _tensors(contents: Any, *, where: str) -> dict[str, torch.Tensor]:
    """Return the tensors by name that a checkpoint holds, itself or under one of the usual keys."""
    import torch

    nests = [key for key in _NESTS if isinstance(contents, Mapping) and isinstance(contents.get(key), Mapping)]
    if len(nests) > 1:
        raise WeightsError(
            f"the checkpoint holds several sets of weights: {', '.join(nests)}",
            where=where,
            hint="save the one that you want to a file of its own",
        )
    if nests:
        contents = contents[nests[0]]
    if not isinstance(contents, Mapping):
        raise WeightsError(f"the checkpoint holds a {type(contents).__name__}, not tensors by name", where=where)
    others = [
        f"{key!r} ({type(value).__name__})"
        for key, value in contents.items()
        if not (isinstance(key, str) and isinstance(value, torch.Tensor))
    ]
    if others or not contents:
        what = _counted("that are no tensors", others) if others else "none"
        raise WeightsError(f"the checkpoint should hold tensors by name; of its entries {what}", where=where)
    return dict(contents)
