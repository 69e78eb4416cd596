from __future__ import annotations

from pathlib import Path

import pytest

RECIPE = Path(__file__).with_name("example.yaml").read_text()


def test_an_alias_stands_for_its_anchor_and_a_setting_changes_only_one_of_them(read, replaced):
    text = replaced("[stage0, stage1, stage2, stage3, stage4]", "&layers [stage1]").replace("[stage4]", "*layers")
    assert read(text).steps[1].options == {"layers": ["stage1"]}
    assert read(text).place("steps", 1, "with", "layers") == "r.yaml:14:20"
    changed = read(text, settings=[("steps.gradcam.with.layers.0", "stage2")])
    assert [step.options["layers"] for step in changed.steps[:2]] == [["stage1"], ["stage2"]]


@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        ("model.with.variant", "A0", lambda recipe: recipe.models["model"].options["variant"]),
        ("model.with.new.deep", [1], lambda recipe: recipe.models["model"].options["new"]["deep"]),
        ("steps.gradcam.with.target", 281, lambda recipe: recipe.steps[1].options["target"]),
        ("steps.1.with.target", 281, lambda recipe: recipe.steps[1].options["target"]),
        ("steps.agreement.with.bins", 3, lambda recipe: recipe.steps[3].options["bins"]),
        ("steps.0.with.layers.1", "x", lambda recipe: recipe.steps[0].options["layers"][1]),
        ("numerics", {"seed": 5}, lambda recipe: {"seed": recipe.numerics.seed}),
    ],
)
def test_a_setting_puts_its_value_there_and_nowhere_else(read, path, value, found):
    before, after = read(), read(settings=[(path, value)])
    assert found(after) == value
    assert after.text == RECIPE
    assert sum(a != b for a, b in zip(before.steps, after.steps, strict=True)) == path.startswith("steps")


def test_a_setting_finds_the_longest_id_where_ids_contain_dots(read):
    steps = [{"id": name, "uses": "x"} for name in ("grad", "grad.cam", "grad.cam.b")]
    recipe = read(settings=[("steps", steps), ("steps.grad.cam.with.target", 1)])
    assert [step.options for step in recipe.steps] == [{}, {"target": 1}, {}]


def test_a_key_keeps_its_place_when_a_setting_changes_its_value(read):
    recipe = read(settings=[("numerics.seed", 1)])
    assert recipe.place("numerics", "seed", part="key") == "r.yaml:21:42"
    assert recipe.place("numerics", "seed") == "--set #1"
    assert recipe.place("numerics", "dtype") == "r.yaml:21:33"


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("modle.with.variant", "A0", "unknown key 'modle'"),
        ("numerics.seeed", 1, "unknown key 'seeed' (did you mean 'seed'?)"),
        ("numerics.seed", "x", "seed: a whole number is wanted, not 'x'"),
        ("numerics", {"seed": "x"}, "seed: a whole number is wanted, not 'x'"),
        ("steps.gradcan.with.target", 1, "the list has no item 'gradcan' (did you mean 'gradcam'?)"),
        ("steps.4.with.target", 1, "the list has no item '4'"),
        ("steps.-1.with.target", 1, "the list has no item '-1'"),
        ("name.x", 1, "'repvgg_b0' is no mapping, it has no key 'x'"),
        ("numerics..seed", 1, "'numerics..seed' is no path (write key.path=value)"),
        ("model.with" + ".a" * 1000, 1, "is no path"),
        ("steps.3.of", ["nobody"], "of: there is no step 'nobody'"),
        ("models.model.uses", "x", "give 'model' or 'models', not both"),
        ("inputs", {1, 2}, "text, numbers, lists and mappings are wanted, not a set"),
    ],
)
def test_an_error_in_a_setting_is_placed_at_its_number(read, path, value, words, *, refusal):
    error = refusal(read, settings=[("numerics.seed", 1), (path, value)])
    assert error.where == "--set #2"
    assert words in str(error)


@pytest.mark.parametrize(
    ("loc", "part", "place"),
    [
        ((), "value", "1:1"),
        (("steps", 2, "with", "layers"), "value", "17:20"),
        (("steps", 2, "with", "layers"), "key", "17:12"),
        (("steps", 2, "with", "layers", 0), "value", "17:21"),
        (("steps", 3, "with", "layers"), "value", "18:5"),
        (("steps", 9), "value", "9:3"),
        (("models", "model", "with", "form"), "key", "5:23"),
        (("model", "with", "form"), "value", "5:29"),
        (("model",), "key", "3:1"),
    ],
)
def test_place_names_line_and_column_or_those_of_the_nearest_thing_around(read, loc, part, place):
    assert read().place(*loc, part=part) == f"r.yaml:{place}"


def test_place_names_the_setting_that_put_something_there(read):
    recipe = read(settings=[("steps.3.with.layers", ["stage4"])])
    assert recipe.place("steps", 3, "with", "layers", 0) == "--set #1"
    assert recipe.place("steps", 3, "with", part="key") == "--set #1"
    assert recipe.place("steps", 3, "of") == "r.yaml:20:9"
