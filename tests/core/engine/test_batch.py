from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from PIL import Image
from pydantic import Field
from torch import nn

import interpretkit as ik
from interpretkit import InputError, Model, Preprocessing
from interpretkit.contracts.needs import Needs
from interpretkit.contracts.registry import Plugin
from interpretkit.contracts.visualizer import Visualizer
from interpretkit.engine.batch import compute
from interpretkit.engine.plan import Plan, plan_step
from interpretkit.engine.resolve import Step
from interpretkit.inputs.batch import tensor_batches
from interpretkit.results.result import Result
from interpretkit.results.table import Table
from interpretkit.testing import tiny_images, tiny_model


class Reader(Visualizer):
    """Wants activations and gradients; keeps what it is given."""

    name = "reader"

    class Options(Visualizer.Options):
        layers: list[str]
        gradients: list[str] = Field(default_factory=list)
        target: int = 0

    options: Options

    def needs(self):
        target = self.options.target if self.options.gradients else None
        return Needs(activations=self.options.layers, gradients=self.options.gradients, target=target)

    def compute(self, captured):
        self.captured = captured
        return Result()


class Occlusion(Visualizer):
    """Runs the model itself."""

    name = "occlusion"

    def needs(self):
        return Needs(own_passes=True)

    def compute(self, captured):
        with torch.no_grad():
            self.drop = captured.model.module(captured.inputs) - captured.model.module(captured.inputs * 0)
        return Result()


def planned(identifier, visualizer, model, **more):
    step = Step(id=identifier, visualizer=visualizer, plugin=Plugin("test"), model="model", **more)
    return plan_step(step, model)


def outcome_of(model, steps, images=None):
    plan = Plan(models={"model": model}, steps=tuple(planned(name, each, model) for name, each in steps.items()))
    (batch,) = tensor_batches(tiny_images() if images is None else images, plan.models, batch_size=16)
    return compute(plan, batch)


def reader(**options):
    return Reader(Reader.Options(**options))


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
def test_any_number_of_steps_costs_one_forward_and_one_backward_per_distinct_target(counted, steps):
    model, counts = counted
    layers = ["features", "features.0", "pool", "head"]
    same = {f"same{k}": reader(layers=layers, gradients=layers[: 1 + k % 3], target=1) for k in range(steps)}
    outcome = outcome_of(model, {**same, "plain": reader(layers=layers)})
    assert not outcome.failures
    assert counts == {"forward": 1, "backward": 1}
    counts.update(forward=0, backward=0)
    outcome_of(model, {**same, "other": reader(layers=[], gradients=["features"], target=2)})
    assert counts == {"forward": 1, "backward": 2}


def test_without_gradients_there_is_no_backward(counted):
    model, counts = counted
    outcome_of(model, {"plain": reader(layers=["features", "head"])})
    assert counts == {"forward": 1, "backward": 0}


def test_a_step_gets_what_it_asked_for_and_no_more():
    one, two = reader(layers=["features.0"]), reader(layers=["head"], gradients=["features"])
    outcome_of(tiny_model(), {"one": one, "two": two})
    assert list(one.captured.activations) == ["features.0"]
    assert one.captured.gradients == {}
    assert one.captured.targets == ()
    with pytest.raises(ik.StepError, match=r"which needs\(\) does not ask for"):
        one.captured.model  # noqa: B018 - to read it is the test
    assert list(two.captured.activations) == ["head", "features"]
    assert list(two.captured.gradients) == ["features"]
    assert [target.index for target in two.captured.targets] == [0] * 4


def test_activations_that_are_no_feature_maps_are_refused_as_such():
    both = reader(layers=["features", "head"])
    outcome_of(tiny_model(), {"both": both})
    assert both.captured.features("features") is both.captured.activations["features"]
    with pytest.raises(ik.StepError, match="layer head returns 4×3, not feature maps"):
        both.captured.features("head")


