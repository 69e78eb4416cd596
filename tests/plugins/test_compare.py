from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr

import interpretkit as ik
from interpretkit.testing import check_visualizer, tiny_images, tiny_model
from interpretkit_compare.agreement import averaged, rank_correlation, ranks
from interpretkit_compare.compare import Compare

GENERATOR = np.random.default_rng(0)


def test_ranks_equal_scipys_with_ties():
    values = GENERATOR.integers(0, 4, (6, 20)).astype(float)
    np.testing.assert_array_equal(ranks(values), rankdata(values, axis=-1) - 1)


@pytest.mark.parametrize(("fine", "coarse"), [((14, 14), (7, 7)), ((7, 9), (3, 4)), ((5, 5), (5, 2)), ((4, 4), (4, 4))])
def test_area_averaging_equals_a_sum_over_a_finer_common_grid(fine, coarse):
    values = GENERATOR.standard_normal(fine)
    # Repeat each cell so often that both grids fall on whole cells; then a coarse cell is a plain mean of a block.
    common = np.kron(values, np.ones(coarse))
    blocks = common.reshape(coarse[0], fine[0], coarse[1], fine[1])
    np.testing.assert_allclose(averaged(values, coarse), blocks.mean((1, 3)), rtol=1e-12)


def test_rank_correlation_equals_scipys_on_the_common_grid():
    maps = np.maximum(GENERATOR.standard_normal((5, 8, 12)), 0)
    reference = GENERATOR.standard_normal((4, 6))
    found = rank_correlation(maps, reference)
    for each, value in zip(maps, found, strict=True):
        coarse = each.reshape(4, 2, 6, 2).mean((1, 3))
        assert value == pytest.approx(spearmanr(coarse.ravel(), reference.ravel()).statistic, abs=1e-12)


def test_a_reference_finer_than_the_maps_is_averaged_instead():
    maps, reference = GENERATOR.standard_normal((3, 4, 4)), GENERATOR.standard_normal((8, 8))
    swapped = [rank_correlation(reference, each) for each in maps]
    np.testing.assert_allclose(rank_correlation(maps, reference), swapped)


def test_a_flat_or_broken_map_has_no_correlation():
    reference = GENERATOR.standard_normal((4, 4))
    maps = np.stack([np.zeros((4, 4)), np.where(reference > 0, np.nan, 1.0), reference])
    np.testing.assert_array_equal(np.isnan(rank_correlation(maps, reference)), [True, True, False])
    assert np.isnan(rank_correlation(reference, np.ones((4, 4))))


@pytest.fixture
def results() -> dict[str, ik.Result]:
    model, images = tiny_model(), tiny_images(3)
    return {
        "features": ik.visualize(model, images, "feature_grid", layers=["features"]),
        "cam": ik.visualize(model, images, "grad_cam", layers=["features", "features.0"], target=0),
    }


def test_channels_are_ranked_by_their_correlation_with_the_map(results):
    found = ik.visualize(tiny_model(), tiny_images(3), "compare", of=results, top=2)
    table = found.tables["channels"]
    assert len(table) == 3 * 2 * 4
    for position, image in enumerate(("image0", "image1", "image2")):
        rows = table.where("image", image).where("attribution", "cam/features")
        assert rows["rank"].tolist() == [1, 2, 3, 4]
        assert np.all(np.diff(rows["rank_correlation"]) <= 0)
        for channel, value in zip(rows["channel"], rows["rank_correlation"], strict=True):
            values = results["features"].maps["features"].values[position, channel]
            expected = spearmanr(values.ravel(), results["cam"].maps["features"].values[position].ravel()).statistic
            assert value == pytest.approx(expected, abs=1e-12)


def test_the_channels_shown_are_those_at_both_ends(results):
    found = ik.visualize(tiny_model(), tiny_images(3), "compare", of=results, top=1)
    rows = found.tables["channels"].where("image", "image1").where("attribution", "cam/features")
    features = results["features"].maps["features"].values[1]
    shown = {end: found.maps[f"features/features by cam/features, {end}"].values[1, 0] for end in ("most", "least")}
    np.testing.assert_array_equal(shown["most"], features[rows["channel"][0]])
    np.testing.assert_array_equal(shown["least"], features[rows["channel"][-1]])


def test_a_layer_is_summed_up(results):
    found = ik.visualize(tiny_model(), tiny_images(3), "compare", of=results)
    rows = found.tables["layers"].where("image", "image2").where("attribution", "cam/features")
    channels = found.tables["channels"].where("image", "image2").where("attribution", "cam/features")
    values = results["features"].maps["features"].values[2]
    assert rows["highest"][0] == np.nanmax(channels["rank_correlation"])
    assert rows["median"][0] == np.nanmedian(channels["rank_correlation"])
    assert rows["undefined"][0] == np.isnan(channels["rank_correlation"]).sum()
    assert (rows["min"][0], rows["max"][0]) == (values.min(), values.max())


def test_maps_that_are_the_same_everywhere_are_drawn_as_undefined(results):
    from dataclasses import replace

    flat = replace(results["cam"].maps["features"], values=np.zeros((3, 8, 8)))
    of = {**results, "cam": replace(results["cam"], maps={"a": flat, "b": flat})}
    found = ik.visualize(tiny_model(), tiny_images(3), "compare", of=of)
    captions = [figure.caption for figure in Compare(Compare.Options()).draw(found.select("image0"))]
    assert len(captions) == 3
    assert all("undefined" in caption for caption in captions)


def test_attribution_maps_are_compared_pair_by_pair(results):
    found = ik.visualize(tiny_model(), tiny_images(3), "compare", of={"cam": results["cam"]})
    assert set(found.tables) == {"pairs"}
    pairs = found.tables["pairs"].where("image", "image2")
    first, second = (results["cam"].maps[name].values[2].ravel() for name in ("features", "features.0"))
    expected = spearmanr(first, second).statistic
    assert pairs["rank_correlation"].reshape(2, 2) == pytest.approx(np.array([[1, expected], [expected, 1]]))


def test_nothing_to_compare_is_an_error(results):
    with pytest.raises(ik.StepError, match="nothing to compare in features"):
        ik.visualize(tiny_model(), tiny_images(3), "compare", of={"features": results["features"]})


def test_compare_keeps_the_contract(results):
    check_visualizer(Compare, of=results, images=tiny_images(3), top=3)
