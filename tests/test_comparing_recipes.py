"""The recipes that compare: carried out as they stand, on a network of the same family that is small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import interpretkit as ik
from interpretkit.runs.verify import verify

RECIPES = Path(__file__).parents[1] / "recipes"
SMALL = {
    "model.with": {"variant": "custom", "depths": [1, 1, 1, 1], "widths": [8, 8, 8, 16], "num_classes": 7},
    "model.weights": "random",
}


@pytest.fixture(scope="module")
def compared(tmp_path_factory) -> ik.Run:
    folder = tmp_path_factory.mktemp("compared")
    return ik.run(RECIPES / "compare_b0.yaml", set={**SMALL, "steps.scorecam.with.channels": 4}, output=folder)


def test_everything_in_one_recipe_works_together(compared):
    assert compared.status == "complete", [step["error"] for step in compared.manifest["steps"] if step["error"]]
    assert verify(compared.path) == []
    assert all(step["figures"] for step in compared.manifest["steps"])


def test_methods_that_are_one_function_before_pooling_and_a_linear_layer_agree(compared):
    """At the last stage, the head is known: the maps are the logit taken apart, cell by cell."""
    cam, ablation, gradcam = (
        compared.results[step].maps["stage4"].values for step in ("cam", "ablationcam", "gradcam")
    )
    np.testing.assert_allclose(cam / cam[0].size, gradcam, rtol=1e-4, atol=1e-7)
    assert np.corrcoef(ablation.ravel(), gradcam.ravel())[0, 1] > 0.5
    np.testing.assert_array_equal(compared.results["top3"].maps["stage4 top 1"].values, gradcam)


def test_what_should_be_complete_is(compared):
    for step in ("integrated_gradients", "deeplift", "fullgrad"):
        table = compared.results[step].tables["completeness"]
        score, gap = compared.results[step].targets[0].score, float(table["gap"][0])
        assert abs(gap) < 0.05 * abs(score), step


def test_contributions_and_the_rest_make_up_the_logit(compared):
    summary = compared.results["contributions"].tables["channels"]
    rest = compared.results["contributions"].tables["summary"]["rest"][0]
    assert summary["contribution"].sum() + rest == pytest.approx(compared.results["gradcam"].targets[0].score, rel=1e-4)


def test_a_folder_with_labels_and_masks(tmp_path):
    random = np.random.default_rng(0)
    lines = ["path,label,mask"]
    for number in range(5):
        Image.fromarray(random.integers(0, 256, (80, 90, 3), dtype=np.uint8)).save(tmp_path / f"photo{number}.png")
        mask = np.zeros((80, 90), np.uint8)
        mask[20:50, 30 + number : 60] = 255
        Image.fromarray(mask).save(tmp_path / f"mask{number}.png")
        lines.append(f"photo{number}.png,{number % 2},mask{number}.png")
    (tmp_path / "photos.csv").write_text("\n".join(lines))
    run = ik.run(
        RECIPES / "folder.yaml",
        set={**SMALL, "numerics.batch_size": 2},
        images=tmp_path / "photos.csv",
        output=tmp_path / "runs",
    )
    assert run.status == "complete", [step["error"] for step in run.manifest["steps"] if step["error"]]
    assert verify(run.path) == []
    assert set(run.results["statistics"].tables["classes"]["class"].tolist()) == {"0", "1"}
    agreement = run.results["agreement"].tables["images"]
    assert len(agreement) == 5
    assert np.all(np.diff(agreement["rank_correlation"]) >= 0)
    assert {"energy", "pointing"} <= set(run.results["depth"].tables["depth"].columns)
