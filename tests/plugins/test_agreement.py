from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

import interpretkit as ik
from interpretkit.testing import check_visualizer, tiny_images, tiny_model
from interpretkit_compare.agreement import Agreement
from interpretkit_compare.measures import MEASURES
from interpretkit_compare.shuffles import Shuffles

COUNT = 7
GRIDS = {"a": (8, 8), "b": (4, 4), "c": (4, 8)}


@pytest.fixture
def results() -> dict[str, ik.Result]:
    """Maps of two steps that agree more and more from image to image, and one that is flat for the last image."""
    generator = np.random.default_rng(0)
    images = ik.visualize(tiny_model(), tiny_images(COUNT), "grad_cam", layers=["features"]).images
    common = generator.standard_normal((COUNT, 4, 4))
    maps = {}
    for name, grid in GRIDS.items():
        values = np.kron(common, np.ones((1, grid[0] // 4, grid[1] // 4)))
        noise = generator.standard_normal(values.shape) * np.linspace(3, 0.1, COUNT)[:, None, None]
        maps[name] = ik.Map(
            values=values + noise, dims=("image", "y", "x"), layer=name, extent={"y": 16, "x": 16}, polarity="signed"
        )
    maps["c"].values[-1] = 0.25
    return {
        "one": ik.Result(maps={name: maps[name] for name in "ab"}, images=images),
        "two": ik.Result(maps={"c": maps["c"]}, images=images),
    }


def coarse(results, name, position):
    values = results["two" if name == "c" else "one"].maps[name].values[position]
    height, width = GRIDS[name]
    return values.reshape(4, height // 4, 4, width // 4).mean((1, 3)).ravel()


def agree(results, **options):
    return ik.visualize(tiny_model(), tiny_images(COUNT), "agreement", of=results, **options)


def by_hand(results, function):
    """Return the measure of every two maps, by pair, image by image."""
    return {
        pair: [function(*(coarse(results, name, position) for name in pair)) for position in range(COUNT)]
        for pair in combinations("abc", 2)
    }


@pytest.mark.parametrize(("measure", "function"), [("rank_correlation", spearmanr), ("pearson", pearsonr)])
@pytest.mark.parametrize("batch_size", [1, 3, COUNT])
@pytest.mark.filterwarnings("ignore:An input array is constant")
def test_means_and_spreads_are_those_over_all_images(results, measure, function, batch_size):
    pairs = agree(results, batch_size=batch_size).tables["pairs"].where("measure", measure)
    expected = by_hand(results, lambda first, second: function(first, second).statistic)
    assert len(pairs) == 3
    for row in pairs.rows():
        about = dict(zip(pairs.columns, row, strict=True))
        values = np.array(expected[about["first"][-1], about["second"][-1]])
        values = values[~np.isnan(values)]
        assert about["images"] == len(values) == (COUNT - ("c" in about["second"]))
        assert about["mean"] == pytest.approx(values.mean(), abs=1e-12)
        assert about["std"] == pytest.approx(values.std(), abs=1e-12)
        assert (about["least"], about["greatest"]) == pytest.approx((values.min(), values.max()), abs=1e-12)


@pytest.mark.filterwarnings("ignore:An input array is constant")
@pytest.mark.parametrize("batch_size", [2, COUNT])
def test_images_on_which_maps_disagree_most_come_first(results, batch_size):
    found = agree(results, batch_size=batch_size)
    table = found.tables["images"]
    expected = by_hand(results, lambda first, second: spearmanr(first, second).statistic)
    for image, mean, lowest, first, second in zip(
        *(table[name].tolist() for name in ("image", "rank_correlation", "lowest", "first", "second")), strict=True
    ):
        of_image = {pair: values[int(image[-1])] for pair, values in expected.items()}
        assert mean == pytest.approx(np.nanmean(list(of_image.values())), abs=1e-12)
        pair = min(of_image, key=lambda each: np.nan_to_num(of_image[each], nan=np.inf))
        assert (first[-1], second[-1]) == pair
        assert lowest == pytest.approx(of_image[pair], abs=1e-12)
    assert sorted(table["image"].tolist()) == [f"image{number}" for number in range(COUNT)]
    assert (np.diff(table["rank_correlation"]) >= 0).all()
    assert table["image"][0] in {"image0", "image1"}


@pytest.mark.parametrize("batch_size", [1, 2, COUNT])
def test_only_the_first_images_are_kept_and_shown_as_they_were_compared(results, batch_size):
    found = agree(results, batch_size=batch_size, show=2, by="pearson")
    first = found.tables["images"]["image"][:2].tolist()
    assert {name.partition(": ")[0] for name in found.arrays} == {*first, "shuffled"}
    assert {image.id for image in found.images} >= set(first)
    assert len(found.arrays) == 2 * 3 + 1
    kept = found.arrays[f"{first[0]}: two/c"]
    np.testing.assert_allclose(kept.values.ravel(), coarse(results, "c", int(first[0][-1])), rtol=1e-12, atol=1e-13)
    assert kept.dims == ("y", "x")
    matrices, images = ik.draw(found)
    assert f"over {COUNT} images" in matrices.caption
    assert images.caption.index(first[0]) < images.caption.index(first[1])
    assert not any(image in images.caption for image in found.tables["images"]["image"][2:])


def test_merging_is_associative_and_sorts_by_the_measure_that_is_asked_for(results):
    parts = []
    step = Agreement(Agreement.Options(by="iou", show=2))
    for k in range(COUNT):
        read = {name: each.select(f"image{k}") for name, each in results.items()}
        captured = ik.Captured(images=read["one"].images, inputs=None, activations={}, gradients={}, results=read)
        parts.append(step.compute(captured))
    left, right = parts[0], parts[-1]
    for part in parts[1:]:
        left = step.merge(left, part)
    for part in parts[-2::-1]:
        right = step.merge(part, right)
    assert left.arrays.keys() == right.arrays.keys()
    assert left.tables["images"]["image"].tolist() == right.tables["images"]["image"].tolist()
    assert (np.diff(left.tables["images"]["iou"]) >= 0).all()
    for column, values in left.tables["pairs"].columns.items():
        if values.dtype.kind == "f":
            np.testing.assert_allclose(values, right.tables["pairs"][column], atol=1e-12)


@pytest.mark.filterwarnings("ignore:An input array is constant")
@pytest.mark.parametrize("batch_size", [2, COUNT])
def test_means_stand_beside_means_of_shuffled_maps(results, batch_size):
    found = agree(results, batch_size=batch_size, shuffles=25, seed=3)
    every = agree(results, show=COUNT)
    about = {image.id: image for image in every.images}
    sums = {pair: [] for pair in combinations("abc", 2)}
    for position in range(COUNT):
        image = about[f"image{position}"]
        seed = ik.Captured(images=(image,), inputs=None, activations={}, gradients={}).seed(0, 3)
        for (first, second), of_pair in sums.items():
            shuffles = Shuffles.drawn((4, 4), 25, (seed, "abc".index(second)))
            (moved,) = shuffles.of(coarse(results, second, position).reshape(4, 4))
            reference = coarse(results, first, position)
            of_pair.append([spearmanr(each.ravel(), reference).statistic for each in moved])
    pairs = found.tables["pairs"].where("measure", "rank_correlation")
    for first, second, *chance in zip(
        *(pairs[name].tolist() for name in ("first", "second", "chance", "chance_low", "chance_high")), strict=True
    ):
        means = np.nanmean(sums[first[-1], second[-1]], axis=0)
        np.testing.assert_allclose(chance, [means.mean(), *np.quantile(means, [0.05, 0.95])], atol=1e-12)
    (matrices, _) = ik.draw(found)
    above = int((pairs["mean"] > pairs["chance_high"]).sum())
    assert f"Above chance: {above} of 3 pairs." in matrices.caption


def test_maps_that_have_no_measure_on_any_image_are_said_to_have_none(results):
    flat = replace(results["two"].maps["c"], values=np.zeros((COUNT, 4, 8)))
    of = {"one": results["one"], "two": replace(results["two"], maps={"c": flat})}
    for batch_size in (2, COUNT):
        found = agree({"two": of["two"], "three": of["two"]}, batch_size=batch_size)
        assert np.isnan(found.tables["pairs"]["mean"]).all()
        assert np.isnan(found.tables["pairs"]["least"]).all()
        assert found.tables["pairs"]["images"].tolist() == [0] * len(MEASURES)
        assert "undefined" in ik.draw(found)[0].caption
        assert "(undefined)" in ik.draw(found)[1].caption


def test_one_map_agrees_with_nothing(results):
    with pytest.raises(ik.StepError, match="two attribution maps can agree, and two has 1"):
        agree({"two": results["two"]})


@pytest.mark.parametrize("values", ["signed", "positive", "absolute"])
def test_agreement_keeps_the_contract(results, values):
    check_visualizer(Agreement, of=results, images=tiny_images(COUNT), values=values)
