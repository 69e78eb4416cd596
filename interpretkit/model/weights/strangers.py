"""Files that are taken for weights and are none: what they are, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit.errors import WeightsError

if TYPE_CHECKING:
    from pathlib import Path

_STATE_DICT = "save the state dict of the network that it was made of: torch.save(net.state_dict(), …)"
_UNPACK = "unpack it, and name the file of weights in it"
_AS_TORCH = "load it by the library that wrote it, and save its numbers as a state dict of torch"

_BEGINNINGS = (
    (b"version https://git-lfs", "a Git LFS pointer, not the weights", "fetch what it stands for: `git lfs pull`"),
    (b"\x89hdf\r\n\x1a\n", "an HDF5 file, such as Keras writes", _AS_TORCH),
    (b"\x93numpy", "an array of numpy", _AS_TORCH),
    (b"\x1f\x8b", "a file compressed by gzip", _UNPACK),
    (b"bzh", "a file compressed by bzip2", _UNPACK),
    (b"\xfd7zxz", "a file compressed by xz", _UNPACK),
)
"""How files begin, in small letters."""

_PAGES = (b"<!doctype html", b"<html", b"<?xml")
_ANSWERED = "the download was answered with a page, perhaps of an error or a login: fetch the file again"


class ProgramError(ValueError):
    """The file is a program of torch, as tracing, scripting or exporting make it."""


def stranger(path: Path, head: bytes) -> WeightsError | None:
    """Return what to say of a file that is known and holds no weights; None of others.

    Args:
        path: The file.
        head: How it begins.
    """
    small = head.lower()
    for beginning, what, hint in _BEGINNINGS:
        if small.startswith(beginning):
            return WeightsError(f"this is {what}", where=str(path), hint=hint)
    if small.lstrip().startswith(_PAGES):
        return WeightsError("this is a web page, not the weights", where=str(path), hint=_ANSWERED)
    # The format has no beginning of its own.
    if path.suffix.lower() == ".onnx":
        return WeightsError("this is a network of ONNX", where=str(path), hint=_STATE_DICT)
    return None


def program(path: Path) -> WeightsError:
    """Return what to say of a program of torch."""
    what = "this is a program (of TorchScript, or exported), not a state dict"
    return WeightsError(what, where=str(path), hint=_STATE_DICT)


def folder_of_others(path: Path) -> WeightsError | None:
    """Return what to say of a folder that is a checkpoint of torch's distributed training; None of others."""
    if not (path / ".metadata").is_file() or not any(path.glob("*.distcp")):
        return None
    hint = "torch.distributed.checkpoint.format_utils.dcp_to_torch_save(folder, file) makes a file of it"
    return WeightsError("the folder is a checkpoint of distributed training", where=str(path), hint=hint)
