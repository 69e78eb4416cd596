from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import interpretkit as ik

KNOWN = ("a", "b", "c")


@pytest.mark.parametrize(
    ("options", "count", "expected"),
    [
        ({}, 3, ik.Classes(names=KNOWN, returns="logits")),
        ({}, 4, ik.Classes(returns="logits")),
        ({"names": list("xyz")}, 3, ik.Classes(names=tuple("xyz"), returns="logits")),
        ({"names": list("xyz"), "output": "labels"}, 3, ik.Labels(names=tuple("xyz"), returns="logits")),
        ({"output": "labels"}, 3, ik.Labels(returns="logits")),
        ({"output": "values"}, 2, ik.Values()),
        ({"names": ["age"], "output": "values"}, 1, ik.Values(names=("age",))),
        ({"names": ["tumour"]}, 1, ik.Labels(names=("tumour",), returns="logits")),
        ({"names": ["healthy", "tumour"]}, 1, ik.Binary(names=("healthy", "tumour"), returns="logits")),
    ],
)
def test_what_the_last_layer_returns_is_an_option(options, count, expected):
    assert ik.Headed(**options).output_of(count, known=KNOWN) == expected


def test_one_number_of_which_nothing_is_said_stays_unknown():
    assert ik.Headed().output_of(1, known=KNOWN).words == "not known to be classes, labels or values"


@pytest.mark.parametrize(("names", "count"), [(["a"], 2), (["a", "b"], 3), (["a", "b", "c"], 1)])
def test_more_or_fewer_names_than_numbers_are_refused(names, count):
    with pytest.raises(ik.RecipeError, match=rf"returns {count} numbers?, for {len(names)} names?"):
        ik.Headed(names=names).output_of(count)
    with pytest.raises(ik.RecipeError, match="the network returns 1 number, for 2 names"):
        ik.Headed(names=["a", "b"], output="values").output_of(1)


@pytest.mark.parametrize(
    "model",
    [
        {"uses": "repvgg", "with": {"variant": "custom", "depths": [1, 1, 1, 1], "widths": [8, 8, 8, 8]}},
        {"uses": "timm", "with": {"name": "test_resnet"}},
        {"uses": "torchvision", "with": {"name": "squeezenet1_1"}},
    ],
    ids=lambda model: model["uses"],
)
def test_a_network_of_one_sigmoid_works_by_recipe(model, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "chest.png")
    head = {"num_classes": 1, "names": ["pneumonia"]}
    recipe = {
        "schema": "interpretkit/1",
        "name": "xray",
        "model": {**model, "weights": "random", "with": {**model["with"], **head}},
        "inputs": [str(tmp_path / "chest.png")],
        "steps": [
            {"id": "here", "uses": "saliency", "with": {"target": "pneumonia"}},
            {"id": "absent", "uses": "saliency", "with": {"target": {"not": "pneumonia"}}},
        ],
    }
    run = ik.run(recipe, output=tmp_path)
    assert run.status == "complete"
    (here,), (absent,) = run.results["here"].targets, run.results["absent"].targets
    assert here.probability == pytest.approx(float(torch.tensor(here.score, dtype=torch.float64).sigmoid()))
    assert absent.score == pytest.approx(-here.score)
    (model,) = run.manifest["models"].values()
    assert "labels, logits" in model["outputs"].values()
    ((prediction,),) = run.manifest["inputs"][0]["predictions"].values()
    assert (prediction["label"], prediction["probability"]) == ("pneumonia", pytest.approx(here.probability))


def test_a_run_says_what_the_first_pass_has_shown(tmp_path):
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2), torch.nn.Sigmoid())
    recipe = {"schema": "interpretkit/1", "name": "a", "steps": [{"id": "s", "uses": "saliency"}]}
    said = []
    for module, words in [(net, "labels, probabilities"), (net[:2], "not known to be classes, labels or values")]:
        run = ik.run(recipe, model=module, images=torch.rand(1, 3, 2, 2), output=tmp_path, listen=said.append)
        assert run.manifest["models"]["model"]["outputs"]["output"] == words
    assert sum("so nothing is called a probability" in event.text for event in said) == 1
