"""The checkpoint of a plain training script, explained by the main recipe with three lines changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import resnet18

import interpretkit as ik
from interpretkit import WeightsError

RECIPE = Path(__file__).parents[1] / "recipes" / "repvgg_b0.yaml"


def state_of(**options):
    return ik.load_model("repvgg", variant="B0", **options).module.state_dict()


@pytest.fixture(scope="module")
def state():
    return state_of(form="train", num_classes=2)


@pytest.fixture
def recipe(tmp_path):
    """The main recipe, edited as a user would."""
    pixels = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "mine.png")
    text = RECIPE.read_text()
    for old, new in (
        ("form: train}", "form: train, num_classes: 2}"),
        ("{hub: timm/repvgg_b0.rvgg_in1k, otherwise: random}", f"{{path: {tmp_path / 'best.pth'}}}"),
        ("sample:grace_hopper", str(tmp_path / "mine.png")),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    (tmp_path / "mine.yaml").write_text(text)
    return tmp_path / "mine.yaml"


def save(state, recipe):
    torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}}, recipe.parent / "best.pth")


def test_three_changed_lines_explain_a_network_of_ones_own(state, recipe, tmp_path):
    save(state, recipe)
    run = ik.run(recipe, output=tmp_path / "runs")
    assert run.status == "complete"
    assert run.manifest["models"]["model"]["notes"] == []
    assert "RANDOM WEIGHTS" not in (run.path / "report.html").read_text()
    result = run.results["gradcam"]
    assert result.targets[0].index in (0, 1)
    assert result.maps["stage4"].values.shape == (1, 7, 7)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: state_of(num_classes=10), r"10 classes does not fit RepVGG-B0 of 2 classes \(set num_classes: 10\)"),
        (lambda: state_of(form="deploy", num_classes=2), r"deploy-form .* re-parameterised.*\(set form: deploy"),
        (lambda: resnet18().state_dict(), r"no RepVGG checkpoint: 122 entries.*\(expected official names"),
    ],
    ids=["classes", "deploy", "another network"],
)
def test_a_wrong_checkpoint_is_refused_with_what_to_do(make, words, recipe, tmp_path):
    save(make(), recipe)
    with pytest.raises(WeightsError, match=words) as caught:
        ik.run(recipe, output=tmp_path / "runs")
    assert caught.value.exit_code == 4
    assert "best.pth" in str(caught.value)


def test_a_truncated_checkpoint_is_refused_with_what_to_do(state, recipe, tmp_path):
    save(state, recipe)
    with (recipe.parent / "best.pth").open("r+b") as file:
        file.truncate(1_000_000)
    with pytest.raises(WeightsError, match=r"best\.pth.*it is damaged.*\(fetch the file again") as caught:
        ik.run(recipe, output=tmp_path / "runs")
    assert caught.value.exit_code == 4
