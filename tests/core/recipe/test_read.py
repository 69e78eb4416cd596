from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from interpretkit.recipe.entries import HubWeights, Numerics, PathWeights
from interpretkit.recipe.read import parse_setting, read_recipe

RECIPE = Path(__file__).with_name("example.yaml").read_text()


def test_the_example_of_the_design_reads_in_with_its_values(read):
    recipe = read()
    assert (recipe.schema_, recipe.name, recipe.path, recipe.text) == ("interpretkit/1", "repvgg_b0", "r.yaml", RECIPE)
    assert list(recipe.models) == ["model"]
    model = recipe.models["model"]
    assert (model.uses, model.options) == ("repvgg", {"variant": "B0", "form": "train"})
    assert model.weights == HubWeights(hub="timm/repvgg_b0.rvgg_in1k", revision="main", otherwise="random")
    assert recipe.inputs == ["sample:grace_hopper"]
    assert [(step.id, step.uses, step.options, step.of, step.model) for step in recipe.steps] == [
        ("features", "feature_grid", {"layers": ["stage0", "stage1", "stage2", "stage3", "stage4"]}, [], None),
        ("gradcam", "grad_cam", {"layers": ["stage4"]}, [], None),
        ("statistics", "channel_stats", {"layers": ["stage*"]}, [], None),
        ("agreement", "compare", {}, ["features", "gradcam"], None),
    ]
    assert recipe.numerics == Numerics(device="auto", dtype="float32", seed=0, batch_size=16, deterministic=True)


def test_the_long_form_names_several_models_and_weights_default_to_random(read):
    models = "models:\n  before: {uses: repvgg}\n  after: {uses: repvgg, weights: {path: a.pth}}\ninputs:"
    start, end = RECIPE.index("model:"), RECIPE.index("inputs:")
    recipe = read(RECIPE[:start] + models + RECIPE[end + len("inputs:") :])
    assert list(recipe.models) == ["before", "after"]
    assert recipe.models["before"].weights == "random"
    assert recipe.models["after"].weights == PathWeights(path="a.pth", sha256="")
    assert recipe.place("models", "after", "weights", "path") == "r.yaml:5:41"


def test_a_recipe_without_any_model_is_told_so(read, refusal):
    start, end = RECIPE.index("model:"), RECIPE.index("inputs:")
    assert str(refusal(read, RECIPE[:start] + RECIPE[end:])) == (
        "r.yaml:1:1: key 'model' is missing (or 'models' for several)"
    )


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "null", "\ufeff"])
def test_an_empty_recipe_shows_a_small_one_that_works(read, text, refusal):
    error = refusal(read, text)
    assert str(error).startswith("r.yaml: the recipe is empty")
    example = error.hint.removeprefix("a small recipe is ")
    assert [step.id for step in read(example).steps] == ["features"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (RECIPE.encode("utf-16"), "r.yaml: the recipe is UTF-16 (save it as UTF-8)"),
        (RECIPE.replace("name", "n\0me").encode(), "r.yaml:2: the recipe contains a NUL byte"),
        (RECIPE.replace("grace", "gräce").encode("latin-1"), "r.yaml:7: the recipe is not UTF-8"),
        (RECIPE.encode() + b"#" * 1_000_000, "r.yaml: the recipe is larger than 1,000,000 bytes"),
        (b"[]", "r.yaml:1:1: a recipe is a mapping of keys to values"),
    ],
)
def test_a_file_that_is_no_text_of_a_recipe_is_refused_by_name(read, data, words, refusal):
    assert str(refusal(read, data)).startswith(words)


def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path, refusal):
    for path, words in [
        (tmp_path / "none.yaml", "cannot be read: No such file"),
        (tmp_path, "the recipe is a directory"),
        ("/dev/null", "the recipe is no regular file"),
    ]:
        error = refusal(read_recipe, path)
        assert error.where == str(path)
        assert words in error.message


def test_a_byte_order_mark_and_windows_line_ends_are_accepted_and_kept(read, refusal):
    data = b"\xef\xbb\xbf" + RECIPE.replace("\n", "\r\n").encode()
    recipe = read(data)
    assert recipe.text.encode() == data
    assert recipe.steps == read().steps
    assert refusal(read, data.replace(b"name:", b"nmae:")).where == "r.yaml:2:1"


def test_inputs_replace_those_of_the_recipe(read, refusal):
    assert read(inputs=["a.png", "b.png"]).inputs == ["a.png", "b.png"]
    assert read(RECIPE.replace("inputs:", "#"), inputs=["a.png"]).inputs == ["a.png"]
    assert refusal(read, inputs=["a.png", ""]).where == "-i #2"


@pytest.mark.parametrize(
    ("text", "value"),
    [("a.b=281", 281), ("a.b=[a, 1e-3]", ["a", 0.001]), ("a.b=on", "on"), ("a.b=''", ""), ("a.b=~", None),
     ("a.b=x=y", "x=y"), ("a.b={for: a, against: 2}", {"for": "a", "against": 2})],
)  # fmt: skip
def test_the_value_of_a_setting_is_read_as_in_a_recipe(text, value):
    assert parse_setting(text, 1) == ("a.b", value)


@pytest.mark.parametrize(
    ("text", "words"),
    [("a.b", "'a.b' has no value"), ("a.b=", "'a.b=' has no value"), ("=1", "'=1' has no path"),
     ("a.b=[1", "no valid YAML"), ("a.b=!!str x", "tags such as")],
)  # fmt: skip
def test_a_setting_that_cannot_be_read_is_named_by_its_number(text, words, refusal):
    error = refusal(parse_setting, text, 3)
    assert error.where == "--set #3"
    assert words in error.message


def test_a_recipe_read_twice_is_the_same(read):
    assert read() == read()


def test_reading_recipes_loads_neither_torch_nor_numpy():
    code = "import interpretkit.recipe.read, sys; print({'torch', 'numpy', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "set()\n"
