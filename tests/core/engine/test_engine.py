"""Runs as a whole: several models, images of several sizes, sameness of two runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

import interpretkit as ik
from interpretkit.runs.verify import verify


def test_models_and_images_of_different_sizes_go_through_one_recipe(folder, sizes, run):
    opened = run()
    assert opened.status == "complete"
    assert [step["id"] for step in opened.manifest["steps"]] == ["cam_narrow", "cam_wide", "agreement", "stats"]
    assert {image["id"] for image in opened.manifest["inputs"]} == set(sizes)
    for name, (width, height) in sizes.items():
        assert opened.result("cam_wide", image=name).maps["1"].values.shape == (1, height, width)
        pictures = next(image for image in opened.manifest["inputs"] if image["id"] == name)["pictures"]
        assert sorted(pictures) == ["narrow", "wide"]
    pairs = opened.results["agreement"].tables["pairs"]
    assert len(pairs) == len(sizes) * 4
    assert set(pairs["first"].tolist()) == {"cam_narrow/1", "cam_wide/1"}
    counted = sum(width * height for width, height in sizes.values())
    assert opened.results["stats"].tables["channels"]["count"].tolist() == [counted] * 6
    assert verify(opened.path) == []


def test_results_equal_those_of_the_plain_network(folder, run):
    opened = run()
    with torch.random.fork_rng():
        torch.manual_seed(3)
        net = torch.nn.Sequential(torch.nn.Conv2d(3, 6, 3, padding=1), torch.nn.ReLU())
        head = torch.nn.Linear(6, 3)
    pixels = np.asarray(Image.open(folder / "images" / "c.png"), dtype=np.float64) / 255
    mean, std = ik.Preprocessing().mean, ik.Preprocessing().std
    fed = torch.from_numpy(((pixels - mean) / std).transpose(2, 0, 1))[None]
    with torch.no_grad():
        activation = net.double()(fed)
    # Before GAP and a linear layer Grad-CAM is the class's weights times the channels, over the number of cells.
    expected = torch.einsum("k,kyx->yx", head.weight[0].double(), activation[0]) / activation[0, 0].numel()
    found = opened.result("cam_wide", image="c").maps["1"].values[0]
    # The pixels go through float32 on the way.
    np.testing.assert_allclose(found, expected.detach().numpy(), rtol=1e-5, atol=1e-7)


def test_a_second_run_gives_the_same_arrays_bit_for_bit(folder, run):
    first, second = run(), run()
    assert first.path != second.path

    def arrays(opened):
        steps = opened.manifest["steps"]
        return {(step["id"], m["image"], m["key"]): m["sha256"] for step in steps for m in step["maps"]} | {
            (step["id"], table["name"]): table["sha256"] for step in steps for table in step["tables"]
        }

    assert arrays(first) == arrays(second)
    assert len(arrays(first)) > 8
    other = run(set={"numerics.seed": 4})
    assert arrays(other).keys() == arrays(first).keys()
    assert arrays(other) != arrays(first)


def test_the_resolved_recipe_gives_the_same_run(folder, run):
    first = run()
    again = ik.run(first.path / "resolved.yaml", plugins=["plugin.py"])
    hashes = [[m["sha256"] for step in each.manifest["steps"] for m in step["maps"]] for each in (first, again)]
    assert hashes[0] == hashes[1]
    assert (again.path / "resolved.yaml").read_text() == (first.path / "resolved.yaml").read_text()


def test_random_weights_are_said_everywhere(folder, run):
    opened = run()
    assert len(opened.manifest["alerts"]) == 2
    assert all("RANDOM WEIGHTS" in alert for alert in opened.manifest["alerts"])
    for step in opened.manifest["steps"]:
        assert step["figures"]
        assert all("RANDOM WEIGHTS" in figure["caption"] for figure in step["figures"])
    assert "RANDOM WEIGHTS" in (opened.path / "report.html").read_text()
    assert opened.manifest["models"]["wide"]["notes"] == ["untrained"]


def test_a_labelled_set_can_be_explained_by_its_labels(folder, run):
    (folder / "set.csv").write_text("path,label\nimages/a.png,2\nimages/c.png,1\n")
    opened = run(images=["set.csv"], set={"steps.cam_wide.with.target": "label"})
    assert opened.status == "complete"
    found = {image.id: target.index for image, target in zip(*_of(opened, "cam_wide"), strict=True)}
    assert found == {"a": 2, "c": 1}


def _of(opened, step):
    parts = [opened.result(step, image=image["id"]) for image in opened.manifest["inputs"]]
    return [part.images[0] for part in parts], [part.targets[0] for part in parts]


def test_the_alert_of_a_model_stands_only_at_its_own_steps(folder, run):
    # The same name, and notes on both; but one of them has learned something.
    plugin = (folder / "plugin.py").read_text()
    (folder / "plugin.py").write_text(
        plugin.replace('name=f"Free-{self.options.width}"', 'name="Free", notes=("odd",)')
    )
    first = run()
    state = {name: torch.zeros(shape) for name, shape in _SHAPES.items()}
    torch.save(state, folder / "weights.pth")
    assert all(alert.startswith(("Free (narrow): ", "Free (wide): ")) for alert in first.manifest["alerts"])
    opened = run(set={"models.narrow.weights": {"path": "weights.pth"}})
    assert [alert[:12] for alert in opened.manifest["alerts"]] == ["Free (wide):"]
    sections = (opened.path / "report.html").read_text().split('<section class="step"')[1:]
    concerned = {text.split('"', 2)[1] for text in sections if '<p class="caution">' in text}
    assert concerned == {"step-cam_wide", "step-agreement", "step-stats"}


_SHAPES = {"0.weight": (4, 3, 3, 3), "0.bias": (4,), "head.weight": (3, 4), "head.bias": (3,)}


MASKED = """
from interpretkit import Result, Table, Visualizer
from dataclasses import replace


