"""The network that comes along trained, against digits that no training saw."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import interpretkit as ik
from interpretkit.inputs import find
from interpretkit.testing import check_model
from interpretkit_repvgg.digits import MEAN, STD, DigitsBuilder

ROOT = Path(__file__).parents[2]
FOLDER = Path(find.__file__).with_name("samples") / "digits"


@pytest.fixture(scope="module")
def clutter():
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(ROOT / "training")
        yield importlib.import_module("clutter")


@pytest.fixture(scope="module")
def held_out(clutter):
    return clutter.make(400, held_out=True, seed=99)


@pytest.fixture(scope="module")
def record():
    return json.loads((ROOT / "plugins/interpretkit_repvgg/digits.json").read_text())


def trained(**options):
    return ik.load_model("digits", weights="builtin", device="cpu", **options)


def logits(model, images):
    fed = ((torch.from_numpy(images).float() / 255 - MEAN) / STD)[:, None]
    with torch.no_grad():
        returned = [model.module(part) for part in fed.split(100)]
    return torch.cat([each["main"] if isinstance(each, dict) else each for each in returned])


def test_it_keeps_the_contract_and_its_files_are_small():
    check_model(DigitsBuilder)
    assert DigitsBuilder(DigitsBuilder.Options()).builtin().stat().st_size < 1_000_000
    assert sum(file.stat().st_size for file in FOLDER.rglob("*")) < 1_000_000


def test_it_finds_digits_that_no_training_saw(held_out, record):
    right = logits(trained(), held_out.images).argmax(1).numpy() == held_out.labels
    assert right.mean() >= 0.96
    assert record["held_out_accuracy_as_float16"] >= 0.97
    assert record["parameters"] == sum(parameter.numel() for parameter in trained().module.parameters())


def test_training_and_held_out_digits_are_not_the_same(clutter):
    _, drawings = clutter._drawings()
    training, others = clutter._split()
    assert not {*training} & {*others}
    assert len(training) + len(others) == len(next(iter(drawings.values())))


def test_a_seed_gives_the_same_images_and_a_mask_lies_on_the_ink(clutter):
    first, again, other = (clutter.make(20, held_out=True, seed=seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.images, again.images)
    assert not np.array_equal(first.images, other.images)
    inside = [image[mask].mean() for image, mask in zip(first.images, first.masks, strict=True)]
    around = [image[~mask].mean() for image, mask in zip(first.images, first.masks, strict=True)]
    assert min(inside) > 2 * max(around)


def test_the_samples_are_held_out_digits_with_their_labels_and_masks(clutter):
    made = clutter.make(2000, held_out=True, seed=1)
    run = find.find_images(["sample:digits"])
    assert [file.source for file in run[:2]] == ["sample:digits/0a", "sample:digits/0b"]
    assert find.find_images(["sample:digits/7a"]) == (run[21],)
    with pytest.raises(ik.InputError, match="there is no sample '7d' of digits"):
        find.find_images(["sample:digits/7d"])
    assert [file.label for file in run] == [str(digit) for digit in range(10) for _ in "abc"]
    for file in run:
        image, mask = np.asarray(Image.open(file.path)), np.asarray(Image.open(file.mask))
        (same,) = [number for number, each in enumerate(made.images) if np.array_equal(each, image)]
        assert made.labels[same] == int(file.label)
        np.testing.assert_array_equal(mask, made.masks[same])


def test_the_form_for_deployment_is_the_same_function(held_out):
    expected, found = (logits(trained(form=form), held_out.images[:20]) for form in ("train", "deploy"))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def hits(model, data, count=200):
    """The share of images in whose mask the greatest cell of Grad-CAM for their digit lies."""
    images = list(data.images[:count])
    labels = data.labels[:count].tolist()
    found = ik.visualize(model, images, "grad_cam", layers=["stage3"], target=labels).maps["stage3"]
    inside = []
    for values, mask in zip(found.values, data.masks, strict=False):
        cell = np.unravel_index(values.argmax(), values.shape)
        top, left = (row.middles[at] for row, at in zip(found.grid.rows, cell, strict=True))
        near = mask[max(0, top - 8) : top + 9, max(0, left - 8) : left + 9]
        inside.append(near.any())
    return np.mean(inside)


def test_grad_cam_points_at_the_digit_and_that_of_random_weights_does_not(held_out):
    assert hits(trained(), held_out) >= 0.95
    assert hits(ik.load_model("digits", device="cpu"), held_out) < 0.5


def test_the_quickstart_needs_no_network_and_finds_what_is_there(tmp_path, monkeypatch):
    def unreachable(*_arguments, **_options):
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.socket.connect", unreachable)
    run = ik.run(ROOT / "recipes/quickstart.yaml", output=tmp_path)
    assert run.status == "complete"
    inputs = run.manifest["inputs"]
    right = [image["predictions"]["model"][0]["label"] == image["label"] for image in inputs]
    assert np.mean(right) >= 0.9
    assert run.manifest["models"]["model"]["weights"]["kind"] == "builtin"
    assert not run.manifest["models"]["model"]["alert"]


def test_other_builders_come_without_weights():
    with pytest.raises(ik.RecipeError, match="model 'repvgg' comes without weights"):
        ik.load_model("repvgg", weights="builtin")
