"""Networks with random weights: drawn anew, finite, the same from one seed, and nobody else's weights."""

from __future__ import annotations

import copy

import pytest
import torch
import torchvision
from torch import nn

import interpretkit as ik
from interpretkit.model.randomized import randomized


class Tokens(nn.Module):
    """A layer with weights of its own that nothing draws."""

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.arange(6.0).reshape(2, 3))
        self.linear = nn.Linear(3, 2)

    def forward(self, images):
        return self.linear(images.mean((2, 3)) + self.token.sum(0))


def states(model):
    return {name: each.clone() for name, each in model.module.state_dict().items()}


def test_every_layer_draws_its_weights_anew_and_the_network_keeps_its_own():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.LazyLinear(5))
    net(torch.rand(2, 3, 6, 6))
    nn.init.uniform_(net[1].weight, 1, 2)
    model = ik.wrap(net)
    before = states(model)
    found = states(randomized(model))
    assert not torch.equal(net[1].running_mean, torch.zeros(4))
    for name, each in before.items():
        assert torch.equal(model.module.state_dict()[name], each)
        assert name in {"1.num_batches_tracked", "1.bias"} or not torch.equal(found[name], each)
    assert torch.equal(found["1.running_mean"], torch.zeros(4))
    assert torch.equal(found["1.running_var"], torch.ones(4))
    assert torch.equal(found["0.bias"], torch.zeros(4))
    assert float(found["4.weight"].std()) == pytest.approx((2 / 64) ** 0.5, rel=0.1)


def test_what_no_layer_draws_is_shuffled():
    model = ik.wrap(Tokens())
    found = randomized(model).module.token
    assert not torch.equal(found, model.module.token)
    assert sorted(found.flatten().tolist()) == list(range(6))


def test_one_seed_gives_the_same_weights_and_leaves_the_generator_alone():
    model = ik.wrap(Tokens())
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    first, second, other = (states(randomized(model, seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["linear.weight"], other["linear.weight"])


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "efficientnet_b0", "vit_b_16", "swin_t"])
def test_what_networks_with_random_weights_say_is_finite_and_depends_on_the_image(name):
    model = ik.wrap(getattr(torchvision.models, name)(weights=None, num_classes=10))
    other = randomized(model).module.eval()
    with torch.no_grad():
        first, second = other(torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0)))
    assert bool(first.isfinite().all())
    assert float((first - second).std()) > 1e-3 * float(first.std())


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_torchscript_is_shuffled():
    net = torch.jit.trace(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten()), torch.rand(1, 1, 4, 4))
    model = ik.wrap(net)
    found = states(randomized(model))
    assert not torch.equal(found["0.weight"], net.state_dict()["0.weight"])
    assert (
        found["0.weight"].flatten().sort().values.tolist()
        == net.state_dict()["0.weight"].flatten().sort().values.tolist()
    )


def test_what_passes_have_shown_of_a_model_holds_for_it_too():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Softmax(1))
    model = ik.wrap(net)
    ik.visualize(model, torch.rand(2, 1, 8, 8), "grad_cam", layers=["0"])
    settled = model.settled
    other = randomized(settled)
    assert other.settled is other
    assert not other.open
    assert other.outputs == settled.outputs
    assert other.spacings is settled.spacings


def test_a_network_without_weights_cannot_be_random():
    with pytest.raises(ik.StepError, match="no weights that could be random"):
        randomized(ik.wrap(nn.Flatten()))


def test_tied_weights_stay_tied():
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    net[1].weight = net[0].weight
    assert copy.deepcopy(net)[1].weight is not net[1].weight
    other = randomized(ik.wrap(net)).module
    assert other[0].weight is other[1].weight


def test_parts_are_drawn_as_with_all_others_and_the_others_stay():
    net = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), nn.Flatten(), nn.Linear(64, 2))
    net(torch.rand(2, 3, 6, 6))
    nn.init.uniform_(net[0][1].weight, 1, 2)
    model = ik.wrap(net)
    before, whole = states(model), states(randomized(model, seed=3))
    head = states(randomized(model, parts=["2"], seed=3))
    body = states(randomized(model, parts=["0"], seed=3))
    for name in before:
        assert torch.equal(head[name], whole[name] if name.startswith("2.") else before[name])
        assert torch.equal(body[name], before[name] if name.startswith("2.") else whole[name])
        assert torch.equal(model.module.state_dict()[name], before[name])
    assert not torch.equal(before["0.1.running_mean"], whole["0.1.running_mean"])
    assert states(randomized(model, parts=["0", "2"], seed=3)).keys() == whole.keys()


def test_weights_that_parts_share_with_others_are_drawn():
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    net[1].weight = net[0].weight
    other = randomized(ik.wrap(net), parts=["1"]).module
    assert other[0].weight is other[1].weight
    assert not torch.equal(other[0].weight, net[0].weight)
    assert torch.equal(other[0].bias, net[0].bias)


@pytest.mark.parametrize(("part", "said"), [("heads", "did you mean 'head'"), ("flat", "no weights in 'flat'")])
def test_a_part_that_has_no_weights_is_refused(part, said):
    net = nn.Module()
    net.flat, net.head = nn.Flatten(), nn.Linear(3, 2)
    with pytest.raises(ik.StepError, match=said):
        randomized(ik.wrap(net), parts=[part])
