from __future__ import annotations

import math
import subprocess
import sys
from typing import Literal

import pytest
import yaml
from pydantic import Field, ValidationError

from interpretkit.contracts.options import Options
from interpretkit.errors import RecipeError
from interpretkit.model.outputs.grammar import TargetSpec
from interpretkit.recipe import yaml12
from interpretkit.recipe.entries import HubWeights, ModelEntry, Numerics, PathWeights, PublishedWeights
from interpretkit.recipe.read import parse_setting, read_recipe
from interpretkit.recipe.recipe import Recipe, faults_of_options
from interpretkit.recipe.yaml12 import dump, dump_inline

RECIPE = """\
schema: interpretkit/1
name: repvgg_b0
model:
  uses: repvgg
  with: {variant: B0, form: train}
  weights: {hub: timm/repvgg_b0.rvgg_in1k, otherwise: random}    # or: path:, url:+sha256:, random
inputs: [sample:grace_hopper]                                     # files, folders, globs, a CSV manifest, samples
steps:
  - id: features
    uses: feature_grid
    with: {layers: [stage0, stage1, stage2, stage3, stage4]}
  - id: gradcam
    uses: grad_cam
    with: {layers: [stage4]}
  - id: statistics
    uses: channel_stats
    with: {layers: ["stage*"]}
  - id: agreement
    uses: compare
    of: [features, gradcam]            # earlier steps whose results this one reads
numerics: {device: auto, dtype: float32, seed: 0, batch_size: 16, deterministic: true}
"""
WEIGHTS = "{hub: timm/repvgg_b0.rvgg_in1k, otherwise: random}"


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Return a function that writes a text and reads it as a recipe; errors then begin with `r.yaml`."""
    monkeypatch.chdir(tmp_path)

    def write_and_read(text: str | bytes = RECIPE, **arguments) -> Recipe:
        (tmp_path / "r.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_recipe("r.yaml", **arguments)

    return write_and_read


def refusal(read, *arguments, **keywords) -> RecipeError:
    with pytest.raises(RecipeError) as caught:
        read(*arguments, **keywords)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    return caught.value


def replaced(old: str, new: str) -> str:
    assert old in RECIPE
    return RECIPE.replace(old, new, 1)


def test_the_example_of_the_design_reads_in_with_its_values(read):
    recipe = read()
    assert (recipe.schema_, recipe.name, recipe.path, recipe.text) == ("interpretkit/1", "repvgg_b0", "r.yaml", RECIPE)
    assert list(recipe.models) == ["model"]
    model = recipe.models["model"]
    assert (model.uses, model.options) == ("repvgg", {"variant": "B0", "form": "train"})
    assert model.weights == HubWeights(
        hub="timm/repvgg_b0.rvgg_in1k", file="model.safetensors", revision="main", otherwise="random"
    )
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


# Each row breaks the recipe in one way; beside it stand the place and the words of the error.
@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        # YAML
        ("  uses: repvgg", "\tuses: repvgg", "4:1", ["uses: repvgg", "indent with spaces"]),
        ("[features, gradcam]", "[features, gradcam", "21:1", ["no valid YAML", "numerics: {device"]),
        ("deterministic: true}", "deterministic: true", "21:11", ["flow mapping", "stream end", "numerics: {device"]),
        ("[stage4]", "[*]", "14:22", ["while scanning an alias", "begins with '*' in quotes"]),
        ("[stage4]", "[*.conv]", "14:22", ["while scanning an alias", "in quotes"]),
        ("[stage4]", "[*conv]", "14:21", ["alias *conv has no anchor", "begins with '*' in quotes"]),
        ("[stage4]", "[!stage4 ]", "14:21", ["tags such as '!stage4'", "begins with '!' in quotes"]),
        ("[stage4]", "!!python/object/apply:os.system [ls]", "14:20", ["tags", "os.system", "not allowed"]),
        ("[stage4]", "&a [*a]", "14:24", ["alias *a stands within its own anchor"]),
        ("[stage4]", "[" * 3000, "14:80", ["nested more than 64 levels"]),
        ("[stage4]", '"\\UFFFFFFFF"', "14:23", ["escape stands for no character"]),
        ("[stage4]", '"\\ud800"', "14:20", ["escape stands for half a character"]),
        ("[stage4]", "a\x01", "14:21", ["character U+0001 is not allowed"]),
        ("[stage4]", "1" * 5000, "14:20", ["more than 100 digits"]),
        ("inputs:", "---\ninputs:", "7:1", ["a second document begins"]),
        ("inputs:", "name: again\ninputs:", "7:1", ["key 'name' stands in line 7 and already in line 2"]),
        ("form: train}", "variant: A0}", "5:23", ["key 'variant' stands in line 5 and already in line 5"]),
        ("form: train}", "1: train}", "5:23", ["a key is text, not 1", "quotes"]),
        ("form: train}", "~: train}", "5:23", ["a key is text, not null"]),
        ("form: train}", "[a]: train}", "5:23", ["a key is text, not a list or mapping"]),
        # schema
        ("schema: interpretkit/1\n", "", "1:1", ["does not name its schema", "add schema: interpretkit/1"]),
        ("interpretkit/1", "interpretkit/2", "1:9", ["interpretkit/2 needs a newer interpretkit", "upgrade"]),
        ("interpretkit/1", "interpretkit/v9", "1:9", ["interpretkit/v9 needs a newer interpretkit"]),
        ("interpretkit/1", "other/2", "1:9", ["schema: 'interpretkit/1' is wanted, not 'other/2'"]),
        # keys
        ("steps:", "stepz:", "8:1", ["unknown key 'stepz' (", "did you mean 'steps'?"]),
        ("model:", "modle:", "3:1", ["unknown key 'modle'", "did you mean 'model'"]),
        ("numerics:", "<<:", "21:1", ["unknown key '<<'", "known keys: schema, name,"]),
        ("otherwise:", "othrwise:", "6:44", ["unknown key 'othrwise'", "did you mean 'otherwise'?"]),
        ("  with: {variant", "  layer: {variant", "5:3", ["unknown key 'layer'", "stand under 'with:'"]),
        ("    of:", "    layers:", "20:5", ["unknown key 'layers'", "stand under 'with:'"]),
        ("    of:", "    batch_size:", "20:5", ["unknown key 'batch_size' ('batch_size' belongs under 'numerics:')"]),
        ("numerics:", "seed:", "21:1", ["unknown key 'seed'", "'seed' belongs under 'numerics:'"]),
        ("device:", "inputs:", "21:12", ["'inputs' belongs at the top level"]),
        ("device:", "model:", "21:12", ["'model' belongs at the top level or beside the 'uses:' of a step"]),
        ("  - id: gradcam\n    uses: grad_cam", "  - id: gradcam", "12:5", ["key 'uses' is missing"]),
        ("name: repvgg_b0\n", "", "1:1", ["key 'name' is missing"]),
        ("model:", "models: {a: {uses: b}}\nmodel:", "4:1", ["'model' or 'models', not both"]),
        ("numerics:", "models: {}\nnumerics:", "21:1", ["'model' or 'models', not both"]),
        # types and bounds
        ("name: repvgg_b0", "name: 010", "2:7", ["name: text is wanted, not 10", "in quotes"]),
        ("name: repvgg_b0", "name: true", "2:7", ["name: text is wanted, not true"]),
        ("name: repvgg_b0", "name:", "2:6", ["name: text is wanted, not null"]),
        ("[sample:grace_hopper]", "x.png", "7:9", ["inputs: a list is wanted, not 'x.png'", "write [x.png]"]),
        ("[sample:grace_hopper]", "[]", "7:9", ["inputs: a length of at least 1 is wanted, not an empty list"]),
        ("[sample:grace_hopper]", "[a, '']", "7:13", ["inputs[1]: a length of at least 1 is wanted, not ''"]),
        ("[features, gradcam]", "[features, 7]", "20:20", ["of[1]: text is wanted, not 7"]),
        ("{layers: [stage4]}", "[stage4]", "14:11", ["with: a mapping is wanted, not a list of 1"]),
        ("seed: 0", "seed: -1", "21:48", ["seed: a value of at least 0 is wanted, not -1"]),
        ("seed: 0", "seed: 0x8000000000000000", "21:48", ["seed: a value below 9223372036854775808 is wanted"]),
        ("seed: 0", "seed: true", "21:48", ["seed: a whole number is wanted, not true"]),
        ("seed: 0", "seed: .nan", "21:48", ["seed: a whole number is wanted, not .nan"]),
        ("batch_size: 16", "batch_size: 0", "21:63", ["batch_size: a value of at least 1 is wanted, not 0"]),
        ("deterministic: true", "deterministic: on", "21:82", ["true or false is wanted, not 'on'"]),
        ("dtype: float32", "dtype: fp32", "21:33", ["'bfloat16' or 'float16' is wanted, not 'fp32'"]),
        ("device: auto", "device: gpu", "21:20", ["cuda:N or mps is wanted, not 'gpu'"]),
        # weights
        (WEIGHTS, "pretrained", "6:12", ["weights: 'random', 'DEFAULT', {path: file} or {hub: owner/name} is wanted"]),
        (
            WEIGHTS,
            "{path: a, hub: b/c}",
            "6:12",
            ["weights: 'random', 'DEFAULT', {path: file} or {hub: owner/name} is wanted"],
        ),
        (WEIGHTS, "{published: ''}", "6:24", ["published: "]),
        (WEIGHTS, "{hub: timm}", "6:18", ["hub: owner/name is wanted, not 'timm'"]),
        (WEIGHTS, "{path: a, sha256: beef}", "6:30", ["sha256: 64 hexadecimal digits"]),
        (WEIGHTS, "{path: a, sha: beef}", "6:22", ["unknown key 'sha'", "did you mean 'sha256'?"]),
        (WEIGHTS, "{path: 7}", "6:19", ["path: text is wanted, not 7"]),
        ("otherwise: random", "otherwise: zeros", "6:55", ["otherwise: 'random' is wanted, not 'zeros'"]),
        # names and ids
        ("name: repvgg_b0", "name: ../up", "2:7", ["name: '../up' is no name"]),
        ("name: repvgg_b0", "name: CON", "2:7", ["name: 'CON' is no name", "Windows"]),
        ("name: repvgg_b0", "name: nul.txt", "2:7", ["Windows"]),
        ("name: repvgg_b0", "name: end.", "2:7", ["'end.' is no name"]),
        ("name: repvgg_b0", f"name: {'a' * 81}", "2:7", ["is no name: up to 80"]),
        ("id: gradcam", "id: .hidden", "12:9", ["id: '.hidden' is no name"]),
        ("model:\n", "models:\n a b:\n", "4:2", ["a b: 'a b' is no name"]),
        ("uses: repvgg", "uses: os.system", "4:9", ["'os.system' is no id", "registered ids, never code"]),
        ("uses: grad_cam", "uses: ../x.py", "13:11", ["'../x.py' is no id", "registered ids, never code"]),
        # steps
        ("id: gradcam", "id: features", "12:9", ["step id 'features' is taken by 'features' at r.yaml:9:9"]),
        ("id: gradcam", "id: Features", "12:9", ["step id 'Features' is taken by 'features' at r.yaml:9:9"]),
        ("[features, gradcam]", "[features, gradcm]", "20:20", ["no step 'gradcm'", "did you mean 'gradcam'?"]),
        ("[features, gradcam]", "[zzz]", "20:10", ["no step 'zzz'", "known: features, gradcam,"]),
        ("[features, gradcam]", "[agreement]", "20:10", ["step 'agreement' reads itself"]),
        ("id: gradcam", "id: gradcam\n    of: [agreement]", "13:9", ["circle: gradcam → agreement → gradcam"]),
        ("id: gradcam", "id: gradcam\n    model: modle", "13:12", ["no model 'modle'", "did you mean 'model'?"]),
    ],
)
def test_a_broken_recipe_is_refused_at_its_place_in_plain_words(read, *, old, new, place, words):
    error = refusal(read, replaced(old, new))
    assert error.where == f"r.yaml:{place}"
    assert [word for word in words if word not in str(error)] == []


def test_a_recipe_without_any_model_is_told_so(read):
    start, end = RECIPE.index("model:"), RECIPE.index("inputs:")
    assert str(refusal(read, RECIPE[:start] + RECIPE[end:])) == (
        "r.yaml:1:1: key 'model' is missing (or 'models' for several)"
    )


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "null", "\ufeff"])
def test_an_empty_recipe_shows_a_small_one_that_works(read, text):
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
def test_a_file_that_is_no_text_of_a_recipe_is_refused_by_name(read, data, words):
    assert str(refusal(read, data)).startswith(words)


def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path):
    for path, words in [
        (tmp_path / "none.yaml", "cannot be read: No such file"),
        (tmp_path, "the recipe is a directory"),
        ("/dev/null", "the recipe is no regular file"),
    ]:
        error = refusal(read_recipe, path)
        assert error.where == str(path)
        assert words in error.message


def test_a_byte_order_mark_and_windows_line_ends_are_accepted_and_kept(read):
    data = b"\xef\xbb\xbf" + RECIPE.replace("\n", "\r\n").encode()
    recipe = read(data)
    assert recipe.text.encode() == data
    assert recipe.steps == read().steps
    assert refusal(read, data.replace(b"name:", b"nmae:")).where == "r.yaml:2:1"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001), ("-1.5E+3", -1500.0), (".5", 0.5), ("5.", 5.0), (".inf", math.inf), ("-.INF", -math.inf),
        ("+.inf", math.inf), ("010", 10), ("-08", -8), ("0o17", 15), ("0x1F", 31), ("0b1", "0b1"), ("1_000", "1_000"),
        ("12:30", "12:30"), ("2001-01-01", "2001-01-01"), ("on", "on"), ("no", "no"), ("Yes", "Yes"), ("True", True),
        ("FALSE", False), ("tRUE", "tRUE"), ("~", None), ("Null", None), ("nULL", "nULL"), ("'7'", "7"), ('"~"', "~"),
        ("|\n  7\n", "7\n"), ("e3", "e3"), (".", "."), ("0o8", "0o8"), ("٣", "٣"), ("=", "="),
    ],
)  # fmt: skip
def test_scalars_are_read_by_the_rules_of_yaml_1_2(text, value):
    read = yaml12.parse(f"key: {text}", source="x").plain()["key"]
    assert (type(read), read) == (type(value), value)


def test_nan_is_read_as_a_number():
    assert math.isnan(yaml12.parse(".NaN", source="x").plain())


def _bomb(levels: int) -> str:
    """Ten aliases in each level: 10 ** levels leaves, and a few nodes more."""
    lines = ["l0: &l0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines)


def test_nodes_are_counted_with_aliases_expanded_before_anything_is_made_of_them(monkeypatch):
    made = []
    node = yaml12.Node
    monkeypatch.setattr(yaml12, "Node", lambda *parts: made.append(parts) or node(*parts))
    with pytest.raises(RecipeError, match=r"more than 10,000 nodes") as caught:
        yaml12.parse(_bomb(9), source="x")
    assert caught.value.where == "x:4:45"  # 1,239 nodes before, and 1,111 in each alias: the 8th goes beyond
    assert made == []
    small = yaml12.parse(_bomb(3), source="x").plain()
    assert small["l2"] == [[["x"] * 10] * 10] * 10


@pytest.mark.parametrize("alias", [False, True])
def test_10000_nodes_and_64_levels_are_read_and_one_more_is_not(alias):
    def many(nodes: int) -> str:
        return f"[&a [{'x,' * 4000}], *a, {'x,' * (nodes - 8003)}]" if alias else f"[{'x,' * (nodes - 1)}]"

    def deep(levels: int) -> str:
        more = levels - 31
        return (
            f"[&a {'[' * 31}{']' * 31}, {'[' * (more - 1)}*a{']' * (more - 1)}]"
            if alias
            else "[" * levels + "]" * levels
        )

    for allowed, too_much in [(many(10_000), many(10_001)), (deep(64), deep(65))]:
        assert yaml12.parse(allowed, source="x") is not None
        with pytest.raises(RecipeError, match=r"more than (10,000 nodes|64 levels)"):
            yaml12.parse(too_much, source="x")


def test_an_alias_stands_for_its_anchor_and_a_setting_changes_only_one_of_them(read):
    text = replaced("[stage0, stage1, stage2, stage3, stage4]", "&layers [stage1]").replace("[stage4]", "*layers")
    assert read(text).steps[1].options == {"layers": ["stage1"]}
    assert read(text).place("steps", 1, "with", "layers") == "r.yaml:14:20"
    changed = read(text, settings=[("steps.gradcam.with.layers.0", "stage2")])
    assert [step.options["layers"] for step in changed.steps[:2]] == [["stage1"], ["stage2"]]


TRICKY = [
    "", " ", "~", "null", "on", "No", "y", "true", "010", "0o17", "0x1F", "1e-3", "1.", ".5", "-.inf", ".nan", "12:30",
    "190:20:30", "2001-01-01", "1_000", "<<", "=", "-", "- a", "? a", "a: b", "a:", "a #b", "#a", "*", "*a", "&a", "!a",
    "%a", "@a", "`a", "'", '"', "it's", "{", "[", "]", ",", "|", ">", "---", "...", "a ", " a", "a\n", "\na", "a\nb",
    "a \n b", "\t", "a\tb", "a\r\nb", "\u2028", "a\x85", "\xa0", "\ufeff", "\0", "\x07", "é", "日本", "😀", "\\",
    "x" * 300,
]  # fmt: skip


@pytest.mark.parametrize("text", TRICKY)
def test_what_dump_writes_reads_back_the_same_by_the_rules_of_both_versions(text):
    data = {"value": text, text: [text, {"in": text}], "last": [1, 0.5, True, None, {}, []]}
    written = dump(data)
    for back in (yaml12.parse(written, source="x").plain(), yaml.safe_load(written)):
        assert back == data
        assert list(back) == list(data)
    assert parse_setting(f"key={dump_inline(data)}", 1) == ("key", data)
    assert len(dump_inline(data).splitlines()) == 1


@pytest.mark.parametrize("number", [1e-5, 1e20, 0.1, -0.0, 5e-324, math.inf, -math.inf, 10**50, -3, True])
def test_dump_keeps_numbers_to_the_bit(number):
    back = yaml12.parse(dump({"n": number}), source="x").plain()["n"]
    assert (type(back), repr(back)) == (type(number), repr(number))


def test_dump_keeps_letters_of_all_scripts_readable():
    assert dump({"name": "Grace 日本 é", "b": "on", "a": 1}) == "name: Grace 日本 é\nb: 'on'\na: 1\n"


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
def test_an_error_in_a_setting_is_placed_at_its_number(read, path, value, words):
    error = refusal(read, settings=[("numerics.seed", 1), (path, value)])
    assert error.where == "--set #2"
    assert words in str(error)


def test_inputs_replace_those_of_the_recipe(read):
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
def test_a_setting_that_cannot_be_read_is_named_by_its_number(text, words):
    error = refusal(parse_setting, text, 3)
    assert error.where == "--set #3"
    assert words in error.message


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
def test_a_word_at_fault_is_found_in_the_options_and_else_the_place_is_that_of_uses(read, word, option, found):
    options = "{layers: [stage4, '!stage9#2', a],  blocks: [ x ], samples: 7, target: 7, b: true, c: null}"
    step = read(replaced("{layers: [stage4]}", options)).steps[1]
    place = f"14:{options.index(found) + len('    with: ') + 1}" if found else "13:11"
    assert step.place_of_word(word, option=option) == f"r.yaml:{place}"


def test_a_recipe_read_twice_is_the_same(read):
    assert read() == read()


class Inner(Options):
    width: int = 1


class Cam(Options):
    layers: list[str]
    target: TargetSpec = "predicted"
    sigma: float = Field(default=1.0, gt=0)
    method: str | None = None
    scale: Literal["own"] | list[float] = "own"
    inner: Inner = Inner()


@pytest.mark.parametrize(
    ("given", "place", "words"),
    [
        ("{layrs: [a]}", "14:12", "unknown key 'layrs' (did you mean 'layers'?)"),
        ("{layers: [a], batch_size: 1}", "14:25", "unknown key 'batch_size' ('batch_size' belongs under 'numerics:')"),
        ("{layers: [a], of: [b]}", "14:25", "unknown key 'of' ('of' belongs beside the 'uses:' of a step)"),
        ("{layers: [a], zzz: 1}", "14:25", "known keys: layers, target, sigma, method, scale, inner"),
        ("{sigma: 1.0}", "14:11", "key 'layers' is missing (options of a plugin stand under 'with:')"),
        ("{layers: 7}", "14:20", "layers: a list is wanted, not 7"),
        ("{layers: stage4}", "14:20", "layers: a list is wanted, not 'stage4' (write [stage4])"),
        ("{layers: [a, 7]}", "14:24", "layers[1]: text is wanted, not 7"),
        ("{layers: [a], sigma: 0}", "14:32", "sigma: a value above 0.0 is wanted, not 0"),
        ("{layers: [a], sigma: .nan}", "14:32", "sigma: a finite number is wanted, not .nan"),
        ("{layers: [a], sigma: -.inf}", "14:32", "sigma: a finite number is wanted, not -.inf"),
        ("{layers: [a], sigma: .inf}", "14:32", "sigma: a finite number is wanted, not .inf"),
        ("{layers: [a], method: 1}", "14:33", "method: text is wanted, not 1"),
        ("{layers: [a], target: 1.5}", "14:33", "target: a whole number or text or a mapping is wanted, not 1.5"),
        ("{layers: [a], target: {for: a}}", "14:33", "key 'against' is missing"),
        ("{layers: [a], target: {top: 2, for: a}}", "14:42", "unknown key 'for' (known keys: of, against, top, class)"),
        ("{layers: [a], scale: image}", "14:32", "scale: 'own' or a list is wanted, not 'image'"),
        ("{layers: [a], target: {for: a, agianst: b}}", "14:42", "unknown key 'agianst' (did you mean"),
        ("{layers: [a], target: {for: .5, against: b}}", "14:39", "for: a whole number or text is wanted, not 0.5"),
        ("{layers: [a], inner: {widht: 2}}", "14:33", "unknown key 'widht' (did you mean 'width'?)"),
    ],
)
def test_what_options_refuse_is_said_at_its_place_in_plain_words(read, given, place, words):
    recipe = read(replaced("{layers: [stage4]}", given))
    with pytest.raises(ValidationError) as caught:
        Cam.model_validate(recipe.steps[1].options)
    (error,) = faults_of_options(recipe.steps[1], caught.value, Cam)
    assert error.where == f"r.yaml:{place}"
    assert words in str(error)
    # A hint where to put options, or brackets, is given only where that is the way out.
    assert not ("target: {" in given and "'with:'" in str(error))
    assert not ("scale:" in given and "write [" in str(error))


def test_options_that_are_missing_altogether_are_refused_at_their_step(read):
    recipe = read(settings=[("model", {"uses": "repvgg"})])
    with pytest.raises(ValidationError) as caught:
        Cam.model_validate({})
    for entry, place in [(recipe.steps[3], "r.yaml:18:5"), (recipe.models["model"], "--set #1")]:
        (error,) = faults_of_options(entry, caught.value, Cam)
        assert (error.where, error.message) == (place, "key 'layers' is missing")


@pytest.mark.parametrize(
    ("reads", "order"),
    [
        ({"a": [], "b": ["a"], "c": []}, "abc"),
        ({"a": ["c"], "b": [], "c": []}, "bca"),
        ({"a": ["d"], "b": ["a"], "c": [], "d": ["c"]}, "cdab"),
        ({"a": [], "b": [], "c": ["b", "a", "a"]}, "abc"),
    ],
)
def test_steps_are_ordered_by_what_they_read_and_else_as_in_the_file(read, reads, order):
    steps = [{"id": name, "uses": "x", "of": of} for name, of in reads.items()]
    recipe = read(settings=[("steps", steps)])
    assert "".join(step.id for step in recipe.ordered_steps()) == order


def test_a_long_circle_of_steps_is_named_in_the_order_of_reading(read):
    steps = [{"id": name, "uses": "x", "of": [of]} for name, of in zip("abcd", "acdb", strict=True)]
    steps[0]["of"] = []
    error = refusal(read, settings=[("steps", steps)])
    assert error.message == "steps read each other in a circle: b → c → d → b"


def test_entries_given_in_python_are_refused_in_plain_words():
    entry = ModelEntry.parse({"uses": "repvgg", "weights": {"hub": "a/b"}})
    assert entry.weights == HubWeights(hub="a/b")
    assert ModelEntry.parse({"uses": "net", "weights": "DEFAULT"}).weights == PublishedWeights(published="DEFAULT")
    assert ModelEntry.parse({"uses": "net", "weights": {"published": "V1", "otherwise": "random"}}).weights == (
        PublishedWeights(published="V1", otherwise="random")
    )
    assert PathWeights.parse({"path": "a", "sha256": "AB" * 32}).sha256 == "ab" * 32
    error = refusal(ModelEntry.parse, {"uses": "repvgg", "weights": 7})
    assert error.message == "weights: 'random', 'DEFAULT', {path: file} or {hub: owner/name} is wanted"


def test_a_recipe_cannot_be_changed(read):
    with pytest.raises(ValidationError, match="frozen"):
        read().numerics.seed = 1


def test_the_json_schema_knows_the_short_form_and_describes_every_key():
    schema = Recipe.model_json_schema()
    assert schema["oneOf"] == [{"required": ["model"]}, {"required": ["models"]}]
    assert "model" in schema["properties"]
    for entry in (schema, *schema["$defs"].values()):
        assert [name for name, about in entry["properties"].items() if not about.get("description")] == []


def test_reading_recipes_loads_neither_torch_nor_numpy():
    code = "import interpretkit.recipe.read, sys; print({'torch', 'numpy', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "set()\n"
