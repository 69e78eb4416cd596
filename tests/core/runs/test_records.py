"""Manifests of earlier versions, damaged ones, and what a record keeps of live values."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path

import numpy as np
import pytest

import interpretkit as ik
from interpretkit.errors import InterpretkitError, StorageError
from interpretkit.report.page import render
from interpretkit.runs.manifest import manifest_bytes
from interpretkit.runs.records import ImageRecord, RunRecord, TargetRecord
from interpretkit.runs.run import open_run
from interpretkit.runs.verify import reseal, verify

PLUGIN = """
from torch import nn
from interpretkit import Classes, Model, ModelBuilder, Preprocessing, hookimpl


class Small(ModelBuilder):
    '''A small net.'''
    name = "small"

    def build(self, state):
        net = nn.Sequential(nn.Conv2d(3, 4, 3, stride=4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
        outputs = {"classes": Classes(names=("a", "b", "c"))}
        return Model(module=net, preprocessing=Preprocessing(resize=32, crop=32), outputs=outputs)


@hookimpl
def interpretkit_models():
    yield Small
"""

RECIPE = """schema: interpretkit/1
name: small
model: {uses: small}
inputs: [sample:grace_hopper]
steps:
  - {id: features, uses: feature_grid, with: {layers: ["0"]}}
  - {id: gradcam, uses: grad_cam, with: {layers: ["0"], target: {top: 2}}}
  - {id: stats, uses: channel_stats, with: {layers: ["0"]}}
  - {id: scores, uses: sparseness, of: [gradcam]}
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    (folder / "plugin.py").write_text(PLUGIN)
    (folder / "recipe.yaml").write_text(RECIPE)
    run = ik.run(folder / "recipe.yaml", plugins=[folder / "plugin.py"], output=folder / "runs")
    assert run.status == "complete"
    return run.path


def write_manifest(run: Path, manifest: dict, *, sealed: bool = True) -> None:
    """Write a manifest, with a seal as an earlier version would have set it."""
    data = manifest_bytes(manifest) if sealed else json.dumps(manifest).encode()
    (run / "manifest.json").write_bytes(data)


@pytest.fixture
def run(whole):
    """The run, whose manifest a test may change."""
    before = (whole / "manifest.json").read_bytes()
    yield whole
    (whole / "manifest.json").write_bytes(before)


def places(value, place=()):
    """Yield where everything in a manifest stands."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in items:
        yield (*place, key)
        yield from places(each, (*place, key))


OTHERS = [None, True, -1, 10**30, 0.5, "", "../x", "\ud800", "x" * 3000, [], [1], {}, {"a": {}}, [[["deep"]]]]


def damaged(manifest, generator):
    """Return a manifest in which one value is gone, or is another."""
    manifest = copy.deepcopy(manifest)
    *way, last = generator.choice([place for place in places(manifest) if place[0] != "schema"])
    parent = manifest
    for key in way:
        parent = parent[key]
    if generator.random() < 0.25:
        del parent[last]
    else:
        parent[last] = generator.choice(OTHERS)
    return manifest


def look_at_everything(path):
    opened = open_run(path)
    render(opened)
    for name, result in opened.results.items():
        for part in (result, *(opened.result(name, image=image.id) for image in result.images)):
            for each in (*part.maps, *part.tables):
                _ = part.maps.get(each), part.tables.get(each)
            _ = [image.pixels for image in part.images]


def tried(action):
    try:
        action()
    except InterpretkitError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("seed", range(8))
def test_a_damaged_manifest_ends_in_one_line_whatever_is_done_with_it(run, seed):
    generator = random.Random(seed)  # noqa: S311 - it only has to be the same each time
    manifest = json.loads((run / "manifest.json").read_text())
    refused = 0
    for _ in range(30):
        changed = damaged(manifest, generator)
        write_manifest(run, changed, sealed=False)
        said = [tried(lambda: open_run(run)), tried(lambda: look_at_everything(run)), *verify(run)]
        said.append(tried(lambda: reseal(run, "more.txt", b"")))
        (run / "more.txt").unlink(missing_ok=True)
        assert not any("\n" in each for each in said)
        refused += bool(said[0])
    assert refused > 10


def test_what_a_manifest_must_say_is_named_where_it_does_not(run):
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["steps"][1]["maps"][0]["shape"] = "wide"
    write_manifest(run, manifest)
    with pytest.raises(
        StorageError, match=r"manifest\.json does not say what a manifest must say: steps\.1\.maps\.0\.sh"
    ):
        open_run(run)
    assert [each[:50] for each in verify(run)] == ["manifest.json does not say what a manifest must sa"]


def first_target(target):
    facts = {name: target[name] for name in ("label", "score", "probability", "against_label")}
    return {"index": target["spec"], "against": None, **facts}


def as_in_the_first_runs(manifest):
    """Return a manifest as the first version wrote it: one target for each image, and fewer facts."""
    manifest = copy.deepcopy(manifest)
    for step in manifest["steps"]:
        step["targets"] = {image: first_target(found[0]) for image, found in step["targets"].items()}
        for each in step["maps"]:
            each["input_size"] = list(each.pop("extent").values())
        del step["arrays"]
        for table in step["tables"]:
            del table["bytes"]
        del step["nonfinite"], step["alerts"]
    for image in manifest["inputs"]:
        del image["masks"]
    for model in manifest["models"].values():
        del model["alert"]
    manifest["volatile"] = {"started": 1.5, "finished": 2.5, "seconds": 1.0}
    return manifest


def test_a_run_of_the_first_version_opens_verifies_and_has_a_report(run):
    manifest = as_in_the_first_runs(json.loads((run / "manifest.json").read_text()))
    write_manifest(run, manifest)
    assert verify(run) == []
    opened = open_run(run)
    (target,) = manifest["steps"][1]["targets"].values()
    found = opened.results["gradcam"].targets
    assert [(each.index, each.label, each.score) for each in found] == [
        (target["index"], target["label"], target["score"])
    ]
    assert opened.results["stats"].tables["channels"]["channel"].tolist() == [0, 1, 2, 3]
    assert f"class {target['index']})" in render(opened)
    report = (run / "report.html").read_bytes()
    reseal(run, "report.html", render(opened).encode())
    assert verify(run) == []
    (run / "report.html").write_bytes(report)


def test_a_later_version_may_say_more(run):
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["weather"] = manifest["steps"][0]["mood"] = {"sunny": True}
    write_manifest(run, manifest)
    assert verify(run) == []
    assert open_run(run).manifest["weather"] == {"sunny": True}


def test_the_manifest_is_the_record_and_the_record_the_manifest(run):
    text = (run / "manifest.json").read_text()
    opened = open_run(run)
    assert opened.record.as_data() == json.loads(text) == opened.manifest
    assert RunRecord.decode(opened.record.encode()) == opened.record


def test_numbers_go_through_a_record_bit_for_bit():
    generator = np.random.default_rng(0)
    for bits in generator.integers(0, 2**64, 2000, dtype=np.uint64):
        number = float(bits.view(np.float64))
        facts = {"spec": 1, "label": "", "quantity": "logit", "probability": 1, "against_label": ""}
        stored = TargetRecord.decode(TargetRecord.from_facts(score=number, **facts).encode()).score
        assert stored is None if not np.isfinite(number) else stored == number


def test_live_values_become_plain_ones():
    record = ImageRecord.from_facts(
        id="a",
        source=Path("b/a.png"),
        sha256="",
        size=(np.int64(3), 4),
        conversions=("grey",),
        label="\ud800",
        pictures={},
        masks={"m": {"sha256": "", "inside": np.float32(0.5)}},
    )
    assert (record.source, record.size, record.label) == ("b/a.png", (3, 4), "\\ud800")
    assert record.masks["m"].inside == 0.5
