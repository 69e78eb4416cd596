from __future__ import annotations

import pytest
import torch
from torch import nn

from interpretkit.capture import Address
from interpretkit.errors import RecipeError, StepError
from interpretkit.model import Model
from interpretkit.preprocessing import Preprocessing
from interpretkit.targets import Target


@pytest.fixture
def model() -> Model:
    block = nn.Sequential()
    block.add_module("conv", nn.Conv2d(4, 4, 3, padding=1))
    block.add_module("act", nn.ReLU())
    net = nn.Sequential()
    net.add_module("stem", nn.Conv2d(1, 4, 3, stride=2, padding=1))
    net.add_module("stage1", nn.Sequential(block, nn.Identity()))
    net.add_module("stage2", nn.Sequential(nn.MaxPool2d(2)))
    return Model(module=net, name="net", aliases={"first": "stage1.0.act"}, preprocessing=Preprocessing(crop=12))


def names(model: Model, *patterns: str) -> list[str]:
    return [layer.name for layer in model.find(patterns)]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["stage1"], ["stage1"]),
        (["stage*"], ["stage1", "stage2"]),
        (["stage1.*"], ["stage1.0", "stage1.1"]),
        (["**.conv"], ["stage1.0.conv"]),
        (["stage1.**"], ["stage1", "stage1.0", "stage1.0.conv", "stage1.0.act", "stage1.1"]),
        (["stage2", "stage1"], ["stage2", "stage1"]),
        (["stage?", "!stage1"], ["stage2"]),
        (["stage1", "stage*"], ["stage1", "stage2"]),
        (["f*"], ["first"]),
        (["*"], ["stem", "stage1", "first", "stage2"]),
        (["stage1.[0]"], ["stage1.0"]),
    ],
)
def test_layers_are_found_by_name_glob_and_exclusion(model, patterns, expected):
    assert names(model, *patterns) == expected


def test_an_alias_stands_for_a_path_and_keeps_its_name(model):
    (layer,) = model.find(["first"])
    assert (layer.name, layer.address) == ("first", Address("stage1.0.act"))


def test_an_alias_of_a_layer_that_is_not_there_is_refused(model):
    with pytest.raises(RecipeError, match=r"no layer 'stage1\.0\.atc' \(did you mean 'stage1\.0\.act'"):
        Model(module=model.module, aliases={"first": "stage1.0.atc"})


def test_a_call_is_chosen_by_number(model):
    (layer,) = model.find(["first#2"])
    assert (layer.name, layer.address) == ("first#2", Address("stage1.0.act", 2))


@pytest.mark.parametrize(
    ("patterns", "words"),
    [
        (["stage9"], "no layer 'stage9' (did you mean 'stage2' or 'stage1'"),
        (["qqqq"], "interpretkit layers"),
        (["stage1#0"], "number of a call, from 1"),
        (["stage1#x"], "number of a call, from 1"),
        (["stage1", "!stage1"], "leave no layer"),
        (["!zzz"], "no layer 'zzz'"),
    ],
)
def test_patterns_that_name_nothing_are_errors(model, patterns, words):
    with pytest.raises(RecipeError) as caught:
        model.find(patterns)
    assert words in str(caught.value)


def test_layers_are_listed_in_the_order_of_execution_with_shapes(model):
    rows = model.layers()
    assert [(row.name, row.kind, row.shape, row.parameters) for row in rows] == [
        ("stem", "Conv2d", (4, 6, 6), 40),
        ("stage1.0.conv", "Conv2d", (4, 6, 6), 148),
        ("stage1.0.act", "ReLU", (4, 6, 6), 0),
        ("first", "ReLU", (4, 6, 6), 0),
        ("stage1.0", "Sequential", (4, 6, 6), 148),
        ("stage1.1", "Identity", (4, 6, 6), 0),
        ("stage1", "Sequential", (4, 6, 6), 148),
        ("stage2.0", "MaxPool2d", (4, 3, 3), 0),
        ("stage2", "Sequential", (4, 3, 3), 0),
    ]
    assert str(model.layers("first", size=(8, 10))).splitlines()[1].split() == [
        "first", "ReLU", "4×4×5", "0", "=", "stage1.0.act",
    ]  # fmt: skip


def test_a_contrast_scores_the_difference_of_two_logits(model):
    output = torch.tensor([[1.0, 5.0, 2.0], [0.0, 1.0, 4.0]])
    plain = model.targets("predicted", output, labels=[None, None])
    assert model.score(output, plain).tolist() == [5.0, 4.0]
    contrast = [Target(index=1, label="1", score=0, probability=0, against=2, against_label="2")] * 2
    assert model.score(output, contrast).tolist() == [3.0, -3.0]


@pytest.mark.parametrize("output", [torch.zeros(1, 3, 2, 2), {"out": torch.zeros(1, 3)}])
def test_an_output_that_is_no_logits_is_refused_with_its_shape(model, output):
    with pytest.raises(StepError, match=r"1, 3, 2, 2|dict"):
        model.score(output, [])


def test_random_weights_are_an_alert(model):
    from dataclasses import replace

    from interpretkit.model import WeightsInfo

    assert model.alert == ""
    fallback = WeightsInfo(kind="random", source="owner/net", fallback="the hub cannot be reached")
    untrained = replace(model, notes=("untrained",), weights=fallback)
    assert untrained.alert.startswith("RANDOM WEIGHTS")
    assert str(untrained.weights) == "random weights in place of owner/net"
