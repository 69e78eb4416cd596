from __future__ import annotations

import numpy as np
import pytest

from interpretkit.errors import InputError
from interpretkit.results.scaling import scaled
from interpretkit.results.stored import Stored

RANDOM = np.random.default_rng(0)


def ramp(least, greatest, dtype):
    return np.linspace(least, greatest, 40).reshape(5, 8).astype(dtype)


@pytest.mark.parametrize(
    ("values", "black", "white", "said", "doubtful"),
    [
        (ramp(0, 255, np.uint16), 0, 255, "8 of 16 bits used: scaled from 0 … 255", True),
        (ramp(0, 256, np.uint16), 0, 1023, "10 of 16 bits used: scaled from 0 … 1023", True),
        (ramp(600, 3190, np.uint16), 0, 4095, "12 of 16 bits used: scaled from 0 … 4095", True),
        (ramp(0, 16383, np.uint16), 0, 16383, "14 of 16 bits used: scaled from 0 … 16383", True),
        (ramp(0, 16384, np.uint16), 0, 65535, "16 of 16 bits used: scaled from 0 … 65535", False),
        (ramp(0, 4095, np.int16), 0, 4095, "12 of 16 bits used: scaled from 0 … 4095", True),
        (ramp(0, 65536, np.uint32), 0, 2**32 - 1, "32 of 32 bits used: scaled from 0 … 4.29e9", False),
        (ramp(0, 1, np.float32), 0, 1, "scaled from 0 … 1", False),
        (ramp(0, 255, np.float32), 0, 255, "floats scaled from 0 … 255", True),
    ],
)
def test_values_of_which_nobody_says_the_range_are_scaled_by_a_rule_that_is_said(
    *, values, black, white, said, doubtful
):
    found = scaled(Stored(values=values))
    expected = (values.astype(np.float64) - black) / (white - black)
    np.testing.assert_allclose(found.values, expected, atol=1e-7)
    assert found.values.dtype == np.float32
    assert said in found.conversions[0]
    guess = f"{said}, which is a guess: state the range by `range:`"
    assert (guess in found.alerts) == doubtful
    assert (found.range, found.axes) == ((0, 1), ("y", "x"))


@pytest.mark.parametrize("limits", [(-1000.0, 400.0), (400.0, -1000.0), (0, 65535), (-0.5, 0.5)])
def test_a_stated_range_is_the_one_and_no_guess(limits):
    values = ramp(-1000, 3000, np.int16) if abs(limits[0]) > 1 else ramp(-1, 1, np.float32)
    if limits == (0, 65535):
        values = ramp(0, 65535, np.uint16)
    found = scaled(Stored(values=values, range=limits, said_by="stated by the recipe"))
    black, white = limits
    share = (values.astype(np.float64) - black) / (white - black)
    np.testing.assert_allclose(found.values, share.clip(0, 1), atol=1e-7)
    [said] = found.conversions
    assert "(stated by the recipe)" in said
    outside = ((share < 0) | (share > 1)).sum()
    assert (f"; {outside / 0.4:.2f} % of the values lie outside and are clipped" in said) == bool(outside)
    assert not any("guess" in alert for alert in found.alerts)


def test_a_range_that_fits_the_values_badly_is_an_alert():
    dark = scaled(Stored(values=ramp(0, 4000, np.uint16), range=(0, 65535)))
    assert dark.alerts == ("uses less than 1/16 of the range 0 … 65535: state the range by `range:`",)
    assert scaled(Stored(values=ramp(0, 4200, np.uint16), range=(0, 65535))).alerts == ()
    white = scaled(Stored(values=ramp(0, 255, np.uint8), range=(0, 1)))
    assert white.alerts == ("more than half of the values lie outside of 0 … 1 and are clipped",)


@pytest.mark.parametrize(
    ("values", "limits", "message"),
    [
        (ramp(-1000, 400, np.int16), None, "holds integers from −1000 to 400, and nothing says which are black"),
        (ramp(-1000, 400, np.float32), None, "holds floats from −1000 to 400, and nothing says which are black"),
        (ramp(0, 256, np.float32), None, "holds floats from 0 to 256, and nothing says which are black"),
        (np.full((2, 2), 2**40, np.uint64), None, "and nothing says which are black and white"),
        (np.array([[0.0, np.nan]]), None, "holds NaN or infinite values"),
        (np.array([[0.0, np.inf]]), (0, 1), "holds NaN or infinite values"),
        (ramp(0, 1, np.float32), (1, 1), "has no range from 1 to 1"),
        (ramp(0, 1, np.float32), (0, np.inf), "has no range from 0 to inf"),
    ],
)
def test_where_no_range_is_known_none_is_made_up(values, limits, message):
    with pytest.raises(InputError) as caught:
        scaled(Stored(values=values, range=limits))
    assert message in caught.value.message
    assert caught.value.hint


def test_scaling_twice_is_scaling_once():
    once = scaled(Stored(values=RANDOM.integers(0, 4096, (5, 8)).astype(np.uint16)))
    np.testing.assert_array_equal(scaled(once).values, once.values)
