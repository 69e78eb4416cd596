from __future__ import annotations

import numpy as np
import pytest

from interpretkit.results.stored import Stored

GREY = np.arange(6).reshape(2, 3)


@pytest.mark.parametrize(
    ("values", "mode"),
    [
        (GREY.astype(np.uint16), "I;16"),
        (GREY.astype(">u2"), "I;16"),
        (GREY.astype(np.int16) - 3, "I"),
        (GREY.astype(">i4") - 3, "I"),
        (GREY.astype(np.float32) / 2, "F"),
        (GREY.astype(np.float16) / 2, "F"),
    ],
)
def test_grey_values_keep_their_value_in_a_picture(values, mode):
    picture = Stored(values=values).picture()
    assert picture.mode == mode
    np.testing.assert_array_equal(np.asarray(picture), values)


def test_eight_bits_and_bits_are_an_rgb_picture():
    grey = GREY.astype(np.uint8)
    for values, expected in ((grey, grey), (GREY > 2, (GREY > 2) * 255)):
        picture = Stored(values=values).picture()
        assert picture.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(picture), np.stack([expected] * 3, axis=-1))


@pytest.mark.parametrize(
    ("values", "axes"),
    [
        (GREY.astype(np.uint32), ("y", "x")),
        (GREY.astype(np.float64), ("y", "x")),
        (np.zeros((2, 3, 3), np.uint16), ("y", "x", "channel")),
        (np.zeros((2, 3, 4), np.uint8), ("y", "x", "channel")),
        (np.zeros((2, 3, 3), np.uint8), ("z", "y", "x")),
    ],
)
def test_what_pillow_has_no_mode_for_is_a_copy_of_the_values(values, axes):
    stored = Stored(values=values, axes=axes)
    picture = stored.picture()
    assert picture.dtype == values.dtype
    np.testing.assert_array_equal(picture, values)
    picture += 1
    np.testing.assert_array_equal(stored.values, values)


def test_the_size_is_that_of_a_slice():
    assert Stored(values=np.zeros((5, 2, 3, 1)), axes=("z", "y", "x", "channel")).size == (3, 2)
