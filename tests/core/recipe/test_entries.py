from __future__ import annotations

import pytest

from interpretkit.recipe.entries import HubWeights, ModelEntry, PathWeights, PublishedWeights


@pytest.mark.parametrize(
    ("word", "option", "found"),
    [
        ("stage4", "", "stage4"),
        ("stage9#2", "", "'!stage9#2'"),
        (["x"], "", "[ x ]"),
        (7, "", "7, target"),
        (7, "target", "7, b"),
        (True, "", "true"),
        ("grad_cam", "", None),
        (None, "", None),
        ("stage1", "target", None),
    ],
)
def test_a_word_at_fault_is_found_in_the_options_and_else_the_place_is_that_of_uses(
    read, word, option, found, *, replaced
):
    options = "{layers: [stage4, '!stage9#2', a],  blocks: [ x ], samples: 7, target: 7, b: true, c: null}"
    step = read(replaced("{layers: [stage4]}", options)).steps[1]
    place = f"14:{options.index(found) + len('    with: ') + 1}" if found else "13:11"
    assert step.place_of_word(word, option=option) == f"r.yaml:{place}"


def test_entries_given_in_python_are_refused_in_plain_words(refusal):
    entry = ModelEntry.parse({"uses": "repvgg", "weights": {"hub": "a/b"}})
    assert entry.weights == HubWeights(hub="a/b")
    assert ModelEntry.parse({"uses": "net", "weights": "DEFAULT"}).weights == PublishedWeights(published="DEFAULT")
    assert ModelEntry.parse({"uses": "net", "weights": {"published": "V1", "otherwise": "random"}}).weights == (
        PublishedWeights(published="V1", otherwise="random")
    )
    assert PathWeights.parse({"path": "a", "sha256": "AB" * 32}).sha256 == "ab" * 32
    error = refusal(ModelEntry.parse, {"uses": "repvgg", "weights": 7})
    assert (
        error.message
        == "weights: 'random', 'DEFAULT', {path: file}, {package: name, file: path} or {hub: owner/name} is wanted"
    )
