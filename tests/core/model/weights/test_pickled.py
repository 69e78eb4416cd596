from __future__ import annotations

import io
import json
import pickle
import random
import subprocess
import sys
import zipfile

import pytest
import torch

from interpretkit.errors import WeightsError
from interpretkit.model.weights.pickled import read
from interpretkit.model.weights.state import read_verified

DANGEROUS = [
    *("os system", "posix system", "os popen", "os execv", "os remove", "shutil rmtree", "subprocess Popen"),
    *("subprocess check_output", "builtins eval", "builtins exec", "builtins compile", "builtins __import__"),
    *("builtins getattr", "builtins open", "builtins breakpoint", "importlib import_module", "runpy run_path"),
    *("webbrowser open", "ctypes CDLL", "socket create_connection", "pty spawn", "code interact", "timeit timeit"),
    *(
        "pickle loads",
        "marshal loads",
        "functools partial",
        "operator methodcaller",
        "types CodeType",
        "gc get_objects",
    ),
    *(
        "torch load",
        "torch.hub load",
        "torch.utils.cpp_extension load",
        "torch.jit load",
        "numpy load",
        "numpy fromfile",
    ),
    *("pip main", "asyncio run", "multiprocessing Process", "urllib.request urlopen", "interpretkit.api run"),
]


def text(word):
    data = word.encode()
    return b"X" + len(data).to_bytes(4, "little") + data


def called(name, way):
    """A pickle that asks for a call of a function, in one of the ways that pickle has."""
    module, function = name.split(" ")
    named = f"c{module}\n{function}\n".encode()
    argument = text("touch canary")
    return {
        "reduce": named + b"(" + argument + b"tR",
        "new": named + b"(" + argument + b"t\x81",
        "new with keywords": named + b"(" + argument + b"t}\x92",
        "instance": b"(" + argument + f"i{module}\n{function}\n".encode(),
        "object": b"(" + named + argument + b"o",
        "named on the stack": text(module) + text(function) + b"\x93(" + argument + b"tR",
        "state": named + b"(" + argument + b"tR}" + text("__setstate__") + named + b"sb",
        "built class": named + b"}" + text("__reduce__") + named + b"sb(" + argument + b"tR",
    }[way]


WAYS = ["reduce", "new", "new with keywords", "instance", "object", "named on the stack", "state", "built class"]


def corpus(folder):
    """Forty checkpoints: each asks for another call, in one of the eight ways, beside tensors or in place of them."""
    tensors = io.BytesIO()
    torch.save({"state_dict": {"weight": torch.ones(2), "bias": torch.ones(1)}}, tensors)
    with zipfile.ZipFile(tensors) as archive:
        members = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    whole = members["data.pkl"]
    for number, name in enumerate(DANGEROUS):
        harm = called(name, WAYS[number % len(WAYS)])
        # Into the outer dict, before the pickle stops.
        members["data.pkl"] = whole[:-1] + text("harm") + harm + b"s." if number % 3 else b"\x80\x02" + harm + b"."
        with zipfile.ZipFile(folder / f"{number:02}.pth", "w") as archive:
            for member, data in members.items():
                archive.writestr(f"net/{member}", data)


WATCHED = """
import json, sys
from pathlib import Path
import torch
from interpretkit.errors import WeightsError
from interpretkit.model.weights.state import read_verified

folder, seen, outcomes = Path(sys.argv[1]), [], []
"ascii".encode("cp437")
torch.save({"a": torch.ones(2)}, folder / "first.pt")
read_verified(folder / "first.pt")  # what is imported only when it is needed is there from now on

def watch(event, arguments):
    if event == "open" and str(arguments[0]).startswith(str(folder)) and arguments[1] in ("r", "rb"):
        return
    if not event.startswith("object.__getattr__"):
        seen.append([event, repr(arguments)[:80]])

files = sorted(folder.glob("*.pth"))
sys.addaudithook(watch)
for file in files:
    try:
        outcomes.append(sorted(read_verified(file)[0]))
    except WeightsError as error:
        outcomes.append(str(error))
quiet = list(seen)
try:
    torch.load(files[-1], weights_only=False)
except Exception:
    pass
print(json.dumps([outcomes, quiet, [event for event, _ in seen]]))
"""


