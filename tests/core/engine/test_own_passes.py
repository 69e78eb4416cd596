"""What a visualizer with passes of its own gets of the network."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import interpretkit as ik
from interpretkit.testing import tiny_images, tiny_model


class Residual(nn.Module):
    """A skip connection around the layer that is replaced, and a batch normalisation."""

    def __init__(self):
        super().__init__()
        self.stem, self.branch, self.norm = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 3)

    def forward(self, images):
        stem = self.stem(images)
        return self.head(self.norm(stem + self.branch(stem)).relu().mean((2, 3)))


class InPlaceResidual(Residual):
    """Adds in place: the sum has the size of the first."""

    def forward(self, images):
        stem = self.stem(images)
        branch = self.branch(stem)
        stem += branch
        return self.head(self.norm(stem).relu().mean((2, 3)))


class AsksForNumber(Residual):
    """Mixes up images where their number grows on the way: each row is that of the first image."""

    def forward(self, images):
        count = len(images)
        branch = self.branch(self.stem(images))
        return self.head(branch.mean((2, 3)))[:count]


class InsistsOnNumber(Residual):
    """Looks itself whether the number of images is what it was, as timm's networks do."""

    def forward(self, images):
        branch = self.branch(self.stem(images))
        assert len(branch) == len(images)
        return self.head(branch.mean((2, 3)))


@pytest.mark.parametrize("kind", [Residual, InPlaceResidual, AsksForNumber, InsistsOnNumber])
def test_scores_with_a_replaced_layer_equal_those_of_the_rest_run_by_hand(kind, own):
    torch.manual_seed(0)
    net = kind().eval().double()
    model = ik.wrap(net)
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        branch = net.branch(net.stem(images[1:]))
    keep = 1 - torch.eye(4, dtype=torch.float64)
    variants = branch * keep[:, :, None, None]

    def work(captured):
        return captured.model.scores_with(captured.inputs[1:], captured.targets[1], layer="branch", variants=variants)

    found = own(model, images, work)
    target = int(net(images[1:]).argmax())
    for position, variant in enumerate(variants):
        # The oracle replaces the branch by a module that returns the variant.
        net.branch, kept = nn.Module(), net.branch
        net.branch.forward = lambda _values, variant=variant: variant[None]
        with torch.no_grad():
            expected = float(net(images[1:])[0, target])
        net.branch = kept
        assert float(found[position]) == pytest.approx(expected, abs=1e-12)


def test_the_layers_before_run_once_for_all_variants(own):
    torch.manual_seed(0)
    net = Residual().eval()
    seen = []
    net.stem.register_forward_hook(lambda _m, _a, output: seen.append(len(output)))
    images = torch.randn(1, 3, 8, 8)
    variants = torch.randn(5, 4, 6, 6)
    own(
        ik.wrap(net),
        images,
        lambda c: c.model.scores_with(c.inputs, c.targets[0], layer="branch", variants=variants),
    )
    # The shared pass, two of the image alone and one among two others to see how passes may go, and the pass asked for.
    assert seen == [1, 1, 1, 3, 1]


def test_tokens_are_replaced_without_those_of_no_place(own):
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    net = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=2, num_classes=3).eval()
    model = ik.wrap(net)
    images = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        tokens = net.blocks[0](net._pos_embed(net.patch_embed(images)))
    variants = torch.randn(2, 192, 2, 2)

    def work(captured):
        return captured.model.scores_with(captured.inputs, captured.targets[0], layer="blocks.0", variants=variants)

    found = own(model, images, work)
    with torch.no_grad():
        grid = variants.flatten(2).transpose(1, 2)
        changed = torch.cat([tokens[:, :1].expand(2, -1, -1), grid], 1)
        logits = net.head(net.fc_norm(net.norm(net.blocks[1](changed))[:, 0]))
        target = int(net(images).argmax())
    torch.testing.assert_close(found, logits[:, target], rtol=1e-5, atol=1e-5)


def test_a_variant_of_another_shape_is_refused(own):
    with pytest.raises(ik.StepError, match="layer features returns 4×8×8, which 4×7×7 cannot replace"):
        own(
            tiny_model(),
            tiny_images(1),
            lambda c: c.model.scores_with(c.inputs, c.targets[0], layer="features", variants=torch.zeros(1, 4, 7, 7)),
        )


def test_gradients_for_given_inputs_equal_autograds_and_take_one_pass(monkeypatch, own):
    model, variants = tiny_model(), tiny_images(5, seed=3)
    activation = model.module.features(variants).detach().requires_grad_()
    score = model.module.head(model.module.pool(activation))[:, 2].sum()
    expected = torch.autograd.grad(score, activation)[0]
    before = model.module.features[0](variants).detach()
    score = float(model.module(variants[:1])[0, 2].detach())
    target = (ik.Target(spec=2, label="2", score=score),)
    seen = []
    grad = torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *args, **more: seen.append("backward") or grad(*args, **more))
    model.module.register_forward_hook(lambda *_: seen.append("forward"))

    def work(captured):
        del seen[:]
        found = captured.model.gradients(variants, target, layers=["features", "features.0"])
        assert seen == ["forward", "backward"]
        return found

    found = own(model, tiny_images(1), work)
    assert list(found) == ["features", "features.0"]
    torch.testing.assert_close(found["features"], expected)
    torch.testing.assert_close(found["features.0"], expected * (before > 0))
    assert all(parameter.grad is None for parameter in model.module.parameters())


def test_gradients_of_tokens_are_on_their_grid(own):
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    net = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=2, num_classes=3).eval()
    images = torch.randn(2, 3, 32, 32)
    found = own(ik.wrap(net), images, lambda c: c.model.gradients(c.inputs, c.targets, layers=["blocks.0"])["blocks.0"])
    tokens = net.blocks[0](net._pos_embed(net.patch_embed(images))).detach().requires_grad_()
    logits = net.head(net.fc_norm(net.norm(net.blocks[1](tokens))[:, 0]))
    (expected,) = torch.autograd.grad(logits.max(1).values.sum(), tokens)
    torch.testing.assert_close(found, expected[:, 1:].unflatten(1, (2, 2)).permute(0, 3, 1, 2))


class Aside(nn.Module):
    """Has a layer that leads nowhere, and one that is not called."""

    def __init__(self):
        super().__init__()
        self.stem, self.aside, self.unused = nn.Conv2d(3, 2, 3), nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1)

    def forward(self, images):
        stem = self.stem(images)
        self.aside(stem)
        return stem.mean((2, 3))


@pytest.mark.parametrize(
    ("layer", "why"), [("aside", "does not depend on layer aside"), ("unused", "unused was not called")]
)
def test_gradients_of_a_layer_off_the_way_are_refused(layer, why, own):
    with pytest.raises(ik.StepError, match=why):
        own(
            ik.wrap(Aside().eval()),
            tiny_images(1),
            lambda c: c.model.gradients(c.inputs, c.targets, layers=["stem", layer]),
        )


def test_scores_are_those_of_the_targets_and_need_no_gradients(own):
    model, images = tiny_model(), tiny_images(3)
    scores = own(model, images, lambda captured: captured.model.scores(captured.inputs, captured.targets))
    assert not scores.requires_grad
    torch.testing.assert_close(scores, model.module(images).max(1).values.detach())
