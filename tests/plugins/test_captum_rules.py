"""DeepLIFT and guided backpropagation take what is linear or has a rule, and refuse everything else by its name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import interpretkit as ik

IMAGES = torch.randn(2, 2, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
FIRST = torch.arange(4)


class Net(nn.Module):
    """A convolution, a ReLU, a function of its features, and a linear layer."""

    def __init__(self, function, rectify=None, module=None):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.relu = nn.ReLU()
        self.function = function
        self.rectify = rectify
        self.inside = module
        self.register_buffer("mask", torch.rand(6, 6) > 0.5)
        self.register_buffer("scale", torch.rand(4, 1, 1) + 0.5)
        self.head = nn.Linear(4, 3)
        self.double().eval()

    def forward(self, images):
        features = self.conv(images)
        features = self.relu(features) if self.rectify is None else self.rectify(features)
        if self.inside is not None:
            return self.head(self.inside(features).flatten(2).mean(2)[:, :4])
        return self.head(self.function(self, features))


def pooled(values):
    return values.mean((2, 3))


NOT_LINEAR = {
    "var": lambda _, a: a.var((2, 3)),
    "std": lambda _, a: a.std((2, 3)),
    "logsumexp": lambda _, a: a.logsumexp((2, 3)),
    "sign": lambda _, a: pooled(torch.sign(a - 0.2)),
    "sin": lambda _, a: pooled(a.sin()),
    "cos": lambda _, a: pooled(a.cos()),
    "where": lambda _, a: pooled(torch.where(a > 0.3, a, 2 * a)),
    "masked_fill": lambda _, a: pooled(a.masked_fill(a > 0.3, 1.0)),
    "masked by itself": lambda _, a: pooled(a * (a > 0.3)),
    "round": lambda _, a: pooled(a.round()),
    "log1p": lambda _, a: pooled(a.log1p()),
    "expm1": lambda _, a: pooled(a.expm1()),
    "erf": lambda _, a: pooled(a.erf()),
    "atan": lambda _, a: pooled(a.atan()),
    "prod": lambda _, a: (a[:, :, :2, 0] + 1).prod(2),
    "reciprocal": lambda _, a: 1 / (1 + pooled(a)),
    "quotient": lambda _, a: pooled(a) / (1 + a.sum((1, 2, 3)))[:, None],
    "grid_sample": lambda _, a: pooled(functional.grid_sample(a, a[:, :2].permute(0, 2, 3, 1), align_corners=False)),
    "cdist": lambda _, a: torch.cdist(a.flatten(2), a.flatten(2) + 1).mean(2),
    "square": lambda _, a: pooled(a**2),
    "sqrt": lambda _, a: pooled((a + 1).sqrt()),
    "abs": lambda _, a: pooled((a - 0.2).abs()),
    "clamp": lambda _, a: pooled(a.clamp(0.1, 0.5)),
    "gelu": lambda _, a: pooled(functional.gelu(a)),
    "silu": lambda _, a: pooled(functional.silu(a)),
    "softmax": lambda _, a: a.flatten(2).softmax(2)[:, :, 0],
    "norm": lambda _, a: a.flatten(2).norm(dim=2),
    "normalize": lambda _, a: pooled(functional.normalize(a, dim=1)),
    "product": lambda _, a: pooled(a * a.flip(2)),
    "bmm": lambda _, a: torch.bmm(a.flatten(2), a.flatten(2).transpose(1, 2)).mean(2),
    "einsum": lambda _, a: torch.einsum("nkyx,nlyx->nk", a, a),
    "attention": lambda _, a: functional.scaled_dot_product_attention(*[a.flatten(2)] * 3).mean(2),
    "layer_norm": lambda _, a: pooled(functional.layer_norm(a, a.shape[1:])),
    "group_norm": lambda _, a: pooled(functional.group_norm(a, 2) * torch.arange(4.0).view(4, 1, 1)),
    "lerp": lambda _, a: pooled(torch.lerp(a, a.flip(2), a.flip(3))),
    "cumprod": lambda _, a: pooled((a + 1).cumprod(2)),
    "chosen by values": lambda _, a: a.flatten(2).gather(2, a.flatten(2).argmax(2, keepdim=True)).squeeze(2),
    "topk": lambda _, a: a.flatten(2).topk(3, dim=2).values.mean(2),
    "amin": lambda _, a: a.amin((2, 3)),
}
MODULES = {
    "GLU": nn.Sequential(nn.Conv2d(4, 8, 1), nn.GLU(1)),
    "Softshrink": nn.Softshrink(),
    "Hardshrink": nn.Hardshrink(),
    "RReLU": nn.RReLU(),
    "SELU": nn.SELU(),
    "InstanceNorm": nn.Sequential(nn.InstanceNorm2d(4), nn.Conv2d(4, 4, 3)),
    "LPPool": nn.LPPool2d(2, 2),
}
LINEAR = {
    "mean": lambda _, a: pooled(a),
    "constant mask": lambda net, a: pooled(a.masked_fill(net.mask, 0.0)),
    "constant choice": lambda net, a: pooled(torch.where(net.mask, a, 2 * a)),
    "scaled": lambda net, a: pooled(a * net.scale / net.scale.sum() - 1),
    "rolled": lambda _, a: pooled(a.roll(1, 2)[:, :, ::2] * 3),
    "joined": lambda _, a: pooled(torch.cat([a[:, :2], a[:, 2:].flip(2)], 1) + a),
    "indexed": lambda _, a: pooled(a[:, FIRST.flip(0)]),
    "interpolated": lambda _, a: pooled(functional.interpolate(a, scale_factor=1.7, mode="bilinear")),
    "pooled": lambda _, a: functional.adaptive_avg_pool2d(functional.avg_pool2d(a, 2), 1).flatten(1),
    "summed up": lambda _, a: a.cumsum(2)[:, :, -1].mean(2),
    "padded": lambda _, a: pooled(functional.pad(a, (1, 2, 0, 1), value=3.0)),
    "by einsum": lambda net, a: torch.einsum("nkyx,kl->nl", a, net.head.weight[:1].T @ net.head.weight[:1]),
    "in place": lambda _, a: pooled((a + 0).mul_(2).add_(1)),
}


def gap(net):
    found = ik.visualize(ik.wrap(net), IMAGES, "deep_lift", target=1, baseline="zero")
    with torch.no_grad():
        differences = net(IMAGES)[:, 1] - net(torch.zeros_like(IMAGES))[:, 1]
    sums = torch.from_numpy(found.maps["input"].values).sum((1, 2))
    return float(((sums - differences) / differences).abs().max())


@pytest.mark.parametrize("function", NOT_LINEAR.values(), ids=NOT_LINEAR)
def test_what_is_not_linear_and_has_no_rule_is_refused(function):
    with pytest.raises(ik.StepError, match=r"DeepLift has rules for modules .*, but there is a (function|product of)"):
        gap(Net(function))


@pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)
def test_modules_without_a_rule_are_refused(module):
    with pytest.raises(ik.StepError, match="DeepLift has rules for modules"):
        gap(Net(None, module=module))


@pytest.mark.parametrize("kind", ["lstm", "attention"])
def test_recurrence_and_attention_are_refused(kind):
    class Sequence(nn.Module):
        def __init__(self):
            super().__init__()
            self.part = (
                nn.LSTM(4, 4, batch_first=True) if kind == "lstm" else nn.MultiheadAttention(4, 2, batch_first=True)
            )

        def forward(self, values):
            tokens = values.flatten(2).transpose(1, 2)
            found, _ = self.part(tokens) if kind == "lstm" else self.part(tokens, tokens, tokens)
            return found.transpose(1, 2)[..., None]

    with pytest.raises(ik.StepError, match="DeepLift has rules for modules"):
        gap(Net(None, module=Sequence()))


@pytest.mark.parametrize("function", LINEAR.values(), ids=LINEAR)
def test_what_is_linear_is_complete_to_rounding(function):
    assert gap(Net(function)) < 1e-9


def test_a_batch_normalisation_by_its_own_batch_is_refused_and_one_by_running_statistics_is_linear():
    assert gap(Net(None, module=nn.BatchNorm2d(4))) < 1e-9
    with pytest.raises(ik.StepError, match="native_batch_norm in training"):
        gap(Net(None, module=nn.BatchNorm2d(4, track_running_stats=False)))


RECTIFIERS = {
    "clamp": lambda z: z.clamp(min=0),
    "clamp_min": lambda z: torch.clamp_min(z, 0.0),
    "maximum": lambda z: torch.maximum(z, torch.zeros_like(z)),
    "where": lambda z: torch.where(z > 0, z, torch.zeros_like(z)),
    "product": lambda z: z * (z > 0),
    "product of floats": lambda z: z * (z > 0).to(z.dtype),
    "masked_fill": lambda z: z.masked_fill(z < 0, 0.0),
    "relu": functional.relu,
    "threshold": lambda z: functional.threshold(z, 0.0, 0.0),
    "relu6": functional.relu6,
}


@pytest.mark.parametrize("rectify", RECTIFIERS.values(), ids=RECTIFIERS)
@pytest.mark.parametrize("method", ["guided_backprop", "deconvolution"])
def test_a_relu_by_another_name_is_refused(rectify, method):
    class Two(Net):
        def forward(self, images):
            return super().forward(self.relu(images))

    net = Two(lambda _, a: pooled(a), rectify=rectify)
    with pytest.raises(ik.StepError, match=r"changes the gradient at modules nn\.ReLU, but there is a function"):
        ik.visualize(ik.wrap(net), IMAGES, method, target=1)


def test_products_that_are_gates_are_no_relus():
    net = Net(lambda _, a: pooled(a * a.mean((2, 3), keepdim=True).sigmoid()))
    found = ik.visualize(ik.wrap(net), IMAGES, "guided_backprop", target=1)
    assert np.isfinite(found.maps["input"].values).all()


def test_a_gap_is_said_in_words_with_what_to_do(tmp_path):
    torch.manual_seed(0)
    steep = nn.Sequential(nn.Flatten(), nn.Linear(72, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    alerts, captions = {}, {}
    for steps in (2, 400):
        options = {"steps": steps, "baseline": "zero", "target": 1}
        step = {"id": "ig", "uses": "integrated_gradients", "with": options}
        recipe = {"schema": "interpretkit/1", "name": "a", "steps": [step]}
        run = ik.run(recipe, model=steep, images=IMAGES * 20, output=tmp_path)
        alerts[steps] = run.manifest["steps"][0]["alerts"]
        captions[steps] = run.manifest["steps"][0]["figures"][0]["caption"]
        gaps = run.results["ig"].tables["completeness"]["relative_gap"]
        assert [gap > 0.05 for gap in gaps.tolist()] == [steps == 2] * 2
    assert len(alerts[2]) == 2
    assert "the attributions at input sum to" in alerts[2][0]
    assert alerts[2][0].endswith("take more steps")
    assert alerts[400] == []
    assert ["far from complete" in captions[steps] for steps in (2, 400)] == [True, False]
