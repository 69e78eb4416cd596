"""Checks of attribution maps: what must fail fails, and what is sound on a trained network passes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import torch
from torch import nn

import interpretkit as ik
from interpretkit.contracts.kinds import CHECK
from interpretkit.contracts.registry import discover
from interpretkit.testing import checks_of, tiny_images, tiny_model
from interpretkit_trust.completeness import Completeness
from interpretkit_trust.degenerate import Degenerate
from interpretkit_trust.edges import Edges, middle, sobel
from interpretkit_trust.randomization import Randomization
from interpretkit_trust.repeatability import Repeatability, Seed
from interpretkit_trust.target import Target

NOISE = np.random.default_rng(0).normal(size=(1, 4, 4))
CHECKS = [Degenerate, Randomization, Target, Repeatability, Seed, Completeness, Edges]


def result(*maps, polarity="signed", targets=(), tables=None, images=()):
    """Return a result of maps, by the names `conv0`, `conv1`."""
    made = {}
    for number, values in enumerate(maps):
        layer = f"conv{number}"
        extent = {"y": 8, "x": 8}
        found = np.asarray(values, float)
        made[layer] = ik.Map(values=found, dims=("image", "y", "x"), layer=layer, extent=extent, polarity=polarity)
    return ik.Result(maps=made, targets=targets, tables=tables or {}, images=images)


def judged(check, *given, options=None, **counterparts):
    made = check(check.Options(**(options or {})))
    return made.judge(*given, **counterparts)


@pytest.mark.parametrize("check", CHECKS)
def test_each_is_offered_and_keeps_the_contract(check):
    assert discover().find(CHECK, check.name).offer is check
    pixels = np.random.default_rng(1).integers(0, 255, (8, 8, 3), np.uint8)
    image = ik.InputImage(id="a", source="a", sha256="a", size=(8, 8), pixels=pixels)
    target = ik.Target(spec=0, label="cat", score=4.0)
    for each in checks_of(check, results=[result(NOISE, targets=(target,), images=(image,))]):
        each()


# Degenerate.


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
        (np.where(NOISE > 1, np.nan, NOISE), {}, "fail", "NaN or infinite"),
        (np.where(NOISE > 1, np.inf, NOISE), {}, "fail", "NaN or infinite"),
    ],
)
def test_a_map_that_says_nothing_is_told(values, options, status, words):
    polarity = options.get("polarity", "signed")
    target = ik.Target(spec=0, label="cat", score=4.0, probability=1.0, saturated=options.get("saturated", False))
    verdict = judged(Degenerate, result(values, polarity=polarity, targets=(target,)))
    assert verdict.status == status
    assert words in verdict.text


def test_the_worst_of_several_layers_counts():
    verdict = judged(Degenerate, result(NOISE, np.zeros((1, 4, 4))))
    assert (verdict.status, verdict.text.split(" the")[0]) == ("fail", "at conv1")


# What a map is held against.


@pytest.mark.parametrize(("check", "other"), [(Randomization, "random_weights"), (Target, "runner_up")])
def test_a_map_that_is_too_like_another_fails(check, other):
    rng = np.random.default_rng(3)
    first, noise = rng.normal(size=(2, 1, 16, 16))
    target = ik.Target(spec=1, label="dog", score=1.0)
    for share in (0.0, 0.5, 1.0):
        second = share * first + (1 - share) * noise
        verdict = judged(check, result(first), **{other: result(second, targets=(target,))})
        expected = scipy.stats.spearmanr(first.ravel(), second.ravel()).statistic
        assert verdict.figure == pytest.approx(expected)
        limits = check.Options()
        status = "fail" if expected > limits.fail else "warn" if expected > limits.warn else "pass"
        assert verdict.status == status
    assert judged(check, result(first), **{other: result(-first, targets=(target,))}).status == "pass"


def test_the_layer_counts_at_which_maps_are_most_alike():
    rng = np.random.default_rng(4)
    one, two, other = rng.normal(size=(3, 1, 16, 16))
    verdict = judged(Randomization, result(one, two), random_weights=result(other, two))
    assert (verdict.status, verdict.figure) == ("fail", pytest.approx(1.0))
    assert verdict.text.startswith("at conv1")


def test_few_cells_are_alike_by_chance_and_fewer_say_nothing():
    rng = np.random.default_rng(5)
    found = []
    for _ in range(2000):
        first, second = rng.normal(size=(2, 1, 4, 4))
        found.append(judged(Randomization, result(first), random_weights=result(second)))
    assert sum(each.status != "pass" for each in found) < 0.005 * len(found)
    assert {each.threshold for each in found if each.status == "pass"} == {3 / math.sqrt(15)}
    same = judged(Randomization, result(NOISE[:, :3, :3]), random_weights=result(NOISE[:, :3, :3]))
    assert same.status == "not applicable"


def test_where_a_map_is_the_same_everywhere_there_is_nothing_to_compare():
    flat = np.ones((1, 4, 4))
    for check, other in ((Randomization, "random_weights"), (Target, "runner_up"), (Seed, "other_seed")):
        assert judged(check, result(NOISE), **{other: result(flat)}).status == "not applicable"
        assert judged(check, result(flat), **{other: result(NOISE)}).status == "not applicable"


@pytest.mark.parametrize(
    ("change", "status"),
    [(0, "pass"), (1e-7, "pass"), (1e-3, "fail"), (np.nan, "fail"), (np.inf, "fail")],
)
def test_a_map_that_comes_out_otherwise_once_more_is_random(change, status):
    again = NOISE.copy()
    again[0, 0, 0] += change
    verdict = judged(Repeatability, result(NOISE), again=result(again))
    assert verdict.status == status
    both = judged(Repeatability, result(again), again=result(again))
    assert (both.status, both.figure) == ("pass", 0.0)


def test_a_map_of_zeros_is_the_same_once_more():
    verdict = judged(Repeatability, result(np.zeros((1, 4, 4))), again=result(np.zeros((1, 4, 4))))
    assert verdict.status == "pass"
    assert judged(Repeatability, result(np.zeros((1, 4, 4))), again=result(NOISE)).status == "fail"


def test_maps_of_two_seeds_that_differ_want_more_samples():
    rng = np.random.default_rng(6)
    first, noise = rng.normal(size=(2, 1, 32, 32))
    for weight, status in ((0.1, "pass"), (0.8, "warn"), (3.0, "fail")):
        verdict = judged(Seed, result(first), other_seed=result(first + weight * noise))
        assert verdict.status == status
        assert ("more samples" in verdict.text) == (status != "pass")


@pytest.mark.parametrize(
    ("gaps", "status", "figure"),
    [
        ([0.01, 0.02], "pass", 0.02),
        ([0.1, 0.02], "warn", 0.1),
        ([0.1, 0.3], "fail", 0.3),
        ([math.nan, 0.1], "warn", 0.1),
        ([math.nan, math.nan], "not applicable", math.nan),
    ],
)
def test_what_a_map_misses_of_what_it_should_add_up_to_is_told(gaps, status, figure):
    table = ik.Table(image=["a", "a"], layer=["conv0", "conv1"], relative_gap=gaps)
    verdict = judged(Completeness, result(NOISE, tables={"completeness": table}))
    assert verdict.status == status
    assert verdict.figure == pytest.approx(figure, nan_ok=True)
    assert judged(Completeness, result(NOISE)).status == "not applicable"


# Edges.


def test_the_edge_detector_is_that_of_scipy():
    pixels = np.random.default_rng(7).integers(0, 255, (9, 12, 3), np.uint8)
    grey = pixels.mean(-1)
    expected = np.hypot(*(scipy.ndimage.sobel(grey, axis, mode="nearest") for axis in (0, 1)))
    np.testing.assert_allclose(sobel(pixels), expected)


@pytest.mark.parametrize("picture", ["edges", "middle", "noise"])
def test_a_map_that_is_no_more_than_edges_or_the_middle_fails(picture):
    pixels = np.random.default_rng(8).integers(0, 255, (16, 16, 3), np.uint8)
    image = ik.InputImage(id="a", source="a", sha256="a", size=(16, 16), pixels=pixels)
    values = {"edges": sobel(pixels), "middle": middle(16, 16), "noise": np.random.default_rng(9).normal(size=(16, 16))}
    extent = {"y": 16, "x": 16}
    each = ik.Map(values=values[picture][None], dims=("image", "y", "x"), layer="m", extent=extent, polarity="unsigned")
    verdict = judged(Edges, ik.Result(maps={"m": each}, images=(image,)))
    # What photos show is often in the middle, so that a map may be right that lies there.
    assert verdict.status == {"edges": "fail", "middle": "warn", "noise": "pass"}[picture]
    assert picture == "noise" or f"with the {picture} of the image" in verdict.text


# In runs.


class Faulty(ik.Visualizer):
    """Draws what has nothing to do with what the network has learned."""

    yields = "attribution"

    class Options(ik.Targeted):
        pass

    def needs(self):
        return ik.Needs(input_gradient=True, target=self.options.target)

    def compute(self, captured):
        values = [self.of(captured, position) for position in range(len(captured.images))]
        return ik.Result(maps={"input": captured.map("input", torch.stack(values), polarity="signed")})

    def of(self, captured, position):
        return captured.input_gradient[position].sum(0)


class Edge(Faulty):
    name = "edge"

    def of(self, captured, position):
        return torch.from_numpy(sobel(captured.images[position].pixels))


class Fixed(Faulty):
    name = "fixed"

    def of(self, captured, position):
        shape = captured.inputs.shape[2:]
        return torch.arange(float(shape.numel())).sin().reshape(shape)


class Unaimed(Faulty):
    """The gradient of the input's sum through the network, whatever the target."""

    name = "unaimed"

    def needs(self):
        return ik.Needs(activations=["stage3"], target=self.options.target)

    def compute(self, captured):
        maps = captured.map("stage3", captured.activations["stage3"].mean(1), polarity="signed")
        return ik.Result(maps={"stage3": maps})


