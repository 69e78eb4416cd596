"""Scores against a mask: each held against a slow derivation over pixels, and what chance brings against many maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import interpretkit as ik
from interpretkit.testing import check_visualizer, tiny_images, tiny_model
from interpretkit_compare.localization import energy_inside, intersection, near, overlap, pointing, rank_accuracy
from interpretkit_compare.localization_scores import Localization

RANDOM = np.random.default_rng(3)
VALUES = RANDOM.standard_normal((12, 15))
MASK = RANDOM.random((12, 15)) < 0.2


def pixels(shape):
    return ik.Grid.even(shape, shape)


def upsampled(values, shape):
    """Repeat every cell over its pixels, where they divide evenly."""
    return np.kron(values, np.ones([long // short for long, short in zip(shape, values.shape, strict=True)]))


def hits(point, mask, tolerance):
    """Whether TorchRay's pointing game is won: a pixel of the mask lies less than the tolerance away."""
    y, x = np.nonzero(mask)
    squares = (y - point[0]) ** 2 + (x - point[1]) ** 2
    return bool((squares < tolerance**2).any())


@pytest.mark.parametrize("tolerance", [1, 1.5, 2, 5, 15, 100])
def test_the_pointing_game_is_that_of_torchray(tolerance):
    mask = np.zeros((9, 14), bool)
    mask[2, 3] = mask[7, 4] = mask[7, 13] = True
    for point in np.ndindex(*mask.shape):
        values = np.zeros(mask.shape)
        values[point] = 1.0
        found = pointing(values, mask, pixels(mask.shape), tolerance=tolerance)
        assert found == hits(point, mask, tolerance), point
        assert near(mask, tolerance)[point] == hits(point, mask, tolerance)


def test_without_a_tolerance_the_mask_itself_counts():
    np.testing.assert_array_equal(near(MASK, 0), MASK)
    np.testing.assert_array_equal(near(MASK, 1), MASK)
    assert not near(np.zeros((4, 5), bool), 3).any()


def test_of_cells_that_tie_the_share_that_points_near_counts():
    mask = np.zeros((8, 8), bool)
    mask[0, 0] = True
    # The middles of the cells are (2, 2), (2, 6), (6, 2), (6, 6).
    values = np.array([[1.0, 1.0], [1.0, 0.0]])
    grid = ik.Grid.even((2, 2), (8, 8))
    assert pointing(values, mask, grid, tolerance=2.5) == 0
    assert pointing(values, mask, grid, tolerance=3) == pytest.approx(1 / 3)
    assert pointing(values, mask, grid, tolerance=6.4) == pytest.approx(1)


def test_energy_is_the_relevance_mass_accuracy_of_clevr_xai():
    positive = np.where(VALUES > 0, VALUES, 0.0)
    expected = sum(positive[at] for at in zip(*np.nonzero(MASK), strict=True)) / positive.sum()
    assert energy_inside(VALUES, MASK, pixels(MASK.shape)) == pytest.approx(expected, abs=1e-12)


def test_rank_accuracy_is_the_share_of_the_greatest_pixels_inside():
    inside = {*np.flatnonzero(MASK)}
    greatest = sorted(range(VALUES.size), key=lambda at: -VALUES.flat[at])
    expected = len(inside & {*greatest[: len(inside)]}) / len(inside)
    found = rank_accuracy(VALUES, MASK, pixels(MASK.shape))
    assert found == pytest.approx(expected, abs=1e-12)
    assert overlap(VALUES, MASK, pixels(MASK.shape)) == pytest.approx(found / (2 - found), abs=1e-12)


@pytest.mark.parametrize("count", [1, 18, 90, 180])
def test_the_intersection_is_that_of_the_top_k_pixels(count):
    greatest = sorted(range(VALUES.size), key=lambda at: -VALUES.flat[at])[:count]
    expected = sum(MASK.flat[at] for at in greatest) / count
    found = intersection(VALUES, MASK, pixels(MASK.shape), share=count / VALUES.size)
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("cells", [(4, 5), (3, 3), (12, 3)])
def test_a_coarse_map_scores_as_its_pixels_do_on_average_over_the_orders_of_those_that_tie(cells):
    values, grid = RANDOM.standard_normal(cells), ik.Grid.even(cells, MASK.shape)
    fine, size = upsampled(values, MASK.shape), int(MASK.sum())
    ranks, tops = [], []
    for _ in range(4000):
        order = np.lexsort((RANDOM.random(fine.size), -fine.ravel()))
        ranks.append(MASK.ravel()[order[:size]].mean())
        tops.append(MASK.ravel()[order[:20]].mean())
    assert rank_accuracy(values, MASK, grid) == pytest.approx(np.mean(ranks), abs=0.01)
    assert intersection(values, MASK, grid, share=20 / MASK.size) == pytest.approx(np.mean(tops), abs=0.01)
    positive = fine.clip(0)
    assert energy_inside(values, MASK, grid) == pytest.approx(positive[MASK].sum() / positive.sum(), abs=1e-12)


