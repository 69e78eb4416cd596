from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from torch import nn

import interpretkit as ik
from interpretkit.testing import check_visualizer, tiny_images, tiny_model
from interpretkit_compare.depth_sweep import DepthSweep
from interpretkit_compare.localization import energy_inside, overlap, pointing, positive_entropy

RANDOM = np.random.default_rng(0)
QUARTERS = np.array([[4.0, 0.0], [1.0, -9.0]])


def in_pixels(values, mask):
    """Repeat every cell over its pixels, where they divide evenly."""
    return np.kron(values, np.ones([pixels // cells for pixels, cells in zip(mask.shape, values.shape, strict=True)]))


def evenly(measure, values, mask):
    return measure(values, mask, ik.Grid.even(values.shape, mask.shape))


def test_entropy_is_scipys_over_the_logarithm_of_the_cells():
    values = RANDOM.standard_normal((5, 7))
    expected = stats.entropy(values.clip(0).ravel()) / np.log(35)
    assert positive_entropy(values) == pytest.approx(expected, abs=1e-12)
    assert positive_entropy(values * 1e-320) == pytest.approx(expected, abs=1e-2)
    assert positive_entropy(np.full((3, 3), 0.2)) == pytest.approx(1)
    assert positive_entropy(np.array([[0.0, 5.0, -1.0]])) == 0
    # By hand: 4/5 and 1/5 of the positive part in two of four cells.
    assert positive_entropy(QUARTERS) == pytest.approx(-(0.8 * np.log(0.8) + 0.2 * np.log(0.2)) / np.log(4), abs=1e-12)


@pytest.mark.parametrize("grid", [(4, 4), (2, 8), (8, 2)])
def test_the_energy_inside_is_that_of_a_sum_over_pixels(grid):
    values, mask = RANDOM.standard_normal(grid), RANDOM.random((8, 8)) < 0.3
    fine = in_pixels(values, mask).clip(0)
    assert evenly(energy_inside, values, mask) == pytest.approx(fine[mask].sum() / fine.sum(), abs=1e-12)
    assert evenly(energy_inside, values, ~mask) == pytest.approx(1 - evenly(energy_inside, values, mask), abs=1e-12)
    assert evenly(energy_inside, np.ones(grid), mask) == pytest.approx(mask.mean(), abs=1e-12)


def test_a_cell_that_does_not_fit_the_pixels_counts_with_its_area():
    mask = np.array([[True, True, False, False, False]])
    # Three cells over five pixels: the mask covers the first of 5/3 pixels, and 1/3 of a pixel of the second.
    assert evenly(energy_inside, np.array([[1.0, 3.0, 0.0]]), mask) == pytest.approx(
        (1 + 3 * (1 / 3) / (5 / 3)) / 4, abs=1e-12
    )


def test_the_greatest_cell_points_to_the_pixel_in_its_middle():
    values = np.zeros((3, 2))
    values[1, 1] = 2.0
    mask = np.zeros((9, 10), bool)
    mask[4, 7] = True
    assert evenly(pointing, values, mask) == 1
    assert evenly(pointing, values, ~mask) == 0
    values[0, 0] = 2.0
    assert evenly(pointing, values, mask) == 0.5


def test_the_overlap_is_the_iou_of_as_many_pixels_as_the_mask_has():
    values = RANDOM.standard_normal((4, 4))
    mask = np.zeros((8, 8), bool)
    mask[1:5, 2:6] = True
    top = in_pixels(values >= np.sort(values, axis=None)[-4], mask) > 0
    assert top.sum() == mask.sum()
    assert evenly(overlap, values, mask) == pytest.approx((top & mask).sum() / (top | mask).sum(), abs=1e-12)
    # By hand: three pixels of sixteen; the greatest cell has four, and is taken with 3/4 of each of them.
    mask = np.zeros((4, 4), bool)
    mask[0, :2] = mask[3, 3] = True
    assert evenly(overlap, QUARTERS, mask) == pytest.approx(2 * 0.75 / (2 + 1 + 2 * 0.75), abs=1e-12)


@pytest.mark.parametrize("measure", [energy_inside, pointing, overlap])
def test_what_has_no_place_is_not_localised(measure):
    mask = np.eye(4, dtype=bool)
    assert np.isnan(evenly(measure, np.ones((2, 2)) * -np.arange(2), np.zeros((4, 4), bool)))
    assert np.isnan(evenly(measure, np.array([[np.nan, 1.0]]), mask))
    assert np.isnan(evenly(measure, np.zeros((2, 2)), mask))
    assert evenly(measure, QUARTERS, np.ones((4, 4), bool)) == 1


def test_nothing_positive_and_a_single_cell_have_no_entropy():
    assert np.isnan(positive_entropy(np.zeros((2, 2))))
    assert np.isnan(positive_entropy(np.full((2, 2), -1.0)))
    assert np.isnan(positive_entropy(np.array([[np.inf, 1.0]])))
    assert np.isnan(positive_entropy(np.array([[2.0]])))


@pytest.fixture
def model() -> ik.Model:
    torch.manual_seed(0)
    net = nn.Sequential()
    for name, channels in (("stage1", 3), ("stage2", 4), ("stage3", 5)):
        net.add_module(name, nn.Sequential(nn.Conv2d(channels, channels + 1, 3, stride=2, padding=1), nn.ReLU()))
    net.add_module("head", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)))
    # So that something speaks for each class at the last stage.
    nn.init.uniform_(net.head[2].weight, -0.1, 1)
    return ik.wrap(net.eval(), transform=ik.Preprocessing(resize=None, crop=16), classes=["a", "b", "c"])


@pytest.fixture
def paths(tmp_path):
    """Two images of 20 × 18 pixels, of which 16 × 16 are fed; the first has a mask."""
    for name in ("one", "two"):
        Image.fromarray(RANDOM.integers(0, 256, (18, 20, 3), dtype=np.uint8)).save(tmp_path / f"{name}.png")
    mask = np.zeros((18, 20), np.uint8)
    mask[1:9, 2:14] = 1
    Image.fromarray(mask).save(tmp_path / "mask.png")
    (tmp_path / "list.csv").write_text("path,mask\none.png,mask.png\ntwo.png,\n")
    return str(tmp_path / "list.csv")


LAYERS = ["stage1", "stage2", "stage3"]


def test_every_layer_is_measured_against_the_mask_and_the_last_layer(model, paths, slowly_averaged):
    cam = ik.visualize(model, paths, "grad_cam", layers=LAYERS, target="b")
    found = ik.visualize(model, paths, "depth_sweep", of={"cam": cam})
    rows = found.tables["depth"].where("image", "one")
    assert rows["layer"].tolist() == LAYERS
    assert rows["depth"].tolist() == [0, 1, 2]
    assert rows["height"].tolist() == [8, 4, 2]
    inside = np.zeros((16, 16), bool)
    inside[0:8, 0:12] = True
    np.testing.assert_array_equal(found.images[0].mask, inside)
    last = cam.maps["stage3"].values[0].astype(float)
    for number, layer in enumerate(LAYERS):
        values = cam.maps[layer].values[0].astype(float)
        # Cells of padded convolutions whose steps fill the image tile it.
        own = [(len(values), 2.0**number, 2.0 ** (number + 1))] * 2
        coarse = slowly_averaged(values, own, [(2, 4.0, 8.0)] * 2, (16, 16))
        assert rows["agreement"][number] == pytest.approx(stats.spearmanr(coarse.ravel(), last.ravel()).statistic)
        part = slowly_averaged(inside.astype(float), [(16, 0.5, 1.0)] * 2, own, (16, 16))
        positive = values.clip(0)
        assert rows["energy"][number] == pytest.approx((positive * part).sum() / positive.sum())
        assert rows["entropy"][number] == pytest.approx(positive_entropy(values))
        assert rows["inside"][number] == inside.mean()
    assert rows["agreement"][2] == 1
    other = found.tables["depth"].where("image", "two")
    assert all(np.isnan(other[name]).all() for name in ("energy", "pointing", "overlap", "inside"))


@pytest.mark.parametrize("padding", [0, 2])
def test_of_dots_that_a_cell_each_saw_all_are_pointed_to_whatever_the_padding(tmp_path, padding):
    # Convolutions that hand on the value in their middle: each dot is seen by one cell after the pooling.
    net = nn.Sequential(
        nn.Conv2d(1, 1, 5, padding=padding),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(1, 1, 5, padding=padding),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(1, 2),
    )
    for convolution in (net[0], net[3]):
        nn.init.zeros_(convolution.weight)
        nn.init.zeros_(convolution.bias)
        convolution.weight.data[0, 0, 2, 2] = 1
    nn.init.ones_(net[7].weight)
    rows = ["path,mask"]
    for number, (y, x) in enumerate([(8, 8), (8, 20), (20, 8), (15, 13)]):
        pixels, mask = np.zeros((2, 28, 28), np.uint8)
        pixels[y, x] = 255
        mask[y - 1 : y + 2, x - 1 : x + 2] = 1
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        Image.fromarray(mask).save(tmp_path / f"{number}-mask.png")
        rows.append(f"{number}.png,{number}-mask.png")
    (tmp_path / "list.csv").write_text("\n".join(rows))
    grey = ik.Preprocessing(resize=None, crop=28, mean=(0.0,), std=(1.0,))
    model = ik.wrap(net.eval(), transform=grey, output=ik.Classes())
    cam = ik.visualize(model, str(tmp_path / "list.csv"), "grad_cam", layers=["0", "3"], target=0)
    depth = ik.visualize(model, str(tmp_path / "list.csv"), "depth_sweep", of={"cam": cam}).tables["depth"]
    assert depth.where("layer", "0")["pointing"].tolist() == [1, 1, 1, 1]
    assert depth.where("layer", "3")["pointing"].tolist() == [1, 1, 1, 1]
    assert (depth.where("layer", "3")["energy"] > 0.99).all()
    # And the picture is brightest where the dot is: where it lies, and not where an even tiling would have it.
    cells = cam.maps["3"]
    for position, (y, x) in enumerate([(8, 8), (8, 20), (20, 8), (15, 13)]):
        raised = cells.grid.raised(cells.values[position])
        assert raised[y, x] == pytest.approx(raised.max(), rel=0.45)
        greatest = np.unravel_index(raised.argmax(), raised.shape)
        assert np.abs(np.subtract(greatest, (y, x))).max() <= 1


@pytest.mark.parametrize("view", ["overlay", "native"])
def test_the_figure_tells_layers_target_and_mask_where_there_is_one(model, paths, view):
    cam = ik.visualize(model, paths, "grad_cam", layers=LAYERS, target="b")
    found = ik.visualize(model, paths, "depth_sweep", of={"cam": cam}, view=view)
    masked, bare = ik.draw(found)
    assert "the mask covers 38 % of the image" in masked.caption
    assert "mask" not in bare.caption
    for figure, target in zip((masked, bare), cam.targets, strict=True):
        assert str(target) in figure.alt
        assert "From stage1 to stage3" in figure.caption


def test_one_layer_has_no_depth_and_several_classes_no_one_map(model, paths):
    cam = ik.visualize(model, paths, "grad_cam", layers=["stage3"])
    with pytest.raises(ik.StepError, match="step 'cam' has one map, of stage3"):
        ik.visualize(model, paths, "depth_sweep", of={"cam": cam})
    cam = ik.visualize(model, paths, "grad_cam", layers=LAYERS, target={"top": 2})
    with pytest.raises(ik.StepError, match="step 'cam' explains several classes"):
        ik.visualize(model, paths, "depth_sweep", of={"cam": cam})


def test_flat_maps_are_drawn_as_undefined(model, paths):
    cam = ik.visualize(model, paths, "grad_cam", layers=LAYERS)
    flat = {name: replace(each, values=np.zeros_like(each.values)) for name, each in cam.maps.items()}
    found = ik.visualize(model, paths, "depth_sweep", of={"cam": replace(cam, maps=flat)})
    assert "undefined to undefined" in ik.draw(found)[0].caption


def test_depth_sweep_keeps_the_contract():
    cam = ik.visualize(tiny_model(), tiny_images(), "grad_cam", layers=["features.0", "features"])
    check_visualizer(DepthSweep, of={"cam": cam})


@pytest.mark.parametrize(
    ("view", "words"), [("overlay", "in steps below the signal"), ("native", "signed, in steps")], ids=str
)
def test_maps_of_a_signal_are_no_grey_photo(view, words):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv1d(1, 3, 3), nn.Conv1d(3, 2, 3), nn.AdaptiveAvgPool1d(1), nn.Flatten())
    steps = {"cam": ik.step("grad_cam", layers=["0", "1"]), "deep": ik.step("depth_sweep", of=["cam"], view=view)}
    found = ik.visualize(ik.wrap(net.eval(), output=ik.Classes()), torch.rand(1, 1, 20), steps)
    (figure,) = ik.draw(found["deep"])
    assert f"Maps of cam from layer to layer: {words}, each on a scale of its own." in figure.caption
    assert "photo" not in figure.caption