class Unseeded(Faulty):
    name = "unseeded"

    def of(self, captured, position):
        gradient = captured.input_gradient[position].sum(0)
        return gradient + 0.1 * gradient.std() * torch.randn_like(gradient)


class Undefined(Faulty):
    name = "undefined"

    def of(self, captured, position):
        return super().of(captured, position) * math.nan


@pytest.fixture(scope="module")
def digits():
    return ik.load_model("digits", weights="builtin")


def verdicts(run):
    """Return the verdicts of a run, by step and check, each of the images' statuses."""
    found = {}
    for step in run.manifest["steps"]:
        assert not step["error"]
        for each in step["verdicts"]:
            found.setdefault((step["id"], each["check"]), []).append(each["status"])
    return found


def ran(tmp_path, digits, steps, **more):
    recipe = {"schema": "interpretkit/1", "name": "judged", "steps": steps, **more}
    return ik.run(recipe, model=digits, images="sample:digits", output=tmp_path)


@pytest.mark.parametrize(
    ("visualizer", "failing", "passing"),
    [
        (Edge, {"randomization", "target", "edges"}, {"repeatability", "degenerate"}),
        (Fixed, {"randomization", "target"}, {"repeatability", "degenerate", "edges"}),
        (Unaimed, {"target"}, {"repeatability", "degenerate"}),
        (Unseeded, {"repeatability"}, {"target", "randomization", "degenerate", "edges"}),
        (Undefined, {"degenerate"}, set()),
        (Faulty, set(), {"target", "randomization", "repeatability", "degenerate", "edges"}),
    ],
)
def test_what_must_fail_fails(tmp_path, visualizer, failing, passing):
    name = getattr(visualizer, "name", "sound")
    source = f"from {__name__} import {visualizer.__name__} as Base\n"
    source += f"from interpretkit import hookimpl\nclass Offered(Base):\n    '''Judged.'''\n    name = {name!r}\n"
    source += "@hookimpl\ndef interpretkit_visualizers():\n    yield Offered\n"
    (tmp_path / "offered.py").write_text(source)
    recipe = {
        "schema": "interpretkit/1",
        "name": "faulty",
        "model": {"uses": "digits", "weights": "builtin"},
        "inputs": ["sample:digits/2a", "sample:digits/7a", "sample:digits/9b"],
        "steps": [{"id": "map", "uses": name, "with": {"target": "label"}, "figures": False}],
    }
    run = ik.run(recipe, output=tmp_path, plugins=[tmp_path / "offered.py"])
    found = verdicts(run)
    for check in failing:
        assert set(found["map", check]) == {"fail"}, check
    for check in passing:
        assert set(found["map", check]) == {"pass"}, check


