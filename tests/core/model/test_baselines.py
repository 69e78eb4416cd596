from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

from interpretkit.errors import StepError
from interpretkit.model.baselines import blurred
from interpretkit.model.model import Model
from interpretkit.model.preprocessing import Preprocessing


def test_black_is_what_the_preprocessing_makes_of_a_black_image():
    from PIL import Image

    def halved(image):
        return torch.full((3, 4, 4), image.getpixel((0, 0))[0] / 255 - 0.5)

    image = torch.rand(1, 3, 6, 9, dtype=torch.float64)
    for preprocessing in (Preprocessing(), halved):
        model = Model(module=nn.Identity(), preprocessing=preprocessing)
        expected = preprocessing(Image.new("RGB", (300, 300)))[None, :, :1, :1].double().expand_as(image)
        torch.testing.assert_close(model.baseline(image, "black"), expected, rtol=1e-6, atol=0)
    with pytest.raises(StepError, match="makes no black image: AttributeError"):
        Model(module=nn.Identity(), preprocessing=lambda image: image.size).baseline(image, "black")


def test_a_blur_is_a_gaussian_of_a_part_of_the_shorter_side():
    from scipy.ndimage import gaussian_filter

    image = torch.rand(1, 2, 20, 31, dtype=torch.float64)
    expected = gaussian_filter(image.numpy(), (0, 0, 2.2, 2.2), mode="mirror", radius=(0, 0, 7, 7))
    found = Model(module=nn.Identity()).baseline(image, "blurred", blur=0.11)
    torch.testing.assert_close(found, torch.from_numpy(expected), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(blurred(image, 0.11), torch.from_numpy(expected), rtol=1e-5, atol=1e-6)


def test_a_baseline_can_be_written_into():
    image = torch.rand(1, 3, 4, 4)
    kept = image.clone()
    for name in ("zero", "black", "image_mean", "blurred"):
        found = Model(module=nn.Identity()).baseline(image, name)
        assert found.shape == image.shape
        found[0, 0, 0, 0] = 7
        assert (found == 7).sum() == 1
    assert torch.equal(image, kept)


@pytest.mark.parametrize("size", [(40,), (9, 20, 31)], ids=["signal", "volume"])
def test_baselines_have_as_many_axes_as_what_they_stand_for(size):
    image = torch.rand(1, 2, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    grid = tuple(range(2, image.ndim))
    model = Model(module=nn.Identity(), preprocessing=Preprocessing(mean=(0.5, 0.2), std=(0.25, 0.1)))
    found = {name: model.baseline(image, name).numpy() for name in ("zero", "black", "image_mean")}
    assert not found["zero"].any()
    assert np.allclose(found["image_mean"], image.numpy().mean(grid, keepdims=True))
    assert np.allclose(found["black"], np.reshape((-2.0, -2.0), (1, 2, *(1,) * len(size))))
    sigma = 0.11 * min(size)
    radius = min(int(np.ceil(3 * sigma)), min(size) - 1)
    sigmas, radii = ((0, 0, *(each,) * len(size)) for each in (sigma, radius))
    expected = gaussian_filter(image.numpy(), sigmas, mode="mirror", radius=radii)
    blurred = model.baseline(image, "blurred", blur=0.11)
    torch.testing.assert_close(blurred, torch.from_numpy(expected), rtol=1e-5, atol=1e-6)
    for each in (*found.values(), blurred):
        assert each.shape == image.shape


def test_black_of_a_preprocessing_that_makes_volumes_is_the_level_of_each_channel():
    model = Model(module=nn.Identity(), preprocessing=lambda picture: torch.full((2, 3, 4, 4), 0.25))
    assert torch.equal(model.baseline(torch.zeros(1, 2, 2, 5, 5), "black"), torch.full((1, 2, 2, 5, 5), 0.25))
