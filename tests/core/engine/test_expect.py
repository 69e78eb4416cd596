"""What recipes expect of a run: read, held against its numbers, told everywhere."""

from __future__ import annotations

import math
from xml.etree import ElementTree  # noqa: ICN001

import numpy as np
import pytest

import interpretkit as ik
from interpretkit.engine.expect import aggregated
from interpretkit.recipe.read import read_recipe
from interpretkit.runs.junit import junit
from interpretkit.runs.verify import verify
from interpretkit.testing import tiny_images, tiny_model

VALUES = {"a": [0.1, 0.9], "b": [0.3, 0.7], "c": [0.5, math.nan]}

PLUGIN = """
import math
from interpretkit import Check, Needs, Reduction, Result, Table, Verdict, Visualizer, hookimpl

VALUES = {"image0": [0.1, 0.9], "image1": [0.3, 0.7], "image2": [0.5, math.nan]}


class Numbers(Visualizer):
    '''Numbers of each image.'''
    name = "numbers"
    yields = "attribution"

    def needs(self):
        return Needs(activations=["features"])

    def compute(self, captured):
        rows = [
            {"image": image.id, "layer": layer, "value": value, "low": value < 0.4, "word": "w"}
            for image in captured.images
            for layer, value in zip(("first", "second"), VALUES[image.id])
        ]
        other = Table(image=[image.id for image in captured.images], value=[1.0] * len(captured.images))
        maps = {"features": captured.map("features", captured.activations["features"].mean(1), polarity="signed")}
        return Result(maps=maps, tables={"rows": Table.of_rows(rows), "other": other})


class Fails(Visualizer):
    '''Fails.'''
    name = "fails"

    def compute(self, captured):
        raise ValueError("no")


class Half(Check):
    '''Half.'''
    name = "half"
    judges = ("attribution",)

    def judge(self, result):
        return Verdict(status="fail", figure=0.5, threshold=1.0, text=f"half <of> {result.images[0].id}")


@hookimpl
def interpretkit_visualizers():
    yield from (Numbers, Fails)


@hookimpl
def interpretkit_checks():
    yield Half
"""


@pytest.fixture
def ran(tmp_path):
    (tmp_path / "plugin.py").write_text(PLUGIN)

    def run(*expect, steps=({"id": "n.1", "uses": "numbers"},), **more):
        recipe = {
            "schema": "interpretkit/1",
            "name": "expecting",
            "checks": ["half"],
            "steps": list(steps),
            "expect": list(expect),
            "numerics": {"batch_size": 2},
            **more,
        }
        given = {"output": tmp_path, "plugins": [tmp_path / "plugin.py"]}
        return ik.run(recipe, model=tiny_model(), images=tiny_images(3), **given)

    return run


ALL = [0.1, 0.9, 0.3, 0.7, 0.5]
FIRST = [0.1, 0.3, 0.5]


@pytest.mark.parametrize(
    ("name", "wanted", "figure", "passed"),
    [
        ("n.1.rows.value", ">= 0.5", np.mean(ALL), True),
        ("n.1.rows.value", "> 0.5", np.mean(ALL), False),
        ("n.1.rows.value", "min < 0.1", 0.1, False),
        ("n.1.rows.value", "min <= 0.1", 0.1, True),
        ("n.1.rows.value", "max == 0.9", 0.9, True),
        ("n.1.rows.value", "median > .4", np.median(ALL), True),
        ("n.1.rows.value", "p05 < 2e-1", np.percentile(ALL, 5), True),
        ("n.1.rows.value[layer=first]", "< 0.31", np.mean(FIRST), True),
        ("n.1.rows.value[layer=first, image=image1]", "== 0.3", 0.3, True),
        ("n.1.rows.value[layer=second,image=image2]", "> -1", math.nan, False),
        ("n.1.low", "<= 0.5", 2 / 6, True),
        ("n.1.other.value", "== 1", 1.0, True),
        ("n.1.half", "max < 0.6", 0.5, True),
        ("n.1.half", "max < -0.6", 0.5, False),
    ],
)
def test_a_number_of_a_run_is_held_against_what_is_expected(ran, *, name, wanted, figure, passed):
    run = ran({name: wanted})
    (found,) = run.expectations
    assert (found.name, found.wanted, found.passed) == (name, wanted, passed)
    assert found.figure == pytest.approx(None if math.isnan(figure) else figure)
    assert run.status == "complete"
    assert verify(run.path) == []
    assert ik.open_run(run.path).expectations == run.expectations


def test_what_is_not_defined_is_left_out_and_said(ran):
    (found,) = ran({"n.1.rows.value": "> 0"}).expectations
    assert found.text == "mean 0.5 of 5 rows of 6, the others having none"
    (none,) = ran({"n.1.rows.value[image=image2,layer=second]": "> 0"}).expectations
    assert none.text == "no row has such a number"


