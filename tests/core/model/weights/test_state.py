from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import struct
import warnings
import zipfile
from argparse import Namespace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save, save_file
from torch import nn

from interpretkit.errors import WeightsError
from interpretkit.model.weights.state import read_verified


def read_state(path, **more):
    return read_verified(path, **more)[0]


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


def exported(path):
    torch.export.save(torch.export.export(nn.Linear(2, 1), (torch.zeros(1, 2),)), path)


def distributed(path):
    path.mkdir()
    for name in (".metadata", "__0_0.distcp"):
        (path / name).touch()


def zipped(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights.pth", pickle.dumps({}))


BROKEN = {
    "no such file": (lambda path: None, "no such file"),
    "a directory": (Path.mkdir, "the folder has no file of weights (such as model.safetensors"),
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
    "safetensors, no tensors": (tensors({}), "the file holds no tensors"),
    "checkpoint, cut": (pickled(trained(), keep=0.6), "damaged, or no state dict"),
    "old checkpoint, cut": (
        pickled(trained(), keep=0.6, _use_new_zipfile_serialization=False),
        "damaged, or no state dict",
    ),
    "checkpoint, first bytes only": (b"PK\x03\x04", "damaged, or no state dict"),
    "whole module": (pickled(nn.ReLU()), "left unread ('torch.nn.modules.activation.ReLU'), not tensors by name"),
    "TorchScript": (torchscript, "this is a program (of TorchScript, or exported)"),
    "an exported program": (exported, "this is a program (of TorchScript, or exported)"),
    "a checkpoint of distributed training": (distributed, "the folder is a checkpoint of distributed training"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(99), "an HDF5 file"),
    "numpy": (b"\x93NUMPY\1\0" + bytes(99), "an array of numpy"),
    "gzip": (b"\x1f\x8b\x08" + bytes(99), "compressed by gzip"),
    "a zip of something else": (zipped, "damaged, or no state dict"),
    "list": (pickled([torch.ones(1)]), "holds a list"),
    "no weights": (pickled({"epoch": 3, "net": nn.ReLU()}), "its entries are 'epoch' (an int), 'net' (something that"),
    "two sets": (pickled({"state_dict": trained(), "state_dict_ema": trained()}), "state_dict, state_dict_ema"),
    "index without files": (b'{"weight_map": {}}', "the index does not name files beside it"),
    "index of a file elsewhere": (b'{"weight_map": {"a": "../a.safetensors"}}', "does not name files beside it"),
    "index of itself": (b'{"weight_map": {"a": "model.safetensors.index.json"}}', "names an index"),
    "other JSON": (b'{"weights": 3}', "no index of files of weights"),
    "a sparse tensor": (
        pickled({"w": torch.eye(2).to_sparse()}),
        "its entries are 'w' (something that was left unread",
    ),
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


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
@pytest.mark.parametrize("write", [torch.save, partial(torch.save, _use_new_zipfile_serialization=False)])
def test_what_is_no_tensor_is_left_unread_and_not_run(tmp_path, write, name, same):
    canary = tmp_path / "canary"
    others = {"extra": Malicious(canary), "args": Namespace(lr=0.1), "best": np.float64(93.1), "epoch": 3}
    write({"state_dict": trained(), **others}, tmp_path / name)
    assert same(read_state(tmp_path / name), trained())
    assert not canary.exists()


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_a_pickle_of_another_program_is_refused_and_not_run(tmp_path, protocol):
    canary = tmp_path / "canary"
    path = tmp_path / "weights.pth"
    path.write_bytes(b"\x80\x02" + pickle.dumps({"a": Malicious(canary)}, protocol=protocol).lstrip(b"\x80\x02"))
    with pytest.raises(WeightsError, match="the checkpoint holds"):
        read_state(path)
    assert not canary.exists()


OF_ANY_KIND = {
    "transposed": torch.arange(24.0).view(4, 6).t(),
    "part of another": torch.arange(24.0).view(4, 6)[1:3, ::2],
    "parameter": nn.Parameter(torch.ones(2, 3)),
    "float8": torch.arange(4.0).to(torch.float8_e4m3fn),
    "bfloat16": torch.arange(4.0).bfloat16(),
    "half": torch.arange(4.0).half(),
    "double": torch.arange(4.0).double(),
    "bool": torch.arange(4) > 1,
    "complex": torch.arange(4.0).to(torch.complex64),
    "number": torch.tensor(3),
    "empty": torch.empty(0, 3),
    "of no subclass": nn.Buffer(torch.ones(2)),
}


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("archive", [True, False])
def test_tensors_of_every_kind_are_those_that_torch_reads(tmp_path, archive, protocol):
    path = tmp_path / "weights.pth"
    kinds = dict(OF_ANY_KIND)
    if not archive:
        del kinds["float8"]  # which the old layout cannot hold
    torch.save(kinds, path, _use_new_zipfile_serialization=archive, pickle_protocol=protocol)
    expected = torch.load(path, weights_only=False)
    found = read_state(path)
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape), name
        assert torch.equal(found[name].to(torch.complex128), tensor.detach().to(torch.complex128)), name


def test_an_archive_without_checksums_is_read(tmp_path, same):
    path = tmp_path / "weights.pth"
    torch.serialization.set_crc32_options(compute_crc32=False)
    try:
        torch.save(trained(), path)
    finally:
        torch.serialization.set_crc32_options(compute_crc32=True)
    assert same(read_state(path), trained())


def one(number):
    return {"weight": torch.full((number,), float(number))}


TWO = {f"{who}.{name}": each for who in ("teacher", "student") for name, each in trained().items()}
OPTIMIZER = {"state": {0: one(3)}, "param_groups": []}
SCORES = {"acc1": torch.tensor(0.5), "acc5": torch.tensor(1.5)}
CHOSEN = {
    "beside a loss": ({"net": trained(), "criterion": one(4), "epoch": 3}, "", trained()),
    "beside an optimizer": ({"model": trained(), "optimizer": OPTIMIZER}, "", trained()),
    "beside random states": ({"model": trained(), "rng": {"torch": torch.get_rng_state()}}, "", trained()),
    "beside scores": ({"model": trained(), "best": SCORES}, "", trained()),
    "deeper": ({"ema": {"shadow": trained(), "decay": 0.9}}, "", trained()),
    "with an epoch among the names": ({**trained(), "epoch": 3, 7: torch.ones(1)}, "", trained()),
    "chosen": ({"state_dict": trained(), "state_dict_ema": trained(2.0)}, "state_dict_ema", trained(2.0)),
    "chosen, deeper": ({"ema": {"shadow": trained(), "other": trained(2.0)}}, "ema.shadow", trained()),
    "the loss": ({"net": trained(), "criterion": one(4)}, "criterion", one(4)),
    "by a part of names": (TWO, "student", trained()),
}


@pytest.mark.parametrize("case", CHOSEN)
def test_the_only_mapping_of_tensors_is_meant_else_key_says_which(tmp_path, case, same):
    contents, key, expected = CHOSEN[case]
    torch.save(contents, tmp_path / "weights.pth")
    assert same(read_state(tmp_path / "weights.pth", key=key), expected)


def test_tensors_that_share_a_storage_in_the_file_share_it_when_they_are_read(tmp_path, same):
    flat = torch.arange(12.0)
    parts = {"a": flat[:4], "b": flat[4:].view(2, 4), "c": flat}
    torch.save(parts, tmp_path / "flat.pth")
    found = read_state(tmp_path / "flat.pth")
    assert same(found, parts)
    assert len({tensor.untyped_storage().data_ptr() for tensor in found.values()}) == 1


def test_names_that_begin_with_the_key_in_two_mappings_are_not_mixed(tmp_path):
    one, two = ({f"part.{name}": each for name, each in trained(fill).items()} for fill in (1.0, 2.0))
    torch.save({"model": one, "model_ema": two}, tmp_path / "both.pth")
    with pytest.raises(WeightsError, match=r"no weights under 'part' \(there are model, model_ema\)"):
        read_state(tmp_path / "both.pth", key="part")


def test_a_key_that_is_not_there_is_told_with_those_that_are(tmp_path):
    torch.save({"teacher": trained(), "student": trained()}, tmp_path / "dino.pth")
    with pytest.raises(WeightsError, match=r"no weights under 'techer' \(did you mean 'teacher'\?\)"):
        read_state(tmp_path / "dino.pth", key="techer")
    with pytest.raises(WeightsError, match=r"several sets of weights: teacher, student \(say which: key: teacher\)"):
        read_state(tmp_path / "dino.pth")


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_weights_in_several_files_are_read_by_their_index_or_folder(tmp_path, suffix, same):
    whole, files = trained(), {}
    for number, name in enumerate(whole):
        file = files[name] = f"model-{number % 2}.{suffix}"
        part = {other: whole[other] for other in files if files[other] == file}
        save_file(part, tmp_path / file) if suffix == "safetensors" else torch.save(part, tmp_path / file)
    stem = "model.safetensors" if suffix == "safetensors" else "pytorch_model.bin"
    index = tmp_path / f"{stem}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": files}))
    assert same(read_state(index), whole)
    assert same(read_state(tmp_path), whole)
    (tmp_path / f"model-1.{suffix}").unlink()
    with pytest.raises(WeightsError, match=f"model-1.{suffix}: no such file"):
        read_state(index)


def test_the_hash_is_compared_before_the_file_is_read(tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"neither safetensors nor a checkpoint")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(WeightsError, match=f"SHA-256 {digest}, not {'0' * 64}"):
        read_state(path, sha256="0" * 64)
    save_file(trained(), path)
    assert read_state(path, sha256=hashlib.sha256(path.read_bytes()).hexdigest().upper())
