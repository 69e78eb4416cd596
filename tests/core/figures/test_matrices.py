from __future__ import annotations

import numpy as np
import pytest

from interpretkit import figures
from interpretkit.figures.colour import NOT_FINITE, palette


@pytest.mark.parametrize(
    ("limits", "colours", "shown"), [((-1.0, 1.0), "coolwarm", (-1, 1)), ((-0.5, 1.0), "coolwarm", (-1, 1)),
                                     ((0.0, 1.0), "viridis", (0, 1))]
)  # fmt: skip
def test_a_matrix_colours_its_cells_by_limits_and_writes_numbers_into_them(
    limits, colours, shown, *, entries, slow_level, body_of
):
    values = np.array([[1.0, -0.5, 0.25], [0.0, np.nan, 0.75]])
    names = ["integrated_gradients", "a", "b"]
    found = entries(figures.matrix(values, rows=["first", "second"], columns=names, title="t", limits=limits))
    rows, columns = body_of(found)
    height, width = (rows.stop - rows.start) // 2, (columns.stop - columns.start) // 3
    for row, column in np.ndindex(2, 3):
        cell = found[rows.start + row * height :, columns.start + column * width :][:height, :width]
        value = values[row, column]
        entry = slow_level(value, *shown) if np.isfinite(value) else NOT_FINITE
        ground = palette(colours)[max(entry, 0)]
        assert np.array_equal(cell[2, 2], ground)
        assert np.array_equal(cell[-2, -2], ground)
        text = (cell != ground).any(-1)
        assert text.sum() > 20
        assert not text[:, :4].any()
        assert not text[:, -4:].any()


def test_a_range_stands_below_its_number_and_none_where_there_is_none(entries, body_of):
    values = np.array([[0.0, 0.5], [-0.5, 1.0]])
    low, high = np.array([[-0.25, np.nan], [-1.0, 0.0]]), np.array([[0.25, np.nan], [-0.75, 0.5]])
    names = ["a", "b"]

    def cells(**ranges):
        found = entries(figures.matrix(values, rows=names, columns=names, title="t", **ranges))
        rows, columns = body_of(found)
        body = found[rows.start : rows.stop, columns.start : columns.stop]
        height, width = body.shape[0] // 2, body.shape[1] // 2
        return {place: body[place[0] * height :, place[1] * width :][:height, :width] for place in np.ndindex(2, 2)}

    plain, ranged = cells(), cells(ranges=(low, high))
    assert ranged[0, 0].shape[0] > plain[0, 0].shape[0]
    for place, cell in ranged.items():
        text = (cell != cell[2, 2]).any(-1)
        lower = text[len(text) * 2 // 3 :]
        assert bool(lower.any()) == (place != (0, 1))
        assert not text[:, :4].any()
        assert not text[:, -4:].any()
