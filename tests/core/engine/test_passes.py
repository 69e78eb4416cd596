from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

import interpretkit as ik
from interpretkit import Model
from interpretkit.capture.dataflow.flow import Dataflow
from interpretkit.contracts.registry import Plugin
from interpretkit.engine.batch import begin
from interpretkit.engine.plan import Plan, plan_step
from interpretkit.engine.resolve import Step
from interpretkit.inputs.batch import tensor_batches
from interpretkit.testing import tiny_images, tiny_model


def test_activations_and_gradients_are_held_only_for_steps_to_come():
    class Wants(ik.Visualizer):
        """Wants some layers."""

        name = "wants"

        def needs(self):
            return self.wanted

        def compute(self, captured):
            assert (captured.input_gradient is not None) == self.wanted.input_gradient
            return ik.Result()

    model = tiny_model()
    wanted = {
        "a": ik.Needs(activations=["head"], gradients=["features"], input_gradient=True, target=0),
        "b": ik.Needs(gradients=["features#*"], target=0),
        "c": ik.Needs(input_gradient=True, target=0),
        "d": ik.Needs(activations=["pool"]),
    }
    steps = []
    for name, needs in wanted.items():
        visualizer = Wants(Wants.Options())
        visualizer.wanted = needs
        step = Step(id=name, visualizer=visualizer, plugin=Plugin("t"), model="model")
        steps.append(plan_step(step, model))
    plan = Plan(models={"model": model}, steps=tuple(steps))
    (batch,) = tensor_batches(tiny_images(), plan.models, batch_size=16)
    outcomes = begin(plan, batch).outcomes
    held = []
    for outcome in outcomes:
        assert outcome.failure is None
        done = outcomes.gi_frame.f_locals["self"].done["model"]
        gradients = {str(address) for each in done.attributed.values() for address in each.gradients}
        held.append((sorted({address.path for address in done.activations}), sorted(gradients)))
    everything = (["features", "head", "pool"], ["<input>", "features", "features#1"])
    assert held == [
        everything,
        (["features", "pool"], ["<input>", "features", "features#1"]),
        (["pool"], ["<input>"]),
        (["pool"], []),
    ]


@pytest.fixture
def counted(monkeypatch):
    """Count forward passes of the tiny model and backward passes of autograd."""
    model = tiny_model()
    counts = {"forward": 0, "backward": 0}

    def forward(*_):
        counts["forward"] += 1

    model.module.register_forward_hook(forward)
    grad = torch.autograd.grad

    def backward(*args, **kwargs):
        counts["backward"] += 1
        return grad(*args, **kwargs)

    monkeypatch.setattr(torch.autograd, "grad", backward)
    return model, counts


@pytest.mark.parametrize("steps", [1, 12])
def test_any_number_of_steps_costs_one_forward_and_one_backward_per_distinct_target(counted, steps, outcome_of, reader):
    model, counts = counted
    layers = ["features", "features.0", "pool", "head"]
    same = {f"same{k}": reader(layers=layers, gradients=layers[: 1 + k % 3], target=1) for k in range(steps)}
    outcome = outcome_of(model, {**same, "plain": reader(layers=layers)})
    assert not outcome.failures
    assert counts == {"forward": 1, "backward": 1}
    counts.update(forward=0, backward=0)
    outcome_of(model, {**same, "other": reader(layers=[], gradients=["features"], target=2)})
    assert counts == {"forward": 1, "backward": 2}


def test_without_gradients_there_is_no_backward(counted, outcome_of, reader):
    model, counts = counted
    outcome_of(model, {"plain": reader(layers=["features", "head"])})
    assert counts == {"forward": 1, "backward": 0}


class Twice(nn.Module):
    """Calls one convolution twice; one layer leads nowhere, one does so the second time, and one is not called."""

    def __init__(self):
        super().__init__()
        self.conv, self.once = nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 1)
        self.aside, self.unused, self.partly = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

    def forward(self, images):
        first = self.partly(self.conv(images))
        self.aside(self.partly(first))
        return self.once(self.conv(first).relu()).mean((2, 3))


def test_every_call_of_a_layer_comes_by_its_number_and_where_there_is_none_nothing_does(outcome_of, reader):
    torch.manual_seed(0)
    model = ik.wrap(Twice().eval())
    several = reader(layers=[], gradients=["conv#*", "partly#*", "once#*", "aside#*", "unused#*"], target=1)
    one = reader(layers=[], gradients=["conv#2"], target=1)
    outcome = outcome_of(model, {"several": several, "one": one})
    assert not outcome.failures
    assert list(several.captured.gradients) == ["conv#1", "conv#2", "partly#1", "once"]
    assert list(several.captured.activations) == ["conv#1", "conv#2", "partly#1", "partly#2", "once", "aside"]
    assert list(one.captured.gradients) == ["conv#2"]
    torch.testing.assert_close(several.captured.gradients["conv#2"], one.captured.gradients["conv#2"])


def test_predictions_are_the_most_probable_classes(outcome_of):
    model, images = tiny_model(), tiny_images(2)
    outcome = outcome_of(model, {}, images)
    with torch.no_grad():
        probabilities = model.module(images).softmax(1)
    for row, found in zip(probabilities, outcome.predictions["model"], strict=True):
        assert [each.index for each in found] == row.argsort(descending=True).tolist()
        assert [each.probability for each in found] == pytest.approx(sorted(row.tolist(), reverse=True), rel=1e-6)
        assert found[0].label == f"class {found[0].index}"