class Own(Free):
    name = "own"

    def build(self, state):
        known = super().build(state)
        return replace(known, preprocessing=lambda picture: known.preprocessing(picture))


class Covered(Visualizer):
    name = "covered"

    def compute(self, captured):
        rows = [(image.id, -1 if image.mask is None else image.mask.mean()) for image in captured.images]
        return Result(tables={"covered": Table(image=[row[0] for row in rows], share=[row[1] for row in rows])})


@hookimpl
def interpretkit_visualizers():
    yield Covered


@hookimpl
def interpretkit_models():
    yield Free
    yield Own
"""


def test_steps_see_masks_and_a_run_says_which_model_has_none(folder):
    mask = np.zeros((6, 8), np.uint8)
    mask[:3, :2] = 7
    Image.fromarray(mask).save("a_mask.png")
    Path("list.csv").write_text("path,mask\nimages/a.png,a_mask.png\nimages/b.png,\n")
    plugin = Path("plugin.py").read_text().split("@hookimpl", maxsplit=1)[0]
    models = "models: {known: {uses: free}, own: {uses: own}}"
    Path("plugin.py").write_text(plugin + MASKED)
    steps = [f"{{id: covered_{key}, uses: covered, model: {key}}}" for key in ("known", "own")]
    Path("masks.yaml").write_text(
        f"{{schema: interpretkit/1, name: masks, {models}, inputs: [list.csv], steps: [{', '.join(steps)}]}}"
    )
    opened = ik.run("masks.yaml", plugins=["plugin.py"])
    shares = {key: opened.results[f"covered_{key}"].tables["covered"]["share"].tolist() for key in ("known", "own")}
    assert shares == {"known": [0.125, -1.0], "own": [-1.0, -1.0]}
    assert [list(image["masks"]) for image in opened.manifest["inputs"]] == [["known"], []]
    assert opened.manifest["inputs"][0]["masks"]["known"]["inside"] == 0.125
    (alert,) = [alert for alert in opened.manifest["alerts"] if "no masks" in alert]
    assert "(own)" in alert
    bare = ik.run("masks.yaml", images=["images/a.png"], plugins=["plugin.py"])
    assert not any("no masks" in alert for alert in bare.manifest["alerts"])


READER = """
from interpretkit import Reads, Result, Table, Visualizer


class Either(Visualizer):
    name = "either"
    yields = "statistics"
    reads = Reads("statistics", least=0)

    def compute(self, captured):
        ids = [image.id for image in captured.images]
        return Result(tables={"read": Table(image=ids, steps=[",".join(captured.results)] * len(ids))})


@hookimpl
def interpretkit_visualizers():
    yield Either
"""


def test_a_step_that_may_read_runs_with_and_without_an_earlier_one(folder):
    Path("plugin.py").write_text(Path("plugin.py").read_text() + READER)
    steps = "{id: stats, uses: either}, {id: alone, uses: either}, {id: reader, uses: either, of: [stats]}"
    Path("reads.yaml").write_text(
        f"{{schema: interpretkit/1, name: reads, model: {{uses: free}}, inputs: [images/a.png], steps: [{steps}]}}"
    )
    opened = ik.run("reads.yaml", plugins=["plugin.py"])
    found = {name: result.tables["read"]["steps"].tolist() for name, result in opened.results.items()}
    assert found == {"stats": [""], "alone": [""], "reader": ["stats"]}
