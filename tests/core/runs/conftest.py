from __future__ import annotations

import io
import os

import numpy as np
import pytest
from PIL import Image

from interpretkit.results.image import InputImage
from interpretkit.results.map import Map
from interpretkit.results.result import Result
from interpretkit.results.table import Table
from interpretkit.results.targets import Target
from interpretkit.runs.draft import create
from interpretkit.runs.journal import Begun, Told
from interpretkit.runs.manifest import SCHEMA
from interpretkit.runs.records import ImageRecord, RunRecord
from interpretkit.runs.run import open_run
from interpretkit.runs.verify import verify


def picture(seed):
    return np.random.default_rng(seed).integers(0, 256, (5, 4, 3), dtype=np.uint8)


def image(name, seed=0):
    return InputImage(
        id=name,
        source=f"{name}.jpg",
        sha256="00",
        size=(4, 5),
        conversions=("grey",),
        alerts=("page 1 of 2",),
        label=None,
        pixels=picture(seed),
    )


def cam(values, layer="stage4"):
    return Map(values=values, dims=("image", "y", "x"), layer=layer, extent={"y": 32, "x": 32}, polarity="signed")


def result_of(names, seed=0):
    random = np.random.default_rng(seed)
    return Result(
        maps={
            "stage4": cam(random.normal(size=(len(names), 2, 3)).astype(np.float32)),
            "half": cam(random.normal(size=(len(names), 3, 2)).astype(np.float16), layer="stage0"),
        },
        tables={"peaks": Table(image=np.repeat(names, 2), peak=random.normal(size=2 * len(names)))},
        images=tuple(image(name, position) for position, name in enumerate(names)),
        targets=tuple(Target(spec=3, label="cat", score=0.1 + 0.2, probability=0.5) for _ in names),
    )


REDUCTION = Result(
    maps={
        "mean": Map(values=np.eye(3), dims=("y", "x"), layer="stage4", extent={"y": 32, "x": 32}, polarity="unsigned")
    },
    tables={"channels": Table(channel=[0, 1], mean=[0.5, np.nan])},
)


def begun(parent, *steps, reductions=()):
    """Begin a run of some steps."""
    draft = create(parent, "small")
    plugin = {"package": "p", "distribution": "", "version": ""}
    about = {"uses": "u", "plugin": plugin, "model": "model", "of": [], "options": {}, "layers": []}
    scopes = dict.fromkeys(steps, "image") | dict.fromkeys(reductions, "set")
    facts = {
        "schema": SCHEMA,
        "name": "small",
        "id": draft.id,
        "interpretkit": "0.1.0",
        "command": "",
        "recipe": {"source": "", "sha256": ""},
        "steps": [{"id": name, "scope": scope, **about} for name, scope in scopes.items()],
        **dict.fromkeys(("alerts", "inputs"), ()),
        **{name: {} for name in ("models", "numerics", "environment", "files")},
    }
    draft.record(Begun(run=RunRecord.from_facts(**facts)))
    return draft


def seal(draft, images=(), status="complete", report="<p>first</p>"):
    for each in images:
        stream = io.BytesIO()
        Image.fromarray(each.pixels).save(stream, "PNG")
        file = f"inputs/{each.id}.png"
        facts = {
            name: getattr(each, name) for name in ("id", "source", "sha256", "size", "conversions", "alerts", "label")
        }
        draft.write_image(ImageRecord.from_facts(**facts, pictures={"model": file}), {file: stream.getvalue()})
    return draft.seal(status, lambda _run: report).path


def write_figure(draft, step, *about):
    return draft.write_figure(step, *about, caption="", alt="")


def make_run(parent):
    """Seal a small run that holds a file of each kind."""
    draft = begun(parent, "cam", reductions=["statistics"])
    draft.write_text("recipe.yaml", "name: small\n")
    draft.record(Told(event="batch", facts={"images": 2}))
    result = result_of(["cat", "dog"])
    draft.write_result("cam", result, reduction=False)
    draft.write_result("statistics", REDUCTION, reduction=True)
    write_figure(draft, "cam", "cat", "stage4", b"a picture")
    return seal(draft, result.images)


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path)


def stored(parent, *results, reduction=False):
    """Write the results of one step, batch by batch, and open the run."""
    draft = begun(parent, "step", reductions=["step"] if reduction else [])
    for each in results:
        draft.write_result("step", each, reduction=reduction)
    path = seal(draft, [image for each in results for image in each.images])
    assert verify(path) == []
    return open_run(path)


def assert_same(found, expected):
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert found.tobytes() == expected.tobytes()


def failing_write(monkeypatch, at, error):
    """Let the `at`-th write, counting from 0, store half of its bytes and the next one fail."""
    real, calls = os.write, []

    def write(descriptor, data):
        calls.append(len(data))
        if len(calls) - 1 == at:
            return real(descriptor, bytes(data)[: len(data) // 2])
        if len(calls) - 1 == at + 1:
            raise error
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    return calls


@pytest.fixture(name="picture")
def _picture():
    return picture


@pytest.fixture(name="image")
def _image():
    return image


@pytest.fixture(name="cam")
def _cam():
    return cam


@pytest.fixture(name="result_of")
def _result_of():
    return result_of


@pytest.fixture(name="begun")
def _begun():
    return begun


@pytest.fixture(name="seal")
def _seal():
    return seal


@pytest.fixture(name="write_figure")
def _write_figure():
    return write_figure


@pytest.fixture(name="make_run")
def _make_run():
    return make_run


@pytest.fixture(name="stored")
def _stored():
    return stored


@pytest.fixture(name="assert_same")
def _assert_same():
    return assert_same


@pytest.fixture(name="failing_write")
def _failing_write():
    return failing_write