def test_a_map_of_the_mask_is_perfect_and_its_opposite_scores_nothing():
    grid, share = pixels(MASK.shape), MASK.mean() / 2
    for values, expected in ((MASK * 1.0, 1.0), (~MASK * 1.0, 0.0)):
        assert energy_inside(values, MASK, grid) == pytest.approx(expected, abs=1e-12)
        assert rank_accuracy(values, MASK, grid) == expected
        assert intersection(values, MASK, grid, share=share) == pytest.approx(expected)
        assert pointing(values, MASK, grid) == expected


@pytest.mark.parametrize("measure", [rank_accuracy, lambda *given: intersection(*given, share=0.1)])
def test_what_has_no_order_and_an_empty_mask_are_not_scored(measure):
    grid = pixels(MASK.shape)
    assert np.isnan(measure(np.zeros(MASK.shape), MASK, grid))
    assert np.isnan(measure(VALUES, np.zeros_like(MASK), grid))
    assert np.isnan(measure(np.where(MASK, np.nan, 1.0), MASK, grid))


@pytest.fixture
def model():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, stride=4, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return ik.wrap(net.eval(), transform=ik.Preprocessing(resize=None, crop=16), output=ik.Classes())


@pytest.fixture
def listed(tmp_path):
    """Two images of 16×16 pixels; the first has a mask."""
    for name in ("one", "two"):
        Image.fromarray(RANDOM.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(tmp_path / f"{name}.png")
    mask = np.zeros((16, 16), np.uint8)
    mask[3:9, 2:6] = 1
    Image.fromarray(mask).save(tmp_path / "mask.png")
    (tmp_path / "list.csv").write_text("path,mask\none.png,mask.png\ntwo.png,\n")
    return str(tmp_path / "list.csv")


def test_the_table_has_the_scores_of_each_map_and_what_they_are_by_chance(model, listed):
    steps = {"cam": ik.step("grad_cam", layers=["0"], target=1), "pixels": ik.step("saliency", target=1)}
    steps["where"] = ik.step("localization", of=["cam", "pixels"], tolerance=3.0, share=0.1)
    found = ik.visualize(model, listed, steps)
    table = found["where"].tables["localization"]
    one = table.where("image", "one")
    assert one["attribution"].tolist() == ["cam/0", "pixels/input"]
    mask = found["where"].images[0].mask
    by_chance = np.mean([hits(point, mask, 3) for point in np.ndindex(16, 16)])
    np.testing.assert_allclose(one["pointing_chance"], by_chance)
    np.testing.assert_allclose(one["inside"], 24 / 256)
    for row, (name, layer) in enumerate((("cam", "0"), ("pixels", "input"))):
        each = found[name].maps[layer]
        values = each.values[0].astype(float)
        assert one["energy"][row] == energy_inside(values, mask, each.grid)
        assert one["pointing"][row] == pointing(values, mask, each.grid, tolerance=3)
        assert one["rank_accuracy"][row] == rank_accuracy(values, mask, each.grid)
        assert one["iou"][row] == overlap(values, mask, each.grid)
        assert one["intersection"][row] == intersection(values, mask, each.grid, share=0.1)
    two = table.where("image", "two")
    for name in ("pointing", "energy", "rank_accuracy", "iou", "intersection", "pointing_chance", "inside"):
        assert np.isnan(two[name]).all(), name


def test_a_run_says_which_images_have_no_mask(model, listed, tmp_path):
    steps = [
        {"id": "cam", "uses": "grad_cam", "with": {"layers": ["0"], "target": 1}},
        {"id": "where", "uses": "localization", "of": ["cam"], "with": {"tolerance": 3.0}},
    ]
    said = []
    recipe = {"schema": "interpretkit/1", "name": "masks", "steps": steps, "checks": "none"}
    run = ik.run(recipe, model=model, images=listed, output=tmp_path / "runs", listen=said.append)
    assert run.status == "complete"
    assert "where: without a mask, nothing is known of two" in [event.text for event in said]


def test_random_maps_score_what_the_table_says_of_chance(model, listed):
    count = 400
    steps = {f"map{seed}": ik.step("random_map", target=0, seed=seed) for seed in range(count)}
    steps["where"] = ik.step("localization", of=list(steps), tolerance=3.0)
    table = ik.visualize(model, listed, steps)["where"].tables["localization"].where("image", "one")
    assert len(table) == count
    scores = {"pointing": "pointing_chance", "energy": "inside", "rank_accuracy": "inside", "intersection": "inside"}
    for name, chance in scores.items():
        error = table[name].std() / np.sqrt(count)
        assert abs(table[name].mean() - table[chance][0]) < 4 * error, name


@pytest.mark.parametrize(("tolerance", "words"), [(0.0, "lies in the mask"), (3.0, "lies less than 3 pixels from")])
def test_the_caption_says_what_counts_and_what_chance_brings(model, listed, tolerance, words):
    steps = {"cam": ik.step("grad_cam", layers=["0"], target=1)}
    steps["where"] = ik.step("localization", of=["cam"], tolerance=tolerance)
    found = ik.visualize(model, listed, steps)
    masked, bare = ik.draw(found["where"])
    assert words in masked.caption
    assert "(each by chance 0.09)" in masked.caption
    assert "(each by chance undefined)" in bare.caption
    assert "cam/0: 1 " in masked.alt


def test_localization_keeps_the_contract():
    cam = ik.visualize(tiny_model(), tiny_images(), "grad_cam", layers=["features"])
    check_visualizer(Localization, of={"cam": cam})
