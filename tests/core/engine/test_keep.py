from __future__ import annotations

import traceback
from pathlib import Path

import numpy as np
import pytest

import interpretkit as ik
from interpretkit.engine.carry_out import carry_out

RECIPE = Path(__file__).with_name("recipe.yaml").read_text()


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
