from __future__ import annotations

import pytest
from torch import nn

from interpretkit.capture.addresses import Address
from interpretkit.errors import RecipeError
from interpretkit.model.layers import Layer
from interpretkit.model.model import Model


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
        (["**"], ["stem", "stage1", "stage1.0", "stage1.0.conv", "first", "stage1.1", "stage2", "stage2.0"]),
        (["first", "stage1.0.act", "first"], ["first", "stage1.0.act"]),
        (["stage1.0.*", "!first"], ["stage1.0.conv"]),
        (["first", "stage1", "!stage1.0.act"], ["stage1"]),
        (["stage1.[0]"], ["stage1.0"]),
    ],
)
def test_layers_are_found_by_name_glob_and_exclusion(model, patterns, expected):
    assert names(model, *patterns) == expected


def test_a_branch_of_a_reparameterized_model_is_said_to_be_gone(model):
    from dataclasses import replace

    with pytest.raises(RecipeError, match="re-parameterised: branches are in the training-form weights only"):
        replace(model, notes=("reparameterized",)).find(["stage1.0.rbr_dense"])


def test_an_alias_stands_for_a_path_and_keeps_its_name(model):
    (layer,) = model.find(["first"])
    assert (layer.name, layer.address) == ("first", Address("stage1.0.act"))


def test_an_alias_of_several_parts_is_found_by_globs_that_spell_its_last_part_out(model):
    named = Model(module=model.module, aliases={"first": "stage1.0.act", "stage1.pre": "stage1.0.conv"})
    for pattern in ("stage1.*", "stage1.**", "**", "*.*", "stage1.p*", "**.conv"):
        try:
            expected = [layer.name for layer in model.find([pattern])]
        except RecipeError:
            expected = []
        if expected:
            assert [layer.name for layer in named.find([pattern])] == expected
    for pattern in ("stage1.pre", "*.pre", "stage?.pre", "**.pre"):
        assert [(each.name, each.address.path) for each in named.find([pattern])] == [("stage1.pre", "stage1.0.conv")]
    with pytest.raises(RecipeError, match=r"no layer 'stage1.p\*'"):
        named.find(["stage1.p*"])


def test_an_alias_of_a_layer_that_is_not_there_is_refused(model):
    with pytest.raises(RecipeError, match=r"no layer 'stage1\.0\.atc' \(did you mean 'stage1\.0\.act'"):
        Model(module=model.module, aliases={"first": "stage1.0.atc"})


def test_a_call_is_chosen_by_number(model):
    (layer,) = model.find(["first#2"])
    assert (layer.name, layer.address) == ("first#2", Address("stage1.0.act", 2))


def test_every_call_is_a_layer_that_stands_for_those_recorded(model):
    (layer,) = model.find(["first#*"])
    assert (layer.name, str(layer.address)) == ("first#*", "stage1.0.act#*")
    recorded = [Address("stage1.0.act", 2), Address("stage1.0", 1), Address("stage1.0.act", 1), Address("stage1.0.act")]
    assert [(each.name, each.address) for each in layer.calls(recorded)] == [
        ("first#1", Address("stage1.0.act", 1)),
        ("first#2", Address("stage1.0.act", 2)),
    ]
    assert layer.calls([Address("stage1.0.act", 1)]) == (Layer("first", Address("stage1.0.act", 1)),)
    assert layer.calls([]) == ()


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


def test_two_names_of_one_layer_that_are_both_asked_for_are_both_listed():
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU())
    model = Model(module=net, aliases={"stage1": "1", "last_conv": "1"})
    rows = model.layers("stage*", "last_conv", size=(8, 8))
    assert [row.name for row in rows] == ["stage1", "last_conv"]
