"""How numbers, shapes, counts and lists are written."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np
import pytest

from interpretkit import figures, words


def rounded(value, places):
    """Round the exact value of a float in decimal arithmetic, as text."""
    return str(Decimal(value).quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN)).replace("-", "−")


def test_fixed_decimals_are_those_of_decimal_arithmetic():
    for value in np.random.default_rng(0).uniform(-200, 200, 500).tolist():
        assert words.fixed(value) == rounded(value, 2)
        assert words.fixed(value, "+.3").lstrip("+") == rounded(value, 3)
        assert words.fixed(value, "+.3")[0] in "+−"


@pytest.mark.parametrize("kind", [float, np.float32, np.float64])
def test_a_share_of_any_precision_is_rounded_once(kind):
    for numerator in range(1, 400):
        share = kind(numerator / 401)
        text = words.percent(share, ".3")
        assert text.endswith(" %")
        assert abs(Decimal(text.removesuffix(" %")) - 100 * Decimal(float(share))) <= Decimal("0.0005")


def test_a_number_keeps_three_digits_and_can_be_read_back():
    sizes = 10 ** np.random.default_rng(0).uniform(-12, 12, 500)
    for value in [*sizes.tolist(), *(-sizes).tolist()]:
        read = Decimal(words.number(value).replace("−", "-"))
        assert abs(float(read) - value) <= 0.005001 * abs(value)
        assert len(read.normalize().as_tuple().digits) <= 3 or 999.5 <= abs(value) < 1e5


def test_what_is_not_defined_is_called_so_where_a_picture_has_no_other_word():
    assert words.fixed(float("nan")) == words.percent(np.float32("nan")) == "undefined"


@pytest.mark.parametrize(
    ("lengths", "text"), [((3, 4), "3×4"), ([7], "7"), ((), "a number"), (np.zeros((2, 0, 5)).shape, "2×0×5")]
)
def test_a_shape_is_its_lengths(lengths, text):
    assert words.shape(lengths) == text


@pytest.mark.parametrize(
    ("amount", "noun", "text"),
    [(0, "image", "0 images"), (1, "pass", "1 pass"), (2, "forward pass", "2 forward passes"), (1, "row", "1 row")],
)
def test_a_noun_agrees_with_its_amount(amount, noun, text):
    assert words.count(amount, noun) == text


def test_a_list_says_that_it_is_cut_short_exactly_when_it_is():
    names = ["a", "b", "c", "d"]
    for most in range(1, 6):
        parts = words.listed(iter(names), most=most).split(", ")
        assert parts == (names if most >= len(names) else [*names[:most], "…"])
    assert words.listed([], most=3) == ""


def test_plugins_write_as_the_core_does():
    for name in ("count", "fixed", "number", "percent", "shape"):
        assert getattr(figures, name) is getattr(words, name)
