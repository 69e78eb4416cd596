from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import interpretkit as ik


class Fed(nn.Module):
    """A function of what is fed, before a network that takes channels second."""

    def __init__(self, before, net, after=None):
        super().__init__()
        self.before, self.net, self.after = before, net, after or nn.Identity()

    def forward(self, inputs):
        return self.after(self.net(self.before(inputs)))


class Last(nn.Module):
    def forward(self, states):
        return states[0][:, -1]


def convolutional(axes=2, channels=3):
    torch.manual_seed(0)
    conv = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[axes]
    pool = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}[axes]
    return nn.Sequential(conv(channels, 4, 3, padding=1), nn.ReLU(), pool(1), nn.Flatten(), nn.Linear(4, 2))


def frames_of(count):
    return Fed(lambda x: x.flatten(0, 1), convolutional(), lambda z: z.unflatten(0, (-1, count)).mean(1))


def channels_last(axes=2):
    return Fed(lambda x: x.movedim(-1, 1), convolutional(axes))


def recurrent():
    torch.manual_seed(0)
    return nn.Sequential(nn.GRU(5, 4, batch_first=True), Last(), nn.Linear(4, 2))


def linear():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 8 * 8, 2))


MISREAD = {
    "frames": (
        frames_of(5),
        (5, 3, 8, 8),
        r"takes it for \(image, frame, channel, y, x\).*net\(inputs.transpose\(1, 2",
    ),
    "as many frames as channels": (frames_of(3), (3, 3, 8, 8), r"\(image, frame, channel, y, x\)"),
    "images": (channels_last(), (8, 8, 3), r"takes it for \(image, …, channel\).*net\(inputs.movedim\(1, -1\)\)"),
    "signals": (channels_last(1), (8, 3), r"\(image, …, channel\)"),
    "volumes": (channels_last(3), (6, 8, 8, 3), r"\(image, …, channel\)"),
    "recurrent": (recurrent(), (8, 5), r"\(image, …, channel\)"),
    "linear": (linear(), (8, 8, 3), r"\(image, …, channel\)"),
}


def inputs_of(shape):
    return torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", MISREAD)
@pytest.mark.parametrize("visualizer", ["saliency", "occlusion"])
def test_axes_in_another_order_are_refused_with_the_way_to_feed_them(kind, visualizer):
    net, shape, message = MISREAD[kind]
    options = {"window": 2, "stride": 2} if visualizer == "occlusion" else {}
    model = ik.wrap(net.eval())
    for _ in range(2):
        with pytest.raises(ik.StepError, match=message):
            ik.visualize(model, inputs_of(shape), visualizer, target=0, **options)


BACK = {"frames": lambda x: x.transpose(1, 2), "as many frames as channels": lambda x: x.transpose(1, 2)}


@pytest.mark.parametrize("kind", MISREAD)
def test_what_the_refusal_says_gives_the_right_map(kind):
    net, shape, _ = MISREAD[kind]
    back = BACK.get(kind, lambda x: x.movedim(1, -1))
    fed = inputs_of(shape)
    channel = 2 if kind in BACK else fed.ndim - 1
    wrapped = Fed(back, net)
    model = ik.wrap(wrapped.eval())
    found = ik.visualize(model, fed.movedim(channel, 1), "saliency", target=0).maps["input"].values
    fed.requires_grad_()
    (gradient,) = torch.autograd.grad(net(fed)[:, 0].sum(), fed)
    expected = gradient.abs().amax(channel).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5)


class Expanded(nn.Module):
    def forward(self, images):
        return images.repeat(1, 3, 1, 1)


SOUND = {
    "usual": (convolutional(), (3, 8, 8)),
    "one channel made three": (nn.Sequential(Expanded(), convolutional()), (1, 8, 3)),
    "channel by channel": (
        Fed(lambda x: x.flatten(0, 1)[:, None], convolutional(channels=1), lambda z: z.unflatten(0, (-1, 5)).mean(1)),
        (5, 8, 1),
    ),
    "slice by slice": (
        Fed(lambda x: x.transpose(1, 2).flatten(0, 1), convolutional(), lambda z: z.unflatten(0, (-1, 3)).mean(1)),
        (3, 3, 8, 8),
    ),
    "pixels made channels": (nn.Sequential(nn.PixelUnshuffle(2), convolutional(channels=12)), (3, 12, 12)),
    "filled up": (nn.Sequential(nn.ZeroPad2d(2), Expanded(), convolutional()), (1, 8, 3)),
    "pixels in a row": (nn.Sequential(nn.Flatten(), nn.Linear(3, 2)), (3, 1, 1)),
    "along lines": (nn.Sequential(nn.Linear(8, 4), nn.Flatten(), nn.Linear(96, 2)), (3, 8, 8)),
}


@pytest.mark.parametrize("kind", SOUND)
def test_networks_with_channels_second_are_let_through(kind):
    net, shape = SOUND[kind]
    found = ik.visualize(ik.wrap(net.eval()), inputs_of(shape), "saliency", target=0)
    assert found.maps["input"].values.shape == (2, *shape[1:])


def test_nothing_is_passed_where_nothing_is_in_doubt():
    calls = []
    net = convolutional().eval()
    net[0].register_forward_hook(lambda *_: calls.append(1))
    ik.visualize(ik.wrap(net), inputs_of((3, 8, 8))[:1], "saliency", target=0)
    assert len(calls) == 1
