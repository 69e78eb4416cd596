"""Signals and volumes all the way: numbers, tables, figures, comparisons, and a run."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import interpretkit as ik
from interpretkit.figures import maps as flat
from interpretkit.figures.slices import strongest
from interpretkit.runs.pictures import encoded, read_picture

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


@pytest.mark.parametrize("axes", [1, 3])
def test_relevance_is_input_times_gradient_without_biases(axes):
    torch.manual_seed(0)
    convolution, norm, pooling = {
        1: (nn.Conv1d, nn.BatchNorm1d, nn.AdaptiveAvgPool1d),
        3: (nn.Conv3d, nn.BatchNorm3d, nn.AdaptiveAvgPool3d),
    }[axes]
    layers = [
        convolution(2, 3, 3, bias=False),
        norm(3),
        nn.ReLU(),
        pooling(1),
        nn.Flatten(),
        nn.Linear(3, 2, bias=False),
    ]
    net = nn.Sequential(*layers).double().eval()
    given = torch.randn(2, 2, *(6,) * axes, dtype=torch.float64).requires_grad_()
    found = ik.visualize(ik.wrap(net), given.detach(), "lrp", target=1).maps["input"].values
    (gradient,) = torch.autograd.grad(net(given)[:, 1].sum(), given)
    # Without biases and with means of 0 the network is linear in what it is given, piece by piece.
    np.testing.assert_allclose(found, (given * gradient).sum(1).detach().numpy(), atol=1e-6)


def strided(axes: int) -> ik.Model:
    """A convolution of stride 2 without padding, and a linear layer over its cells."""
    torch.manual_seed(axes)
    convolution = {1: nn.Conv1d, 3: nn.Conv3d}[axes]
    net = nn.Sequential(convolution(2, 3, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 3**axes, 2))
    return ik.wrap(net.double().eval(), output=ik.Classes())


def inputs_of(axes: int) -> torch.Tensor:
    return torch.randn(2, 2, *(8,) * axes, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


STEPS = {
    "grad_cam": {"layers": ["1"]},
    "integrated_gradients": {},
    "full_grad": {},
    "feature_grid": {"layers": ["1"]},
    "channel_stats": {"layers": ["1"]},
    "channel_contributions": {"layers": ["1"], "random": 2},
    "exemplars": {"layers": ["1"]},
}


@pytest.mark.parametrize("axes", [1, 3])
@pytest.mark.parametrize("visualizer", STEPS)
def test_everything_is_drawn(axes, visualizer):
    drawn = ik.draw(ik.visualize(strided(axes), inputs_of(axes), visualizer, **STEPS[visualizer]))
    assert drawn
    for figure in drawn:
        assert figure.picture.width > 200
        assert "photo" not in figure.caption or axes == 3


@pytest.mark.parametrize("axes", [1, 3])
def test_maps_are_compared_whatever_their_axes_are(axes):
    both = {"cam": ik.step("grad_cam", layers=["0", "1"], target=1), "ig": ik.step("integrated_gradients", target=1)}
    steps = {
        **both,
        "features": ik.step("feature_grid", layers=["1"]),
        "agreement": ik.step("agreement", of=["cam", "ig"]),
        "compare": ik.step("compare", of=["features", "cam"]),
        "deletion_insertion": ik.step("deletion_insertion", of=["cam"], steps=4),
        "infidelity": ik.step("infidelity", of=["cam"], samples=4),
        "sensitivity_max": ik.step("sensitivity_max", of=["cam"], samples=2),
        "sparseness": ik.step("sparseness", of=["cam"]),
        "randomization_cascade": ik.step("randomization_cascade", of=["cam", "ig"]),
        "depth_sweep": ik.step("depth_sweep", of=["cam"]),
        "cka": ik.step("cka", of=["features"], examples="cells"),
    }
    found = ik.visualize(strided(axes), inputs_of(axes), steps)
    for name, result in found.items():
        assert ik.draw(result), name
    # A cell lies at pixel 1.5 + 2k along each axis: the pixels of the finer map around it are averaged.
    fine = found["ig"].maps["input"].values[0]
    own = found["cam"].maps["1"]
    assert own.spacing == dict.fromkeys("zyx"[3 - axes :], (1.5, 2.0))
    assert own.grid.cells == (3,) * axes
    pairs = found["agreement"].arrays["image0: ig/input"].values
    weights = np.zeros((3, 8))
    for cell in range(3):
        # Two pixels, from half of one to half of the one after the next.
        weights[cell, 2 * cell : 2 * cell + 3] = 0.25, 0.5, 0.25
    for axis in range(axes):
        fine = np.moveaxis(np.tensordot(weights, fine, (1, axis)), 0, axis)
    np.testing.assert_allclose(pairs, fine, atol=1e-12)


def test_an_exemplar_of_a_volume_is_the_slice_in_the_middle_of_what_its_cell_sees():
    net = nn.Sequential(nn.Conv3d(1, 1, 3), nn.Flatten())
    nn.init.zeros_(net[0].weight)
    nn.init.zeros_(net[0].bias)
    net[0].weight.data[0, 0, 1, 1, 1] = 1
    volume = torch.zeros(1, 1, 6, 7, 8)
    volume[0, 0, 3, 4, 5] = 1
    found = ik.visualize(ik.wrap(net.eval(), output=ik.Classes()), volume, "exemplars", layers=["0"])
    row = {name: column[0] for name, column in found.tables["exemplars"].columns.items()}
    assert [row[name] for name in ("z", "y", "x")] == [2, 3, 4]
    assert [row[name] for name in ("front", "top", "left")] == [2, 3, 4]
    assert [row[name] for name in ("depth", "height", "width")] == [3, 3, 3]
    cut = found.arrays["0"].values[0, 0]
    assert cut.shape == (3, 3, 3)
    assert cut[1, 1].tolist() == [255, 255, 255]
    assert cut.sum() == 3 * 255


def test_the_strongest_slices_of_a_volume_are_drawn_over_the_pixels_in_their_middles(monkeypatch):
    values = np.zeros((4, 2, 2))
    values[3, 0, 0], values[1, 1, 1] = 5.0, -7.0
    assert strongest(values) == [1, 2, 3]
    pixels = np.zeros((16, 8, 8, 3), np.uint8)
    for z in range(16):
        pixels[z] = 10 * z
    seen = []
    original = flat.overlay
    monkeypatch.setattr(
        flat,
        "overlay",
        lambda values, plane, **more: seen.append(int(plane[0, 0, 0])) or original(values, plane, **more),
    )
    ik.figures.attribution(values, pixels, title="t", polarity="signed")
    # Cells of four pixels: the middles of 1, 2 and 3 lie before the pixels 6, 10 and 14.
    assert seen == [60, 100, 140]


def test_slices_of_a_fine_map_share_the_scale_of_what_is_drawn_of_them(monkeypatch):
    values = np.random.default_rng(0).standard_normal((3, 112, 112))
    ends = []
    original = flat.overlay
    monkeypatch.setattr(
        flat, "overlay", lambda *given, **more: ends.append(more["greatest"]) or original(*given, **more)
    )
    ik.figures.attribution(values, np.zeros((3, 112, 112, 3), np.uint8), title="t", polarity="signed")
    means = values.reshape(3, 28, 4, 28, 4).mean((2, 4))
    assert ends == pytest.approx([means.max()] * 3)
    assert means.max() < values.max() / 2


def test_a_run_keeps_draws_and_opens_volumes(tmp_path):
    (tmp_path / "plugin.py").write_text(PLUGIN)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    run = ik.run(tmp_path / "recipe.yaml", plugins=[tmp_path / "plugin.py"], output=tmp_path / "runs")
    cam, quiet = run.manifest["steps"]
    assert (cam["status"], quiet["status"]) == ("complete", "complete")
    found = run.results["cam"].maps["1"]
    assert found.dims == ("image", "z", "y", "x")
    assert dict(found.extent) == {"z": 6, "y": 8, "x": 12}
    assert found.spacing == {}
    assert run.results["quiet"].maps["input"].values.shape == (1, 6, 8, 12)
    (image,) = run.results["cam"].images
    assert image.pixels.shape == (6, 8, 12, 3)
    np.testing.assert_array_equal(image.pixels[0], image.pixels[2])
    np.testing.assert_array_equal(image.pixels[0], 255 - image.pixels[1])


@pytest.mark.parametrize("count", [1, 2, 5, 9, 10])
def test_a_volume_comes_back_from_its_sheet_slice_by_slice(count, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (count, 4, 6, 3), np.uint8)
    (tmp_path / "a.png").write_bytes(encoded(pixels))
    np.testing.assert_array_equal(read_picture(tmp_path, "a.png"), pixels)
    (tmp_path / "b.png").write_bytes(encoded(pixels[0]))
    np.testing.assert_array_equal(read_picture(tmp_path, "b.png"), pixels[0])
