from __future__ import annotations

import numpy as np
import pytest

from interpretkit import figures


def test_alt_text_names_place_range_and_what_is_not_finite():
    values = np.array([[0.5, np.inf], [-2.0, 3.25]])
    text = figures.alt(values, what="CAM")
    assert text == (
        "CAM: 2×2 cells, the greatest value 3.25 at row 1, column 1 (counted from 0), the least −2; 1 cell not finite."
    )
    assert figures.alt(np.zeros((7, 7)), what="CAM") == "CAM: 7×7 cells, all 0."
    assert figures.alt(np.full((1, 2), np.nan), what="CAM") == "CAM: 1×2 cells, none of them finite."


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (-0.0, "0"), (999.6, "1000"), (-1234567, "−1.23e6"), (1e-3, "0.001"), (9.9e-4, "9.9e−4"),
     (float("nan"), "nan"), (float("-inf"), "−inf"), (1e-45, "1e−45")],
)  # fmt: skip
def test_numbers_are_short_and_exact_to_three_digits(value, text):
    assert figures.number(value) == text