def test_what_is_sound_passes_on_a_trained_network(tmp_path):
    recipe = {
        "schema": "interpretkit/1",
        "name": "sound",
        "model": {"uses": "digits", "weights": "builtin"},
        "inputs": ["sample:digits/1a", "sample:digits/2a", "sample:digits/4b", "sample:digits/7a"],
        "checks": "all",
        "steps": [
            {"id": "grad_cam", "uses": "grad_cam", "with": {"layers": ["stage3"], "target": "label"}},
            {"id": "ig", "uses": "integrated_gradients", "with": {"target": "label", "steps": 64}},
            {"id": "deep_lift", "uses": "deep_lift", "with": {"target": "label"}},
            {"id": "occlusion", "uses": "occlusion", "with": {"target": "label", "window": 16, "stride": 8}},
        ],
    }
    for step in recipe["steps"]:
        step["figures"] = False
    found = verdicts(ik.run(recipe, output=tmp_path))
    for (step, check), statuses in found.items():
        assert set(statuses) <= {"pass", "not applicable"}, (step, check)
    for step in ("grad_cam", "ig", "deep_lift", "occlusion"):
        for check in ("degenerate", "randomization", "target", "repeatability", "edges"):
            assert set(found[step, check]) == {"pass"}
    assert set(found["ig", "completeness"]) == set(found["deep_lift", "completeness"]) == {"pass"}


