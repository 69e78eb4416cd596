"""Names of classes in a recipe: where they come from, what they name, and what is refused."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

import interpretkit as ik
from interpretkit.engine.carry_out import blank_plan, read_and_resolve
from interpretkit.errors import InterpretkitError

NAMES = ["covid", "normal", "tb"]
STEPS = """
steps:
  - {id: cam, uses: grad_cam, with: {layers: ["0"], target: TARGET}}
numerics: {batch_size: 2, device: cpu}
"""


def recipe(classes, *, uses="free", options="{}", target="normal", inputs="[images]"):
    model = f"model:\n  uses: {uses}\n  with: {options}\n  classes: {classes}\n"
    text = f"schema: interpretkit/1\nname: named\n{model}inputs: {inputs}{STEPS.replace('TARGET', target)}"
    Path("recipe.yaml").write_text(text)


def refusal(*, run=False):
    """Return what is refused: without building a model, or when the recipe is run."""
    refusing = ik.run if run else read_and_resolve
    with pytest.raises(InterpretkitError) as caught:
        refusing("recipe.yaml", plugins=["plugin.py"])
    return str(caught.value)


WAYS = {
    "list": (json.dumps(NAMES), None),
    "lines": ("names.txt", "covid\nnormal\r\ntb\n\n"),
    "byte order mark": ("names.txt", "\ufeffcovid\nnormal\ntb"),
    "JSON list": ("names.json", json.dumps(NAMES)),
    "JSON mapping": ("names.json", '{"2": "tb", "0": "covid", "1": "normal"}'),
    "a file called labels": ("./labels", "covid\nnormal\ntb\n"),
}


@pytest.mark.parametrize("way", WAYS)
def test_names_stand_in_targets_figures_predictions_and_the_manifest(folder, run, way):
    classes, content = WAYS[way]
    if content is not None:
        Path(classes).write_bytes(content.encode())
    recipe(classes)
    opened = run()
    assert opened.status == "complete"
    (model,) = opened.manifest["models"].values()
    assert (model["classes"], model["class_names"]) == (3, NAMES)
    resolved = yaml.safe_load((opened.path / "resolved.yaml").read_text())
    assert resolved["models"]["model"]["classes"] == NAMES
    assert {target.label for target in opened.results["cam"].targets} == {"normal"}
    assert {target.index for target in opened.results["cam"].targets} == {1}
    for image in opened.manifest["inputs"]:
        (found,) = image["predictions"].values()
        assert {each["label"]: each["index"] for each in found} == {"covid": 0, "normal": 1, "tb": 2}
    page = (opened.path / "report.html").read_text()
    assert "<dd>3: covid, normal, tb</dd>" in page
    assert "logit of “normal” (class 1)" in page


def test_a_resolved_recipe_says_the_same_again(folder, run):
    recipe(json.dumps(NAMES))
    resolved = run().path / "resolved.yaml"
    again = ik.run(str(resolved), plugins=["plugin.py"])
    assert again.manifest["models"]["model"]["class_names"] == NAMES


def manifest(labels):
    with Path("images.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["path", "label"], *([f"images/{name}.png", label] for name, label in labels.items())])


def test_the_labels_of_a_manifest_are_names_in_the_order_of_the_label_encoder(folder, run):
    sklearn = pytest.importorskip("sklearn.preprocessing")
    labels = {"a": "tb", "b": "Normal", "c": "covid", "d": "tb"}
    manifest(labels)
    recipe("labels", inputs="[images.csv]", target="label")
    opened = run()
    encoder = sklearn.LabelEncoder().fit(list(labels.values()))
    assert opened.manifest["models"]["model"]["class_names"] == encoder.classes_.tolist()
    targets = {
        image.id: target
        for image, target in zip(opened.results["cam"].images, opened.results["cam"].targets, strict=True)
    }
    for name, label in labels.items():
        assert (targets[name].label, targets[name].index) == (label, encoder.transform([label])[0])


def test_the_names_of_folders_are_names_in_the_order_of_image_folder(folder, run):
    datasets = pytest.importorskip("torchvision").datasets
    for image, label in {"a": "tb", "b": "Normal", "c": "covid", "d": "tb"}.items():
        home = folder / "train" / label
        home.mkdir(parents=True, exist_ok=True)
        (folder / "images" / f"{image}.png").rename(home / f"{image}.png")
    recipe("labels", inputs="[{path: train, labels: folder}]", target="label")
    opened = run()
    assert opened.manifest["models"]["model"]["class_names"] == datasets.ImageFolder(folder / "train").classes
    planned, _ = blank_plan(read_and_resolve("recipe.yaml", plugins=["plugin.py"]))
    assert planned.models["model"].classes == ("Normal", "covid", "tb")


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({"a": "1", "b": "tb"}, "the label '1' of the inputs is an index of a class, not its name"),
        ({"a": "", "b": ""}, "the inputs have no labels"),
    ],
)
def test_labels_that_are_no_names_are_refused(folder, labels, words):
    manifest(labels)
    recipe("labels", inputs="[images.csv]")
    assert refusal(run=True).startswith("recipe.yaml:6:12: classes: " + words)
    with pytest.raises(ik.RecipeError) as caught:
        blank_plan(read_and_resolve("recipe.yaml", plugins=["plugin.py"]))
    assert len(caught.value.faults) == 1


REFUSED = {
    "{a: 1}": (None, "6:12: classes: text or a list is wanted, not a mapping"),
    "[a, 7]": (None, "6:16: classes[1]: text is wanted, not 7"),
    "[a, ' ', b]": (None, "6:16: classes[1]: a name of a class is empty"),
    "[a, b, a]": (None, "6:12: classes: there are 2 names 'a'"),
    "[]": (None, "6:12: classes: there are no names"),
    "lost.txt": (None, "6:12: classes: lost.txt cannot be read: No such file"),
    "images": (None, "6:12: classes: images cannot be read: Is a directory"),
    "empty.txt": (b"\n", "6:12: classes: empty.txt: there are no names"),
    "gap.txt": (b"a\n\nb\n", "6:12: classes: gap.txt:2: the line is empty"),
    "twice.txt": (b"a\nb\na\n", "6:12: classes: twice.txt: there are 2 names 'a'"),
    "latin.txt": ("é\n".encode("latin-1"), "6:12: classes: latin.txt is not UTF-8 text"),
    "torn.json": (b'["a", ', "6:12: classes: torn.json is no JSON: "),
    "key.json": (b'{"0": "a", "0": "b"}', "6:12: classes: key.json is no JSON: the key '0' stands twice"),
    "gap.json": (b'{"0": "a", "2": "b"}', "6:12: classes: gap.json is neither a list of names nor a mapping of all"),
    "index.json": (b'{"a": 0, "b": 1}', "6:12: classes: index.json is neither a list of names nor a mapping of all"),
    "number.json": (b'["a", 7]', "6:12: classes: number.json: name 1: text is wanted, not 7"),
    "blank.json": (b'["a", ""]', "6:12: classes: blank.json: name 1: a name of a class is empty"),
    "text.json": (b'"a"', "6:12: classes: text.json is neither a list of names nor a mapping"),
}


@pytest.mark.parametrize("classes", REFUSED)
def test_what_gives_no_names_is_refused_at_its_line_before_any_model_is_built(folder, classes):
    content, words = REFUSED[classes]
    if content is not None:
        Path(classes).write_bytes(content)
    recipe(classes)
    assert refusal().startswith("recipe.yaml:" + words)


TINY = "{variant: custom, depths: [1, 1, 1, 1], widths: [4, 4, 4, 8], num_classes: 2MORE}"


@pytest.mark.parametrize(
    ("more", "classes", "words"),
    [
        ("", "[a, b, c]", "the network returns 2 numbers, for 3 names"),
        (", names: [a, b]", "[a, b]", "the classes are named twice"),
        (", output: values", "[a, b]", "the network returns values, which are no classes"),
        (", output: values", "labels", "the network returns values, which are no classes"),
    ],
)
def test_what_the_options_of_a_head_say_is_known_without_a_model(folder, more, classes, words):
    recipe(classes, uses="repvgg", options=TINY.replace("MORE", more))
    assert refusal().startswith(f"recipe.yaml:6:12: {words}")


def test_two_names_tell_the_classes_of_one_number_apart(folder, run):
    options = TINY.replace("2MORE", "1")
    recipe("[healthy, tumour]", uses="repvgg", options=options, target="tumour")
    Path("recipe.yaml").write_text(Path("recipe.yaml").read_text().replace('["0"]', "[stage1]"))
    step = run().manifest["steps"][0]
    (target, *_), *_ = step["targets"].values()
    assert (target["label"], target["quantity"]) == ("tumour", "logit")
    assert 0 < target["probability"] < 1


def test_names_and_known_classes_that_differ_in_number_are_refused_when_the_model_is_built(folder):
    recipe("[a, b]", uses="torchvision", options="{name: squeezenet1_1}", target="a")
    words = "recipe.yaml:6:12: 2 class names for a network that is known to have 1000"
    with pytest.raises(ik.RecipeError) as caught:
        blank_plan(read_and_resolve("recipe.yaml"))
    assert str(caught.value).startswith(words)
    assert refusal(run=True).startswith(words)


@pytest.mark.parametrize("step", ["feature_grid", "grad_cam"])
def test_more_or_fewer_names_than_the_network_returns_fail_every_step(folder, run, step):
    recipe("[covid, normal]", target="0")
    text = Path("recipe.yaml").read_text().replace("grad_cam", step)
    Path("recipe.yaml").write_text(text if step == "grad_cam" else text.replace(", target: 0", ""))
    opened = run()
    (record,) = opened.manifest["steps"]
    assert record["status"] == "failed"
    assert "the network returns 3 numbers for each image, for 2 class names" in record["error"]


def test_two_models_may_each_have_names(folder, run):
    models = "models:\n  one: {uses: free, classes: [a, b, c]}\n  two: {uses: free, classes: [x, y, z]}\n"
    steps = "".join(
        f"  - {{id: {key}, uses: grad_cam, model: {key}, with: {{layers: ['0'], target: {target}}}}}\n"
        for key, target in (("one", "b"), ("two", "z"))
    )
    Path("recipe.yaml").write_text(f"schema: interpretkit/1\nname: n\n{models}inputs: [images]\nsteps:\n{steps}")
    opened = run()
    assert {key: model["class_names"] for key, model in opened.manifest["models"].items()} == {
        "one": ["a", "b", "c"],
        "two": ["x", "y", "z"],
    }
    assert {target.label for target in opened.results["two"].targets} == {"z"}


@pytest.mark.parametrize(
    "output",
    [ik.Classes(), ik.Labels(), ik.Binary(), ik.Pixels(), ik.Boxes(), ik.Classes(names=("0", "1"))],
    ids=lambda output: output.words,
)
def test_every_output_with_classes_takes_names(output):
    model = ik.wrap(ik.testing.tiny_model().module, output=output).named(["a", "b"])
    assert model.classes == ("a", "b")
    assert model.output == replace(output, names=("a", "b"))


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (ik.Values(names=("age", "bmi")), "the model returns values, which has no classes to name"),
        (ik.Vector(name="embedding"), "the model returns embedding, which has no classes to name"),
        (ik.Binary(), "3 class names for a network that is known to have 2"),
        (ik.Pixels(names=("ground", "dog")), "3 class names for a network that is known to have 2"),
        (ik.Boxes(names=("ground", "dog")), "3 class names for a network that is known to have 2"),
    ],
)
def test_an_output_without_classes_or_with_another_number_of_them_takes_none(output, words):
    with pytest.raises(ik.RecipeError, match=words):
        ik.wrap(ik.testing.tiny_model().module, output=output).named(["a", "b", "c"])


def test_only_outputs_that_are_known_to_have_the_same_classes_share_their_names():
    known = ik.Classes(names=("0", "1"))
    others = {
        "aux": replace(known, key=1),
        "colour": ik.Classes(names=("red", "blue"), key=2),
        "token": ik.Vector(key=3),
    }
    model = ik.wrap(ik.testing.tiny_model().module, output={"main": replace(known, key=0), **others}).named(["a", "b"])
    names = {name: getattr(output, "names", None) for name, output in model.outputs.items()}
    assert names == {"main": ("a", "b"), "aux": ("a", "b"), "colour": ("red", "blue"), "token": None}
    unknown = {"main": ik.Classes(key=0), "other": ik.Classes(key=1)}
    model = ik.wrap(ik.testing.tiny_model().module, output=unknown).named(["a", "b"])
    assert model.outputs["other"].names == ()


def test_names_are_checked_without_torch(folder):
    recipe("[a, b, c]", uses="repvgg", options=TINY.replace("MORE", ""))
    command = (
        "import sys; from interpretkit.__main__ import main; sys.argv = ['interpretkit', 'validate', 'recipe.yaml']"
    )
    code = f"{command}\ntry:\n    main()\nfinally:\n    print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "recipe.yaml:6:12: the network returns 2 numbers, for 3 names" in done.stderr
    assert done.stdout.strip() == "False"
