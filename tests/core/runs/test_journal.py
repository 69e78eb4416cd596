"""What a journal comes to, whole or torn; what no record names does not count."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from interpretkit.errors import StepError
from interpretkit.results.image import InputImage
from interpretkit.results.map import Map
from interpretkit.results.result import Result
from interpretkit.results.table import Table
from interpretkit.runs import draft as drafts
from interpretkit.runs.draft import create
from interpretkit.runs.journal import (
    JOURNAL,
    Alerted,
    Begun,
    ImageUnread,
    ResultKept,
    StepDone,
    StepFailed,
    fold,
    read_journal,
)
from interpretkit.runs.manifest import SCHEMA
from interpretkit.runs.records import RunRecord
from interpretkit.runs.run import open_run
from interpretkit.runs.verify import verify

STEP = {
    "uses": "u",
    "plugin": {"package": "p", "distribution": "", "version": ""},
    "model": "model",
    "of": [],
    "options": {},
    "layers": [],
    "scope": "image",
}


def begin(parent, *steps):
    draft = create(parent, "small")
    facts = {
        "schema": SCHEMA,
        "name": "small",
        "id": draft.id,
        "interpretkit": None,
        "command": "",
        "recipe": {"source": "", "sha256": ""},
        "alerts": ["careful"],
        "steps": [{"id": step, **STEP} for step in steps],
        "inputs": [],
        **{name: {} for name in ("models", "numerics", "environment", "files")},
    }
    draft.record(Begun(run=RunRecord.from_facts(**facts)))
    return draft


def result_of(name, value=0.5):
    values = np.full((1, 2, 3), value)
    return Result(
        maps={"m": Map(values=values, dims=("image", "y", "x"), layer="l", extent={"y": 4, "x": 6}, polarity="signed")},
        tables={"t": Table(image=[name], value=[value])},
        images=(InputImage(id=name, source="", sha256="", size=(6, 4)),),
    )


def steps_of(draft):
    return {step.id: step for step in fold(read_journal(draft.path)).steps}


def test_a_journal_comes_to_what_was_last_true(tmp_path):
    draft = begin(tmp_path, "done", "broken", "skipped", "going")
    for name in ("cat", "dog"):
        draft.write_result("done", result_of(name), reduction=False)
    draft.record(StepDone(step="done"))
    draft.record(StepFailed(step="broken", status="failed", error="first", traceback="Traceback"))
    draft.record(StepFailed(step="broken", status="failed", error="second", traceback="another"))
    draft.record(StepDone(step="broken"))
    draft.record(StepFailed(step="skipped", status="skipped", error="since", traceback=""))
    for _ in range(2):
        draft.record(Alerted(step="done", text="odd"))
    draft.record(ImageUnread(error="a.png: damaged"))
    draft.write_result("going", result_of("cat", np.nan), reduction=False)
    run = fold(read_journal(draft.path))
    steps = steps_of(draft)
    assert run.status == "interrupted"
    statuses = ["complete", "failed", "skipped", "interrupted"]
    assert [step.status for step in steps.values()] == statuses
    assert [step.error for step in steps.values()] == ["", "first", "since", ""]
    assert [step.nonfinite for step in steps.values()] == [0, 0, 0, 6]
    assert run.alerts == ("careful", "Not in this run: a.png: damaged", "Step done: odd")
    assert run.volatile.tracebacks == {"broken": "Traceback"}
    assert [each.image for each in steps["done"].maps] == ["cat", "dog"]
    (table,) = steps["done"].tables
    file = draft.path / table.file
    assert (table.rows, table.bytes) == (2, file.stat().st_size)
    assert sorted(run.files) == [
        "results/done/cat.safetensors",
        "results/done/dog.safetensors",
        "results/done/t.csv",
        "results/going/cat.safetensors",
        "results/going/t.csv",
    ]


def test_a_torn_last_line_does_not_count_wherever_it_is_torn(tmp_path):
    draft = begin(tmp_path, "step")
    draft.write_result("step", result_of("cat"), reduction=False)
    data = (draft.path / JOURNAL).read_bytes()
    first = data.index(b"\n") + 1
    for end in range(first, len(data) - 1):
        (draft.path / JOURNAL).write_bytes(data[:end])
        assert [entry.kind for entry in read_journal(draft.path)] == ["run"]
        assert steps_of(draft)["step"].maps == ()
    (draft.path / JOURNAL).write_bytes(data)
    assert len(steps_of(draft)["step"].maps) == 1


def test_a_journal_that_says_nothing_of_its_run_comes_to_nothing():
    with pytest.raises(ValueError, match="what was begun"):
        fold([])


def write_more(draft, kind):
    if kind == "result":
        draft.write_result("step", result_of("dog"), reduction=False)
    else:
        draft.write_figure("step", "cat", "b", b"second", caption="", alt="")


@pytest.mark.parametrize("missing", ["result", "figure"])
def test_what_was_written_and_not_recorded_before_an_interrupt_is_not_in_the_run(tmp_path, monkeypatch, missing):
    draft = begin(tmp_path, "step")
    draft.write_result("step", result_of("cat"), reduction=False)
    draft.write_figure("step", "cat", "a", b"first", caption="", alt="")
    write = drafts.write_entry

    def interrupted(run, entry):
        if entry.kind == missing:
            raise KeyboardInterrupt
        write(run, entry)

    with monkeypatch.context() as stopping:
        stopping.setattr(drafts, "write_entry", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_more(draft, missing)
    before = sorted(path.name for path in draft.path.rglob("*.*"))
    assert ("dog.safetensors" if missing == "result" else "cat--b.png") in before
    path = draft.seal("interrupted", lambda _run: "").path
    assert verify(path) == []
    (step,) = open_run(path).record.steps
    assert [each.image for each in step.maps] == ["cat"]
    assert [each.name for each in step.figures] == ["a"]
    assert (path / "results/step/t.csv").read_text().splitlines()[1:] == ['"cat",0.5']
    assert sorted(each.name for each in path.rglob("*.*")) == sorted(
        ["cat.safetensors", "t.csv", "cat--a.png", "report.html", "manifest.json", "journal.jsonl"]
    )


def test_a_part_of_a_result_that_cannot_be_stored_is_not_in_the_run(tmp_path):
    draft = begin(tmp_path, "a+b", "a?b", "a:b")
    draft.write_result("a:b", result_of("cat"), reduction=False)
    with pytest.raises(StepError, match="two artifacts are named"):
        draft.write_result("a?b", result_of("cat"), reduction=False)
    assert verify(draft.seal("failed", lambda _run: "").path) == []


def test_the_time_of_a_run_is_that_of_its_journal(tmp_path):
    draft = begin(tmp_path, "step")
    path = draft.seal("complete", lambda _run: "").path
    first, *_, last = read_journal(path)
    volatile = open_run(path).record.volatile
    assert volatile.seconds == volatile.finished - volatile.started >= 0
    assert first.time <= last.time


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import test_journal as t
draft = t.begin(Path(sys.argv[1]), "step")
print(draft.path, flush=True)
for number in range(100_000):
    draft.write_result("step", t.result_of(f"image{number}"), reduction=False)
    if number == 50:
        print("writing", flush=True)
"""


