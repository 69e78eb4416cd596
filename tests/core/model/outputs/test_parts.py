from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch

from interpretkit.errors import StepError
from interpretkit.model.outputs.parts import described, part_of, way_to_name
from interpretkit.words import shape

LOGITS, FEATURES = torch.zeros(2, 3), torch.ones(2, 8, 4, 4)


@dataclass
class Answer:
    logits: torch.Tensor
    features: torch.Tensor


class Pair(NamedTuple):
    out: torch.Tensor
    features: torch.Tensor


class Plain:
    def __init__(self):
        self.logits = LOGITS
        self.note = "not a tensor"


@pytest.mark.parametrize(
    "returned",
    [
        LOGITS,
        {"logits": LOGITS, "features": FEATURES},
        OrderedDict(out=LOGITS, aux=LOGITS + 1),
        Answer(LOGITS, FEATURES),
        Pair(LOGITS, FEATURES),
        Plain(),
        [LOGITS],
        (LOGITS, None),
        {"scores": LOGITS},
        {"scores": LOGITS, "n": 5},
        (LOGITS, "x"),
        {"names": ["a", "b"], "scores": LOGITS, "seconds": (0.1, None)},
        {"heads": {"main": LOGITS}},
    ],
    ids=lambda each: type(each).__name__,
)
def test_the_part_that_is_meant_is_found_by_itself(returned):
    assert part_of(returned, None) is LOGITS


@pytest.mark.parametrize(
    ("returned", "key"),
    [
        ((LOGITS, FEATURES), 0),
        ({"a": LOGITS, "b": FEATURES}, "a"),
        ({"a": LOGITS, "b": FEATURES}, 0),
        (Pair(LOGITS, FEATURES), 0),
        (Pair(LOGITS, FEATURES), "out"),
        (Answer(LOGITS, FEATURES), 0),
        (LOGITS, "main"),
        ({"heads": {"a": LOGITS, "b": FEATURES}}, "heads.a"),
        ({"heads": [FEATURES, LOGITS]}, "heads.1"),
        ({"a.b": LOGITS, "a": {"b": FEATURES}}, "a.b"),
    ],
)
def test_a_part_is_taken_by_name_or_position(returned, key):
    assert part_of(returned, key) is LOGITS


def test_a_tensor_beside_a_list_of_others_is_not_the_only_one():
    with pytest.raises(StepError, match="it is not known which part is meant"):
        part_of({"scores": LOGITS, "hidden": [FEATURES, FEATURES]}, None)


def test_parts_of_which_none_is_known_are_listed_with_a_way_to_name_one():
    with pytest.raises(StepError) as caught:
        part_of((LOGITS, FEATURES), None)
    assert str(caught.value) == (
        "the network returns a tuple of 0 2×3, 1 2×8×4×4, and it is not known which part is meant "
        "(name the one that is meant, such as wrap(…, output=Classes(key=0)))"
    )
    with pytest.raises(StepError, match=r"returns no 'a' \(it has x, y\)|returns no 'a' \(it has x 2×3, y 2×8×4×4\)"):
        part_of({"x": LOGITS, "y": FEATURES}, "a")
    with pytest.raises(StepError, match="returns no 2"):
        part_of((LOGITS, FEATURES), 2)


@pytest.mark.parametrize("returned", [{"heads": {"a": LOGITS, "b": FEATURES}}, {"heads": [LOGITS], "aux": [LOGITS]}])
def test_the_way_to_a_part_in_a_part_is_one_that_works(returned):
    hint = way_to_name(part_of(returned, None))
    (key,) = re.findall(r"Classes\(key='(.+)'\)", hint)
    assert part_of(returned, key) is LOGITS


def test_of_what_is_found_in_each_image_a_part_is_stacked():
    found = [{"scores": torch.tensor([float(image)]), "boxes": torch.zeros(image, 4)} for image in range(3)]
    assert part_of(found, "scores").tolist() == [[0.0], [1.0], [2.0]]
    with pytest.raises(StepError, match="returns no 'boxes'"):
        part_of(found, "boxes")


def test_what_is_returned_is_described():
    assert described([{"boxes": FEATURES}]) == f"a list of 0.boxes {shape(FEATURES.shape)}"
    assert described(torch.zeros(2, dtype=torch.int64)) == "torch.int64 numbers 2"
    assert described(None) == "a NoneType"