def test_a_step_with_passes_of_its_own_gets_the_model():
    model, images = tiny_model(), tiny_images(2)
    occlusion = Occlusion(Occlusion.Options())
    outcome_of(model, {"occlusion": occlusion}, images)
    with torch.no_grad():
        expected = model.module(images) - model.module(torch.zeros_like(images))
    torch.testing.assert_close(occlusion.drop, expected)


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


def test_every_call_of_a_layer_comes_by_its_number_and_where_there_is_none_nothing_does():
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


def test_predictions_are_the_most_probable_classes():
    model, images = tiny_model(), tiny_images(2)
    outcome = outcome_of(model, {}, images)
    with torch.no_grad():
        probabilities = model.module(images).softmax(1)
    for row, found in zip(probabilities, outcome.predictions["model"], strict=True):
        assert [each.index for each in found] == row.argsort(descending=True).tolist()
        assert [each.probability for each in found] == pytest.approx(sorted(row.tolist(), reverse=True), rel=1e-6)
        assert found[0].label == f"class {found[0].index}"


def test_a_network_without_logits_can_be_looked_at_but_not_explained():
    model = replace(tiny_model(), module=nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU()), outputs={"a": ik.Classes()})
    outcome = outcome_of(model, {"look": reader(layers=["0"]), "explain": reader(layers=[], gradients=["0"])})
    assert outcome.predictions == {"model": ()}
    assert set(outcome.results) == {"look"}
    assert "not logits" in str(outcome.failures["explain"])


def test_a_network_that_fails_is_named_with_the_shape_of_its_images():
    outcome = outcome_of(tiny_model(), {"look": reader(layers=["features"])}, torch.zeros(2, 5, 16, 16))
    assert "model 'tiny' failed on images 2×5×16×16: RuntimeError" in str(outcome.failures["look"])


def test_the_first_layer_with_nan_is_named():
    model = tiny_model()
    with torch.no_grad():
        model.module.features[0].bias[1] = torch.nan
    steps = {"look": reader(layers=["features.0"]), "explain": reader(layers=["features.0"], gradients=["features"])}
    outcome = outcome_of(model, steps)
    assert set(outcome.results) == {"look"}
    assert "not finite" in str(outcome.failures["explain"])
    assert outcome.failures["explain"].exit_code == 5
    assert "features.0" in str(outcome.failures["explain"])


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_a_network_may_take_any_number_of_channels(channels):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(channels, 4, 3, stride=2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    preprocessing = Preprocessing(mean=(0.5,) * channels, std=(0.25,) * channels, resize=None, crop=None)
    model = Model(module=net, preprocessing=preprocessing)
    tensor = torch.randn(2, channels, 9, 9)
    found = ik.visualize(model, tensor, "grad_cam", layers=["0"], target=0)
    assert found.maps["0"].values.shape == (2, 4, 4)
    assert {image.pixels.shape for image in found.images} == {(9, 9, 3)}
    photo = Image.new("RGB", (9, 9), (0, 128, 255))
    if channels == 1:
        assert ik.visualize(model, photo, "feature_grid", layers=["0"]).maps["0"].values.shape == (1, 4, 4, 4)
    else:
        with pytest.raises(InputError, match=f"the model takes {channels}: give tensors, or a transform of your own"):
            ik.visualize(model, photo, "feature_grid", layers=["0"])


class Meddler(Visualizer):
    """Writes where it should only read."""

    name = "meddler"
    reads = ik.Reads("attribution")

    class Options(Visualizer.Options):
        into: str

    options: Options

    def needs(self):
        return Needs(own_passes=True)

    def compute(self, captured):
        result = captured.results["mean"]
        if self.options.into == "weights":
            with torch.no_grad():
                captured.model.module.head.bias.add_(1)
        elif self.options.into == "map":
            result.maps["features"].values[:] = 7
        elif self.options.into == "table":
            result.tables["means"]["mean"][:] = 7
        return Result()


class Mean(Visualizer):
    """Mean over the channels."""

    name = "mean"

    def needs(self):
        return Needs(activations=["features"])

    def compute(self, captured):
        values = captured.activations["features"].mean(1)
        means = Table(image=[image.id for image in captured.images], mean=values.mean((1, 2)).numpy())
        return Result(maps={"features": captured.map("features", values, polarity="signed")}, tables={"means": means})


@pytest.mark.parametrize(
    ("into", "says"),
    [
        ("weights", "compute() changed the model's head.bias in place"),
        ("map", "ValueError: assignment destination is read-only"),
        ("table", "ValueError: assignment destination is read-only"),
        ("nothing", None),
    ],
)
def test_a_step_that_writes_into_what_others_use_fails_and_spoils_no_stored_result(into, says):
    model = tiny_model()
    alone = outcome_of(model, {"mean": Mean(Mean.Options())}).results["mean"]
    steps = (
        planned("mean", Mean(Mean.Options()), model),
        planned("meddler", Meddler(Meddler.Options(into=into)), model, of=("mean",)),
    )
    plan = Plan(models={"model": model}, steps=steps)
    (batch,) = tensor_batches(tiny_images(), plan.models, batch_size=16)
    outcome = compute(plan, batch)
    assert set(outcome.failures) == (set() if says is None else {"meddler"})
    assert says is None or says in str(outcome.failures["meddler"])
    kept = outcome.results["mean"]
    assert kept.maps["features"].values.tolist() == alone.maps["features"].values.tolist()
    assert kept.tables["means"]["mean"].tolist() == alone.tables["means"]["mean"].tolist()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_predictions_of_a_network_that_ends_in_a_softmax_are_not_softened_once_more(dtype):
    torch.manual_seed(0)
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1000), nn.Softmax(1)).to(dtype)
    images = tiny_images().to(dtype)
    outcome = outcome_of(Model(module=net), {"all": Reader(Reader.Options(layers=["1"]))}, images=images)
    with torch.no_grad():
        expected = net(images).double().sort(dim=1, descending=True).values[:, :5]
    found = [[each.probability for each in row] for row in outcome.predictions["model"]]
    assert found == expected.tolist()


