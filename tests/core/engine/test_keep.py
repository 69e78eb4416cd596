"""What one step leaves in a run: results, figures, failures, and what checks say."""

from __future__ import annotations

import traceback
from pathlib import Path

import numpy as np
import pytest

import interpretkit as ik
from interpretkit.engine.carry_out import carry_out
from interpretkit.runs.journal import fold, read_journal
from interpretkit.runs.verify import verify
from interpretkit.testing import tiny_images, tiny_model

RECIPE = Path(__file__).with_name("recipe.yaml").read_text()

CHECKS = """
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


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("number", "compute() returned among its maps a Map under 0, not a Map under a name"),
        ("array", "compute() returned among its maps a ndarray under 'm', not a Map under a name"),
        ("list", "compute() returned tables in a list, not in a mapping"),
        ("dict", "compute() returned among its tables a dict under 'bad', not a Table under a name"),
        ("column", "ValueError: the columns of a table have names, not 'image', 3"),
        ("stranger", "table 't' has rows about 'somebody', which is no image of this batch"),
        ("object", "table 't', column 'x': dtype object cannot be stored"),
        ("tensor", "TypeError: map of 0: values are a Tensor, not a numpy array"),
        ("draw", "draw() failed: ValueError: no"),
    ],
)
def test_what_a_plugin_does_wrong_fails_its_step_and_nothing_else(folder, how, says, faulty):
    opened, steps = faulty(folder, how)
    assert opened.status == "failed"
    assert {name for name, step in steps.items() if step["status"] == "complete"} == steps.keys() - {"wrong"}
    assert steps["wrong"]["status"] == "failed"
    assert steps["wrong"]["error"].startswith(f"step 'wrong' (faulty, faulty.py): {says}")
    assert "\n" not in steps["wrong"]["error"]


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("array", "compute() returned among its maps a ndarray under 'm', not a Map under a name"),
        ("merge", "merge() failed: ValueError: no"),
        ("none", "merge() returned a NoneType, not a Result"),
        ("finish", "finish() failed: ValueError: no"),
        ("few", "finish() returned a NoneType, not a Result"),
    ],
)
def test_a_reduction_that_fails_has_no_result_and_fails_nothing_else(folder, how, says, faulty):
    opened, steps = faulty(folder, how, uses="faulty_reduction")
    assert opened.status == "failed"
    assert steps["wrong"]["error"] == f"step 'wrong' (faulty_reduction, faulty.py): {says}"
    assert not steps["wrong"]["maps"]
    assert not steps["wrong"]["tables"]
    assert {step["status"] for name, step in steps.items() if name != "wrong"} == {"complete"}


def test_a_reduction_stores_and_draws_what_it_makes_of_the_sums_at_the_end(folder, sizes):
    steps = "  - {id: maxima, uses: mean_of_maxima, model: wide}\n"
    steps += "  - {id: f, uses: feature_grid, model: wide, with: {layers: ['0']}}\n"
    (folder / "recipe.yaml").write_text(RECIPE.replace("numerics:", f"{steps}numerics:"))
    opened = ik.run("recipe.yaml", plugins=["plugin.py", "faulty.py"])
    assert opened.status == "complete"
    expected = np.mean([opened.result("f", image=name).maps["0"].values.max() for name in sizes])
    tables = opened.results["maxima"].tables
    assert set(tables) == {"mean"}
    assert tables["mean"]["mean"].tolist() == [pytest.approx(expected, rel=1e-12)]
    (figure,) = next(step for step in opened.manifest["steps"] if step["id"] == "maxima")["figures"]
    assert f"mean {tables['mean']['mean'][0]}" in figure["caption"]


@pytest.mark.parametrize("batch_size", [1, 4])
def test_an_image_that_cannot_be_drawn_costs_no_other_its_figures(folder, batch_size, faulty):
    _, steps = faulty(folder, "draw", set={"numerics.batch_size": batch_size})
    assert sorted(figure["image"] for figure in steps["wrong"]["figures"]) == ["b", "c", "d"]


@pytest.mark.parametrize(
    ("uses", "how"),
    [("faulty", "column"), ("faulty", "draw"), ("faulty_reduction", "merge"), ("faulty_reduction", "finish")],
)
def test_failures_keep_what_the_plugin_has_raised_with_its_traceback(folder, uses, how):
    step = f"  - {{id: wrong, uses: {uses}, model: wide, with: {{how: {how}}}}}\n"
    (folder / "recipe.yaml").write_text(RECIPE.replace("numerics:", f"{step}numerics:"))
    (failure,) = carry_out("recipe.yaml", plugins=["plugin.py", "faulty.py"]).failures
    assert isinstance(failure.__cause__, ValueError)
    frames = traceback.extract_tb(failure.__cause__.__traceback__)
    assert "faulty.py" in {Path(frame.filename).name for frame in frames}


def test_steps_that_fail_for_one_cause_each_name_themselves(folder, run):
    text = RECIPE.replace(
        "numerics:", "  - {id: again, uses: grad_cam, model: wide, with: {layers: ['1#2']}}\nnumerics:"
    )
    (folder / "recipe.yaml").write_text(text)
    opened = run(set={"steps.stats.with.layers": ["1#2"]})
    errors = {step["id"]: step["error"] for step in opened.manifest["steps"] if step["error"]}
    assert sorted(errors) == ["again", "stats"]
    for name, error in errors.items():
        assert error.startswith(f"step {name!r} (")


@pytest.fixture
def judged(tmp_path):
    """A run of two steps whose results are judged, and what was told while it went on."""
    (tmp_path / "checks.py").write_text(CHECKS)
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
