from __future__ import annotations

import pytest
import torch
from PIL import Image
from torch import nn
from torchvision import transforms

import interpretkit as ik
from interpretkit.engine.prepared import prepared
from interpretkit.errors import RecipeError
from interpretkit.recipe.entries import ModelEntry

BICUBIC = transforms.InterpolationMode.BICUBIC
PHOTO = Image.effect_noise((60, 40), 50).convert("RGB")


def model_of(preprocessing=None, channels=3):
    net = nn.Sequential(nn.Conv2d(channels, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return ik.Model(module=net, name="net", preprocessing=preprocessing or ik.Preprocessing())


def asked(model, **preprocessing):
    return prepared(model, ModelEntry.parse({"uses": "some", "preprocessing": preprocessing})).preprocessing


@pytest.mark.parametrize(
    ("stated", "by_torchvision"),
    [
        ({"resize": [20, 50], "crop": None}, [transforms.Resize((20, 50), antialias=True)]),
        ({"resize": 32, "crop": None}, [transforms.Resize(32, antialias=True)]),
        ({"resize": None, "crop": [30, 20]}, [transforms.CenterCrop((30, 20))]),
        ({"resize": None, "crop": 24}, [transforms.CenterCrop(24)]),
        ({"resize": [24, 24], "crop": None, "interpolation": "bicubic"}, [transforms.Resize((24, 24), BICUBIC)]),
    ],
)
def test_an_image_is_fed_as_transforms_of_torchvision_would_feed_it(stated, by_torchvision):
    last = [transforms.ToTensor(), transforms.Normalize([0.4, 0.5, 0.6], [0.1, 0.2, 0.3])]
    found = asked(model_of(), **stated, mean=[0.4, 0.5, 0.6], std=[0.1, 0.2, 0.3])
    torch.testing.assert_close(found(PHOTO), transforms.Compose([*by_torchvision, *last])(PHOTO))


def test_what_is_not_stated_stays_and_one_number_stands_for_all_channels():
    usual = ik.Preprocessing(resize=40, crop=32, mean=(0.1,), std=(0.2,), interpolation="bicubic")
    assert asked(model_of(usual)) == usual
    assert asked(model_of(usual), mean=0.5) == ik.Preprocessing(
        resize=40, crop=32, mean=(0.5,), std=(0.2,), interpolation="bicubic"
    )
    assert asked(model_of(), std=0.25).std == (0.25, 0.25, 0.25)
    model = model_of()
    assert prepared(model, ModelEntry.parse({"uses": "some"})) is model


def test_masks_and_layers_follow_height_and_width():
    found = asked(model_of(), resize=[20, 50], crop=[10, 40])
    mask = torch.zeros(40, 60, dtype=torch.bool)
    mask[:20] = True
    assert found.mask(mask.numpy()).tolist() == [[True] * 40] * 5 + [[False] * 40] * 5
    wide = prepared(model_of(), ModelEntry.parse({"uses": "some", "preprocessing": {"resize": [20, 50], "crop": None}}))
    assert [row.shape for row in wide.layers("0")] == [(2, 18, 48)]


def test_where_the_builder_says_no_values_all_are_to_be_stated():
    model = model_of(lambda image: torch.zeros(1, 8, 8), channels=1)
    with pytest.raises(RecipeError, match="the preprocessing of net is no list of values") as caught:
        asked(model, resize=8)
    assert caught.value.hint == "add crop, mean, std"
    assert asked(model, resize=8, crop=None, mean=0.5, std=0.5) == ik.Preprocessing(
        resize=8, crop=None, mean=(0.5,), std=(0.5,)
    )


def test_numbers_are_as_many_as_channels():
    with pytest.raises(RecipeError, match="mean has 2 numbers, and the network takes 3 channels"):
        asked(model_of(), mean=[0.1, 0.2])


@pytest.mark.parametrize(
    "wrong",
    [{"resize": 0}, {"resize": [1, 2, 3]}, {"crop": "big"}, {"std": 0}, {"resise": 3}, {"interpolation": "cubic"}],
)
def test_what_is_no_preprocessing_is_refused(wrong):
    with pytest.raises(RecipeError):
        asked(model_of(), **wrong)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("mean", "0 subtracts nothing, and without the key the network's own is subtracted"),
        ("std", "1 divides by nothing, and without the key the network's own divides"),
        ("interpolation", "without the key, the network's own filter is taken"),
    ],
)
def test_null_is_no_number_and_no_filter(key, said):
    with pytest.raises(RecipeError) as caught:
        asked(model_of(), **{key: None})
    assert f"{key}: null leaves open what is meant: {said}" in str(caught.value)
