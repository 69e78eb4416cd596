"""The main job, end to end, on random weights: what a new user gets."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

import interpretkit as ik
from interpretkit.runs.verify import verify

RECIPE = Path(__file__).parents[1] / "recipes" / "repvgg_b0.yaml"
CHANNELS = {"stage0": 64, "stage1": 64, "stage2": 128, "stage3": 256, "stage4": 1280}
NO_FIGURES = {f"steps.{step}.figures": False for step in ("features", "gradcam", "statistics", "agreement")}
SIDES = {"stage0": 112, "stage1": 56, "stage2": 28, "stage3": 14, "stage4": 7}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return ik.run(RECIPE, set={"model.weights": "random"}, output=tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def model():
    return ik.load_model("repvgg", variant="B0", form="train", device="cpu")


@pytest.fixture(scope="module")
def images():
    """The photograph, preprocessed by torchvision's own transform."""
    from matplotlib.cbook import get_sample_data
    from PIL import Image
    from torchvision.models import ResNet50_Weights

    with get_sample_data("grace_hopper.jpg", asfileobj=True) as file:
        return ResNet50_Weights.IMAGENET1K_V1.transforms()(Image.open(file).convert("RGB"))[None]


def test_the_run_is_complete_and_verifies(run):
    assert run.status == "complete"
    assert [step["status"] for step in run.manifest["steps"]] == ["complete"] * 4
    assert verify(run.path) == []


def test_every_layer_has_a_labelled_grid_of_all_its_channels(run):
    figures = {figure["name"]: figure for figure in run.manifest["steps"][0]["figures"]}
    assert figures.keys() == CHANNELS.keys()
    for layer, count in CHANNELS.items():
        values = run.results["features"].maps[layer].values
        assert values.shape == (1, count, SIDES[layer], SIDES[layer])
        assert f"all {count} channels" in figures[layer]["caption"]


def test_feature_maps_are_bit_equal_with_torchvisions_extractor(run, model, images):
    from torchvision.models.feature_extraction import create_feature_extractor

    nodes = {"stage0.nonlinearity": "stage0"}
    nodes |= {f"stage{k}.{last}.nonlinearity": f"stage{k}" for k, last in ((1, 3), (2, 5), (3, 15), (4, 0))}
    with torch.no_grad():
        expected = create_feature_extractor(model.module, return_nodes=nodes)(images)
    for layer, values in expected.items():
        assert np.array_equal(run.results["features"].maps[layer].values, values.numpy()), layer


def test_grad_cam_agrees_with_captum_and_with_cam(run, model, images):
    from captum.attr import LayerGradCam

    target = run.results["gradcam"].targets[0]
    found = torch.from_numpy(run.results["gradcam"].maps["stage4"].values)
    expected = LayerGradCam(model.module, model.module.stage4).attribute(images, target=target.index)
    torch.testing.assert_close(found, expected.squeeze(1).detach(), rtol=1e-4, atol=1e-6 * float(found.abs().max()))
    # Before GAP and a linear layer, Grad-CAM is CAM over the number of cells, and adds up to the logit.
    activation = torch.from_numpy(run.results["features"].maps["stage4"].values).double()
    weight = model.module.linear.weight[target.index].detach().double()
    cam = torch.einsum("k,nkyx->nyx", weight, activation)
    torch.testing.assert_close(found.double(), cam / 49, rtol=1e-4, atol=1e-6 * float(cam.abs().max()))
    bias = float(model.module.linear.bias[target.index].detach())
    assert float(found.double().sum()) + bias == pytest.approx(target.score, rel=1e-4)


def test_statistics_agree_with_numpy_in_float64(run):
    table = run.results["statistics"].tables["channels"]
    assert list(dict.fromkeys(table["layer"].tolist())) == list(CHANNELS)
    for layer, count in CHANNELS.items():
        values = run.results["features"].maps[layer].values[0].astype(np.float64).reshape(count, -1)
        rows = table.where("layer", layer)
        np.testing.assert_allclose(rows["mean"], values.mean(1), rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(rows["std"], values.std(1), rtol=1e-10, atol=1e-15)
        np.testing.assert_array_equal(rows["min"], values.min(1))
        np.testing.assert_array_equal(rows["max"], values.max(1))
        np.testing.assert_array_equal(rows["sparsity"], (values == 0).mean(1))
        np.testing.assert_array_equal(rows["dead"], (values == 0).all(1))


def test_the_agreement_ranks_every_channel_of_every_layer(run, slowly_averaged):
    from scipy.stats import spearmanr

    table = run.results["agreement"].tables["channels"]
    reference = run.results["gradcam"].maps["stage4"].values[0]
    for layer, count in CHANNELS.items():
        rows = table.where("features", f"features/{layer}")
        assert sorted(rows["channel"].tolist()) == list(range(count))
        values = run.results["features"].maps[layer].values[0]
        stride = 224 // SIDES[layer]
        for position in (0, count // 4):
            channel = values[rows["channel"][position]].astype(np.float64)
            # Cells of padded convolutions whose steps fill the image tile it.
            own, coarse = [(SIDES[layer], stride / 2, stride)] * 2, [(7, 16, 32)] * 2
            coarse = slowly_averaged(channel, own, coarse, (224, 224))
            expected = spearmanr(coarse.ravel(), reference.ravel()).statistic
            assert rows["rank_correlation"][position] == pytest.approx(expected, abs=1e-6)


def test_the_tables_are_plain_csv(run):
    with (run.path / "results/statistics/channels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(CHANNELS.values())
    assert float(rows[0]["mean"]) == run.results["statistics"].tables["channels"]["mean"][0]


def test_a_second_run_gives_the_same_arrays_bit_for_bit(run, tmp_path):
    again = ik.run(RECIPE, set={"model.weights": "random", **NO_FIGURES}, output=tmp_path)
    hashes = [
        [entry["sha256"] for step in each.manifest["steps"] for entry in (*step["maps"], *step["tables"])]
        for each in (run, again)
    ]
    assert hashes[0] == hashes[1]
    assert len(hashes[0]) > 10


def test_training_and_deploy_form_give_the_same_maps_of_the_same_function(run, tmp_path):
    form = {"model.weights": "random", "model.with.form": "deploy"}
    deployed = ik.run(RECIPE, set={**form, **NO_FIGURES}, output=tmp_path)
    assert deployed.manifest["models"]["model"]["notes"] == ["reparameterized", "untrained"]
    for step, layer in (("features", "stage4"), ("gradcam", "stage4")):
        ours, theirs = (each.results[step].maps[layer].values for each in (run, deployed))
        assert np.abs(ours - theirs).max() <= 1e-3 * np.abs(ours).max()


def test_the_report_opens_in_a_browser_without_a_network(run, browser):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    problems, requests = [], []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto((run.path / "report.html").as_uri())
    assert page.title()
    assert "RANDOM WEIGHTS" in page.inner_text("body")
    assert run.manifest["command"] in page.inner_text("body")
    # Thumbnails stand beside the names of their images, so they say nothing.
    pictures = "[...document.querySelectorAll('img:not(#explorer img)')]"
    sizes = page.evaluate(f"{pictures}.map(image => [image.naturalWidth, image.alt.length])")
    assert len(sizes) >= 1 + 5 + 1 + 5 + 5
    assert all(width > 0 and words > 0 for width, words in sizes)
    assert problems == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    page.close()