def test_of_a_step_that_failed_nothing_is_as_expected(ran):
    steps = ({"id": "n.1", "uses": "numbers"}, {"id": "bad", "uses": "fails"})
    run = ran({"bad.value": "> 0"}, {"n.1.low": ">= 0"}, steps=steps)
    assert [(each.passed, each.text) for each in run.expectations] == [
        (False, "step bad has no result: it is failed"),
        (True, "mean 0.3333 of 6 rows"),
    ]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("n.1.valeu", "step 'n.1' has no number 'valeu'"),
        ("n.1.value", "several tables of step 'n.1' have 'value'"),
        ("n.1.rows.valeu", "the table has no column 'valeu'"),
        ("n.1.rows.word", "column 'word' has no numbers"),
        ("n.1.rows.value[layr=first]", "the table has no column 'layr'"),
        ("n.1.rows.value[layer=frist]", "no row has layer 'frist'"),
        ("n.1.half[layer=first]", "step 'n.1' has no number 'half'"),
    ],
)
def test_a_number_that_there_is_not_is_an_error_of_the_recipe(ran, name, says, tmp_path):
    run = ran({name: "> 0"})
    (found,) = run.expectations
    assert not found.passed
    assert says in found.text
    assert run.status == "failed"


@pytest.mark.parametrize(
    ("expect", "says"),
    [
        ([{"cm.value": "> 0"}], "there is no step 'cm'"),
        ([{"cam": "> 0"}], "STEP.NUMBER"),
        ([{"cam.value[first]": "> 0"}], "rows are chosen by"),
        ([{"cam.value": "=> 0"}], "a comparison is wanted"),
        ([{"cam.value": "avg > 0"}], "a comparison is wanted"),
        ([{"cam.value": "> high"}], "a comparison is wanted"),
        ([{"cam.value": 0.5}], "text is wanted"),
        ([{"cam.value": "> 0", "cam.other": "> 0"}], "one name with one comparison"),
        (["cam.value > 0"], "one name with one comparison"),
        ({"cam.value": "> 0"}, "a list is wanted"),
    ],
)
def test_what_cannot_be_expected_is_told_before_the_run(expect, says):
    recipe = {
        "schema": "interpretkit/1",
        "name": "n",
        "steps": [{"id": "cam", "uses": "grad_cam", "with": {"layers": ["features"]}}],
        "expect": expect,
    }
    with pytest.raises(ik.RecipeError) as caught:
        ik.run(recipe, model=tiny_model(), images=tiny_images(1))
    assert says in str(caught.value)
    assert "expect" in str(caught.value)


def test_the_place_of_an_expectation_is_that_in_the_file(tmp_path):
    (tmp_path / "recipe.yaml").write_text(
        "schema: interpretkit/1\nname: n\nmodel: {uses: repvgg}\ninputs: [a.png]\n"
        "steps:\n- {id: cam, uses: grad_cam, with: {layers: [stage4]}}\n"
        "expect:\n- cam.value: '> 0'\n- cma.value: '> 0'\n"
    )
    recipe = read_recipe(tmp_path / "recipe.yaml")
    assert [each.place().split(":")[-2:] for each in recipe.expect] == [["8", "3"], ["9", "3"]]
    assert recipe.expect[0].rows == {}
    assert (recipe.expect[0].aggregate, recipe.expect[0].comparison, recipe.expect[0].limit) == ("mean", ">", 0.0)


@pytest.mark.parametrize("name", ["mean", "median", "min", "max", "p00", "p05", "p50", "p99"])
def test_aggregates_are_those_of_numpy(name):
    values = np.random.default_rng(0).normal(size=101)
    ordered = sorted(values)
    if name.startswith("p"):
        # Of 101 values the k-th percentile is the k-th of them.
        assert aggregated(values, name) == pytest.approx(ordered[int(name[1:])])
    else:
        assert aggregated(values, name) == pytest.approx(getattr(np, name)(values))


def test_continuous_integration_gets_a_case_for_each(ran):
    steps = ({"id": "n.1", "uses": "numbers"}, {"id": "bad", "uses": "fails"})
    run = ran({"n.1.low": ">= 0"}, {"n.1.rows.value": "min > 0.5"}, steps=steps)
    for strict in (False, True):
        (suite,) = ElementTree.fromstring(junit(run.record, strict=strict))  # noqa: S314 - we made it
        cases = {case.get("name"): [each.tag for each in case] for case in suite}
        assert cases == {
            "step n.1": [],
            "step bad": ["error"],
            "check half of step n.1": ["failure"] if strict else [],
            "n.1.low >= 0": [],
            "n.1.rows.value min > 0.5": ["failure"],
        }
        assert {case.get("classname") for case in suite} == {"expecting"}
        counts = {name: suite.get(name) for name in ("name", "tests", "failures", "errors", "skipped")}
        failures = "2" if strict else "1"
        assert counts == {"name": "expecting", "tests": "5", "failures": failures, "errors": "1", "skipped": "0"}
        assert float(suite.get("time")) >= 0
    text = next(case for case in suite if case.get("name") == "check half of step n.1")[0].text
    assert text.splitlines() == [f"image{number}: half <of> image{number}" for number in range(3)]


def test_what_no_xml_can_hold_is_marked(ran):
    run = ran({"n.1.low": ">= 0"}, name="bell")
    changed = run.record.model_copy(update={"name": "bell \x07"})
    assert ElementTree.fromstring(junit(changed, strict=False))[0].get("name") == "bell �"  # noqa: S314


def test_expectations_stand_in_the_report_and_are_told(ran, tmp_path):
    told = []
    run = ran({"n.1.low": ">= 0"}, {"n.1.rows.value": "min > 0.5"})
    report = (run.path / "report.html").read_text()
    assert "n.1.rows.value min &gt; 0.5" in report
    assert "min 0.1 of 5 rows of 6" in report
    assert (run.path / "resolved.yaml").read_text().count("n.1.rows.value: min > 0.5") == 1
    assert told == []