@pytest.mark.parametrize("name", ["grad_cam", "smooth_grad_cam_plusplus"])
def test_inference_mode_around_a_call_changes_nothing(name):
    model, images = tiny_model(), tiny_images()
    expected = ik.visualize(model, images, name, layers=["features"])
    with torch.inference_mode():
        found = ik.visualize(model, images.clone(), name, layers=["features"])
        assert torch.is_inference_mode_enabled()
    assert found.maps["features"].values.tolist() == expected.maps["features"].values.tolist()


class Weights(Visualizer):
    """Reads a weight."""

    name = "weights"

    def needs(self):
        return Needs(parameters=True)

    def compute(self, captured):
        self.weight = captured.model.module.head.weight.detach().clone()
        return Result()


def test_to_read_a_weight_changes_no_network_that_is_in_train_mode():
    model = tiny_model()
    spectral = torch.nn.utils.parametrizations.spectral_norm(model.module.head)
    in_eval = spectral.eval().weight.detach().clone()
    model.module.train()
    before = {name: each.clone() for name, each in model.module.state_dict().items()}
    step = Weights(Weights.Options())
    assert not outcome_of(model, {"weights": step}).failures
    assert step.weight.tolist() == in_eval.tolist()
    assert all(part.training for part in model.module.modules())
    assert all(each.tolist() == before[name].tolist() for name, each in model.module.state_dict().items())


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


def test_a_network_that_fails_in_the_backward_pass_fails_the_steps_that_need_gradients_alone():
    model = Model(module=Torn(), name="torn")
    steps = {
        "values": Reader(Reader.Options(layers=["features"])),
        "slopes": Reader(Reader.Options(layers=["features"], gradients=["features"])),
    }
    outcome = outcome_of(model, steps)
    assert set(outcome.results) == {"values"}
    message = str(outcome.failures["slopes"])
    assert "model 'torn' failed in the backward pass: RuntimeError: one of the variables needed" in message
    assert "occlusion" in message
