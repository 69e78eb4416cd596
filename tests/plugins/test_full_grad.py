"""FullGrad: completeness where it is exact, the gap where it is not, and the map in a slow derivation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import interpretkit as ik
from interpretkit import figures
from interpretkit.testing import check_visualizer, tiny_images, tiny_model
from interpretkit_cam.full_grad import FullGrad

DOUBLE = torch.float64


class ReLUNet(nn.Module):
    """Biased convolution before batch normalisation, a residual, a convolution called twice, one not called."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.plain, self.bare = nn.Conv2d(6, 6, 3, bias=False), nn.BatchNorm2d(6, affine=False)
        self.twice = nn.Conv2d(6, 6, 3, padding=1)
        self.unused, self.aside = nn.Conv2d(6, 6, 1), nn.Conv2d(6, 6, 1)
        self.hidden, self.flat, self.head = nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 4)

    def forward(self, images):
        x = nn.functional.max_pool2d(self.norm(self.stem(images)).relu(), 2)
        x = self.bare(self.plain(x)).relu_()
        x = x + self.twice(self.twice(x).relu())
        self.aside(x)
        return self.head(self.flat(self.hidden(x.mean((2, 3)))).relu())


def randomised(net: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    with torch.no_grad():
        for each in (*net.parameters(), *net.buffers()):
            if each.is_floating_point():
                each.copy_(torch.randn_like(each) * 0.5)
        for part in net.modules():
            if getattr(part, "running_var", None) is not None:
                part.running_var.uniform_(0.5, 2)
    return net.to(DOUBLE).eval()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(3, 3, 12, 10, dtype=DOUBLE, generator=torch.Generator().manual_seed(1))


def full_grad(net, images, **options) -> ik.Result:
    return ik.visualize(ik.wrap(net), images, "full_grad", **options)


def contributions(result: ik.Result, image: str) -> dict[str, float]:
    rows = result.tables["contributions"].where("image", image)
    return dict(zip(rows["part"].tolist(), rows["contribution"].tolist(), strict=True))


def by_parameters(net: nn.Module, image: torch.Tensor, target: int) -> dict[str, float]:
    """Bias times the gradient that autograd gives the bias itself, for one image; that of calls together."""
    biased = {path: part for path, part in net.named_modules() if getattr(part, "bias", None) is not None}
    image = image.clone().requires_grad_()
    score = net(image)[0, target]
    gradients = torch.autograd.grad(
        score, [image, *(part.bias for part in biased.values())], allow_unused=True, retain_graph=True
    )
    found = {"input": float((gradients[0] * image.detach()).sum())}
    for (path, part), gradient in zip(biased.items(), gradients[1:], strict=True):
        if gradient is not None:
            bias = part.bias.detach()
            if getattr(part, "running_mean", None) is not None:
                bias = bias - part.weight.detach() * part.running_mean / (part.running_var + part.eps).sqrt()
            found[path] = float((gradient * bias).sum())
    return found


@pytest.mark.parametrize("target", [2, {"for": 0, "against": 3}, "predicted"])
def test_input_and_biases_sum_to_the_score_of_a_relu_network(images, target):
    result = full_grad(randomised(ReLUNet()), images, target=target)
    table = result.tables["completeness"]
    np.testing.assert_allclose(table["attributed"], table["score"], rtol=1e-10, atol=1e-12)
    assert table["score"].tolist() == [each.score for each in result.targets]
    assert np.abs(table["gap"]).max() < 1e-10
    for image, total in zip(result.images, table["attributed"], strict=True):
        assert sum(contributions(result, image.id).values()) == pytest.approx(total, abs=1e-10)


def test_each_contribution_equals_bias_times_the_gradient_of_the_parameter(images):
    net = randomised(ReLUNet())
    result = full_grad(net, images, target=2)
    for position, image in enumerate(result.images):
        found = contributions(result, image.id)
        found["twice"] = found.pop("twice#1") + found.pop("twice#2")
        # Without a parameter there is none to differentiate for; completeness says that it is right.
        del found["bare"]
        assert found == pytest.approx(by_parameters(net, images[position : position + 1], 2), abs=1e-10)


def test_each_class_has_a_table_of_its_own(images):
    result = full_grad(randomised(ReLUNet()), images, target={"top": 2})
    table = result.tables["completeness"]
    assert table["top"].tolist() == [1, 1, 1, 2, 2, 2]
    np.testing.assert_allclose(table["attributed"], table["score"], rtol=1e-10)


def slow_map(net: nn.Sequential, image: torch.Tensor, target: int) -> torch.Tensor:
    """The map of conv, ReLU, conv, ReLU, mean, linear for one image, channel by channel."""
    image = image.clone().requires_grad_()
    first = net[0](image)
    second = net[2](first.relu())
    score = net[3:](second)[0, target]
    gradients = torch.autograd.grad(score, [image, first, second])
    factors = [image.detach(), net[0].bias.detach()[None, :, None, None], net[2].bias.detach()[None, :, None, None]]
    found = torch.zeros(image.shape[2:], dtype=DOUBLE)
    # The first convolution sees three pixels, every second time; the second three cells of that.
    places = [(0.5, 1), (1.5, 2), (3.5, 2)]
    for gradient, factor, (first, step) in zip(gradients, factors, places, strict=True):
        part = (gradient * factor).abs()[0]
        part = (part - part.min()) / (part.max() - part.min())
        for channel in part:
            found += torch.from_numpy(at_pixels(channel.numpy(), first, step, image.shape[2:]))
    return found


def at_pixels(values, first, step, size):
    """Interpolate linearly between cells whose middles lie at `first`, `first + step`, …, row by row."""
    for pixels in size:
        middles = first + step * np.arange(len(values))
        columns = [np.interp(np.arange(pixels) + 0.5, middles, column) for column in values.T]
        values = np.stack(columns)
    return values


def test_the_map_equals_a_slow_derivation(images):
    net = randomised(
        nn.Sequential(
            nn.Conv2d(3, 4, 3, stride=2),
            nn.ReLU(),
            nn.Conv2d(4, 5, 3),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(5, 3),
        )
    )
    result = full_grad(net, images, target=1)
    assert result.maps["input"].polarity == "unsigned"
    for position in range(len(images)):
        expected = slow_map(net, images[position : position + 1], 1)
        torch.testing.assert_close(torch.from_numpy(result.maps["input"].values[position]), expected)


class Smooth(nn.Module):
    """Layer normalisation of tokens, attention that calls none of its projections, a smooth activation."""

    def __init__(self):
        super().__init__()
        self.embed, self.norm = nn.Conv2d(3, 8, 2, stride=2), nn.LayerNorm(8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, images):
        tokens = self.norm(self.embed(images).flatten(2).transpose(1, 2))
        tokens = tokens + self.attention(tokens, tokens, tokens, need_weights=False)[0]
        return self.head(nn.functional.gelu(tokens).mean(1))


def test_of_other_networks_what_is_missing_is_told(images):
    net = randomised(Smooth())
    result = full_grad(net, images, target=1)
    table = result.tables["completeness"]
    assert np.abs(table["gap"]).min() > 1e-3
    np.testing.assert_allclose(table["attributed"] + table["gap"], table["score"], rtol=1e-12)
    for position, image in enumerate(result.images):
        expected = by_parameters(net, images[position : position + 1], 1)
        del expected["attention.out_proj"]
        assert contributions(result, image.id) == pytest.approx(expected, abs=1e-10)


def test_a_normalisation_with_an_activation_is_left_to_the_gap(images):
    layers = pytest.importorskip("timm.layers")

    def result(activation: type[nn.Module] | None) -> ik.Result:
        norm = layers.BatchNormAct2d(4, act_layer=activation, apply_act=activation is not None)
        net = nn.Sequential(nn.Conv2d(3, 4, 3), norm, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
        return full_grad(randomised(net), images, target=0)

    apart, within = result(None), result(nn.ReLU)
    np.testing.assert_allclose(apart.tables["completeness"]["score"], within.tables["completeness"]["score"])
    assert np.abs(apart.tables["completeness"]["gap"]).max() < 1e-12
    for image in apart.images:
        missing = within.tables["completeness"].where("image", image.id)["gap"][0]
        assert missing == pytest.approx(contributions(apart, image.id)["1"], abs=1e-12)
        assert "1" not in contributions(within, image.id)


def biased_net() -> nn.Sequential:
    return randomised(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    )


HIDDEN = {
    "scripted": (lambda images: torch.jit.script(biased_net()), "the network is TorchScript"),
    "traced": (lambda images: torch.jit.trace(biased_net(), images), "the network is TorchScript"),
    "frozen": (lambda images: torch.jit.freeze(torch.jit.script(biased_net())), "the network is TorchScript"),
    "scripted in part": (lambda images: nn.Sequential(torch.jit.script(biased_net())), "layer 0 is TorchScript"),
    "exported": (lambda images: torch.export.export(biased_net(), (images,)).module(), "no module returns what 0.bias"),
}


@pytest.mark.parametrize("case", HIDDEN)
@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning", "ignore:`torch.jit:DeprecationWarning")
def test_a_network_that_hides_its_biases_is_refused(case, images):
    make, message = HIDDEN[case]
    with pytest.raises(ik.RecipeError, match=f"FullGrad sums over all biases, and {message}"):
        full_grad(make(images), images, target=1)
    table = full_grad(biased_net(), images, target=1).tables["completeness"]
    np.testing.assert_allclose(table["attributed"], table["score"], rtol=1e-10)


def test_it_shares_the_pass_of_the_others(monkeypatch):
    from interpretkit.contracts.registry import Plugin
    from interpretkit.engine.batch import compute
    from interpretkit.engine.plan import Plan, plan_step
    from interpretkit.engine.resolve import Step, parse_options
    from interpretkit.inputs.batch import tensor_batches
    from interpretkit_cam.grad_cam import GradCAM

    model, counts = tiny_model(), []
    model.module.register_forward_hook(lambda *_: counts.append("forward"))
    grad = torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *args, **more: counts.append("backward") or grad(*args, **more))
    made = {"full": FullGrad(FullGrad.Options()), "cam": GradCAM(parse_options(GradCAM, {"layers": ["features"]}))}
    steps = [Step(id=name, visualizer=each, plugin=Plugin("test"), model="model") for name, each in made.items()]
    plan = Plan(models={"model": model}, steps=tuple(plan_step(step, model) for step in steps))
    (batch,) = tensor_batches(tiny_images(), plan.models, batch_size=4)
    assert not compute(plan, batch).failures
    assert counts == ["forward", "backward"]


def test_full_grad_keeps_the_contract():
    # Not of a ReLU network: there the gap is rounding, which differs between any two ways to compute it.
    check_visualizer(FullGrad, model=ik.wrap(randomised(Smooth())), target=1)


def test_the_figure_tells_the_gap(images):
    model = ik.wrap(randomised(Smooth()))
    result = ik.visualize(model, images[:1], "full_grad", target=1)
    (figure,) = ik.draw(result)
    gap = result.tables["completeness"]["gap"][0]
    assert f"a gap of {figures.number(gap)}" in figure.caption
