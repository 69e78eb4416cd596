"""Runs as a whole: several models, images of several sizes, sameness of two runs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import interpretkit as ik
from interpretkit.rundir import verify

PLUGIN = """
from torch import nn
from interpretkit import Model, ModelBuilder, Preprocessing, hookimpl


class Free(ModelBuilder):
    '''A net for images of any size.'''
    name = "free"

    class Options(ModelBuilder.Options):
        width: int = 4
        '''Channels.'''

    def build(self, state):
        net = nn.Sequential(nn.Conv2d(3, self.options.width, 3, padding=1), nn.ReLU(inplace=True))
        net.add_module("pool", nn.AdaptiveAvgPool2d(1))
        net.add_module("flat", nn.Flatten())
        net.add_module("head", nn.Linear(self.options.width, 3))
        return Model(module=net, name=f"Free-{self.options.width}", preprocessing=Preprocessing(resize=None, crop=None))


@hookimpl
def interpretkit_models():
    yield Free
"""

RECIPE = """schema: interpretkit/1
name: both
models:
  narrow: {uses: free}
  wide: {uses: free, with: {width: 6}}
inputs: [images]
steps:
  - {id: agreement, uses: compare, of: [cam_narrow, cam_wide]}
  - {id: cam_narrow, uses: grad_cam, model: narrow, with: {layers: ["1"], target: 0}}
  - {id: cam_wide, uses: grad_cam, model: wide, with: {layers: ["1"], target: 0}}
  - {id: stats, uses: channel_stats, model: wide, with: {layers: ["1"]}}
numerics: {seed: 3, batch_size: 2, dtype: float64}
"""

SIZES = {"a": (8, 6), "b": (8, 6), "c": (5, 9), "d": (8, 6)}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    generator = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for name, (width, height) in SIZES.items():
        pixels = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{name}.png")
    (tmp_path / "plugin.py").write_text(PLUGIN)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(**more):
    return ik.run("recipe.yaml", plugins=["plugin.py"], **more)


def test_models_and_images_of_different_sizes_go_through_one_recipe(folder):
    opened = run()
    assert opened.status == "complete"
    assert [step["id"] for step in opened.manifest["steps"]] == ["cam_narrow", "cam_wide", "agreement", "stats"]
    assert {image["id"] for image in opened.manifest["inputs"]} == set(SIZES)
    for name, (width, height) in SIZES.items():
        assert opened.result("cam_wide", image=name).maps["1"].values.shape == (1, height, width)
        pictures = next(image for image in opened.manifest["inputs"] if image["id"] == name)["pictures"]
        assert sorted(pictures) == ["narrow", "wide"]
    pairs = opened.results["agreement"].tables["pairs"]
    assert len(pairs) == len(SIZES) * 4
    assert set(pairs["first"].tolist()) == {"cam_narrow/1", "cam_wide/1"}
    counted = sum(width * height for width, height in SIZES.values())
    assert opened.results["stats"].tables["channels"]["count"].tolist() == [counted] * 6
    assert verify(opened.path) == []


def test_results_equal_those_of_the_plain_network(folder):
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


def test_a_second_run_gives_the_same_arrays_bit_for_bit(folder):
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


def test_the_resolved_recipe_gives_the_same_run(folder):
    first = run()
    again = ik.run(first.path / "resolved.yaml", plugins=["plugin.py"])
    hashes = [[m["sha256"] for step in each.manifest["steps"] for m in step["maps"]] for each in (first, again)]
    assert hashes[0] == hashes[1]
    assert (again.path / "resolved.yaml").read_text() == (first.path / "resolved.yaml").read_text()


def test_random_weights_are_said_everywhere(folder):
    opened = run()
    assert len(opened.manifest["alerts"]) == 2
    assert all("RANDOM WEIGHTS" in alert for alert in opened.manifest["alerts"])
    for step in opened.manifest["steps"]:
        assert step["figures"]
        assert all("RANDOM WEIGHTS" in figure["caption"] for figure in step["figures"])
    assert "RANDOM WEIGHTS" in (opened.path / "report.html").read_text()
    assert opened.manifest["models"]["wide"]["notes"] == ["untrained"]


def test_numerics_are_put_back_as_they_were(folder):
    torch.manual_seed(11)
    state, deterministic = torch.get_rng_state(), torch.are_deterministic_algorithms_enabled()
    run()
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.are_deterministic_algorithms_enabled() == deterministic
    assert torch.get_default_dtype() == torch.float32


def test_a_labelled_set_can_be_explained_by_its_labels(folder):
    (folder / "set.csv").write_text("path,label\nimages/a.png,2\nimages/c.png,1\n")
    opened = run(images=["set.csv"], set={"steps.cam_wide.with.target": "label"})
    assert opened.status == "complete"
    found = {image.id: target.index for image, target in zip(*_of(opened, "cam_wide"), strict=True)}
    assert found == {"a": 2, "c": 1}


def _of(opened, step):
    parts = [opened.result(step, image=image["id"]) for image in opened.manifest["inputs"]]
    return [part.images[0] for part in parts], [part.targets[0] for part in parts]
