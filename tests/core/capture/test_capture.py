from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from torch import nn

import interpretkit as ik
from interpretkit.capture.addresses import EVERY, INPUT, Address
from interpretkit.capture.capture import Capture
from interpretkit.digests import state_digest


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(2, 3, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def by_hand(net: nn.Module, images: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Every intermediate value, out of place, with a graph."""
    net.eval()
    first = net.first(images)
    relu1 = first.relu()
    second = net.second(relu1)
    norm = net.norm(second)
    relu2 = (norm + relu1 * 0.5).relu()
    values = {"first": first, "relu#1": relu1, "second": second, "norm": norm, "relu#2": relu2}
    return values, net.head(relu2.mean((2, 3)))


def address(name: str) -> Address:
    path, _, call = name.partition("#")
    return Address(path, int(call) if call else None)


def test_activations_and_gradients_equal_a_derivation_by_hand_despite_in_place_operations(net, images):
    values, output = by_hand(net, images)
    expected = torch.autograd.grad(output[:, 1].sum(), list(values.values()))
    addresses = [address(name) for name in values]
    with Capture(net, gradients=addresses) as capture:
        captured_output = capture.forward(images)
        gradients = capture.backward(captured_output[:, 1])
    assert torch.equal(captured_output, output)
    for (name, value), gradient in zip(values.items(), expected, strict=True):
        assert torch.equal(capture.activations[address(name)], value), name
        torch.testing.assert_close(gradients[address(name)], gradient, rtol=1e-12, atol=1e-15, msg=name)


def test_every_call_is_recorded_under_its_number_be_there_none(net, images):
    values, output = by_hand(net, images)
    wanted = [Address(path, EVERY) for path in ("relu", "second", "unused", "aside")]
    with Capture(net, gradients=wanted) as capture:
        gradients = capture.backward(capture.forward(images)[:, 1])
    calls = {Address("relu", 1): "relu#1", Address("relu", 2): "relu#2", Address("second", 1): "second"}
    assert capture.refused == {}
    assert set(capture.activations) == {*calls, Address("aside", 1)}
    # `aside` leads nowhere.
    assert set(gradients) == set(calls)
    expected = torch.autograd.grad(output[:, 1].sum(), [values[name] for name in calls.values()])
    for (address, name), gradient in zip(calls.items(), expected, strict=True):
        torch.testing.assert_close(capture.activations[address], values[name])
        torch.testing.assert_close(gradients[address], gradient)


def test_every_call_of_what_returns_no_tensor_is_refused(net, images):
    with Capture(net, activations=[Address("pair", EVERY)]) as capture:
        capture.forward(images)
    assert "returns a tuple of 2" in str(capture.refused[Address("pair", EVERY)])
    assert capture.activations == {}


def test_without_gradients_no_graph_is_built(net, images):
    with Capture(net, activations=[address("norm")]) as capture:
        output = capture.forward(images)
    assert not output.requires_grad
    assert not capture.activations[address("norm")].requires_grad


def test_what_runs_before_the_first_wanted_gradient_builds_no_graph(net, images):
    seen = []
    net.second.register_forward_hook(lambda _m, _i, output: seen.append(output.requires_grad))
    with Capture(net, activations=[address("first")], gradients=[address("norm")]) as capture:
        capture.forward(images)
    assert seen == [False]
    assert not capture.activations[address("first")].requires_grad


def test_several_targets_share_one_forward(net, images):
    forwards = []
    net.register_forward_hook(lambda *_: forwards.append(1))
    with Capture(net, activations=[address("relu#1")], gradients=[address("norm")]) as capture:
        output = capture.forward(images)
        gradients = [capture.backward(output[:, k])[address("norm")] for k in range(3)]
    assert len(forwards) == 1
    weights = net.head.weight.detach()
    for k, gradient in enumerate(gradients):
        active = (capture.activations[address("norm")] + capture.activations[address("relu#1")] * 0.5 > 0).double()
        torch.testing.assert_close(gradient, active * weights[k].view(1, 4, 1, 1) / 30)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("relu", "was called 2 times (say which: relu#1 to relu#2)"),
        ("relu#3", "was called 2 times, so there is no relu#3"),
        ("unused", "was not called"),
        ("pair", "a tuple of 2"),
    ],
)
def test_a_layer_that_cannot_be_recorded_is_refused_and_spoils_nothing_else(net, images, name, words):
    with Capture(net, gradients=[address("norm"), address(name)]) as capture:
        gradients = capture.backward(capture.forward(images).sum(1))
    assert words in str(capture.refused[address(name)])
    assert set(capture.activations) == set(gradients) == {address("norm")}


def test_a_layer_off_the_way_to_the_score_has_no_gradient(net, images):
    with Capture(net, gradients=[address("norm"), address("aside")]) as capture:
        gradients = capture.backward(capture.forward(images).sum(1))
    assert set(gradients) == {address("norm")}
    assert address("aside") in capture.activations


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("failing", [True, False])
def test_the_model_is_left_exactly_as_found(net, images, training, failing):
    net.train(training)
    net.norm.eval()
    net.head.weight.grad = torch.ones_like(net.head.weight)
    for parameter in net.first.parameters():
        parameter.requires_grad_(False)
    kept = []
    net.second.register_forward_hook(lambda *_: kept.append(1))
    modes = [part.training for part in net.modules()]
    wants = [parameter.requires_grad for parameter in net.parameters()]
    digest, random_state = state_digest(net.state_dict()), torch.get_rng_state()

    def explode(*_: object) -> None:
        torch.rand(3)
        raise RuntimeError("boom")

    handle = net.pair.register_forward_hook(explode) if failing else None
    with pytest.raises(RuntimeError, match="boom") if failing else nullcontext():  # noqa: SIM117
        with Capture(net, gradients=[address("first"), address("norm")]) as capture:
            capture.backward(capture.forward(images).sum(1))
    if handle:
        handle.remove()
    assert [part.training for part in net.modules()] == modes
    assert [parameter.requires_grad for parameter in net.parameters()] == wants
    assert state_digest(net.state_dict()) == digest
    assert torch.equal(torch.get_rng_state(), random_state)
    assert torch.equal(net.head.weight.grad, torch.ones_like(net.head.weight))
    assert all(p.grad is None for name, p in net.named_parameters() if name != "head.weight")
    assert sum(len(part._forward_hooks) for part in net.modules()) == 1
    assert torch.is_grad_enabled()
    assert kept == [1]


def test_a_buffer_that_a_module_returns_does_not_start_to_require_gradients():
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("value", torch.ones(1, 1))

        def forward(self, _x: torch.Tensor) -> torch.Tensor:
            return self.value

    net = nn.Sequential(Constant(), nn.Linear(1, 2))
    with Capture(net, gradients=[address("0")]) as capture:
        gradients = capture.backward(capture.forward(torch.zeros(1, 1))[:, 0])
    assert not net[0].value.requires_grad
    assert torch.equal(gradients[address("0")], net[1].weight[:1].detach())


def test_a_network_that_begins_in_place_does_not_overwrite_its_input():
    images = torch.tensor([[-1.0, 2.0]])
    with Capture(nn.Sequential(nn.ReLU(inplace=True))) as capture:
        assert capture.forward(images).tolist() == [[0.0, 2.0]]
    assert images.tolist() == [[-1.0, 2.0]]


def test_batch_norm_uses_its_running_statistics_even_in_a_training_model(net, images):
    net.train()
    with Capture(net) as capture:
        together = capture.forward(images)
    with Capture(net) as capture:
        alone = capture.forward(images[:1])
    torch.testing.assert_close(together[:1], alone)


def test_activations_are_bit_equal_with_torchvisions_feature_extractor():
    from torchvision.models import resnet18
    from torchvision.models.feature_extraction import create_feature_extractor

    torch.manual_seed(0)
    net = resnet18().eval()
    for part in net.modules():
        if isinstance(part, nn.ReLU):
            part.inplace = False
    images = torch.randn(1, 3, 64, 64)
    names = ["conv1", "layer1", "layer2.0.conv2", "layer3", "layer4", "fc"]
    with torch.no_grad():
        expected = create_feature_extractor(net, return_nodes=names)(images)
    with Capture(net, gradients=[Address(name) for name in names]) as capture:
        capture.forward(images)
    for name in names:
        assert torch.equal(capture.activations[Address(name)], expected[name]), name


@pytest.mark.parametrize("order", [("1", "1#1"), ("1#1", "1")])
def test_a_layer_may_be_asked_for_with_and_without_the_number_of_its_only_call(order):
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(inplace=True), nn.Flatten())
    asked = [Address("1") if name == "1" else Address("1", 1) for name in order]
    with Capture(net, activations=asked[:1], gradients=asked[1:]) as capture:
        gradients = capture.backward(capture.forward(torch.ones(1, 3, 4, 4)).sum())
    assert torch.equal(capture.activations[asked[0]], capture.activations[asked[1]])
    assert torch.equal(gradients[asked[1]], torch.ones(1, 2, 2, 2))
    assert not capture.refused


class Mapped(nn.Module):
    """Lets torch.vmap do what others do by batches."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3)

    def forward(self, images):
        return torch.vmap(lambda image: self.conv(image[None])[0].mean((1, 2)))(images)


@pytest.mark.parametrize("gradient", [False, True])
def test_a_layer_inside_a_transform_of_torch_is_refused_and_the_input_is_not(gradient):
    images = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    net = Mapped().double()
    asked = {"gradients" if gradient else "activations": [Address("conv")]}
    with Capture(net, **asked, input_gradient=True) as capture:
        found = capture.backward(capture.forward(images)[:, 1])
    assert "runs inside a transform of torch.func, such as vmap" in str(capture.refused[Address("conv")])
    expected = torch.autograd.functional.jacobian(lambda x: net.conv(x).mean((2, 3))[:, 1].sum(), images)
    torch.testing.assert_close(found[INPUT], expected)


class Spectrum(nn.Module):
    def forward(self, maps):
        return torch.fft.fft2(maps)


class Magnitude(nn.Module):
    def forward(self, maps):
        return maps.abs()


@pytest.mark.parametrize("visualizer", ["feature_grid", "grad_cam", "channel_stats"])
def test_complex_layers_are_refused_by_name(visualizer):
    net = nn.Sequential(nn.Conv2d(3, 2, 3), Spectrum(), Magnitude(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    images = torch.rand(1, 3, 8, 8)
    with pytest.raises(ik.StepError, match=r"1 returns complex numbers \(torch.complex64\).*after the absolute values"):
        ik.visualize(net, images, visualizer, layers=["1"])
    assert ik.visualize(net, images, visualizer, layers=["2"]).origin.uses == visualizer
