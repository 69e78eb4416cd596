"""Cells on the pixels of the input, against points strewn over them and plain loops."""

from __future__ import annotations

import numpy as np
import pytest

import interpretkit as ik
from interpretkit.results.grid import Row

GENERATOR = np.random.default_rng(0)

UNPADDED = Row(cells=8, pixels=28, first=7.0, step=2.0)
PADDED = Row(cells=7, pixels=28, first=0.5, step=4.0)
OUTSIDE = Row(cells=6, pixels=8, first=-3.0, step=3.0)
UPSAMPLED = Row(cells=28, pixels=14, first=0.25, step=0.5)
ROWS = [Row.even(7, 28), Row.even(3, 8), UNPADDED, PADDED, OUTSIDE, UPSAMPLED]


def middles(row: Row) -> np.ndarray:
    return row.first + row.step * np.arange(row.cells)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_the_nearest_cell_is_that_whose_middle_is_nearest(row):
    for pixel, cell in enumerate(row.nearest):
        distances = np.abs(middles(row) - (pixel + 0.5))
        assert distances[cell] == pytest.approx(distances.min(), abs=1e-9)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_linear_interpolation_is_numpys(row):
    values = GENERATOR.standard_normal(row.cells)
    expected = np.interp(np.arange(row.pixels) + 0.5, middles(row), values)
    np.testing.assert_allclose(row.linear @ values, expected, atol=1e-12)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_cell_takes_half_a_step_around_its_middle_and_none_outside_of_the_input(row):
    for cell, middle in enumerate(middles(row)):
        first, last = np.clip([middle - row.step / 2, middle + row.step / 2], 0, row.pixels)
        assert row.edges[cell : cell + 2] == pytest.approx([first, last], abs=1e-9)
        assert row.middles[cell] == min(max(int(np.floor(round(middle, 9))), 0), row.pixels - 1)


def test_cells_that_tile_the_input_are_even_wherever_their_numbers_come_from():
    assert Row(cells=4, pixels=28, first=3.5, step=7.0).is_even
    assert not PADDED.is_even
    assert ik.Grid.even((7, 4), (28, 28)).is_even
    assert not ik.Grid((Row.even(7, 28), UNPADDED)).is_even


@pytest.mark.parametrize("fine", [Row.even(14, 28), Row.even(28, 28), UNPADDED])
@pytest.mark.parametrize("coarse", [Row.even(7, 28), PADDED, Row.even(4, 28)])
def test_averages_are_those_of_points_strewn_over_the_pixels(fine, coarse, slowly_averaged):
    values = GENERATOR.standard_normal((3, fine.cells, fine.cells))
    own, onto = ik.Grid((fine, fine)), ik.Grid((coarse, coarse))
    found = own.averaged(values, onto)
    rows = [[(row.cells, row.first, row.step)] * 2 for row in (fine, coarse)]
    for each, expected in zip(found, values, strict=True):
        np.testing.assert_allclose(each, slowly_averaged(expected, *rows, (28, 28)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("fine", "coarse"), [((14, 14), (7, 7)), ((7, 9), (3, 4)), ((5, 5), (5, 2)), ((4, 4), (4, 4))])
def test_averages_over_even_cells_equal_a_sum_over_a_finer_common_grid(fine, coarse):
    values = GENERATOR.standard_normal(fine)
    # Repeat each cell so often that both grids fall on whole cells; then a coarse cell is a plain mean of a block.
    common = np.kron(values, np.ones(coarse))
    blocks = common.reshape(coarse[0], fine[0], coarse[1], fine[1])
    found = ik.Grid.even(fine, (60, 60)).averaged(values, ik.Grid.even(coarse, (60, 60)))
    np.testing.assert_allclose(found, blocks.mean((1, 3)), rtol=1e-12, atol=1e-13)


def test_areas_that_are_equal_stay_equal():
    values = np.kron([[0.1, 0.7], [0.7, 0.1]], np.ones((9, 9))) / 3
    coarse = ik.Grid.even((18, 18), (36, 36)).averaged(values, ik.Grid.even((6, 6), (36, 36)))
    assert len(np.unique(coarse)) == 2


def test_a_mean_with_a_value_that_is_not_finite_is_none_and_the_others_are_what_they_were():
    values = np.arange(16.0).reshape(4, 4)
    fine, coarse = ik.Grid.even((4, 4), (4, 4)), ik.Grid.even((2, 2), (4, 4))
    whole = fine.averaged(values, coarse)
    values[0, 1] = np.inf
    broken = fine.averaged(values, coarse)
    assert np.isnan(broken[0, 0])
    assert broken[0, 1] == whole[0, 1]
    np.testing.assert_array_equal(broken[1], whole[1])


def test_the_same_picture_at_another_resolution_is_averaged_alike():
    values = GENERATOR.standard_normal((8, 8))
    small, large = (ik.Grid.even((8, 8), (pixels, pixels)) for pixels in (16, 64))
    coarse = ik.Grid.even((3, 4), (16, 16))
    np.testing.assert_allclose(large.averaged(values, coarse), small.averaged(values, coarse), atol=1e-12)


def test_a_cell_outside_of_the_input_is_what_is_nearest_to_it():
    values = GENERATOR.standard_normal(8)
    found = ik.Grid.even((8,), (8,)).averaged(values, ik.Grid((OUTSIDE,)))
    assert OUTSIDE.edges.tolist() == [0.0, 0.0, 1.5, 4.5, 7.5, 8.0, 8.0]
    assert found[0] == pytest.approx(values[0], abs=1e-12)
    assert found[1] == pytest.approx((values[0] + values[1] / 2) / 1.5, abs=1e-12)


def test_the_part_inside_of_a_mask_is_counted_pixel_by_pixel():
    mask = GENERATOR.random((28, 28)) < 0.4
    grid = ik.Grid((UNPADDED, PADDED))
    inside = grid.inside(mask)
    # Cells of the first row of PADDED are cut in half a pixel beyond the edge: twice as fine all edges are whole.
    doubled = np.kron(mask, np.ones((2, 2)))
    for y, x in np.ndindex(*grid.cells):
        rows, columns = (2 * row.edges[cell : cell + 2].astype(float) for row, cell in ((UNPADDED, y), (PADDED, x)))
        block = doubled[int(rows[0]) : int(rows[1]), int(columns[0]) : int(columns[1])]
        assert inside[y, x] == pytest.approx(block.mean(), abs=1e-12)
        assert grid.areas[y, x] == block.size / 4
        assert grid.at_middles(mask)[y, x] == mask[int(7 + 2 * y), int(4 * x)]


@pytest.mark.parametrize("cells", [(5,), (2, 3), (2, 3, 4)])
def test_a_grid_has_as_many_axes_as_the_input(cells):
    grid = ik.Grid.even(cells, [4 * count for count in cells])
    values = GENERATOR.standard_normal(cells)
    assert grid.cells == cells
    assert grid.nearest.shape == grid.pixels
    np.testing.assert_array_equal(values.reshape(-1)[grid.nearest], np.kron(values, np.ones((4,) * len(cells))))
    one = ik.Grid.even((1,) * len(cells), grid.pixels)
    assert grid.averaged(values, one).item() == pytest.approx(values.mean())
    assert grid.raised(values).shape == grid.pixels


def test_grids_meet_on_the_coarsest_along_each_axis():
    own = ik.Grid((UNPADDED, Row.even(14, 28)))
    other = ik.Grid((Row.even(14, 28), PADDED))
    assert ik.Grid.common(own, other) == ik.Grid((UNPADDED, PADDED))
    assert ik.Grid.common(own) == own
