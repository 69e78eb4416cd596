"""Signals and volumes all the way: numbers, tables, and a run whose figures cannot be drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import interpretkit as ik

PLUGIN = """
import numpy as np
import torch
from torch import nn
from interpretkit import Classes, Model, ModelBuilder, hookimpl


class Volumes(ModelBuilder):
    name = "volumes"

    def build(self, state):
        torch.manual_seed(0)
        head = [nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(3, 2)]
        net = nn.Sequential(nn.Conv3d(1, 3, 3, stride=2, padding=1), nn.ReLU(), *head)
        return Model(module=net.eval(), preprocessing=stacked)


def stacked(picture):
    values = np.array(picture.resize((12, 8)).convert("L"), np.float32) / 255
    rows = torch.from_numpy(values)[None, None]
    return torch.cat([rows, 1 - rows, rows, rows, 1 - rows, rows], 1)


@hookimpl
def interpretkit_models():
    yield Volumes
"""
RECIPE = """
schema: interpretkit/1
name: volumes
model: {uses: volumes}
inputs: [sample:grace_hopper]
steps:
  - {id: cam, uses: grad_cam, with: {layers: ["1"], target: 1}}
  - {id: quiet, uses: saliency, with: {target: 1}, figures: false}
"""


def pooled(axes: int) -> nn.Sequential:
    """Average pooling and a linear layer over the squares of cells of a convolution."""
    torch.manual_seed(axes)
    convolution, pooling = {1: (nn.Conv1d, nn.AvgPool1d), 3: (nn.Conv3d, nn.AvgPool3d)}[axes]
    net = nn.Sequential(convolution(2, 3, 1, bias=False), Square(), pooling(4), nn.Flatten(), nn.Linear(3, 2))
    return net.double().eval()


class Square(nn.Module):
    def forward(self, x):
        return x * x


@pytest.mark.parametrize("axes", [1, 3])
def test_every_kind_of_number_has_its_closed_form(axes):
    """Of s = Σ_k v_k mean((W x)_k²), with W over channels, all attributions can be written down."""
    net, size = pooled(axes), (4,) * axes
    given = torch.randn(3, 2, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    model = ik.wrap(net, name="net")
    mixing = net[0].weight.detach().numpy().reshape(3, 2)
    values = net[4].weight.detach().numpy()[1]
    cells, inputs = 4**axes, given.numpy()
    features = np.einsum("kc,nc...->nk...", mixing, inputs)
    slopes = np.einsum("k,nk...,kc->nc...", 2 * values / cells, features, mixing)

    def maps(visualizer, **options):
        return next(iter(ik.visualize(model, given, visualizer, **options).maps.values())).values

    grid = ik.visualize(model, given, "feature_grid", layers=["0"])
    assert np.allclose(grid.maps["0"].values, features)
    means = grid.tables["channels"].where("image", "image2")["mean"]
    assert np.allclose(means, features[2].reshape(3, -1).mean(1))
    # The gradient at the squares is v / cells everywhere.
    cam = np.einsum("k,nk...->n...", values / cells, features**2)
    assert np.allclose(maps("grad_cam", layers=["1"], target=1), cam)
    assert np.allclose(maps("saliency", target=1), np.abs(slopes).max(1))
    # From 0 on, half of x times the slope; captum keeps the weights of the quadrature in float32.
    gradients = maps("integrated_gradients", target=1)
    assert np.allclose(gradients, (inputs * slopes).sum(1) / 2, rtol=1e-7)
    for image, score in zip(gradients, net(given)[:, 1].tolist(), strict=True):
        assert image.sum() + float(net[4].bias.detach()[1]) == pytest.approx(score, rel=1e-7)


@pytest.mark.parametrize("visualizer", ["grad_cam", "feature_grid", "integrated_gradients", "full_grad"])
@pytest.mark.parametrize(("axes", "named"), [(1, r"\(x\)"), (3, r"\(z, y, x\)")])
def test_figures_are_refused_in_one_line_and_the_result_is_there(visualizer, axes, named):
    given = torch.randn(1, 2, *(4,) * axes, dtype=torch.float64)
    options = {"layers": ["1"]} if visualizer in ("grad_cam", "feature_grid") else {}
    model = ik.wrap(pooled(axes))
    result = ik.visualize(model, given, visualizer, **options)
    assert all(each.values.ndim > axes for each in result.maps.values())
    with pytest.raises(ik.StepError, match=rf"^step '{visualizer}'.*this one is {named}.*figures: false") as caught:
        ik.draw(result)
    assert "\n" not in str(caught.value)


def test_a_run_keeps_the_maps_of_volumes_that_it_cannot_draw(tmp_path):
    (tmp_path / "plugin.py").write_text(PLUGIN)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    run = ik.run(tmp_path / "recipe.yaml", plugins=[tmp_path / "plugin.py"], output=tmp_path / "runs")
    cam, quiet = run.manifest["steps"]
    assert (cam["status"], quiet["status"]) == ("failed", "complete")
    assert "this one is (z, y, x), 3×4×6 cells" in cam["error"]
    found = run.results["cam"].maps["1"]
    assert found.dims == ("image", "z", "y", "x")
    assert dict(found.extent) == {"z": 6, "y": 8, "x": 12}
    assert run.results["quiet"].maps["input"].values.shape == (1, 6, 8, 12)
