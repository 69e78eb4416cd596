from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap, rankdata, spearmanr

import interpretkit as ik
from interpretkit.results.measures import ranks

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
    np.testing.assert_allclose(ik.area_averaged(values, coarse), blocks.mean((1, 3)), rtol=1e-12, atol=1e-13)


def test_areas_that_are_equal_stay_equal():
    values = np.kron([[0.1, 0.7], [0.7, 0.1]], np.ones((9, 9))) / 3
    coarse = ik.area_averaged(values, (6, 6))
    assert len(np.unique(coarse)) == 2


def test_rank_correlation_equals_scipys_on_the_common_grid():
    maps = np.maximum(GENERATOR.standard_normal((5, 8, 12)), 0)
    reference = GENERATOR.standard_normal((4, 6))
    found = ik.rank_correlation(maps, reference)
    for each, value in zip(maps, found, strict=True):
        coarse = each.reshape(4, 2, 6, 2).mean((1, 3))
        assert value == pytest.approx(spearmanr(coarse.ravel(), reference.ravel()).statistic, abs=1e-12)


def test_a_reference_finer_than_the_maps_is_averaged_instead():
    maps, reference = GENERATOR.standard_normal((3, 4, 4)), GENERATOR.standard_normal((8, 8))
    swapped = [ik.rank_correlation(reference, each) for each in maps]
    np.testing.assert_allclose(ik.rank_correlation(maps, reference), swapped)


def test_a_flat_or_broken_map_has_no_correlation():
    reference = GENERATOR.standard_normal((4, 4))
    maps = np.stack([np.zeros((4, 4)), np.where(reference > 0, np.nan, 1.0), reference])
    np.testing.assert_array_equal(np.isnan(ik.rank_correlation(maps, reference)), [True, True, False])
    assert np.isnan(ik.rank_correlation(reference, np.ones((4, 4))))


def test_maps_meet_on_the_coarsest_grid_of_all_along_each_axis():
    assert ik.common_grid((4, 9)) == (4, 9)
    assert ik.common_grid((4, 9), (5, 3), (6, 7)) == (4, 3)


@pytest.mark.parametrize("level", [0.95, 0.5])
def test_the_bootstrap_of_a_mean_equals_scipys_percentile_interval(level):
    values = GENERATOR.exponential(size=37)
    found = ik.bootstrap_of_mean(values, level=level, draws=500, seed=3)
    expected = bootstrap(
        (values,),
        np.mean,
        n_resamples=500,
        confidence_level=level,
        method="percentile",
        random_state=np.random.default_rng(3),
    ).confidence_interval
    assert found == pytest.approx((expected.low, expected.high), rel=1e-12)


def test_the_bootstrap_of_a_mean_is_as_wide_as_its_standard_error():
    values = GENERATOR.standard_normal(2000)
    low, high = ik.bootstrap_of_mean(values)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(2000), rel=0.1)
    assert ik.bootstrap_of_mean(values, seed=1) != (low, high)


def test_a_sample_without_values_or_with_an_undefined_one_has_no_mean():
    with pytest.raises(ValueError, match="a sample without values has no mean"):
        ik.bootstrap_of_mean(np.array([]))
    assert np.isnan(ik.bootstrap_of_mean(np.array([1.0, np.nan, 2.0, 3.0]))).all()
