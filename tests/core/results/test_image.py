from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from interpretkit import InputImage

FACTS = {"id": "a", "source": "a.png", "sha256": "00", "size": (2, 1)}


def test_pixels_that_have_to_be_read_are_read_once_and_not_before_they_are_looked_at():
    reads = []

    def read():
        reads.append(1)
        return np.full((1, 2, 3), 7, np.uint8)

    image = InputImage(**FACTS, pixels=read)
    assert image == InputImage(**FACTS)
    assert "pixels" not in repr(image)
    assert reads == []
    assert image.pixels.tolist() == [[[7] * 3] * 2]
    assert image.pixels is image.pixels
    assert reads == [1]


def test_an_image_has_the_pixels_that_it_is_given_and_none_of_another():
    first = InputImage(**FACTS, pixels=np.zeros((1, 2, 3), np.uint8))
    second = replace(first, id="b", pixels=np.ones((1, 2, 3), np.uint8))
    assert (first.pixels.max(), second.pixels.max(), second.source) == (0, 1, "a.png")
    assert replace(second, label="cat").pixels.max() == 1
    assert InputImage(**FACTS).pixels.shape == (1, 1, 3)
    assert pickle.loads(pickle.dumps(second)).pixels.max() == 1  # noqa: S301 - its own bytes


@pytest.mark.parametrize("name", ["pixels", "label"])
def test_an_image_stays_as_it_was_made(name):
    with pytest.raises(FrozenInstanceError):
        setattr(InputImage(**FACTS), name, None)
