"""What checks say of results, on results made by hand."""

from __future__ import annotations

import numpy as np
import pytest

import interpretkit as ik
from interpretkit.contracts.kinds import CHECK
from interpretkit.contracts.registry import Plugin, Registry
from interpretkit.engine.judge import judge
from interpretkit.engine.offered import checks_of
from interpretkit.engine.resolve import Step
from interpretkit.results import ranks


class Greatest(ik.Check):
    """Whether the greatest value of a map reaches 10."""

    name = "greatest"
    judges = ("attribution", "features")

    def judge(self, result):
        greatest = max(float(each.values.max()) for each in result.maps.values())
        status = "pass" if greatest >= 10 else "fail"
        return ik.Verdict(status=status, figure=greatest, threshold=10.0, text=f"greatest {greatest:g}")


class Rows(ik.Check):
    """How many rows a table has."""

    name = "rows"
    judges = ("statistics",)

    def judge(self, result):
        count = len(result.tables["channels"])
        return ik.Verdict(status="warn", figure=count, threshold=1, text=f"{count} rows")


class Fails(ik.Check):
    """Fails at all images but c."""

    name = "fails"
    judges = ("attribution",)

    def judge(self, result):
        if result.images[0].id != "c":
            raise self.error(result.images[0].id)
        return ik.Verdict(status="pass", figure=0, threshold=0, text="well")

    def error(self, image):
        return ValueError(f"no {image}")


class FailsInWords(Fails):
    """Raises an error of ours."""

    name = "fails_in_words"

    def error(self, image):
        return ik.InputError("no mask", hint="name one")


class Says(ik.Check):
    """Returns what it is given."""

    name = "says"
    judges = ("attribution",)

    def __init__(self, said):
        super().__init__(self.Options())
        self.said = said

    def judge(self, result):
        return self.said


class Anything(ik.Visualizer):
    """Yields whatever a test wants."""

    name = "made"
    yields = "attribution"

    def compute(self, captured):
        raise NotImplementedError


def step(yields="attribution", *, per_set=False):
    kind = type("Made", (Anything,), {"yields": yields, "per_set": per_set})
    return Step(id="made", visualizer=kind(kind.Options()), plugin=Plugin("test"), model="model")


def result(*images, values, targets=()):
    found = np.asarray(values, float)[:, None, None]
    about = tuple(ik.InputImage(id=each, source=each, sha256=each, size=(1, 1)) for each in images)
    a_map = ik.Map(values=found, dims=("image", "y", "x"), layer="a", extent={"y": 1, "x": 1}, polarity="signed")
    return ik.Result(maps={"a": a_map}, images=about, targets=targets)


def made(check):
    return check(check.Options())


def unheard(error):
    raise AssertionError(error)


def test_each_image_gets_the_verdict_of_each_check_that_judges_what_the_step_yields():
    checks = [made(Greatest), made(Rows)]
    found = judge(checks, step(), result("a", "b", values=[3, 12]), {}, tell=unheard)
    assert [(image, check, each.status, each.figure) for image, check, each in found] == [
        ("a", "greatest", "fail", 3.0),
        ("b", "greatest", "pass", 12.0),
    ]


@pytest.mark.parametrize("yields", ["scores", None])
def test_what_no_check_judges_has_no_verdict(yields):
    assert judge([made(Greatest), made(Rows)], step(yields), result("a", values=[3]), {}, tell=unheard) == []


def test_the_result_of_the_whole_set_is_judged_once():
    whole = ik.Result(tables={"channels": ik.Table(channel=[0, 1, 2])})
    ((image, check, verdict),) = judge([made(Rows)], step("statistics", per_set=True), whole, {}, tell=unheard)
    assert (image, check, verdict.figure) == (None, "rows", 3)


def test_each_of_the_top_classes_is_judged_on_its_own():
    target = ik.Target(spec=0, label="0", score=1.0)
    parts = [result("a", "b", values=values, targets=(target, target)) for values in ([1, 20], [30, 4])]
    found = judge([made(Greatest)], step(), ranks.joined(parts), {}, tell=unheard)
    assert [(image, each.figure) for image, _, each in found] == [("a", 1.0), ("a", 30.0), ("b", 20.0), ("b", 4.0)]


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (made(Fails), "check fails, step made, image a: judge() failed: ValueError: no a"),
        (made(FailsInWords), "check fails_in_words, step made, image a: no mask (name one)"),
    ],
)
def test_a_check_that_fails_is_told_once_and_costs_nothing_else(check, message):
    told = []
    found = judge([check, made(Greatest)], step(), result("a", "b", "c", values=[1, 2, 3]), {}, tell=told.append)
    assert [str(each) for each in told] == [message]
    assert [(image, name) for image, name, _ in found] == [
        ("c", check.name),
        ("a", "greatest"),
        ("b", "greatest"),
        ("c", "greatest"),
    ]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (None, "judge() returns a NoneType, not a Verdict"),
        (True, "judge() returns a bool, not a Verdict"),
        (
            ik.Verdict(status="good", figure=1, threshold=1, text=""),
            "judge() says 'good' (a verdict is pass or warn or fail or not applicable)",
        ),
    ],
)
def test_what_is_no_verdict_is_told_like_a_failure(said, message):
    told = []
    assert judge([Says(said)], step(), result("a", values=[1]), {}, tell=told.append) == []
    assert str(told[0]) == f"check says, step made, image a: {message}"


def test_every_registered_check_is_there_ready_to_judge():
    class Module:
        @ik.hookimpl
        def interpretkit_checks(self):
            yield from (Greatest, Rows)

    registry = Registry([(Plugin("one"), Module)])
    assert [check.name for check in checks_of(registry)] == ["greatest", "rows"]
    assert list(registry.of(CHECK)) == ["greatest", "rows"]
