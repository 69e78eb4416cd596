"""Steps once more under another condition, against what plain torch gives for it."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

import interpretkit as ik
from interpretkit.contracts.check import AGAIN, OTHER_SEED, RANDOM_WEIGHTS, RUNNER_UP
from interpretkit.contracts.kinds import VISUALIZER
from interpretkit.contracts.registry import Plugin, discover
from interpretkit.engine.batch import begin
from interpretkit.engine.counterparts import Conditions, asked_of
from interpretkit.engine.plan import Plan, plan_step
from interpretkit.engine.resolve import Step
from interpretkit.errors import InterpretkitError
from interpretkit.inputs.source import Given
from interpretkit.model.randomized import randomized
from interpretkit.testing import tiny_images, tiny_model

KINDS = (RANDOM_WEIGHTS, RUNNER_UP, AGAIN, OTHER_SEED)


class All(ik.Check):
    """Compares with everything."""

    name = "all"
    judges = ("attribution", "scores")
    compares = KINDS

    def judge(self, result, **counterparts):
        raise NotImplementedError


def step(name, uses, *, of=(), **options):
    if isinstance(uses, str):
        uses = discover().find(VISUALIZER, uses).offer
    return Step(id=name, visualizer=uses(uses.Options(**options)), plugin=Plugin("test"), model="model", of=of)


def trained():
    """Return the tiny model as one that has learned, though it has not."""
    return replace(tiny_model(), notes=())


def outcomes(model, images, *steps, thorough=False):
    """Return the outcome of each step, with all its counterparts."""
    planned = tuple(plan_step(each, model) for each in steps)
    plan = Plan(models={"model": model}, steps=planned)
    asked = asked_of(planned, [All(All.Options())], thorough=thorough)
    (batch,) = Given(images).batches(plan.models, batch_size=len(images), leave_out=print)
    work = begin(plan, batch, conditions=Conditions(planned, asked))
    return {each.step: each for each in work.outcomes}


def gradient_of(module, images, classes):
    """Return the gradient of each image's class at the images."""
    inputs = images.clone().requires_grad_()
    scores = module.eval()(inputs)[range(len(images)), classes]
    return torch.autograd.grad(scores.sum(), inputs)[0]


def test_the_counterparts_of_a_gradient_are_those_of_plain_torch():
    model, images = trained(), tiny_images(3)
    found = outcomes(model, images, step("map", "input_x_gradient"))["map"]
    order = model.module.eval()(images).argsort(dim=1, descending=True)
    for kind, module, classes in (
        (RANDOM_WEIGHTS, randomized(model).module, order[:, 0]),
        (RUNNER_UP, model.module, order[:, 1]),
        (AGAIN, model.module, order[:, 0]),
    ):
        expected = (images * gradient_of(module, images, classes)).sum(1)
        np.testing.assert_allclose(found.counterparts[kind].maps["input"].values, expected, rtol=1e-4, atol=1e-7)
    targets = found.counterparts[RANDOM_WEIGHTS].targets
    assert [each.index for each in targets] == order[:, 0].tolist()
    scores = randomized(model).module.eval()(images)[range(3), order[:, 0]]
    assert [each.score for each in targets] == pytest.approx(scores.tolist())
    assert [each.index for each in found.counterparts[RUNNER_UP].targets] == order[:, 1].tolist()


def test_for_each_of_the_top_classes_there_is_one():
    model, images = trained(), tiny_images(2)
    found = outcomes(model, images, step("map", "input_x_gradient", target={"top": 2}))["map"]
    first, second = model.module.eval()(images).argsort(dim=1, descending=True)[:, :2].T.tolist()
    runner_up = found.counterparts[RUNNER_UP]
    assert [each.index for each in runner_up.targets] == [
        index for pair in zip(second, first, strict=True) for index in pair
    ]
    assert list(runner_up.maps) == list(found.result.maps)


