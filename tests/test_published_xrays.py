"""X-rays as they are published, and a network as a script of today trains and saves it: one recipe, nothing else."""

from __future__ import annotations

import argparse
import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import interpretkit as ik

SIZE = (48, 40)
SHAPE = {"variant": "custom", "depths": [1, 1, 1, 1], "widths": [8, 12, 16, 32], "num_classes": 2}


def published(folder):
    """Write scans, of 12 bits in 16 and of 8, with a list of findings; return where each opacity lies, in pixels."""
    generator = np.random.default_rng(0)
    rows, centres = [], {}
    for number in range(60):
        y, x = np.mgrid[: SIZE[0], : SIZE[1]]
        scan = 0.4 + generator.normal(0, 0.03, SIZE)
        name = f"снимок_{number:02}.png" if number % 3 else f"scan_{number:02}.png"
        if number % 2:
            down, across = generator.integers(12, 36), generator.integers(12, 28)
            scan += 0.5 * np.exp(-((y - down) ** 2 + (x - across) ** 2) / 20)
            centres[name] = (down, across)
        wide = number % 3 == 0
        levels = np.rint(scan.clip(0, 1) * (4095 if wide else 255))
        Image.fromarray(levels.astype(np.uint16 if wide else np.uint8)).save(folder / name)
        rows.append({"patientid": number, "filename": name, "finding": "COVID-19" if number % 2 else "No finding"})
    with (folder / "metadata.csv").open("w", newline="", encoding="utf-8-sig") as file:
        table = csv.DictWriter(file, rows[0], delimiter=";")
        table.writeheader()
        table.writerows(rows)
    (folder / "LICENSE.txt").write_text("CC BY 4.0")
    return centres


def trained(folder, path):
    """Train as such scripts do, and save what they save."""
    with (folder / "metadata.csv").open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    names = sorted({row["finding"] for row in rows})
    images = []
    for row in rows:
        values = np.asarray(Image.open(folder / row["filename"])).astype(np.float32)
        images.append(torch.from_numpy(values / (4095 if values.max() > 255 else 255)))
    images = ((torch.stack(images) - 0.4) / 0.2)[:, None].repeat(1, 3, 1, 1)
    labels = torch.tensor([names.index(row["finding"]) for row in rows])
    net = ik.load_model("repvgg", device="cpu", **SHAPE).module.train()
    optimizer = torch.optim.AdamW(net.parameters(), 5e-3)
    for _ in range(40):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(images), labels).backward()
        optimizer.step()
    state = {f"module.{name}": tensor for name, tensor in net.state_dict().items()}
    accuracy = (net.eval()(images).argmax(1) == labels).double().mean()
    args = argparse.Namespace(lr=5e-3, data=str(folder))
    torch.save({"epoch": 40, "state_dict": state, "optimizer": optimizer.state_dict(), "args": args}, path)
    return float(accuracy)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("covid")
    (folder / "xrays").mkdir()
    centres = published(folder / "xrays")
    accuracy = trained(folder / "xrays", folder / "best.pth.tar")
    shape = {key: value for key, value in SHAPE.items() if key != "num_classes"}
    recipe = {
        "schema": "interpretkit/1",
        "name": "covid",
        "model": {
            "uses": "repvgg",
            "with": {**shape, "num_classes": 2},
            "weights": {"path": str(folder / "best.pth.tar")},
            "preprocessing": {"resize": None, "crop": None, "mean": 0.4, "std": 0.2},
            "classes": "labels",
        },
        "inputs": [
            {"path": str(folder / "xrays" / "metadata.csv"), "columns": {"path": "filename", "label": "finding"}}
        ],
        "steps": [{"id": "cam", "uses": "grad_cam", "with": {"layers": ["stage0"], "target": "COVID-19"}}],
    }
    finished = ik.run(recipe, output=folder / "runs")
    return finished, centres, accuracy


def test_every_image_has_its_finding_and_the_network_finds_what_it_did_when_it_was_trained(run):
    finished, _, accuracy = run
    assert finished.status == "complete"
    inputs = finished.manifest["inputs"]
    assert len(inputs) == 60
    right = [image["predictions"]["model"][0]["label"] == image["label"] for image in inputs]
    assert np.mean(right) == accuracy
    assert accuracy > 0.9
    assert finished.manifest["models"]["model"]["class_names"] == ["COVID-19", "No finding"]


def test_the_maps_point_at_what_was_put_there(run):
    finished, centres, _ = run
    result = finished.results["cam"]
    values = result.maps["stage0"].values
    assert [target.label for target in result.targets] == ["COVID-19"] * 60
    hits = []
    for image, each in zip(result.images, values, strict=True):
        if centre := next((at for name, at in centres.items() if name.startswith(image.id)), None):
            peak = np.unravel_index(each.argmax(), each.shape)
            pixels = (np.asarray(peak) + 0.5) * np.asarray(SIZE) / np.asarray(each.shape)
            hits.append(np.hypot(*(pixels - centre)) < 10)
    assert len(hits) == 30
    assert np.mean(hits) > 0.8  # by chance, one of six


def test_what_was_done_to_the_wide_scans_is_recorded_and_the_preprocessing_is_that_of_the_recipe(run):
    finished, _, _ = run
    wide = [image for image in finished.manifest["inputs"] if image["id"].startswith("scan")]
    assert len(wide) == 20
    assert {image["conversions"][0] for image in wide} == {"12 of 16 bits used: scaled from 0 … 4095"}
    kept = finished.manifest["models"]["model"]["preprocessing"]
    assert (kept["resize"], kept["crop"], kept["mean"]) == (None, None, [0.4, 0.4, 0.4])
    assert (
        json.loads((finished.path / "manifest.json").read_text())["models"]["model"]["weights"]["prefix"] == "module."
    )
