from __future__ import annotations

import numpy as np
import pytest

from interpretkit.results.region import Region


@pytest.mark.parametrize("shape", [(1, 1), (3, 4), (7,), (2, 3, 4), (1, 0)])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_region_is_what_it_was_made_of(shape, share):
    inside = np.random.default_rng(0).random(shape) < share
    region = Region.of(inside)
    assert region.size == shape
    assert region.cells == inside.sum()
    np.testing.assert_array_equal(region.inside, inside)
    assert all(run > 0 for run in region.runs[1:])
