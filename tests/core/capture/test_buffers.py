from __future__ import annotations

import pytest
import torch
from torch import nn

import interpretkit as ik

IMAGES = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))


class Counting(nn.Module):
    """Trains its normalisation in any mode, counts its calls, and keeps the last mean in a new tensor."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 3)
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))
        self.register_buffer("last", torch.full((4,), float("nan")))
        self.register_buffer("unset", None)

    def train(self, mode=True):
        super().train(mode)
        self.norm.training = True
        return self

    def forward(self, images):
        self.calls += 1
        features = self.norm(self.conv(images)).relu()
        self.last = features.detach().mean((0, 2, 3))
        return self.fc(features.mean((2, 3)))


def kept(net):
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


def assert_same(net, before):
    after = net.state_dict()
    assert after.keys() == before.keys()
    for name, tensor in before.items():
        torch.testing.assert_close(after[name], tensor, rtol=0, atol=0, equal_nan=True, msg=name)


@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("grad_cam", {"layers": ["conv"]}),
        ("channel_stats", {"layers": ["norm"]}),
        ("occlusion", {"window": 8, "stride": 8}),
        ("integrated_gradients", {"steps": 3}),
        ("ablation_cam", {"layers": ["conv"]}),
    ],
)
def test_looking_leaves_buffers_as_they_were(method, options, images):
    net = Counting().eval()
    before = kept(net)
    tensors = {name: id(tensor) for name, tensor in net.named_buffers()}
    ik.visualize(ik.wrap(net), IMAGES[:images], method, **options)
    assert_same(net, before)
    assert {name: id(tensor) for name, tensor in net.named_buffers()} == tensors


def test_listing_layers_leaves_buffers_as_they_were():
    net = Counting().eval()
    before = kept(net)
    ik.wrap(net).layers(size=(16, 16))
    assert_same(net, before)


def test_buffers_are_put_back_after_a_failure():
    class Failing(Counting):
        def forward(self, images):
            super().forward(images)
            raise RuntimeError("no")

    net = Failing().eval()
    before = kept(net)
    with pytest.raises(ik.StepError, match="RuntimeError: no"):
        ik.visualize(ik.wrap(net), IMAGES, "saliency")
    assert_same(net, before)


class Adapting(nn.Module):
    """Adds to each image how often it has been called."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, images):
        self.calls += 1
        return images.mean((2, 3)) + self.calls


def test_each_pass_begins_with_the_buffers_as_they_are():
    net = Adapting().eval()
    found = ik.visualize(ik.wrap(net), IMAGES, "saliency", target=0, batch_size=1)
    expected = (IMAGES[:, 0].mean((1, 2)) + 1).tolist()
    assert [target.score for target in found.targets] == pytest.approx(expected)


def test_a_cache_that_grows_stays():
    class Cached(nn.Module):
        """Counts on the length of what it keeps by another attribute."""

        def __init__(self):
            super().__init__()
            self.register_buffer("table", torch.zeros(1), persistent=False)
            self.known = 1

        def forward(self, images):
            values = images.mean((1, 2))
            if values.shape[-1] > self.known:
                self.known = values.shape[-1]
                self.table = torch.arange(self.known, dtype=torch.float32)
            return values * self.table

    model = ik.wrap(Cached().eval())
    for _ in range(2):
        found = ik.visualize(model, IMAGES, "saliency", target=2)
    assert [target.score for target in found.targets] == pytest.approx((2 * IMAGES.mean((1, 2))[:, 2]).tolist())


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning", "ignore:`torch.jit:DeprecationWarning")
def test_scripted_networks_get_their_buffers_back():
    net = torch.jit.script(Adapting())
    before = kept(net)
    ik.visualize(ik.wrap(net), IMAGES, "saliency", target=0)
    assert_same(net, before)
