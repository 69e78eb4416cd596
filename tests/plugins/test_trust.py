from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import interpretkit as ik
from interpretkit.contracts.kinds import CHECK
from interpretkit.contracts.registry import discover
from interpretkit.testing import checks_of, tiny_images, tiny_model
from interpretkit_trust.degenerate import Degenerate

NOISE = np.random.default_rng(0).normal(size=(1, 4, 4))


def judged(values, *, polarity="signed", saturated=False):
    each = ik.Map(values=values, dims=("image", "y", "x"), layer="conv", extent={"y": 8, "x": 8}, polarity=polarity)
    target = ik.Target(spec=0, label="cat", score=4.0, quantity="logit", probability=1.0, saturated=saturated)
    return Degenerate(Degenerate.Options()).judge(ik.Result(maps={"conv": each}, targets=(target,)))


def test_it_is_offered_and_keeps_the_contract():
    assert discover().find(CHECK, "degenerate").offer is Degenerate
    for check in checks_of(Degenerate):
        check()


@pytest.mark.parametrize(
    ("values", "options", "status", "words"),
    [
        (NOISE, {}, "pass", "differ by"),
        (np.zeros((1, 4, 4)), {}, "fail", "0 everywhere"),
        (np.full((1, 4, 4), 3.0), {}, "fail", "the same everywhere"),
        (1 + 1e-8 * NOISE, {}, "fail", "the same everywhere"),
        (1 + 1e-3 * NOISE, {"polarity": "unsigned"}, "pass", "differ by"),
        (np.full((1, 1, 1), 3.0), {}, "warn", "one cell"),
        (-np.abs(NOISE), {}, "warn", "nothing speaks for the target"),
        (-np.abs(NOISE), {"polarity": "unsigned"}, "pass", "differ by"),
        (NOISE, {"saturated": True}, "warn", "'cat' is saturated"),
        (np.zeros((1, 4, 4)), {"saturated": True}, "fail", "0 everywhere"),
    ],
)
def test_a_map_that_says_nothing_is_told(values, options, status, words):
    verdict = judged(values, **options)
    assert verdict.status == status
    assert words in verdict.text


def test_the_worst_of_several_layers_counts():
    good, dead = (
        ik.Map(values=values, dims=("image", "y", "x"), layer=layer, extent={"y": 8, "x": 8}, polarity="signed")
        for layer, values in (("first", NOISE), ("second", np.zeros((1, 4, 4))))
    )
    verdict = Degenerate(Degenerate.Options()).judge(ik.Result(maps={"first": good, "second": dead}))
    assert (verdict.status, verdict.text.split(" the")[0]) == ("fail", "at second")


def test_a_dead_network_is_told_in_a_run_and_a_living_one_passes(tmp_path):
    dead = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2))
    nn.init.constant_(dead[0].bias, -100.0)
    recipe = {
        "schema": "interpretkit/1",
        "name": "dead",
        "steps": [{"id": "cam", "uses": "grad_cam", "with": {"layers": ["1"], "target": 0}}],
    }
    run = ik.run(recipe, model=dead, images=torch.rand(2, 3, 8, 8), output=tmp_path)
    verdicts = run.manifest["steps"][0]["verdicts"]
    assert [(each["check"], each["status"]) for each in verdicts] == [("degenerate", "fail")] * 2
    recipe["steps"][0]["with"]["layers"] = ["features"]
    alive = ik.run(recipe, model=tiny_model(), images=tiny_images(), output=tmp_path)
    assert {each["status"] for each in alive.manifest["steps"][0]["verdicts"]} == {"pass"}
    silent = ik.run({**recipe, "checks": "none"}, model=tiny_model(), images=tiny_images(), output=tmp_path)
    assert silent.manifest["steps"][0]["verdicts"] == []
