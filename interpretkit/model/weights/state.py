"""Files of weights, read without running anything in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from interpretkit.digests import sha256_file
from interpretkit.errors import WeightsError, did_you_mean
from interpretkit.model.weights.checkpoint import StoredTensor, read_archive, read_pickles
from interpretkit.model.weights.pickled import Unread
from interpretkit.model.weights.strangers import ProgramError, folder_of_others, program, stranger
from interpretkit.words import listed

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from interpretkit.model.weights.checkpoint import Checkpoint

    Named = Mapping[str, StoredTensor]

INDEX = ".index.json"
"""The ending of the file that says in which of several files each tensor is."""

FILES = ("model.safetensors", f"model.safetensors{INDEX}", "pytorch_model.bin", f"pytorch_model.bin{INDEX}")
"""What weights are called in a folder of the Hugging Face libraries, the best first."""

_EXAMPLES = 3
# Some 20,000 tensors: ten times what vision networks have. A longer header takes seconds to read.
_LONGEST_HEADER = 2 * 1024 * 1024
_DEEPEST = 2
_MOST_KEYS = 10

_T = TypeVar("_T")


def read_verified(path: Path, sha256: str = "", key: str = "") -> tuple[dict[str, torch.Tensor], str]:
    """Return the tensors of a weights file by name, on the CPU, and the file's hash. Nothing in the file is run.

    What the file holds decides how it is read, not its name: safetensors, a PyTorch checkpoint, or the index of
    several such files. Of a checkpoint the tensors are read, and every other object is left unread. Its only mapping of
    tensors by name is returned, be it under `state_dict`, `net` or any other key; of several, `key` says which.

    Args:
        path: The file, or a folder with a file that is called as the Hugging Face libraries call it.
        sha256: The hash that it must have, or its first digits, hexadecimal; it is compared before the file is read.
        key: The key of the mapping, with dots between one and the next; or the first part of the names, if all tensors
            are in one mapping.

    Raises:
        WeightsError: If there is no such file, its hash is another, or it does not hold tensors by name.
    """
    try:
        path = _file_at(path)
        digest = sha256_file(path)
        if not digest.startswith(sha256.lower()):
            raise WeightsError(
                f"the file has the SHA-256 {digest}, not {sha256.lower()}",
                where=str(path),
                hint="it is damaged or another file: remove and fetch it again, or correct `sha256:`",
            )
        return _tensors(path, key), digest
    except OSError as error:
        raise WeightsError(f"cannot be read: {error.strerror or error}", where=str(path)) from error


def shards(index: Path) -> tuple[str, ...]:
    """Return the names of the files that an index lists, which lie beside it.

    Raises:
        WeightsError: If it is no such index.
    """
    try:
        listing = json.loads(index.read_bytes())
        files = tuple(dict.fromkeys(listing["weight_map"].values()))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsError("this is no index of files of weights", where=str(index)) from error
    if not files or not all(map(_is_name, files)):
        raise WeightsError("the index does not name files beside it", where=str(index))
    return files


def _is_name(file: object) -> bool:
    return isinstance(file, str) and file not in ("", ".", "..") and not {"/", "\\", ":", "\0"} & set(file)


def _file_at(path: Path) -> Path:
    """Return a path, if it is that of a file, or the path of the file of weights in a folder."""
    if path.is_file():
        return path
    if not path.is_dir():
        raise WeightsError("not a regular file" if path.exists() else "no such file", where=str(path))
    for name in FILES:
        if (path / name).is_file():
            return path / name
    if known := folder_of_others(path):
        raise known
    raise WeightsError("the folder has no file of weights", where=str(path), hint=f"such as {listed(FILES, most=3)}")


def _tensors(path: Path, key: str) -> dict[str, torch.Tensor]:
    """Return the tensors of a file. Its first bytes tell its kind."""
    with path.open("rb") as file:
        head = file.read(512)
    if known := stranger(path, head):
        raise known
    if head[8:9] == b"{":
        state = _read_safetensors(path, header=int.from_bytes(head[:8], "little"))
        return dict(_chosen({"": state}, key, where=str(path)))
    if head.startswith((b"PK\x03\x04", b"\x80")):
        return _read_checkpoint(path, key, archive=head.startswith(b"PK"))
    if head.lstrip().startswith(b"{"):
        return dict(_chosen({"": _read_sharded(path)}, key, where=str(path)))
    what = "neither safetensors nor a PyTorch checkpoint" if head else "an empty file"
    raise WeightsError(f"this is {what}", where=str(path))


def _read_sharded(index: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = {}
    for name in shards(index):
        # An index may name itself, or another one that names it.
        if name.endswith(INDEX):
            raise WeightsError(f"the index names an index, {name!r}", where=str(index))
        part = _tensors(_file_at(index.parent / name), "")
        if twice := part.keys() & state.keys():
            raise WeightsError(f"two files have a tensor {min(twice)!r}", where=str(index))
        state |= part
    return state


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
    if not state:
        raise WeightsError("the file holds no tensors", where=str(path))
    return state


def _read_checkpoint(path: Path, key: str, *, archive: bool) -> dict[str, torch.Tensor]:
    where = str(path)
    checkpoint = _opened(path, archive=archive)
    contents = checkpoint.contents
    if not isinstance(contents, Mapping):
        hint = "save the state dict of a network: torch.save(net.state_dict(), …)"
        raise WeightsError(f"the checkpoint holds {_called(contents)}, not tensors by name", where=where, hint=hint)
    sets = _sets(contents)
    if not sets:
        entries = [f"{str(name)!r} ({_called(value)})" for name, value in contents.items()]
        what = f"the checkpoint holds no tensors by name; its entries are {listed(entries, most=_EXAMPLES) or 'none'}"
        raise WeightsError(what, where=where)
    chosen = _chosen(sets, key, where=where)
    try:
        return checkpoint.tensors(chosen)
    except Exception as error:
        raise _damaged(path) from error


def _opened(path: Path, *, archive: bool) -> Checkpoint:
    try:
        return read_archive(path) if archive else read_pickles(path)
    except ProgramError as error:
        raise program(path) from error
    except Exception as error:
        # What is damaged can raise anything.
        raise _damaged(path) from error


def _damaged(path: Path) -> WeightsError:
    hint = "fetch the file again; if you trust it, save its state dict alone as safetensors"
    what = "the checkpoint holds something that cannot be read: it is damaged, or no state dict"
    return WeightsError(what, where=str(path), hint=hint)


def _sets(contents: Mapping[Any, Any], depth: int = 0) -> dict[str, Named]:
    """Return the mappings of tensors by name in a checkpoint, by their keys; the checkpoint itself by no key."""
    sets: dict[str, Named] = {}
    for key, value in contents.items():
        if isinstance(value, Mapping) and isinstance(key, str) and depth < _DEEPEST:
            for rest, tensors in _sets(value, depth + 1).items():
                sets[f"{key}.{rest}" if rest else key] = tensors
    own = {key: value for key, value in contents.items() if isinstance(key, str) and isinstance(value, StoredTensor)}
    # Counters, and the state of random generators, are no weights.
    if any(tensor.shape and tensor.is_floating_point for tensor in own.values()):
        sets[""] = own
    return sets


def _chosen(sets: Mapping[str, Mapping[str, _T]], key: str, *, where: str) -> Mapping[str, _T]:
    """Return the mapping that is meant, or what it has under the names that begin with `key`."""
    if key and key in sets:
        return sets[key]
    # One tensor beside others is the weight of a loss, or what the best score was.
    several = {name: tensors for name, tensors in sets.items() if len(tensors) > 1} or sets
    keys = [name for name in several if name]
    if not key and len(several) > 1:
        what = f"the checkpoint holds several sets of weights: {listed(keys, most=_MOST_KEYS)}"
        raise WeightsError(what, where=where, hint=f"say which: key: {keys[0]}")
    if not key:
        return next(iter(several.values()))
    # Under names that begin so in two mappings, there would be two tensors for a name.
    whole = next(iter(several.values())) if len(several) == 1 else {}
    under = {name.removeprefix(f"{key}."): each for name, each in whole.items() if name.startswith(f"{key}.")}
    if not under:
        known = keys or sorted({name.partition(".")[0] for name in whole})
        hint = did_you_mean(key, known, otherwise=f"there are {listed(known, most=_MOST_KEYS)}")
        raise WeightsError(f"there are no weights under {key!r}", where=where, hint=hint, subject=key)
    return under


def _called(value: Any) -> str:
    """Return what something in a checkpoint is, in words; names that the file has are escaped."""
    if isinstance(value, Unread):
        return f"something that was left unread ({str(value)!r})"
    name = "tensor" if isinstance(value, StoredTensor) else type(value).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
