"""What models are fed of stored values, against the path of 8-bit images and a filter in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from interpretkit.errors import InputError
from interpretkit.model.feeding import fed
from interpretkit.model.preprocessing import EightBit, Preprocessing, Processed
from interpretkit.results.stored import Stored

RANDOM = np.random.default_rng(0)
SMOOTH = np.add.outer(np.arange(70) * 2, np.arange(90)).astype(np.uint8)
NOISE = RANDOM.integers(60, 190, (70, 90, 3), dtype=np.uint8)
"""So far from 0 and 255 that a cubic filter does not overshoot them, where 8-bit images are cut after each pass."""


def plain(**options):
    return Preprocessing(**{"resize": 32, "crop": 28, "mean": (0.0,) * 3, "std": (1.0,) * 3} | options)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("values", [SMOOTH, NOISE], ids=["grey", "colour"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("resize", "crop"), [(32, 28), (33, 29), (100, 81), (None, 28), (None, 128), (20, None)])
def test_eight_bits_stored_as_sixteen_are_fed_like_eight_bits(*, interpolation, values, channels, resize, crop):
    options = {"mean": (0.4,) * channels, "std": (0.2,) * channels, "interpolation": interpolation}
    preprocessing = plain(resize=resize, crop=crop, **options)
    axes = ("y", "x", "channel")[: values.ndim]
    exact, _ = fed(preprocessing, Stored(values=values, axes=axes))
    wide, given = fed(preprocessing, Stored(values=values.astype(np.uint16), axes=axes, range=(0, 255)))
    assert given.conversions == ("scaled from 0 … 255",)
    assert wide.shape == exact.shape
    assert wide.dtype == torch.float32
    # Two passes and a conversion to grey round 8-bit images by half a level each.
    assert (wide - exact).abs().max() <= 2 / 255 / 0.2


def triangle(distance):
    return np.maximum(1 - np.abs(distance), 0)


def cubic(distance):
    x = np.abs(distance)
    near, far = (1.5 * x - 2.5) * x**2 + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def along_first(values, length, filtering, reach):
    """Resize the first axis in float64: the filter is stretched over the cells that become one."""
    old = len(values)
    scale = old / length
    stretch = max(scale, 1.0)
    made = []
    for target in range(length):
        centre = (target + 0.5) * scale
        first, last = max(int(centre - reach * stretch + 0.5), 0), min(int(centre + reach * stretch + 0.5), old)
        cells = np.arange(first, last)
        weights = filtering((cells + 0.5 - centre) / stretch)
        made.append(np.tensordot(weights / weights.sum(), values[first:last], axes=1))
    return np.stack(made)


@pytest.mark.parametrize(("interpolation", "filtering", "reach"), [("bilinear", triangle, 1), ("bicubic", cubic, 2)])
@pytest.mark.parametrize("side", [32, 100])
def test_wide_values_are_resized_as_floats_by_the_antialiased_filter(interpolation, filtering, reach, side):
    values = RANDOM.integers(0, 4096, (70, 90)).astype(np.uint16)
    made, _ = fed(plain(resize=side, crop=None, interpolation=interpolation), Stored(values=values, range=(0, 4095)))
    exact = values.astype(np.float64) / 4095
    width = int(side * 90 / 70)
    exact = along_first(along_first(exact, side, filtering, reach).T, width, filtering, reach).T
    assert made.shape == (3, side, width)
    np.testing.assert_allclose(made[1], exact.clip(0, 1), atol=2e-6)


def test_twelve_bits_keep_more_levels_than_eight():
    values = np.linspace(600, 3190, 64 * 64).reshape(64, 64).astype(np.uint16)
    made, given = fed(plain(resize=None, crop=None), Stored(values=values))
    assert len(np.unique(made[0])) == len(np.unique(values)) > 2000
    np.testing.assert_allclose(made[0], values / 4095, atol=1e-7)
    assert given.conversions == ("12 of 16 bits used: scaled from 0 … 4095",)
    assert given.alerts == ("12 of 16 bits used: scaled from 0 … 4095, which is a guess: state the range by `range:`",)


@pytest.mark.parametrize("bands", [1, 3])
def test_a_volume_is_fed_slice_by_slice(bands):
    shape = (6, 70, 90, 3)[: 3 + (bands == 3)]
    values = RANDOM.integers(0, 4096, shape).astype(np.uint16)
    axes = ("z", "y", "x", "channel")[: len(shape)]
    for channels in (1, 3):
        preprocessing = plain(mean=(0.4, 0.5, 0.6)[:channels], std=(0.2,) * channels)
        made, _ = fed(preprocessing, Stored(values=values, axes=axes, range=(0, 4095)))
        assert made.shape == (channels, 6, 28, 28)
        for z, piece in enumerate(values):
            expected, _ = fed(preprocessing, Stored(values=piece, axes=axes[1:], range=(0, 4095)))
            torch.testing.assert_close(made[:, z], expected, rtol=0, atol=1e-6)
        assert preprocessing.picture(made).shape == (6, 28, 28, 3)


def test_the_picture_of_what_was_fed_is_the_scaled_image():
    values = RANDOM.integers(0, 4096, (20, 24)).astype(np.uint16)
    preprocessing = Preprocessing(resize=None, crop=None)
    made, _ = fed(preprocessing, Stored(values=values, range=(0, 4095)))
    expected = np.rint(values / 4095 * 255)
    assert np.abs(preprocessing.picture(made) - expected[..., None]).max() <= 1
    assert (preprocessing.picture(made)[..., 0] == expected).mean() > 0.99


@pytest.mark.parametrize(
    ("stored", "kind"),
    [
        (Stored(values=SMOOTH), "RGB"),
        (Stored(values=NOISE, axes=("y", "x", "channel")), "RGB"),
        (Stored(values=SMOOTH.astype(np.uint16)), "I;16"),
        (Stored(values=SMOOTH.astype(np.int16) - 9), "I"),
        (Stored(values=SMOOTH.astype(np.float32)), "F"),
        (Stored(values=NOISE.astype(np.uint16), axes=("y", "x", "channel")), None),
        (Stored(values=SMOOTH, range=(0, 99)), None),
    ],
)
def test_a_transform_of_the_users_own_gets_the_stored_values(stored, kind):
    given, same = fed(lambda picture: picture, stored)
    assert getattr(given, "mode", None) == kind
    assert same.conversions == (("grey to RGB",) if kind == "RGB" and stored.bands == 1 else ())
    values = np.asarray(given)
    np.testing.assert_array_equal(values[..., 0] if values.ndim > stored.values.ndim else values, stored.values)


def test_what_takes_eight_bits_alone_gets_the_scaled_values_as_such():
    values = RANDOM.integers(0, 4096, (20, 24)).astype(np.uint16)
    stored = Stored(values=values, range=(0, 4095))

    class Processor:
        def __call__(self, image):
            return {"pixel_values": [torch.from_numpy(np.array(image))]}

    for preprocessing in (EightBit(lambda image: torch.from_numpy(np.array(image))), Processed(Processor())):
        made, given = fed(preprocessing, stored)
        assert made.dtype == torch.uint8
        np.testing.assert_array_equal(made, np.rint(values / 4095 * 255)[..., None].repeat(3, axis=-1))
        assert given.conversions == ("scaled from 0 … 4095", "scaled to 8 bits", "grey to RGB")


@pytest.mark.parametrize("preprocessing", [Preprocessing(), EightBit(np.asarray)])
@pytest.mark.parametrize("bands", [2, 4, 5])
def test_which_bands_to_show_is_not_guessed(preprocessing, bands):
    with pytest.raises(InputError) as caught:
        fed(preprocessing, Stored(values=np.zeros((4, 5, bands), np.uint8), axes=("y", "x", "channel")))
    assert str(caught.value) == f"has {bands} bands (choose one or three by `bands:`, such as `bands: [3, 2, 1]`)"


def test_a_volume_is_no_image_for_what_takes_images():
    with pytest.raises(InputError, match="is a volume, and the model takes images"):
        fed(EightBit(np.asarray), Stored(values=np.zeros((2, 4, 5), np.uint8), axes=("z", "y", "x")))


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_a_wide_picture_of_pillow_is_scaled_where_it_is_given_to_the_usual_preprocessing(mode):
    values = np.linspace(600, 3190, 30).reshape(5, 6)
    dtype = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
    picture = Image.fromarray((values / 16 if mode == "F" else values).astype(dtype))
    assert picture.mode == mode
    made = plain(resize=None, crop=None)(picture)
    np.testing.assert_allclose(made[0], np.asarray(picture) / (255 if mode == "F" else 4095), atol=1e-7)
