from __future__ import annotations

import numpy as np
import pytest

from interpretkit.results.map import Map


def a_map(dims, extent):
    return Map(values=np.zeros((1,) * len(dims)), dims=dims, layer="stage4", extent=extent, polarity="signed")


@pytest.mark.parametrize(
    ("dims", "extent"),
    [
        (("image", "y", "x"), {"y": 8, "x": 9}),
        (("image", "channel", "x"), {"x": 9}),
        (("z", "y", "x"), {"z": 2, "y": 8, "x": 9}),
    ],
)
def test_a_map_has_an_extent_along_each_axis_of_its_grid(dims, extent):
    assert a_map(dims, extent).sizes == dict.fromkeys(dims, 1)


@pytest.mark.parametrize("extent", [{}, {"x": 9}, {"x": 9, "y": 8}, {"z": 1, "y": 8, "x": 9}])
def test_an_extent_along_other_axes_is_refused_with_the_layer(extent):
    with pytest.raises(ValueError, match="map of stage4: its extent has"):
        a_map(("image", "y", "x"), extent)


def test_a_polarity_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match=r"map of stage4: its polarity is 'sined', not signed or unsigned"):
        Map(values=np.zeros((1, 1)), dims=("y", "x"), layer="stage4", extent={"y": 1, "x": 1}, polarity="sined")