def test_a_step_that_reads_another_reads_the_counterpart_of_that():
    class Twice(ik.Visualizer):
        """Twice what it reads."""

        name = "twice"
        yields = "attribution"
        reads = ik.Reads("attribution", least=1)

        def compute(self, captured):
            (read,) = captured.results.values()
            values = torch.from_numpy(2 * read.maps["features"].values)
            return ik.Result(maps={"features": captured.map("features", values, polarity="signed")})

    model, images = trained(), tiny_images(2)
    cam, twice = step("cam", "grad_cam", layers=["features"]), step("twice", Twice, of=("cam",))
    found = outcomes(model, images, cam, twice)
    for kind in (RANDOM_WEIGHTS, AGAIN):
        other = found["twice"].counterparts[kind].maps["features"].values
        np.testing.assert_array_equal(other, 2 * found["cam"].counterparts[kind].maps["features"].values)
    assert "no target" in found["twice"].counterparts[RUNNER_UP].message


class Counting(torch.nn.Module):
    """Counts its passes, and how many images went through."""

    def __init__(self):
        super().__init__()
        self.inner = tiny_model().module
        self.passes = 0

    def forward(self, images):
        self.passes += 1
        return self.inner(images)


def test_methods_of_one_pass_cost_two_passes_more_however_many_they_are(monkeypatch):
    copies = []
    net = Counting()

    def copied(self, _):
        copies.append(Counting())
        copies[-1].inner.load_state_dict(self.inner.state_dict())
        return copies[-1]

    monkeypatch.setattr(Counting, "__deepcopy__", copied, raising=False)
    model = ik.wrap(net)
    cams = [step(f"cam{number}", "grad_cam", layers=["inner.features"]) for number in range(2)]
    outcomes(model, tiny_images(3), *cams, step("map", "input_x_gradient"))
    assert (net.passes, [each.passes for each in copies]) == (2, [1])


class CountingBoth(Counting):
    """Counts its forward and its backward passes, and those of its copies."""

    forward_passes = 0
    backward_passes = 0

    def forward(self, images):
        scores = super().forward(images)
        type(self).forward_passes += 1
        if scores.requires_grad:
            scores.register_hook(self.after)
        return scores

    @classmethod
    def after(cls, _gradient):
        cls.backward_passes += 1


@pytest.mark.parametrize("targets", [["predicted"], ["predicted", 1], [0, 1, 2, 2]])
def test_the_passes_that_checks_add_are_known_before(targets):
    model = ik.wrap(CountingBoth())
    maps = [step(f"map{number}", "input_x_gradient", target=target) for number, target in enumerate(targets)]
    steps = tuple(plan_step(each, model) for each in (*maps, step("eigen", "eigen_cam", layers=["inner.features"])))
    conditions = Conditions(steps, asked_of(steps, [All(All.Options())], thorough=False))
    forward, backward = Plan(models={"model": model}, steps=steps).passes("model")
    for kind in KINDS:
        added = conditions.passes(kind, "model")
        assert added == ((0, 0) if kind in (AGAIN, OTHER_SEED) else (1, len(set(targets))))
        assert conditions.repeated(kind, "model") == []
        forward, backward = forward + added[0], backward + added[1]
    CountingBoth.forward_passes = CountingBoth.backward_passes = 0
    outcomes(model, tiny_images(3), *steps)
    assert (CountingBoth.forward_passes, CountingBoth.backward_passes) == (forward, backward)


def test_the_steps_that_make_passes_of_their_own_once_more_are_known_before():
    model = trained()
    steps = tuple(
        plan_step(each, model)
        for each in (
            step("ig", "integrated_gradients", steps=4),
            step("noisy", "smooth_grad", samples=4),
            step("stable", "sensitivity_max", of=("noisy",), samples=2),
        )
    )
    conditions = Conditions(steps, asked_of(steps, [All(All.Options())], thorough=True))
    names = {kind: [each.id for each in conditions.repeated(kind, "model")] for kind in KINDS}
    assert names == {
        RANDOM_WEIGHTS: ["ig", "noisy", "stable"],
        RUNNER_UP: ["ig", "noisy"],
        AGAIN: ["ig", "noisy", "stable"],
        OTHER_SEED: ["noisy", "stable"],
    }
    sparing = Conditions(steps, asked_of(steps, [All(All.Options())], thorough=False))
    assert [sparing.repeated(kind, "model") for kind in KINDS] == [[]] * 4
    assert [sparing.passes(kind, "model") for kind in KINDS] == [(0, 0)] * 4


