from __future__ import annotations

import pytest
import torch
from torch import nn

import interpretkit as ik
from interpretkit.model.expected import misfit

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


@pytest.mark.parametrize("taken", CONVOLUTIONS)
@pytest.mark.parametrize("fed", CONVOLUTIONS)
def test_a_network_of_other_axes_than_it_is_fed_is_told_by_its_first_convolution(taken, fed):
    said = misfit(nn.Sequential(nn.Identity(), CONVOLUTIONS[taken](1, 2, 3), nn.Conv2d(1, 2, 3)), fed)
    assert bool(said) == (taken != fed)
    assert misfit(nn.Linear(2, 2), fed) == ""


@pytest.mark.parametrize("visualizer", ["grad_cam", "occlusion"])
@pytest.mark.parametrize(
    ("shape", "hint"),
    [
        (
            (1, 3, 8, 40, 40),
            "it takes images (channel, y, x), not volumes (channel, z, y, x): `pages: each`",
        ),
        ((1, 3, 40), "it takes images (channel, y, x), not signals (channel, x)"),
    ],
)
def test_what_a_network_cannot_take_says_what_it_takes(visualizer, shape, hint):
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2))
    options = {"layers": ["0"]} if visualizer == "grad_cam" else {"window": 4, "stride": 4}
    with pytest.raises(ik.StepError) as caught:
        ik.visualize(net, torch.rand(shape), visualizer, target=0, **options)
    assert caught.value.hint.startswith(hint)
