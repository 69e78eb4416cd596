from __future__ import annotations

import numpy as np
import pytest

from interpretkit.results.grid import Grid, Row
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


def test_cells_lie_where_a_map_says_and_else_tile_the_input_evenly():
    placed = Map(
        values=np.zeros((1, 8, 7)),
        dims=("image", "y", "x"),
        layer="stage4",
        extent={"y": 28, "x": 28},
        spacing={"y": (7.0, 2.0)},
        polarity="signed",
    )
    assert placed.grid == Grid((Row(8, 28, 7.0, 2.0), Row(7, 28, 2.0, 4.0)))


def test_a_spacing_along_another_axis_is_refused():
    with pytest.raises(ValueError, match="map of stage4: its spacing has z, its dims y, x"):
        Map(
            values=np.zeros((1, 1)),
            dims=("y", "x"),
            layer="stage4",
            extent={"y": 1, "x": 1},
            spacing={"z": (0.5, 1.0)},
            polarity="signed",
        )
