"""Models of signals and volumes: their layers, layouts and baselines."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

import interpretkit as ik
from interpretkit import Layout, StepError
from interpretkit.model.layout import arrange
from interpretkit.model.model import Model
from interpretkit.model.preprocessing import Preprocessing


def of_volumes() -> nn.Sequential:
    conv = nn.Conv3d(1, 4, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))
    return nn.Sequential(conv, nn.MaxPool3d((2, 2, 1)), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 2))


def of_signals() -> nn.Sequential:
    return nn.Sequential(nn.Conv1d(2, 4, 5, stride=2), nn.AvgPool1d(2), nn.Flatten(), nn.LazyLinear(3))


def test_the_layers_of_a_network_of_volumes():
    assert str(ik.wrap(of_volumes()).layers(size=(4, 16, 12))) == (
        "layer  kind               output   stride  receptive field  parameters\n"
        "0      Conv3d             4×4×8×6   1×2×2            1×3×3          40\n"
        "1      MaxPool3d          4×2×4×6   2×4×2            2×5×3           0\n"
        "2      AdaptiveAvgPool3d  4×1×1×1       –              all           0\n"
        "3      Flatten            4             –              all           0\n"
        "4      Linear             2             –              all          10"
    )
    _, pool, *_ = ik.wrap(of_volumes()).layers(size=(4, 16, 12))
    assert pool.window(1, 2, 3) == ((2, 3), (7, 11), (5, 7))
    with pytest.raises(ValueError, match="argument"):
        pool.window(2, 3)


def test_the_layers_of_a_network_of_signals():
    conv, pool, flat, linear = ik.wrap(of_signals()).layers(size=(32,))
    assert (conv.shape, conv.stride, conv.receptive_field) == ((4, 14), (2,), (5,))
    assert (pool.shape, pool.stride, pool.receptive_field) == ((4, 7), (4,), (7,))
    assert pool.window(2) == ((8, 14),)
    assert flat.receptive_field == pool.receptive_field
    assert linear.json()["receptive_field"] == ["all"]


def test_without_a_size_it_is_what_the_preprocessing_makes():
    def slices(picture):
        return torch.zeros(1, 4, picture.height // 14, picture.width // 7)

    assert Model(module=of_volumes(), preprocessing=slices).layers()[0].shape == (4, 4, 8, 16)
    with pytest.raises(StepError, match=r"failed on an image 1×224×224: RuntimeError: .*a number for each axis"):
        ik.wrap(of_volumes(), name="net").layers()


@pytest.mark.parametrize("size", [(6, 9), (4, 6, 9)], ids=["image", "volume"])
@pytest.mark.parametrize("prefix", [0, 1])
def test_tokens_lie_where_their_patches_do(size, prefix):
    """Each token is the sum of its patch: a pooling, found by its kernel, says the same."""
    patch = tuple(3 if length % 3 == 0 else 2 for length in size)
    conv = nn.Conv2d if len(size) == 2 else nn.Conv3d
    embedding = conv(1, 2, patch, stride=patch)
    inputs = torch.randn(3, 1, *size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        grid = embedding(inputs)
    tokens = torch.cat([torch.full((3, prefix, 2), 7.0), grid.flatten(2).transpose(1, 2)], 1)
    network = nn.Sequential(embedding, nn.Identity())
    found = arrange(tokens, network=network, path="1", inputs=inputs)
    assert found.axes == ("image", "channel", *("z", "y", "x")[-len(size) :])
    assert torch.equal(found.values, grid)
    declared = Layout(kind="tokens", patch=patch, prefix=prefix)
    assert torch.equal(arrange(tokens, network=nn.Identity(), path="", inputs=inputs, declared=declared).values, grid)


def test_tokens_of_a_signal_must_be_declared_since_maps_have_as_many_axes():
    inputs, tokens = torch.zeros(2, 1, 12), torch.arange(24.0).reshape(2, 4, 3)
    network = nn.Sequential(nn.Conv1d(1, 3, 4, stride=4), nn.Identity())
    plain = arrange(tokens, network=network, path="1", inputs=inputs)
    assert plain.axes == ("image", "channel", "x")
    assert torch.equal(plain.values, tokens)
    declared = Layout(kind="tokens", patch=(4,), prefix=1)
    found = arrange(tokens, network=network, path="1", inputs=inputs, declared=declared)
    assert found.axes == ("image", "channel", "x")
    assert torch.equal(found.values, tokens[:, 1:].transpose(1, 2))
    unfit = Layout(kind="tokens", patch=(5,))
    assert arrange(tokens, network=nn.Identity(), path="", inputs=inputs, declared=unfit).axes[1] == "token"


def test_volumes_whose_channels_come_last_are_found():
    network = nn.Sequential(nn.Identity(), nn.LayerNorm(5))
    values = torch.randn(2, 2, 4, 6, 5)
    found = arrange(values, network=network, path="0", inputs=torch.zeros(2, 1, 4, 8, 12))
    assert found.axes == ("image", "channel", "z", "y", "x")
    assert torch.equal(found.values, values.movedim(-1, 1))


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
