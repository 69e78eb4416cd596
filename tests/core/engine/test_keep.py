"""What one step leaves in a run: here, what checks say of its results."""

from __future__ import annotations

import pytest

import interpretkit as ik
from interpretkit.runs.journal import fold, read_journal
from interpretkit.runs.verify import verify
from interpretkit.testing import tiny_images, tiny_model

PLUGIN = """
import numpy as np
from interpretkit import Check, Verdict, hookimpl


class Mean(Check):
    '''Whether the mean of a map is over nothing.'''
    name = "mean"
    judges = ("features",)

    def judge(self, result):
        mean = float(result.maps["features"].values.mean())
        return Verdict(status="pass" if mean > 0 else "fail", figure=mean, threshold=0.0, text=f"mean {mean:g}")


class Undefined(Check):
    '''A check without a number.'''
    name = "undefined"
    judges = ("statistics",)

    def judge(self, result):
        return Verdict(status="warn", figure=np.nan, threshold=np.inf, text="not defined")


class Broken(Check):
    '''A check that fails.'''
    name = "broken"
    judges = ("features",)

    def judge(self, result):
        raise ValueError("kaput")


@hookimpl
def interpretkit_checks():
    yield from (Mean, Undefined, Broken)
"""

BROKEN = "check broken, step maps, image image0: judge() failed: ValueError: kaput"


@pytest.fixture
def judged(tmp_path):
    """A run of two steps whose results are judged, and what was told while it went on."""
    (tmp_path / "checks.py").write_text(PLUGIN)
    steps = [
        {"id": "maps", "uses": "feature_grid", "with": {"layers": ["features"]}},
        {"id": "numbers", "uses": "channel_stats", "with": {"layers": ["features"]}},
    ]
    recipe = {"schema": "interpretkit/1", "name": "judged", "steps": steps, "numerics": {"batch_size": 2}}
    told = []
    run = ik.run(
        recipe,
        model=tiny_model(),
        images=tiny_images(3),
        output=tmp_path,
        plugins=[tmp_path / "checks.py"],
        listen=told.append,
    )
    return run, told


def test_verdicts_stand_in_the_manifest_image_by_image_and_of_the_whole_set(judged):
    run, _ = judged
    maps, numbers = run.manifest["steps"]
    found = run.results["maps"].maps["features"].values
    assert [(each["check"], each["image"], each["status"]) for each in maps["verdicts"]] == [
        ("mean", "image0", "pass"),
        ("mean", "image1", "pass"),
        ("mean", "image2", "pass"),
    ]
    assert [each["figure"] for each in maps["verdicts"]] == pytest.approx([float(each.mean()) for each in found])
    # A number that is none is None, as JSON has it.
    assert numbers["verdicts"] == [
        {
            "check": "undefined",
            "image": None,
            "status": "warn",
            "figure": None,
            "threshold": None,
            "text": "not defined",
        }
    ]
    assert verify(run.path) == []


def test_a_check_that_fails_is_told_and_costs_the_step_nothing(judged):
    run, told = judged
    assert run.status == "complete"
    alerts = run.manifest["steps"][0]["alerts"]
    # Each batch is told of by its first image.
    assert alerts == [BROKEN, BROKEN.replace("image0", "image2")]
    assert [event.text for event in told if event.kind == "alert"] == [f"maps: {alert}" for alert in alerts]


def test_verdicts_are_in_the_journal_and_in_the_report(judged):
    run, _ = judged
    assert [step.verdicts for step in fold(read_journal(run.path)).steps] == [
        each.verdicts for each in run.record.steps
    ]
    report = (run.path / "report.html").read_text(encoding="utf-8")
    assert report.count("Checks: ") == 2
    assert "not defined" in report
