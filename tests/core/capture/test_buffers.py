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


class Changing(nn.Module):
    """Changes its own weights in its forward."""

    def __init__(self, change):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)
        self.count = nn.Parameter(torch.zeros(()), requires_grad=False)
        self.mean = nn.Parameter(torch.rand(4), requires_grad=False)
        self.change = change

    def forward(self, images):
        self.change(self)
        return self.fc(self.conv(images).relu().mean((2, 3)))


@torch.no_grad()
def counted(net):
    net.count += 1
    net.mean.lerp_(net.mean.square(), 0.1)


@torch.no_grad()
def halved(net):
    net.conv.weight.mul_(0.5)


def halved_data(net):
    net.conv.weight.data.mul_(0.5)


def given_other_data(net):
    net.conv.bias.data = net.mean.data


def assigned(net):
    net.conv.weight = nn.Parameter(net.conv.weight.detach() / net.conv.weight.detach().norm())


def tied(net):
    net.conv.bias = net.mean


def memory(net):
    return {name: (id(tensor), tensor.data_ptr()) for name, tensor in net.named_parameters()}


CHANGES = [counted, halved, halved_data, given_other_data, assigned, tied]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("method", ["saliency", "grad_cam"])
def test_parameters_that_a_forward_changes_are_put_back(change, method):
    net = Changing(change).eval()
    before, places = kept(net), memory(net)
    options = {"layers": ["conv"]} if method == "grad_cam" else {}
    model = ik.wrap(net, output=ik.Classes(returns="logits"))
    found = [ik.visualize(model, IMAGES, method, target=1, **options) for _ in range(3)]
    assert_same(net, before)
    assert memory(net) == places
    expected = Changing(change).eval()(IMAGES)[:, 1].tolist()
    for result in found:
        assert [target.score for target in result.targets] == pytest.approx(expected)


@pytest.mark.parametrize("change", CHANGES)
def test_passes_of_a_step_s_own_see_the_same_parameters_or_are_refused(change):
    net = Changing(change).eval()
    before = kept(net)
    model = ik.wrap(net, output=ik.Classes(returns="logits"))
    occlusion = {"target": 1, "window": 8, "stride": 8}
    if change in (halved, halved_data):
        with pytest.raises(ik.StepError, match="the network keeps a state from pass to pass"):
            ik.visualize(model, IMAGES, "occlusion", **occlusion)
    else:
        values = ik.visualize(model, IMAGES, "occlusion", **occlusion).maps["input"].values
        once = Changing(change).eval()
        once(IMAGES)
        once.change = lambda net: None
        expected = ik.visualize(ik.wrap(once, output=model.output), IMAGES, "occlusion", **occlusion)
        torch.testing.assert_close(values, expected.maps["input"].values, rtol=1e-4, atol=1e-6)
    assert_same(net, before)


def test_listing_layers_leaves_parameters_as_they_were():
    net = Changing(halved_data).eval()
    before = kept(net)
    ik.wrap(net).layers(size=(16, 16))
    assert_same(net, before)


def test_a_parameter_that_changes_in_later_passes_alone_is_refused_by_its_name():
    def later(net):
        if torch.is_grad_enabled():
            counted(net)

    model = ik.wrap(Changing(later).eval())
    ik.visualize(model, IMAGES, "feature_grid", layers=["conv"])
    with pytest.raises(ik.StepError, match="the network has changed its parameter count, which its first pass had"):
        ik.visualize(model, IMAGES, "saliency")
