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


@pytest.mark.parametrize("grid", [(12,), (4, 6), (2, 3, 4)])
def test_rank_correlation_equals_scipys(grid):
    maps = np.maximum(GENERATOR.standard_normal((5, *grid)), 0)
    reference = GENERATOR.standard_normal(grid)
    found = ik.rank_correlation(maps, reference)
    for each, value in zip(maps, found, strict=True):
        assert value == pytest.approx(spearmanr(each.ravel(), reference.ravel()).statistic, abs=1e-12)


def test_a_flat_or_broken_map_has_no_correlation():
    reference = GENERATOR.standard_normal((4, 4))
    maps = np.stack([np.zeros((4, 4)), np.where(reference > 0, np.nan, 1.0), reference])
    np.testing.assert_array_equal(np.isnan(ik.rank_correlation(maps, reference)), [True, True, False])
    assert np.isnan(ik.rank_correlation(reference, np.ones((4, 4))))


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
