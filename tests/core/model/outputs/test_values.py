from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import interpretkit as ik

NUMBERS = torch.tensor([[41.5, -2.0], [30.0, 4.0]])


def targets(output, spec, numbers=NUMBERS):
    (single,) = output.single(spec)
    output.check(single)
    return output.targets(single, numbers, [None] * len(numbers))


def test_a_value_is_what_it_is_and_no_probability():
    output = ik.Values(names=["age", "dose"], units=["years", ""])
    found = targets(output, "age")
    assert [str(each) for each in found] == ["age (value 41.5 years)", "age (value 30 years)"]
    assert all(math.isnan(each.probability) for each in found)
    assert output.score(NUMBERS, found).tolist() == [41.5, 30.0]
    assert output.probability(NUMBERS, found) is None


def test_a_contrast_of_values_is_their_difference():
    (first, _) = targets(ik.Values(), ik.Contrast.model_validate({"for": 0, "against": 1}))
    assert (first.score, first.quantity) == (43.5, "value difference")


def test_the_only_value_need_not_be_named_and_of_several_one_must_be():
    only = targets(ik.Values(), "predicted", NUMBERS[:, 0])
    assert [each.score for each in only] == [41.5, 30.0]
    with pytest.raises(ik.InputError, match="there are 2 values, and none comes first"):
        targets(ik.Values(), "predicted")
    with pytest.raises(ik.InputError, match=r"none comes first \(name one: age, dose\)"):
        targets(ik.Values(names=["age", "dose"]), "predicted")


@pytest.mark.parametrize("spec", ["label", ik.Opposite.model_validate({"not": 0})])
def test_values_have_no_label_and_no_other_side(spec):
    with pytest.raises(ik.InputError):
        targets(ik.Values(), spec)


def test_units_are_as_many_as_names():
    with pytest.raises(ik.InputError, match="1 unit for 2 value names"):
        ik.Values(names=["age", "dose"], units=["years"])


def test_the_values_are_listed_in_their_order():
    summary = ik.Values(names=["dose", "age"], units=["mg", "years"]).summary(NUMBERS.flip(1))
    assert [(each.label, each.score, each.unit) for each in summary[0]] == [("dose", -2, "mg"), ("age", 41.5, "years")]


def test_deletion_and_insertion_watch_the_value_itself():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 1)
    )
    images = torch.rand(1, 1, 8, 8)
    steps = {
        "map": ik.step("grad_cam", layers=["1"]),
        "curves": ik.step("deletion_insertion", of=["map"], fill="zero", random_orders=1),
    }
    found = ik.visualize(ik.wrap(net, output=ik.Values(names=["age"])), images, steps)["curves"]
    curve = found.tables["curves"]
    deletion = curve.where("curve", "deletion").where("order", "map")
    assert set(found.tables["auc"]["score"].tolist()) == {"value"}
    with torch.no_grad():
        ends = [net(images).item(), net(torch.zeros_like(images)).item()]
    assert deletion["score"][[0, -1]].tolist() == pytest.approx(ends)


@pytest.mark.parametrize("units", [("cm", "kg", "cm"), ("cm", "", "cm")])
def test_values_of_different_units_have_no_difference(units):
    output = ik.Values(names=("height", "weight", "arm"), units=units)
    model = ik.wrap(nn.Flatten(), output=output)
    images = torch.tensor([[[[180.0, 75.0, 70.0]]]])
    with pytest.raises(ik.InputError, match=rf"no difference: height \(cm\) and weight \({units[1] or 'no unit'}\)"):
        ik.visualize(model, images, "saliency", target={"for": "height", "against": "weight"})
    found = ik.visualize(model, images, "saliency", target={"for": "height", "against": 2})
    assert str(found.targets[0]) == "height against arm (value difference 110 cm)"
