"""Files of weights: read without running anything in them, and fitted into a network."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interpretkit.digests import sha256_file
from interpretkit.errors import WeightsError
from interpretkit.words import listed, shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from torch import nn

_NESTS = ("state_dict", "model", "model_state_dict", "state_dict_ema")
_EXAMPLES = 3
# Some 20,000 tensors: ten times what vision networks have. A longer header takes seconds to read.
_LONGEST_HEADER = 2 * 1024 * 1024


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
    missing = []
    misshaped = []
    for name, tensor in wanted.items():
        if name in state:
            if state[name].shape != tensor.shape:
                misshaped.append(f"{_shaped(name, state[name])} instead of {shape(tensor.shape)}")
        elif not name.endswith("num_batches_tracked"):
            missing.append(_shaped(name, tensor))
    unexpected = [_shaped(name, tensor) for name, tensor in state.items() if name not in wanted]
    faults = [
        _counted("missing", missing),
        _counted("unexpected", unexpected),
        _counted("of another shape", misshaped),
    ]
    if any(faults):
        raise WeightsError(
            f"the weights do not fit: {', '.join(filter(None, faults))}",
            hint="a checkpoint of another architecture, variant or form?",
        )
    # Into a state of the module's own, which knows the version of its layout; a plain mapping says nothing of it.
    wanted.update(state)
    module.load_state_dict(wanted)


def _shaped(name: str, tensor: torch.Tensor) -> str:
    return f"{name!r} {shape(tensor.shape)}"


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
    return read_verified(Path(path), sha256)[0]


def _counted(what: str, examples: Sequence[str]) -> str:
    if not examples:
        return ""
    return f"{len(examples)} {what} ({listed(examples, most=_EXAMPLES)})"


def read_verified(path: Path, sha256: str) -> tuple[dict[str, torch.Tensor], str]:
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

    if isinstance(contents, Mapping):
        contents = _unnested(contents, where=where)
    if not isinstance(contents, Mapping):
        raise WeightsError(f"the checkpoint holds a {type(contents).__name__}, not tensors by name", where=where)
    others = []
    for key, value in contents.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            others.append(f"{key!r} ({type(value).__name__})")
    if others or not contents:
        what = _counted("that are no tensors", others) if others else "none"
        raise WeightsError(f"the checkpoint should hold tensors by name; of its entries {what}", where=where)
    return dict(contents)


def _unnested(contents: Mapping[Any, Any], *, where: str) -> Mapping[Any, Any]:
    """Return the mapping under one of the usual keys of a checkpoint; without any, the checkpoint itself."""
    nests = [key for key in _NESTS if isinstance(contents.get(key), Mapping)]
    if len(nests) > 1:
        raise WeightsError(
            f"the checkpoint holds several sets of weights: {', '.join(nests)}",
            where=where,
            hint="save the one that you want to a file of its own",
        )
    if not nests:
        return contents
    nested: Mapping[Any, Any] = contents[nests[0]]
    return nested