def test_after_kill_9_the_journal_names_only_files_that_are_whole(tmp_path):
    here = os.path.dirname(__file__)  # noqa: PTH120 - handed to another process as text
    line = [sys.executable, "-c", KILLED, str(tmp_path), here]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        path = process.stdout.readline().strip()
        assert process.stdout.readline() == "writing\n"
        process.send_signal(signal.SIGKILL)
    (partial,) = tmp_path.iterdir()
    assert str(partial) == path
    assert not (partial / "manifest.json").exists()
    run = fold(read_journal(partial))
    (step,) = run.steps
    assert len(step.maps) >= 50
    for file, digest in run.files.items():
        data = (partial / file).read_bytes()
        if file.endswith(".csv"):
            (table,) = step.tables
            data = data[: table.bytes]
        assert drafts.sha256_bytes(data) == digest


def test_a_reduction_is_about_the_images_that_it_has_taken_in(tmp_path):
    draft = begin(tmp_path, "step")
    draft.note_part("step", result_of("cat", np.inf))
    draft.note_part("step", result_of("dog"))
    parts = [entry for entry in read_journal(draft.path) if isinstance(entry, ResultKept)]
    assert [(part.nonfinite, part.files) for part in parts] == [(6, {}), (0, {})]


def test_the_disk_holds_every_file_before_the_manifest_says_so(tmp_path, monkeypatch):
    draft = begin(tmp_path, "step")
    draft.write_text("recipe.yaml", "name: small")
    draft.write_result("step", result_of("cat"), reduction=False)
    synced = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino) or fsync(descriptor))
    path = draft.seal("complete", lambda _run: "<p>").path
    manifest = synced.index((path / "manifest.json").stat().st_ino)
    files = [path / file for file in open_run(path).record.files]
    assert len(files) == 4
    for each in {*files, *(file.parent for file in files), path / "results"}:
        assert each.stat().st_ino in synced[:manifest]


def test_the_journal_is_lines_of_json_in_the_order_of_time_and_no_part_of_the_seal(run):
    lines = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    kinds = ["run", "file", "event", "result", "result", "figure", "image", "image", "end"]
    assert [line["kind"] for line in lines] == kinds
    assert lines[2].items() >= {"kind": "event", "event": "batch", "facts": {"images": 2}}.items()
    assert sorted(line["time"] for line in lines) == [line["time"] for line in lines]
    (run / "journal.jsonl").unlink()
    assert verify(run) == []
    (run / "events.jsonl").write_text("{}")
    assert verify(run) == []
