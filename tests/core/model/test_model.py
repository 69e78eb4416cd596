from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import interpretkit as ik
from interpretkit.errors import RecipeError, StepError
from interpretkit.model.model import Model
from interpretkit.model.outputs.classes import Classes
from interpretkit.model.outputs.vector import Vector
from interpretkit.results.image import InputImage
from interpretkit.results.targets import Target
from interpretkit.testing import tiny_images, tiny_model


def test_a_contrast_scores_the_difference_of_two_logits(model):
    output = torch.tensor([[1.0, 5.0, 2.0], [0.0, 1.0, 4.0]])
    (wanted,) = model.wanted("predicted")
    plain = model.targets(wanted, output, images(2))
    assert model.output.score(output, plain).tolist() == [5.0, 4.0]
    contrast = [Target(spec={"for": 1, "against": 2}, label="1", score=0, against_label="2")] * 2
    assert model.output.score(output, contrast).tolist() == [3.0, -3.0]


@pytest.mark.parametrize("output", [torch.zeros(1, 3, 2, 2), [object()], torch.zeros(1, 3, dtype=torch.int64)])
def test_an_output_that_is_no_logits_is_refused_with_what_it_is(model, output):
    with pytest.raises(StepError, match=r"numbers 1×3×2×2, not|a list of 0, not|torch.int64 numbers 1×3"):
        model.output.score(output, [Target(spec=1, label="1", score=0.0)])


def test_random_weights_are_an_alert(model):
    from dataclasses import replace

    from interpretkit.results.origin import WeightsInfo

    assert model.alert == ""
    fallback = WeightsInfo(kind="random", source="owner/net", fallback="the hub cannot be reached")
    untrained = replace(model, notes=("untrained",), weights=fallback)
    assert untrained.alert.startswith("RANDOM WEIGHTS")
    assert str(untrained.weights) == "random weights in place of owner/net"


def images(count):
    return [InputImage(id=str(number), source="", sha256="", size=(1, 1)) for number in range(count)]


def test_an_output_of_a_layer_that_there_is_not_is_refused():
    token = Vector(layer="nowhere", token=0)
    with pytest.raises(RecipeError, match="output 'class_token' of model 'model': there is no layer 'nowhere'"):
        Model(module=nn.Sequential(nn.Linear(2, 2)), outputs={"classes": Classes(), "class_token": token})


def test_the_class_token_is_no_class():
    token = Vector(name="class token", layer="0", token=0)
    model = Model(module=nn.Sequential(nn.Linear(2, 2)), outputs={"classes": Classes(), "class_token": token})
    (wanted,) = model.wanted("class_token")
    targets = model.targets(wanted, torch.ones(1, 3, 4), images(1))
    assert targets[0].score == 2.0
    assert targets[0].spec == "class_token"
    assert (targets[0].index, targets[0].against) == (None, None)
    expected = model.module(torch.ones(2)).norm().item()
    assert model.scores(torch.ones(1, 3, 2), targets).tolist() == pytest.approx([expected])


@pytest.mark.parametrize(
    "target",
    [[2, 0], (2, 0), torch.tensor([2, 0]), np.array([2, 0]), [np.int64(2), torch.tensor(0)], ["class 2", "class 0"]],
)
def test_each_image_may_have_a_target_of_its_own(target):
    model, fed = tiny_model(), tiny_images(2)
    found = ik.visualize(model, fed, "grad_cam", layers=["features"], target=target, batch_size=1)
    for row, index in enumerate([2, 0]):
        alone = ik.visualize(model, fed[row : row + 1], "grad_cam", layers=["features"], target=index)
        assert found.targets[row] == alone.targets[0]
        np.testing.assert_allclose(found.maps["features"].values[row], alone.maps["features"].values[0], rtol=1e-5)


def test_targets_of_images_may_be_of_different_kinds():
    model, fed = tiny_model(), tiny_images(3)
    mixed = [{"for": 1, "against": 0}, {"not": 2}, "predicted"]
    found = ik.visualize(model, fed, "integrated_gradients", target=mixed, steps=4)
    for row, target in enumerate(mixed):
        alone = ik.visualize(model, fed[row : row + 1], "integrated_gradients", target=target, steps=4)
        np.testing.assert_allclose(found.maps["input"].values[row], alone.maps["input"].values[0], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    "target", [np.int64(2), torch.tensor(2), {"top": np.int64(2)}, {"for": np.int32(1), "against": 0}]
)
def test_numbers_of_numpy_and_torch_are_numbers(target):
    assert ik.visualize(tiny_model(), tiny_images(1), "saliency", target=target).targets


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ([2], "has 1 target for 2 images"),
        ([2, 0, 1], "has 3 targets for 2 images"),
        ([], "has one for each image, and this one is empty"),
        ([{"top": 2}, 0], "none that stands for several"),
        ([0, 7], "class 7 is out of range"),
    ],
)
def test_a_list_has_one_target_for_each_image(target, message):
    with pytest.raises(ik.InterpretkitError, match=message):
        ik.visualize(tiny_model(), tiny_images(2), "saliency", target=target)


def test_what_a_parametrization_counts_is_left_as_it_was_in_training_mode_too():
    convolution = nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 2, 3))
    net = nn.Sequential(convolution, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net.train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    first, second = (ik.visualize(net, images, "saliency", target=0).maps["input"].values for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
