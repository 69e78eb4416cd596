from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from interpretkit.digests import array_digest, canonical_json, plain, sha256_bytes, sha256_file, state_digest


def test_a_file_has_the_hash_of_its_bytes(tmp_path):
    data = bytes(range(256)) * 5000
    (tmp_path / "file").write_bytes(data)
    assert sha256_file(tmp_path / "file") == sha256_bytes(data) == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    "other",
    [
        np.arange(6, dtype=">f4").reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        np.arange(12, dtype=np.float32).reshape(2, 6)[:, ::2] / 2,
    ],
    ids=["big-endian", "column-major", "strided"],
)
def test_the_layout_of_an_array_in_memory_does_not_count(other):
    assert array_digest(other) == array_digest(np.arange(6, dtype=np.float32).reshape(2, 3))


def test_dtype_shape_and_every_bit_of_an_array_count():
    zeros = np.zeros((2, 3), np.float32)
    one_bit = zeros.copy()
    one_bit.view(np.uint32)[1, 2] = 1
    others = [one_bit, -zeros, zeros.T, zeros.reshape(6), zeros.view(np.int32), zeros.astype(np.float16), zeros[:0]]
    assert len({array_digest(each) for each in [zeros, *others]}) == 8


def test_an_array_of_objects_has_no_digest():
    with pytest.raises(TypeError, match="objects"):
        array_digest(np.array([None, "a"], dtype=object))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float8_e4m3fn, torch.int64, torch.bool])
def test_the_digest_of_weights_sees_every_value_of_every_dtype(dtype):
    state = {"scalar": torch.tensor(1).to(dtype), "none": torch.zeros(0, 3), "matrix": torch.eye(3).to(dtype)}
    changed = {**state, "matrix": torch.eye(3).flip(0).to(dtype)}
    assert state_digest(state) == state_digest(dict(reversed(state.items())))
    assert state_digest(state) != state_digest(changed)


def test_the_digest_of_weights_sees_names_dtypes_and_shapes_but_not_strides():
    matrix = torch.arange(4.0).reshape(2, 2)
    assert state_digest({"a": matrix.T}) == state_digest({"a": matrix.T.contiguous()})
    states = [{"a": matrix}, {"b": matrix}, {"a": matrix.T}, {"a": matrix.flatten()}, {"a": matrix.view(torch.int32)}]
    assert len({state_digest(state) for state in states}) == 5


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_canonical_json_refuses_what_json_has_no_word_for(number):
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"score": [number]})
    assert plain({"score": [number, np.float32(number)]}) == {"score": [None, None]}


def test_canonical_json_is_one_text_and_reads_back_exactly():
    data = {"é": [0.1 + 0.2, 1e-300, -0.0, 2**60], "a": {"c": None, "b": True}}
    text = canonical_json(data)
    assert text == canonical_json(json.loads(text)) == '{"a":{"b":true,"c":null},"é":'.encode() + text[30:]
    assert text.endswith(b"[0.30000000000000004,1e-300,-0.0,1152921504606846976]}")


def test_plain_data_can_be_written_whatever_the_file_was_called():
    found = plain({Path("a"): np.arange(2), 3: (np.bool_(True), np.str_("x")), "name": os.fsdecode(b"caf\xe9.jpg")})
    assert found == {"a": [0, 1], "3": [True, "x"], "name": "caf\\udce9.jpg"}
    canonical_json(found)
    with pytest.raises(TypeError, match="object"):
        plain([object()])
