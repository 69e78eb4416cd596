from __future__ import annotations

import pytest

from interpretkit.recipe.mending import mended, unread_keys
from interpretkit.recipe.node import Node
from interpretkit.recipe.read import read_leniently
from interpretkit.recipe.refusal import Refusal

STEPS = [{"id": "a", "uses": "x"}, {"id": "b", "uses": "y", "of": ["a"]}]
WHOLE = {"schema": "interpretkit/1", "name": "n", "models": {"m": {"uses": "net"}}, "inputs": ["i"], "steps": STEPS}


def at(loc, **more):
    return Refusal(loc=loc, message="", **more)


@pytest.mark.parametrize(
    ("refused", "unread"),
    [
        (at(("name",)), {(): {"name"}}),
        (at(("models", "m", "uses")), {("models", "m"): {"uses"}}),
        (at(("models", "m"), at_key=True), {(): {"models"}}),
        (at(("steps", 1, "of", 0)), {("steps", 1): {"of"}}),
        (at(("steps", 1)), {("steps", 1): {"id", "uses", "model", "with", "of", "figures"}}),
        (at(("steps", 1, "wiht"), at_key=True, meant=("with", "uses")), {("steps", 1): {"wiht", "with"}}),
    ],
)
def test_a_refusal_spoils_the_key_that_it_is_in_and_those_that_an_unknown_one_may_stand_for(refused, unread):
    assert unread_keys(Node.of(WHOLE, "here"), [refused]) == unread


def test_what_cannot_be_read_is_gone_and_what_an_entry_cannot_be_without_is_stood_in_for():
    unread = {(): {"name"}, ("models", "m"): {"uses"}, ("steps", 1): {"uses", "of"}}
    found = mended(Node.of(WHOLE, "here"), {entry: frozenset(keys) for entry, keys in unread.items()})
    steps = [STEPS[0], {"id": "b", "uses": "unnamed"}]
    assert found.plain() == {**WHOLE, "name": "unnamed", "models": {"m": {"uses": "unnamed"}}, "steps": steps}
    assert {node.place for node in found.walk()} == {"here"}


@pytest.mark.parametrize(("key", "typed", "likely"), [("id", "../b", "b"), ("idd", "b", "b"), ("id", "%", "unnamed")])
def test_a_step_keeps_the_id_that_it_probably_has(key, typed, likely):
    broken = Node.of({**WHOLE, "steps": [{key: typed, "uses": "y"}]}, "here")
    found = mended(broken, {("steps", 0): frozenset({"id", "idd"})})
    assert found.plain()["steps"] == [{"uses": "y", "id": likely}]


def test_a_broken_recipe_is_read_as_it_is_without_what_is_broken():
    sound = read_leniently(WHOLE)
    broken = read_leniently({**WHOLE, "nmae": "n", "steps": [{**STEPS[0], "with": 7}, {**STEPS[1], "off": []}]})
    assert len(broken.faults) == 3
    assert not sound.faults
    assert [(step.id, step.uses) for step in broken.steps] == [(step.id, step.uses) for step in sound.steps]
