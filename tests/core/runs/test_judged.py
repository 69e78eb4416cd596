"""What the verdicts of a run come to, and whether its models predict what the images are labelled."""

from __future__ import annotations

import json

import pytest

from interpretkit.runs.judged import agreements, checks_in_a_line, failing, tallies
from interpretkit.runs.manifest import SCHEMA
from interpretkit.runs.records import RunRecord

PLUGIN = {"package": "p", "distribution": "", "version": ""}


def verdict(check, image, status):
    return {"check": check, "image": image, "status": status, "figure": None, "threshold": None, "text": "so"}


def step(name, *verdicts):
    about = {"uses": "u", "plugin": PLUGIN, "model": "model", "of": [], "options": {}, "layers": [], "scope": "image"}
    return {"id": name, "verdicts": list(verdicts), **about}


def model(output="classes, logits"):
    about = {"plugin": PLUGIN, "options": {}, "notes": [], "preprocessing": {}, "parameters": 1, "classes": 3}
    weights = {"kind": "random", "source": "", "sha256": "", "fallback": "", "state_sha256": ""}
    return {"name": "net", "uses": "u", "weights": weights, "outputs": {"main": output}, **about}


def image(name, label, *predicted):
    found = [{"index": index, "label": text, "score": 1.0, "probability": None} for index, text in predicted]
    about = {"source": name, "sha256": "", "size": [1, 1], "conversions": [], "pictures": {}}
    return {"id": name, "label": label, "predictions": {"model": found}, **about}


def run(*steps, images=(), output="classes, logits"):
    facts = {
        "schema": SCHEMA,
        "name": "n",
        "id": "i",
        "interpretkit": None,
        "command": "",
        "recipe": {"source": "", "sha256": ""},
        "alerts": [],
        "models": {"model": model(output)},
        "inputs": list(images),
        "steps": list(steps),
        "numerics": {},
        "environment": {},
        "files": {},
    }
    return RunRecord.model_validate_json(json.dumps(facts))


def test_verdicts_are_counted_step_by_step_and_check_by_check_the_worst_first():
    edges = {"a": "pass", "b": "fail", "c": "fail"}
    cam = step("cam", *(verdict("edges", name, status) for name, status in edges.items()))
    cam["verdicts"].append(verdict("target", "a", "warn"))
    whole = step("mean", verdict("edges", None, "not applicable"))
    found = [(each.step, each.check, dict(each.counts), dict(each.images)) for each in tallies(run(cam, whole))]
    assert found == [
        ("cam", "edges", {"fail": 2, "pass": 1}, {"fail": ("b", "c"), "pass": ("a",)}),
        ("cam", "target", {"warn": 1}, {"warn": ("a",)}),
        ("mean", "edges", {"not applicable": 1}, {"not applicable": ()}),
    ]
    assert list(tallies(run(cam))[0].counts) == ["fail", "pass"]


@pytest.mark.parametrize(
    ("statuses", "line", "fails"),
    [
        ((), "", False),
        (("pass", "pass"), "checks: 2 passed", False),
        (("not applicable",), "checks: 0 passed", False),
        (("warn", "pass"), "checks: 1 warned (cam: edges of a), 1 passed", False),
        (("pass", "fail", "warn"), "checks: 1 failed (cam: edges of b), 1 warned (cam: edges of c), 1 passed", True),
        (("fail",) * 5, "checks: 5 failed (cam: edges of a, b, c, …), 0 passed", True),
    ],
)
def test_in_a_line_what_did_not_pass_is_named(statuses, line, fails):
    verdicts = [verdict("edges", name, status) for name, status in zip("abcde", statuses, strict=False)]
    record = run(step("cam", *verdicts))
    assert checks_in_a_line(record) == line
    assert failing(record) is fails


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (
            [image("a", "cat", (0, "cat"), (1, "dog")), image("b", "1", (1, "dog"), (0, "cat"))],
            "net predicts the label of 2 of 2 images",
        ),
        (
            [image("a", "dog", (0, "cat"), (1, "dog")), image("b", "dog", (1, "dog"), (0, "cat"))],
            "net predicts the label of 1 of 2 images; not of a (labelled dog, predicted cat)",
        ),
        ([image("a", None, (0, "cat"), (1, "dog"))], None),
        ([image("a", "cat")], None),
        ([image("a", "cat", (0, "tumour"))], None),
    ],
)
def test_labels_are_held_against_predictions(images, says):
    found = agreements(run(images=images))
    assert [str(each) for each in found] == ([] if says is None else [says])


@pytest.mark.parametrize("output", ["labels, logits", "values", "a class for each pixel, logits"])
def test_what_is_no_choice_of_one_class_is_not_held_against_labels(output):
    images = [image("a", "cat", (1, "dog"), (0, "cat"))]
    assert agreements(run(images=images, output=output)) == []
