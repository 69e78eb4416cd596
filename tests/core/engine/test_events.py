"""What a run tells while it goes on: to whoever listens, to its journal, and of alerts and failures to its manifest."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import interpretkit as ik
from interpretkit.engine import events
from interpretkit.runs.verify import verify

PLUGIN = """
import torch
from torch import nn
from interpretkit import Classes, Model, ModelBuilder, Needs, Preprocessing, Result, StepError, Visualizer, hookimpl


class Small(ModelBuilder):
    '''A small net.'''
    name = "small"

    def build(self, state):
        net = nn.Sequential(nn.Conv2d(3, 4, 3, stride=4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
        outputs = {"classes": Classes(names=("a", "b", "c"))}
        return Model(module=net, preprocessing=Preprocessing(resize=8, crop=8), outputs=outputs)


class Busy(Visualizer):
    '''Runs the network five times for each image.'''
    name = "busy"

    class Options(Visualizer.Options):
        says: bool = False
        '''Whether it says how far it is.'''
        alert: str = ""
        '''What a reader must know.'''
        fails: bool = False
        '''Whether it fails in the end.'''

    def needs(self):
        return Needs(own_passes=True)

    def compute(self, captured):
        for number in range(5):
            with torch.no_grad():
                captured.model.module(captured.inputs)
            if self.options.says:
                captured.progress(number + 1, 5)
        if self.options.alert:
            captured.alert(self.options.alert)
        if self.options.fails:
            raise ValueError("kaput")
        return Result()


@hookimpl
def interpretkit_models():
    yield Small


@hookimpl
def interpretkit_visualizers():
    yield Busy
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(events, "PROGRESS_SECONDS", 0.0)
    Path("plugin.py").write_text(PLUGIN)
    for name, grey in (("a", 10), ("b", 90), ("c", 200)):
        Image.new("RGB", (8, 8), (grey, 0, 0)).save(f"{name}.png")
    return tmp_path


def carried_out(*steps, images="a.png", size=16, listen=None):
    """Run some steps, and return the run and what was heard of it."""
    text = "".join(f"  - {step}\n" for step in steps)
    recipe = f"schema: interpretkit/1\nname: r\nmodel: {{uses: small}}\ninputs: ['*.png']\nsteps:\n{text}"
    Path("recipe.yaml").write_text(f"{recipe}numerics: {{batch_size: {size}}}\n")
    heard = []
    run = ik.run("recipe.yaml", images=images, plugins=["plugin.py"], listen=listen or heard.append)
    return run, heard


def journal_of(run):
    return [json.loads(line) for line in (run.path / "journal.jsonl").read_text().splitlines()]


CAM = "{id: cam, uses: grad_cam, with: {layers: ['0']}}"
BUSY = "{id: busy, uses: busy}"


def test_every_step_of_a_run_is_told_from_the_loading_to_the_seal(folder):
    run, heard = carried_out(CAM, "{id: f, uses: feature_grid, with: {layers: ['0']}}")
    kinds = [event.kind for event in heard]
    assert kinds == ["loading", "model", "begun", "step", "begun", "step", "batch", "judged", "sealed"]
    assert [event.step for event in heard if event.kind == "begun"] == ["cam", "f"]
    assert (heard[0].text, heard[2].text, heard[2].about) == ("loading small", "cam: a", "a")
    assert (heard[-3].done, heard[-3].total, heard[-1].text) == (1, 1, str(run.path))
    assert heard[-2].text.startswith("checks: ")
    with pytest.raises(FrozenInstanceError):
        heard[0].text = ""


def test_the_journal_notes_what_was_told(folder):
    run, heard = carried_out(CAM, BUSY)
    noted = [line for line in journal_of(run) if line["kind"] == "event"]
    expected = [asdict(event) for event in heard if event.kind not in ("judged", "sealed", "alert")]
    assert [{"kind": line["event"], **line["facts"]} for line in noted] == [
        {name: value for name, value in each.items() if value} for each in expected
    ]


def test_a_step_of_several_batches_is_done_with_the_last_one(folder):
    _, heard = carried_out(CAM, BUSY, images="*.png", size=2)
    kinds = [(event.kind, event.step) for event in heard if event.kind not in ("progress", "loading", "model")]
    begun = [("begun", "cam"), ("begun", "busy")]
    last = [("begun", "cam"), ("step", "cam"), ("begun", "busy"), ("step", "busy")]
    assert kinds == [*begun, ("batch", ""), *last, ("batch", ""), ("judged", ""), ("sealed", "")]
    assert [event.about for event in heard if event.kind == "begun"][::2] == ["2 images from a to b", "c"]


def test_steps_are_done_at_the_end_where_the_last_file_is_no_image(folder):
    Path("z.png").write_text("no image")
    run, heard = carried_out(CAM, images=["a.png", "z.png"], size=1)
    assert [event.kind for event in heard][2:] == ["begun", "batch", "image", "step", "judged", "sealed"]
    assert run.record.alerts[-1].startswith("Not in this run: z.png: ")
    assert [step.status for step in run.record.steps] == ["complete"]


def test_passes_of_its_own_are_counted_without_help_of_the_step(folder):
    _, heard = carried_out(BUSY)
    found = [event for event in heard if event.kind == "progress"]
    assert [(event.passes, event.done, event.total) for event in found] == [(k, 0, 0) for k in range(1, 6)]
    assert all(event.rate > 0 for event in found)
    assert found[2].text == f"busy: pass 3 ({found[2].rate:.1f}/s), a"


def test_a_step_may_say_how_far_it_is(folder):
    _, heard = carried_out("{id: busy, uses: busy, with: {says: true}}")
    found = [event for event in heard if event.kind == "progress"]
    assert [(event.passes, event.done, event.total) for event in found[1::2]] == [(k, k, 5) for k in range(1, 6)]
    assert found[-1].text == f"busy: 5 of 5, pass 5 ({found[-1].rate:.1f}/s), a"


def test_progress_is_told_now_and_then_only(folder, monkeypatch):
    monkeypatch.setattr(events, "PROGRESS_SECONDS", 1e9)
    _, heard = carried_out(BUSY)
    assert "progress" not in [event.kind for event in heard]


def test_an_alert_stands_in_events_journal_manifest_and_report_once(folder):
    run, heard = carried_out("{id: busy, uses: busy, with: {alert: odd <numbers>}}", images="*.png", size=1)
    (step,) = run.record.steps
    assert step.alerts == ("odd <numbers>",)
    assert [alert for alert in run.record.alerts if "odd" in alert] == ["Step busy: odd <numbers>"]
    assert [event.text for event in heard if event.kind == "alert"] == ["busy: odd <numbers>"] * 3
    assert [line["text"] for line in journal_of(run) if line["kind"] == "alert"] == ["odd <numbers>"] * 3
    page = (run.path / "report.html").read_text()
    assert page.count("odd &lt;numbers&gt;") == 3  # above all, at the step, and among its options
    assert run.status == "complete"


def test_outside_of_a_run_nobody_hears_a_step(folder):
    from interpretkit.testing import tiny_images, tiny_model

    found = ik.visualize(tiny_model(), tiny_images(2), "score_cam", layers=["features"])
    assert found.maps["features"].values.shape == (2, 8, 8)


def test_a_failed_step_leaves_its_traceback_in_what_is_volatile(folder):
    run, _ = carried_out("{id: busy, uses: busy, with: {fails: true}}", "{id: s, uses: sparseness, of: [cam]}", CAM)
    assert run.status == "failed"
    assert list(run.record.volatile.tracebacks) == ["busy"]
    text = run.record.volatile.tracebacks["busy"]
    assert 'raise ValueError("kaput")' in text
    assert text.startswith("Traceback (most recent call last):")
    (failure,) = [line for line in journal_of(run) if line["kind"] == "failure"]
    assert failure["traceback"] == text
    assert "Traceback" not in (run.path / "report.html").read_text()
    assert verify(run.path) == []


@pytest.mark.filterwarnings("always:the listener failed")
def test_a_listener_that_fails_loses_no_run_and_is_not_called_again(folder):
    calls = []

    def listen(event):
        calls.append(event.kind)
        if event.kind == "begun":
            raise ValueError("deaf")

    with pytest.warns(UserWarning, match="the listener failed: ValueError: deaf; the run went on without it"):
        run, _ = carried_out(CAM, BUSY, listen=listen)
    assert calls == ["loading", "model", "begun"]
    assert run.status == "complete"
    assert verify(run.path) == []


def test_a_listener_may_stop_the_run_and_what_is_done_is_kept(folder):
    def listen(event):
        if event.kind == "progress" and event.passes == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carried_out(CAM, BUSY, listen=listen)
    (path,) = Path("runs").iterdir()
    run = ik.open_run(path)
    assert run.status == "interrupted"
    assert {step.id: step.status for step in run.record.steps} == {"cam": "complete", "busy": "interrupted"}
    assert len(run.record.steps[0].figures) == 1
    assert verify(path) == []


def wide(name, greatest):
    values = np.linspace(0, greatest, 64).reshape(8, 8).astype(np.uint16)
    Image.fromarray(values).save(name)


def test_what_is_doubtful_about_images_is_told_once_and_kept_with_each(folder):
    for name in ("p", "q", "r"):
        wide(f"{name}.png", 4095)
    wide("s.png", 300)
    run, heard = carried_out(CAM, images=["[a-c].png", "[p-s].png"], size=2)
    guess = "bits used: scaled from 0 … {}, which is a guess: state the range by `range:`"
    several = f"12 of 16 {guess.format(4095)} (3 images, the first is p.png)"
    one = f"s.png: 10 of 16 {guess.format(1023)}"
    told = [event for event in heard if event.kind == "alert"]
    assert [(event.text, event.step, event.failed) for event in told] == [(several, "", True), (one, "", True)]
    assert run.status == "complete"
    assert [alert for alert in run.manifest["alerts"] if "guess" in alert] == [several, one]
    kept = {image["id"]: tuple(image.get("alerts", ())) for image in run.manifest["inputs"]}
    twelve, ten = (f"12 of 16 {guess.format(4095)}",), (f"10 of 16 {guess.format(1023)}",)
    assert kept == {"a": (), "b": (), "c": (), "p": twelve, "q": twelve, "r": twelve, "s": ten}
    assert run.result("cam", image="s").images[0].alerts == ten
    page = (run.path / "report.html").read_text()
    assert several in page
    assert "10 of 16 bits used" in page
