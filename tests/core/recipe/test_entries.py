from __future__ import annotations

import pytest

from interpretkit.recipe.entries import Columns, HubWeights, InputEntry, ModelEntry, PathWeights, PublishedWeights


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
        == "weights: 'random', 'builtin', 'DEFAULT', {path: file}, {package: name, file: path} or {hub: owner/name} "
        "is wanted"
    )


INPUTS = "inputs: [sample:grace_hopper]"


def plain(recipe):
    return [each if isinstance(each, str) else each.model_dump() for each in recipe.inputs]


def test_inputs_are_names_or_mappings_that_know_where_they_stand(read, replaced):
    entry = "{path: train, labels: folder, columns: {path: file, label: kind}, range: [0, 4095], bands: [3, 2, 1], "
    recipe = read(replaced(INPUTS, f"inputs:\n- a.png\n- {entry}pages: each, axes: [z, y, x]}}\n- {{path: b.png}}"))
    assert plain(recipe) == [
        "a.png",
        InputEntry(
            path="train",
            labels="folder",
            columns=Columns(path="file", label="kind"),
            range=[0.0, 4095.0],
            bands=[3, 2, 1],
            pages="each",
            axes=["z", "y", "x"],
        ).model_dump(),
        InputEntry(path="b.png").model_dump(),
    ]
    second = recipe.inputs[1]
    assert isinstance(second, InputEntry)
    assert second.place("labels", part="key") == "r.yaml:9:17"
    assert InputEntry.model_validate(second.model_dump()).model_dump() == second.model_dump()


@pytest.mark.parametrize(
    ("entry", "refused"),
    [
        ("{path: a, labls: folder}", "11: unknown key 'labls' (did you mean 'labels'?)"),
        ("{pth: a}", "2: unknown key 'pth' (did you mean 'path'?)"),
        ("{labels: folder}", "1: key 'path' is missing"),
        ("{path: a, columns: {lable: x}}", "21: unknown key 'lable' (did you mean 'label'?)"),
        ("{path: a, columns: finding}", "20: columns: a mapping is wanted, not 'finding'"),
        ("{path: a, labels: true}", "19: labels: 'folder' is wanted, not true"),
        ("{path: a, range: [3, 1]}", "18: range: the first of two values is below the second, not 3 and 1"),
        ("{path: a, range: [3, 3]}", "18: range: the first of two values is below the second, not 3 and 3"),
        ("{path: a, range: [3, .inf]}", "22: range[1]: a finite number is wanted, not .inf"),
        ("{path: a, range: [3]}", "18: range: a length of at least 2 is wanted, not a list of 1"),
        ("{path: a, bands: [0]}", "19: bands[0]: a value of at least 1 is wanted, not 0"),
        ("{path: a, bands: []}", "18: bands: a length of at least 1 is wanted, not an empty list"),
        ("{path: a, bands: [2, 2]}", "18: bands: each stands once, not 2, 2"),
        ("{path: a, bands: 3}", "18: bands: a list is wanted, not 3"),
        ("{path: a, pages: all}", "18: pages: 'first', 'each' or 'volume' is wanted, not 'all'"),
        ("{path: a, axes: [z, y]}", "17: axes: an image has the axes y and x"),
        ("{path: a, axes: [y, x, x]}", "17: axes: each stands once, not y, x, x"),
        ("{path: a, axes: [y, x, c]}", "24: axes[2]: 'z', 'y', 'x' or 'channel' is wanted, not 'c'"),
        ("7", "1: inputs[0]: text is wanted, not 7 (put text that looks like something else in quotes)"),
    ],
)
def test_what_is_wrong_with_an_input_is_told_at_its_place(read, entry, refused, *, refusal, replaced):
    column, _, message = refused.partition(":")
    error = str(refusal(read, replaced(INPUTS, f"inputs:\n- {entry}")))
    assert error == f"r.yaml:8:{int(column) + 2}:{message}"


def test_inputs_are_changed_from_outside(read, replaced):
    text = replaced(INPUTS, "inputs: [{path: a.png, range: [0, 1]}]")
    changed = read(text, settings=["inputs.0.range=[0, 4095]", "inputs.0.pages=each"])
    assert plain(changed) == [InputEntry(path="a.png", range=[0.0, 4095.0], pages="each").model_dump()]
    replacing = read(text, inputs=["b.png", {"path": "c", "labels": "folder"}])
    assert plain(replacing) == ["b.png", InputEntry(path="c", labels="folder").model_dump()]
