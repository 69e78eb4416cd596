from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import ResNet50_Weights

from interpretkit.errors import InputError
from interpretkit.model.feeding import fed
from interpretkit.model.preprocessing import Preprocessing, as_picture, stretched
from interpretkit.results.stored import Stored


def noise(width, height, mode="RGB"):
    generator = np.random.default_rng(width * height)
    return Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8)).convert(mode)


def resized_and_cropped(picture, resize, crop):
    """Do with Pillow alone what the preprocessing does before it normalises."""
    width, height = picture.size
    scale = resize / min(width, height)
    size = (resize, int(height * scale + 1e-9)) if width < height else (int(width * scale + 1e-9), resize)
    picture = picture.resize(size, Image.Resampling.BILINEAR)
    left, top = round((size[0] - crop) / 2), round((size[1] - crop) / 2)
    return np.asarray(picture.crop((left, top, left + crop, top + crop)))


SIZES = [(300, 280), (256, 256), (223, 500), (640, 100), (31, 17), (1, 1)]


@pytest.mark.parametrize("size", SIZES)
def test_the_default_is_bit_for_bit_the_usual_preprocessing_of_imagenet(size):
    picture = noise(*size)
    usual = ResNet50_Weights.IMAGENET1K_V1.transforms()
    assert torch.equal(Preprocessing()(picture), usual(picture))


@pytest.mark.parametrize("size", SIZES)
def test_the_picture_of_a_preprocessed_image_is_exactly_its_cropped_pixels(size):
    picture = noise(*size)
    preprocessing = Preprocessing()
    assert np.array_equal(preprocessing.picture(preprocessing(picture)), resized_and_cropped(picture, 256, 224))


def test_a_tensor_of_low_precision_has_a_picture_too():
    picture = noise(13, 7)
    preprocessing = Preprocessing(resize=None, crop=None)
    shown = preprocessing.picture(preprocessing(picture).to(torch.bfloat16))
    assert np.abs(shown - np.asarray(picture, float)).max() <= 1


def test_without_resize_and_crop_the_picture_is_the_image():
    picture = noise(13, 7)
    preprocessing = Preprocessing(resize=None, crop=None, mean=(0.1, 0.9, 0.5), std=(3.0, 0.01, 0.5))
    tensor = preprocessing(picture)
    assert tensor.shape == (3, 7, 13)
    assert np.array_equal(preprocessing.picture(tensor), np.asarray(picture))


def test_grey_models_get_one_channel_and_their_picture_is_grey():
    preprocessing = Preprocessing(resize=None, crop=None, mean=(0.5,), std=(0.25,))
    picture = noise(13, 7)
    tensor = preprocessing(picture)
    grey = np.asarray(picture.convert("L"))
    assert np.allclose(tensor.numpy()[0], (grey / 255 - 0.5) / 0.25, rtol=0, atol=1e-6)
    assert np.array_equal(preprocessing.picture(tensor), np.dstack([grey, grey, grey]))


def test_what_an_image_lacks_to_the_crop_is_black():
    preprocessing = Preprocessing(resize=None, crop=10)
    picture = preprocessing.picture(preprocessing(Image.new("RGB", (10, 4), "white")))
    assert picture[3:7].min() == 255
    assert picture[:3].max() == picture[7:].max() == 0


@pytest.mark.parametrize("size", [(1, 1025), (1025, 1)])
def test_a_resize_that_would_fill_the_memory_is_refused(size):
    with pytest.raises(ValueError, match=r"would be resized to .* more than 67,108,864 pixels"):
        Preprocessing(crop=None)(Image.new("RGB", size))
    assert Preprocessing(resize=None, crop=None)(Image.new("RGB", size)).numel() == 3 * 1025


def test_values_of_unknown_preprocessing_are_stretched_from_least_to_greatest():
    tensor = torch.tensor([-2.0, 0.0, 3.0]).reshape(3, 1, 1)
    assert stretched(tensor).tolist() == [[[0, 102, 255]]]
    assert stretched(torch.full((3, 2, 2), 7.0)).max() == 0


@pytest.mark.parametrize(
    ("channels", "shown"), [([0.2], [51, 51, 51]), ([0.2, 1], [51, 51, 51]), ([1, 0.2, -9, 1], [255, 51, 0])]
)
def test_pictures_have_three_channels_whatever_the_image_has(channels, shown):
    assert as_picture(np.reshape(channels, (-1, 1, 1)).astype(float)).tolist() == [[shown]]


def test_an_image_cannot_be_given_other_than_one_or_three_channels():
    many = Preprocessing(mean=(0.5,) * 5, std=(0.25,) * 5)
    with pytest.raises(ValueError, match="the model takes 5: give tensors, or a transform"):
        many(noise(300, 280))
    assert many.picture(torch.zeros(5, 4, 4)).shape == (4, 4, 3)


@pytest.mark.parametrize(
    ("size", "resize", "crop", "fills"),
    [
        ((60, 40), None, 50, True),
        ((60, 40), None, 40, False),
        ((60, 40), None, (40, 60), False),
        ((60, 40), None, (40, 61), True),
        ((60, 40), 20, 24, True),
        ((60, 40), 24, 24, False),
        ((60, 40), (30, 24), 24, False),
        ((60, 40), (20, 24), 24, True),
        ((60, 40), 20, None, False),
    ],
)
def test_an_image_smaller_than_the_crop_is_told(size, resize, crop, fills):
    preprocessing = Preprocessing(resize=resize, crop=crop, mean=(0.0,) * 3, std=(1.0,) * 3)
    white = preprocessing(Image.new("RGB", size, "white"))
    assert preprocessing.fills_up(size) is fills is bool((white == 0).any())
    _, given = fed(
        preprocessing, Stored(values=np.full((size[1], size[0], 3), 255, np.uint8), axes=("y", "x", "channel"))
    )
    assert given.alerts == (("smaller than the crop: its rest is black",) if fills else ())


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"mean": 0.449}, "mean is a number for each channel, not 0.449"),
        ({"std": 0.2}, "std is a number for each channel"),
        ({"mean": (127, 127, 127)}, "mean is subtracted from values of 0 to 1"),
    ],
)
def test_what_normalises_is_a_number_for_each_channel_between_black_and_white(numbers, message):
    with pytest.raises(InputError, match=message):
        Preprocessing(**numbers)