def test_forty_malicious_checkpoints_run_nothing_and_give_their_tensors_or_an_error(tmp_path):
    corpus(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, str(tmp_path)], capture_output=True, text=True, check=True, timeout=120
    )
    outcomes, quiet, loud = json.loads(done.stdout)
    assert quiet == []
    assert "pickle.find_class" in loud  # the hook does see what Python's own unpickler does
    assert len(outcomes) == len(DANGEROUS) >= 40
    for number, outcome in enumerate(outcomes):
        if number % 3:
            assert outcome == ["bias", "weight"], DANGEROUS[number]
        else:
            assert "left unread" in outcome
            assert DANGEROUS[number].replace(" ", ".") in outcome


def plain_values():
    generator = random.Random(0)  # noqa: S311 - no secret

    def value(depth):
        kinds = [
            lambda: generator.randrange(-(2**70), 2**70),
            lambda: generator.random() * 10 ** generator.randrange(-300, 300),
            lambda: generator.choice(["", "ä€𝄞", "x" * 300, True, False, None, b"", b"\x00\xff" * 200]),
            lambda: [value(depth + 1) for _ in range(generator.randrange(4))],
            lambda: tuple(value(depth + 1) for _ in range(generator.randrange(5))),
            lambda: {f"k{number}": value(depth + 1) for number in range(generator.randrange(4))},
        ]
        return generator.choice(kinds[: 3 if depth > 4 else None])()

    return [value(0) for _ in range(300)]


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_are_those_that_pickle_reads(protocol):
    for value in plain_values():
        data = pickle.dumps(value, protocol=protocol)
        if protocol < 3 and (b"_codecs" in data or b"\nbytes" in data):
            continue  # bytes are a call of a function there
        assert read(io.BytesIO(data), makers={}, stored=str) == value == pickle.loads(data)  # noqa: S301 - made here


def test_an_object_that_names_itself_and_one_that_is_named_twice_stay_one():
    shared = [1]
    value = {"a": shared, "b": shared}
    value["self"] = value
    found = read(io.BytesIO(pickle.dumps(value)), makers={}, stored=str)
    assert found["a"] is found["b"]
    assert found["self"] is found


def test_keys_that_take_long_to_hash_are_not_hashed():
    slow = b"(t" + b"2\x86" * 60  # a pair of a pair of a pair …: hashed from scratch it would take 2^60 steps
    found = read(io.BytesIO(b"\x80\x02}" + slow + b"K\x01s."), makers={}, stored=str)
    assert list(found.values()) == [1]


def test_damaged_checkpoints_end_in_an_error_that_names_the_file(tmp_path):
    generator = random.Random(1)  # noqa: S311 - no secret
    path = tmp_path / "weights.pth"
    wholes = []
    for archive in (True, False):
        torch.save({"a": torch.arange(6.0), "b": [1, "x"]}, path, _use_new_zipfile_serialization=archive)
        wholes.append(path.read_bytes())
    places = []
    for number in range(1000):
        data = bytearray(wholes[number % 2])
        for _ in range(generator.choice([1, 2, 30])):
            data[generator.randrange(len(data))] = generator.randrange(256)
        path.write_bytes(data[: generator.choice([None, None, generator.randrange(len(data))])])
        try:
            found, _ = read_verified(path)
        except WeightsError as error:
            places.append(error.where)
        else:
            assert all(isinstance(tensor, torch.Tensor) for tensor in found.values())
    assert 300 < len(places) < 1000
    assert set(places) == {str(path)}