def test_a_network_without_logits_can_be_looked_at_but_not_explained(outcome_of, reader):
    model = replace(tiny_model(), module=nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU()), outputs={"a": ik.Classes()})
    outcome = outcome_of(model, {"look": reader(layers=["0"]), "explain": reader(layers=[], gradients=["0"])})
    assert outcome.predictions == {"model": ()}
    assert set(outcome.results) == {"look"}
    assert "not one number for each class" in str(outcome.failures["explain"])


def test_a_network_that_fails_is_named_with_the_shape_of_its_images(outcome_of, reader):
    outcome = outcome_of(tiny_model(), {"look": reader(layers=["features"])}, torch.zeros(2, 5, 16, 16))
    assert "model 'tiny' failed on images 2×5×16×16: RuntimeError" in str(outcome.failures["look"])


def test_the_first_layer_with_nan_is_named(outcome_of, reader):
    model = tiny_model()
    with torch.no_grad():
        model.module.features[0].bias[1] = torch.nan
    steps = {"look": reader(layers=["features.0"]), "explain": reader(layers=["features.0"], gradients=["features"])}
    outcome = outcome_of(model, steps)
    assert set(outcome.results) == {"look"}
    assert "not finite" in str(outcome.failures["explain"])
    assert outcome.failures["explain"].exit_code == 5
    assert "features.0" in str(outcome.failures["explain"])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_predictions_of_a_network_that_ends_in_a_softmax_are_not_softened_once_more(dtype, outcome_of, reader):
    torch.manual_seed(0)
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1000), nn.Softmax(1)).to(dtype)
    images = tiny_images().to(dtype)
    outcome = outcome_of(Model(module=net), {"all": reader(layers=["1"])}, images=images)
    with torch.no_grad():
        expected = net(images).double().sort(dim=1, descending=True).values[:, :5]
    found = [[each.probability for each in row] for row in outcome.predictions["model"]]
    assert found == expected.tolist()


class Torn(nn.Module):
    """Runs forward; on the way back it fails."""

    def __init__(self):
        super().__init__()
        self.features, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

    def forward(self, images):
        values = self.features(images).mean((2, 3)).sigmoid()
        logits = self.head(values)
        values.add_(1)  # which the gradient of the sigmoid and of the head would have needed as it was
        return logits


def test_a_network_that_fails_in_the_backward_pass_fails_the_steps_that_need_gradients_alone(outcome_of, reader):
    model = Model(module=Torn(), name="torn")
    steps = {
        "values": reader(layers=["features"]),
        "slopes": reader(layers=["features"], gradients=["features"]),
    }
    outcome = outcome_of(model, steps)
    assert set(outcome.results) == {"values"}
    message = str(outcome.failures["slopes"])
    assert "model 'torn' failed in the backward pass: RuntimeError: one of the variables needed" in message
    assert "occlusion" in message


def test_a_target_alone_costs_no_backward_pass(monkeypatch, own):
    def refuse(*_arguments, **_more):
        raise AssertionError("there was a backward pass")

    monkeypatch.setattr(torch.autograd, "grad", refuse)
    own(tiny_model(), tiny_images(1), lambda captured: captured.targets)


class InputGradient(ik.Visualizer):
    """Keeps the gradient for the input."""

    name = "input_gradient"

    def needs(self):
        return ik.Needs(input_gradient=True, target=1)

    def compute(self, captured):
        type(self).found = (captured.input_gradient, captured.inputs)
        return ik.Result()


def test_the_gradient_for_the_input_equals_autograds_and_shares_the_backward_pass(monkeypatch, outcome_with, grad_cam):
    model, images = tiny_model(), tiny_images(2)
    calls = []
    grad = torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *args, **more: calls.append(1) or grad(*args, **more))
    steps = [("cam", grad_cam(target=1), ()), ("input", InputGradient(InputGradient.Options()), ())]
    outcome = outcome_with(model, images, steps, lambda _: None)
    assert not outcome.failures
    assert len(calls) == 1
    found, inputs = InputGradient.found
    images = images.clone().requires_grad_()
    model.module(images)[:, 1].sum().backward()
    torch.testing.assert_close(found, images.grad)
    assert not inputs.requires_grad


class Unfollowed(nn.Module):
    """Fails where its operations are followed, as some of other libraries do."""

    def forward(self, x):
        if is_in_torch_dispatch_mode():
            raise NotImplementedError("no rule for this operation")
        return x * 2


def test_a_network_that_cannot_be_followed_runs_without_and_its_cells_tile_the_input():
    net = nn.Sequential(nn.Conv2d(3, 2, 5), Unfollowed(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    calls = []
    net.register_forward_hook(lambda *_: calls.append(1))
    model = ik.wrap(net.eval(), output=ik.Classes())
    found = ik.visualize(model, tiny_images(1), "grad_cam", layers=["0"], target=1)
    assert found.maps["0"].spacing == {}
    assert found.maps["0"].grid.is_even
    assert len(calls) == 1
    ik.visualize(model, tiny_images(1), "grad_cam", layers=["0"], target=0)
    assert len(calls) == 2


def test_a_size_of_input_is_followed_once(monkeypatch):
    followed = []
    original = Dataflow.__init__
    monkeypatch.setattr(Dataflow, "__init__", lambda flow, image: followed.append(image.shape) or original(flow, image))
    model = tiny_model()
    for size in (16, 16, 24):
        found = ik.visualize(model, torch.rand(2, 3, size, size), "grad_cam", layers=["features"], target=1)
        assert found.maps["features"].grid.is_even
    ik.visualize(model, tiny_images(1), "feature_grid", layers=["features.0"])
    assert [shape[-1] for shape in followed] == [16, 24, 16]
