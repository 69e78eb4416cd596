from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import interpretkit as ik
from interpretkit import InputError, Model, Preprocessing
from interpretkit.contracts.needs import Needs
from interpretkit.contracts.registry import Plugin
from interpretkit.contracts.visualizer import Visualizer
from interpretkit.engine.batch import begin, compute
from interpretkit.engine.plan import Plan, plan_step
from interpretkit.engine.resolve import Step
from interpretkit.inputs.batch import tensor_batches
from interpretkit.results.result import Result
from interpretkit.results.table import Table
from interpretkit.testing import tiny_images, tiny_model


class Occlusion(Visualizer):
    """Runs the model itself."""

    name = "occlusion"

    def needs(self):
        return Needs(own_passes=True)

    def compute(self, captured):
        with torch.no_grad():
            self.drop = captured.model.module(captured.inputs) - captured.model.module(captured.inputs * 0)
        return Result()


def test_a_step_gets_what_it_asked_for_and_no_more(outcome_of, reader):
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


def test_activations_that_are_no_feature_maps_are_refused_as_such(outcome_of, reader):
    both = reader(layers=["features", "head"])
    outcome_of(tiny_model(), {"both": both})
    assert both.captured.features("features") is both.captured.activations["features"]
    with pytest.raises(ik.StepError, match="layer head returns 4×3, not feature maps"):
        both.captured.features("head")


def test_a_step_with_passes_of_its_own_gets_the_model(outcome_of):
    model, images = tiny_model(), tiny_images(2)
    occlusion = Occlusion(Occlusion.Options())
    outcome_of(model, {"occlusion": occlusion}, images)
    with torch.no_grad():
        expected = model.module(images) - model.module(torch.zeros_like(images))
    torch.testing.assert_close(occlusion.drop, expected)


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
def test_a_step_that_writes_into_what_others_use_fails_and_spoils_no_stored_result(into, says, planned, outcome_of):
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


def test_to_read_a_weight_changes_no_network_that_is_in_train_mode(outcome_of):
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


def test_a_step_is_computed_when_it_is_asked_for_and_read_results_alone_are_held():
    computed = []

    class Reads(ik.Visualizer):
        """Notes what it gets."""

        name = "reads"
        may_read = True

        def compute(self, captured):
            computed.append(sorted(captured.results))
            return ik.Result()

    def step(name, *of):
        resolved = Step(id=name, visualizer=Reads(Reads.Options()), plugin=Plugin("t"), model="model", of=of)
        return plan_step(resolved, model)

    model = tiny_model()
    plan = Plan(models={"model": model}, steps=(step("a"), step("b", "a"), step("c", "b"), step("d", "a", "given")))
    (batch,) = tensor_batches(tiny_images(), plan.models, batch_size=16)
    work = begin(plan, batch, given={"given": ik.Result()})
    assert computed == []
    first = next(work.outcomes)
    assert (first.step, computed) == ("a", [[]])
    held = work.outcomes.gi_frame.f_locals["self"].results
    rest = [(outcome.step, outcome.failure, sorted(held)) for outcome in work.outcomes]
    assert [(name, failure) for name, failure, _ in rest] == [("b", None), ("c", None), ("d", None)]
    assert computed == [[], ["a"], ["b"], ["a", "given"]]
    assert [names for _, _, names in rest] == [["a", "b", "given"], ["a", "b", "c", "given"], ["a", "d", "given"]]


def test_whatever_a_step_leaves_on_the_network_is_put_back(own):
    model, images = tiny_model(), tiny_images(1)
    model.module.train()
    kept = model.module.features.register_forward_hook(lambda *_: None)
    state = torch.random.get_rng_state()

    def work(captured):
        net = captured.model.module
        assert not net.training
        net.features.register_forward_hook(lambda *_: None)
        net.head.register_full_backward_hook(lambda *_: None)
        net.head.weight.requires_grad_(False)
        net.features[0].weight.grad = torch.ones_like(net.features[0].weight)
        torch.rand(3)

    own(model, images, work)
    net = model.module
    assert net.training
    assert net.features.training
    assert list(net.features._forward_hooks) == [kept.id]
    assert not net.head._backward_hooks
    assert net.head.weight.requires_grad
    assert net.features[0].weight.grad is None
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_seed_belongs_to_an_image_and_to_no_batch(own):
    images = tiny_images(3)
    together = own(tiny_model(), images, lambda c: [c.seed(k) for k in range(3)])
    alone = [own(tiny_model(), images[k : k + 1], lambda c: c.seed(0)) for k in range(3)]
    assert together == alone
    assert len(set(together)) == 3
    assert own(tiny_model(), images, lambda c: c.seed(0, 7)) != together[0]


def test_an_earlier_step_is_repeated_for_variants_and_for_the_target_that_it_had(own, grad_cam):
    model, images = tiny_model(), tiny_images(2)
    variants = torch.cat([tiny_images(2, seed=5), 30 * torch.randn(30, 3, 1, 1).expand(-1, -1, 16, 16)])
    found = own(model, images, lambda captured: captured.repeat("cam", variants, 1), ("cam", grad_cam()))
    target = int(model.module(images)[1].argmax())
    expected = ik.visualize(model, variants, "grad_cam", layers=["features"], target=target)
    np.testing.assert_array_equal(found.maps["features"].values, expected.maps["features"].values)
    assert {each.index for each in found.targets} == {target}
    predicted = model.module(variants).argmax(1).tolist()
    assert set(predicted) != {target}, "the variants must not all be predicted as the image is, or nothing is tested"


def test_a_step_that_explains_several_classes_is_not_repeated(own, grad_cam):
    with pytest.raises(ik.StepError, match="explains several classes"):
        own(
            tiny_model(),
            tiny_images(1),
            lambda captured: captured.repeat("cam", captured.inputs, 0),
            ("cam", grad_cam(target={"top": 2})),
        )
