from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import struct
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save, save_file
from torch import nn

from interpretkit.errors import WeightsError
from interpretkit.model.weights.state import load_state, read_state


def network():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))


def trained(fill=0.5):
    return {name: torch.full_like(tensor, fill) for name, tensor in network().state_dict().items()}


def as_safetensors(path, state):
    save_file(state, path)


def as_checkpoint(path, state):
    torch.save(state, path)


def as_old_checkpoint(path, state):
    torch.save(state, path, _use_new_zipfile_serialization=False)


def nested(key):
    return lambda path, state: torch.save({"epoch": 3, key: state, "optimizer": {"lr": 0.1}}, path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize(
    "write",
    [
        as_safetensors,
        as_checkpoint,
        as_old_checkpoint,
        *map(nested, ["state_dict", "model", "model_state_dict", "state_dict_ema"]),
    ],
)
def test_a_file_is_read_for_what_it_holds_whatever_its_name(tmp_path, write, suffix, same):
    path = tmp_path / f"weights{suffix}"
    write(path, trained())
    assert same(read_state(path), trained())


def tensors(header, data=b"", *, length=None):
    """Bytes of a safetensors file with this header, and with a length that may lie."""
    text = json.dumps({name: {"dtype": "F32", "shape": s, "data_offsets": o} for name, (s, o) in header.items()})
    return struct.pack("<Q", len(text) if length is None else length) + text.encode() + data


def pickled(contents, *, keep=1.0, **options):
    def write(path):
        torch.save(contents, path, **options)
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * keep)])

    return write


def torchscript(path):
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("data.pkl", "constants.pkl", "version"):
            archive.writestr(f"net/{name}", b"2\n")


BROKEN = {
    "no such file": (lambda path: None, "no such file"),
    "a directory": (Path.mkdir, "not a regular file"),
    "a pipe": (os.mkfifo, "not a regular file"),
    "an empty file": (b"", "an empty file"),
    "text": (b"some notes on the weights", "neither safetensors nor a PyTorch checkpoint"),
    "Git LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 5\n", "Git LFS pointer"),
    "web page": (b"\n <!DOCTYPE html><html><body>404</body></html>", "web page"),
    "safetensors, cut": (save(trained())[:-9], "damaged safetensors"),
    "safetensors, bytes behind": (save(trained()) + b"more", "damaged safetensors"),
    "safetensors, tensors overlap": (tensors({"a": ([2], [0, 8]), "b": ([2], [4, 12])}, bytes(12)), "damaged"),
    "safetensors, shape too large": (tensors({"a": ([2**40, 2**40], [0, 8])}, bytes(8)), "damaged"),
    "safetensors, header of 2^63 bytes": (tensors({}, length=2**63), "a header of 9,223,372,036,854,775,808 bytes"),
    "safetensors, 100,000 tensors": (
        tensors({f"layer{n}": ([1], [4 * n, 4 * n + 4]) for n in range(100_000)}, bytes(400_000)),
        "a header of",
    ),
    "safetensors, no tensors": (tensors({}), "should hold tensors by name; of its entries none"),
    "checkpoint, cut": (pickled(trained(), keep=0.6), "damaged, or no state dict"),
    "old checkpoint, cut": (
        pickled(trained(), keep=0.6, _use_new_zipfile_serialization=False),
        "damaged, or no state dict",
    ),
    "checkpoint, first bytes only": (b"PK\x03\x04", "damaged, or no state dict"),
    "checkpoint of pickle protocol 4": (pickled(trained(), pickle_protocol=4), "damaged, or no state dict"),
    "whole module": (pickled(nn.ReLU()), "more than tensors ('torch.nn.modules.activation.ReLU')"),
    "TorchScript": (torchscript, "TorchScript"),
    "list": (pickled([torch.ones(1)]), "holds a list"),
    "other values": (pickled({**trained(), "epoch": 3, 7: torch.ones(1)}), "'epoch' (int), 7 (Tensor)"),
    "two sets": (pickled({"state_dict": trained(), "state_dict_ema": trained()}), "state_dict, state_dict_ema"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_file_without_weights_is_refused_and_named(tmp_path, case):
    path = tmp_path / "weights.pth"
    write, words = BROKEN[case]
    if isinstance(write, bytes):
        path.write_bytes(write)
    else:
        write(path)
    with (
        pytest.raises(WeightsError, match=re.escape(words)) as caught,
        warnings.catch_warnings(record=True, action="always") as noise,
    ):
        read_state(path)
    assert noise == []
    assert caught.value.where == str(path)
    assert "weights_only" not in str(caught.value)


class Malicious:
    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return (os.mkdir, (str(self.canary),))


@pytest.mark.parametrize(
    "write",
    [
        torch.save,
        lambda contents, path: torch.save(contents, path, _use_new_zipfile_serialization=False),
        lambda contents, path: path.write_bytes(pickle.dumps(contents, protocol=2)),
        lambda contents, path: path.write_bytes(pickle.dumps(contents)),
    ],
)
@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_code_in_a_checkpoint_is_not_run(tmp_path, write, name):
    canary = tmp_path / "canary"
    write({"state_dict": trained(), "extra": Malicious(canary)}, tmp_path / name)
    with pytest.raises(WeightsError, match="the checkpoint holds"):
        read_state(tmp_path / name)
    assert not canary.exists()


def test_the_hash_is_compared_before_the_file_is_read(tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"neither safetensors nor a checkpoint")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(WeightsError, match=f"SHA-256 {digest}, not {'0' * 64}"):
        read_state(path, sha256="0" * 64)
    save_file(trained(), path)
    assert read_state(path, sha256=hashlib.sha256(path.read_bytes()).hexdigest().upper())


def test_weights_that_do_not_fit_are_counted_and_none_is_loaded(same):
    module = network()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    state = {"0.weight": torch.ones(2, 1, 3, 3), "0.bias": torch.ones(3)}
    state |= {f"head.{number}": torch.ones(2, 5) for number in range(4)}
    with pytest.raises(WeightsError) as caught:
        load_state(module, state)
    assert caught.value.message == (
        "the weights do not fit: "
        "4 missing ('1.weight' 2, '1.bias' 2, '1.running_mean' 2, …), "
        "4 unexpected ('head.0' 2×5, 'head.1' 2×5, 'head.2' 2×5, …), "
        "1 of another shape ('0.bias' 3 instead of 2)"
    )
    assert same(module.state_dict(), before)


def test_only_the_counter_of_batch_normalisation_may_be_missing(same):
    module, state = network(), trained()
    del state["1.num_batches_tracked"]
    load_state(module, state)
    assert same({**module.state_dict(), "1.num_batches_tracked": torch.tensor(0)}, {**state, **_counter()})
    del state["1.running_var"]
    with pytest.raises(WeightsError, match=re.escape("fit: 1 missing ('1.running_var' 2)")):
        load_state(module, state)


def _counter():
    return {"1.num_batches_tracked": torch.tensor(0)}