def test_own_passes_are_made_once_more_only_where_that_is_asked_for():
    model, images = trained(), tiny_images(1)
    integrated = step("ig", "integrated_gradients", steps=4)
    found = outcomes(model, images, integrated)["ig"].counterparts
    for kind in (RANDOM_WEIGHTS, RUNNER_UP, AGAIN):
        assert "`checks: all`" in found[kind].message
    thorough = outcomes(model, images, integrated, thorough=True)["ig"]
    np.testing.assert_array_equal(
        thorough.counterparts[AGAIN].maps["input"].values, thorough.result.maps["input"].values
    )
    other = ik.visualize(
        randomized(model), images, "integrated_gradients", steps=4, target=thorough.result.targets[0].index
    )
    np.testing.assert_allclose(
        thorough.counterparts[RANDOM_WEIGHTS].maps["input"].values, other.maps["input"].values, rtol=1e-5, atol=1e-9
    )


def test_another_seed_gives_what_the_method_gives_with_that_seed():
    model, images = trained(), tiny_images(1)
    noisy = step("noisy", "smooth_grad", samples=4, seed=3)
    found = outcomes(model, images, noisy, thorough=True)["noisy"]
    expected = ik.visualize(model, images, "smooth_grad", samples=4, seed=4)
    other = found.counterparts[OTHER_SEED].maps["input"].values
    np.testing.assert_array_equal(other, expected.maps["input"].values)
    assert not np.array_equal(other, found.result.maps["input"].values)


def test_whoever_draws_numbers_afterwards_draws_the_same():
    class Draws(ik.Visualizer):
        """Draws from every generator, which it should not."""

        name = "draws"
        yields = "attribution"

        def needs(self):
            return ik.Needs(activations=["features"])

        def compute(self, captured):
            number = float(torch.rand(())) + random.random() + float(np.random.rand())  # noqa: S311, NPY002
            values = torch.full(captured.activations["features"].mean(1).shape, number)
            return ik.Result(maps={"features": captured.map("features", values, polarity="signed")})

    def drawn(kinds):
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002
        model, images = trained(), tiny_images(1)
        planned = tuple(plan_step(step(name, Draws), model) for name in ("a", "b"))
        plan = Plan(models={"model": model}, steps=planned)
        asked = asked_of(planned, [type("Some", (All,), {"compares": kinds})(All.Options())], thorough=False)
        (batch,) = Given(images).batches(plan.models, batch_size=1, leave_out=print)
        found = list(begin(plan, batch, conditions=Conditions(planned, asked)).outcomes)
        return [each.result.maps["features"].values for each in found], found

    without, _ = drawn(())
    judged, found = drawn((RANDOM_WEIGHTS, AGAIN))
    np.testing.assert_array_equal(without, judged)
    assert not np.array_equal(found[0].counterparts[AGAIN].maps["features"].values, judged[0])


def test_the_network_stays_as_it_was():
    model = trained()
    before = {name: each.clone() for name, each in model.module.state_dict().items()}
    outcomes(model, tiny_images(2), step("cam", "grad_cam", layers=["features"]))
    for name, each in model.module.state_dict().items():
        assert torch.equal(each, before[name])


def test_where_a_network_cannot_be_copied_the_reason_stands_in_place_of_the_map():
    class Single(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = tiny_model().module

        def forward(self, images):
            return self.inner(images)

        def __deepcopy__(self, _):
            raise TypeError("there is one of me")

    found = outcomes(ik.wrap(Single()), tiny_images(1), step("cam", "grad_cam", layers=["inner.features"]))["cam"]
    assert found.failure is None
    assert isinstance(found.counterparts[RANDOM_WEIGHTS], InterpretkitError)
    assert "there is one of me" in str(found.counterparts[RANDOM_WEIGHTS])


def test_a_set_has_no_counterparts():
    class Whole(ik.Reduction):
        """Of a set."""

        name = "whole"
        yields = "attribution"

        def compute(self, captured):
            return ik.Result()

        def merge(self, first, second):
            return first

    asked = asked_of([step("whole", Whole)], [All(All.Options())], thorough=True)["whole"]
    assert asked.wanted == ()
    assert {str(each) for each in asked.refused.values()} == {"the result is about the whole set of images"}


def test_a_network_that_has_random_weights_anyway_is_not_held_against_them():
    found = outcomes(tiny_model(), tiny_images(1), step("cam", "grad_cam", layers=["features"]))["cam"]
    assert str(found.counterparts[RANDOM_WEIGHTS]) == "the network itself has random weights"
    assert not isinstance(found.counterparts[RUNNER_UP], InterpretkitError)
