"""A run over many images holds no more of them than one over few."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SCRIPT = """
import json, resource
import numpy as np
from PIL import Image
import interpretkit as ik

pixels = np.random.default_rng(0).integers(0, 256, (200, 48, 48, 3), dtype=np.uint8)
for number, each in enumerate(pixels):
    Image.fromarray(each).save(f"{number:03}.png")
for images in (["0[01]?.png"], ["*.png"]):
    run = ik.run("recipe.yaml", images=images, plugins=["plugin.py"], output="runs")
    print(json.dumps({
        "status": run.status,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "images": len(run.manifest["inputs"]),
        "maps": {step["id"]: len(step["maps"]) for step in run.manifest["steps"]},
    }))
"""

PLUGIN = """
from torch import nn
from interpretkit import Model, ModelBuilder, Preprocessing, hookimpl


class Wide(ModelBuilder):
    '''A net whose maps are large beside its images.'''
    name = "wide"

    def build(self, state):
        net = nn.Sequential(nn.Conv2d(3, 128, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        net.append(nn.Linear(128, 3))
        return Model(module=net, preprocessing=Preprocessing(resize=None, crop=None))


@hookimpl
def interpretkit_models():
    yield Wide
"""

RECIPE = """schema: interpretkit/1
name: memory
model: {uses: wide}
inputs: [images]
steps:
  - {id: features, uses: feature_grid, with: {layers: ["1"], order: contribution}, figures: false}
  - {id: cam, uses: grad_cam, with: {layers: ["1"]}, figures: false}
  - {id: statistics, uses: channel_stats, with: {layers: ["1"]}, figures: false}
  - {id: exemplars, uses: exemplars, with: {layers: ["1"]}, figures: false}
numerics: {batch_size: 4, device: cpu}
"""

MAP = 128 * 48 * 48 * 4
"""Bytes of the maps of one image."""


@pytest.mark.skipif(sys.platform == "win32", reason="it has no getrusage")
def test_200_images_take_hardly_more_memory_than_20(tmp_path):
    (tmp_path / "plugin.py").write_text(PLUGIN)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True)
    few, many = map(json.loads, done.stdout.splitlines())
    for said, count in ((few, 20), (many, 200)):
        assert (said["status"], said["images"]) == ("complete", count)
        assert said["maps"] == {"features": count, "cam": count, "statistics": 0, "exemplars": 0}
    assert many["peak"] <= 1.2 * few["peak"]
    # macOS counts bytes, Linux kilobytes. torch alone takes 500 MB: what matters are the maps of 180 more images.
    more = (many["peak"] - few["peak"]) * (1 if sys.platform == "darwin" else 1024)
    assert more < 20 * MAP