def test_by_default_no_method_makes_its_own_passes_once_more(tmp_path):
    recipe = {
        "schema": "interpretkit/1",
        "name": "own",
        "steps": [{"id": "ig", "uses": "integrated_gradients", "with": {"steps": 4}}],
    }
    run = ik.run(recipe, model=tiny_model(), images=tiny_images(2), output=tmp_path)
    found = verdicts(run)
    for check in ("randomization", "target", "repeatability", "seed"):
        assert set(found["ig", check]) == {"not applicable"}
    texts = {each["check"]: each["text"] for each in run.manifest["steps"][0]["verdicts"]}
    assert "`checks: all`" in texts["randomization"]
    assert "no seed" in texts["seed"]
    assert set(found["ig", "degenerate"]) == {"pass"}


def test_a_dead_network_is_told_in_a_run_and_a_living_one_passes(tmp_path):
    dead = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2))
    nn.init.constant_(dead[0].bias, -100.0)
    recipe = {
        "schema": "interpretkit/1",
        "name": "dead",
        "steps": [{"id": "cam", "uses": "grad_cam", "with": {"layers": ["1"], "target": 0}}],
    }
    run = ik.run(recipe, model=dead, images=torch.rand(2, 3, 8, 8), output=tmp_path)
    assert verdicts(run)["cam", "degenerate"] == ["fail"] * 2
    recipe["steps"][0]["with"]["layers"] = ["features"]
    alive = ik.run(recipe, model=tiny_model(), images=tiny_images(), output=tmp_path)
    assert set(verdicts(alive)["cam", "degenerate"]) == {"pass"}
    silent = ik.run({**recipe, "checks": "none"}, model=tiny_model(), images=tiny_images(), output=tmp_path)
    assert silent.manifest["steps"][0]["verdicts"] == []


def test_listed_checks_are_those_that_judge_with_their_options(tmp_path):
    recipe = {
        "schema": "interpretkit/1",
        "name": "listed",
        "checks": ["degenerate", {"uses": "completeness", "with": {"warn": 0, "fail": 0}}],
        "steps": [{"id": "ig", "uses": "integrated_gradients", "with": {"steps": 2}}],
    }
    run = ik.run(recipe, model=tiny_model(), images=tiny_images(2), output=tmp_path)
    found = verdicts(run)
    assert set(found) == {("ig", "degenerate"), ("ig", "completeness")}
    assert set(found["ig", "completeness"]) == {"fail"}
    resolved = (run.path / "resolved.yaml").read_text()
    assert "fail: 0" in resolved
    again = ik.run(run.path / "resolved.yaml", model=tiny_model(), images=tiny_images(2), output=tmp_path)
    assert verdicts(again) == found


@pytest.mark.parametrize(
    ("checks", "message"),
    [
        (["degenrate"], "did you mean 'degenerate'"),
        ([{"uses": "target", "with": {"wran": 0.5}}], "unknown key 'wran'"),
        ([{"uses": "target", "with": {"warn": 2}}], "a value of at most 1"),
        (["target", "target"], "check 'target' stands twice"),
        ("some", "'default', 'all' or 'none'"),
        ([], "at least 1"),
    ],
)
def test_what_is_wrong_with_checks_is_told(checks, message):
    recipe = {
        "schema": "interpretkit/1",
        "name": "wrong",
        "checks": checks,
        "steps": [{"id": "cam", "uses": "grad_cam", "with": {"layers": ["features"]}}],
    }
    with pytest.raises(ik.RecipeError, match=r"checks|warn|target|degenerate") as caught:
        ik.run(recipe, model=tiny_model(), images=tiny_images(1))
    assert message in str(caught.value)
