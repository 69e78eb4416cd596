from __future__ import annotations

import torch
from torch import nn

import interpretkit as ik

IMAGES = torch.arange(8.0).view(2, 1, 2, 2)


def test_an_output_of_a_layer_is_explained_from_that_layer():
    net = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.Flatten(), nn.Linear(8, 3, bias=False), nn.ReLU())
    outputs = {"rest": ik.Classes(), "norm": ik.Vector(layer="2")}
    model = ik.wrap(net.eval(), output=outputs)
    found = ik.visualize(model, IMAGES, "saliency", target="norm")
    leaf = IMAGES.clone().requires_grad_()
    norms = net[:3](leaf).norm(dim=1)
    (gradient,) = torch.autograd.grad(norms.sum(), leaf)
    torch.testing.assert_close(torch.from_numpy(found.maps["input"].values), gradient[:, 0].abs())
    assert [each.spec for each in found.targets] == ["norm", "norm"]


def test_passes_of_its_own_explain_an_output_of_a_layer():
    net = nn.Sequential(
        nn.Conv2d(1, 2, 1, bias=False), nn.Flatten(), nn.Linear(8, 3, bias=False), nn.ReLU(inplace=True)
    )
    model = ik.wrap(net.eval(), output={"rest": ik.Classes(), "norm": ik.Vector(layer="2")})
    found = ik.visualize(model, IMAGES, "occlusion", target="norm", window=1, stride=1)
    drops = torch.zeros(2, 2, 2)
    with torch.no_grad():
        for row, column in [(0, 0), (0, 1), (1, 0), (1, 1)]:
            without = IMAGES.clone()
            without[:, :, row, column] = 0
            drops[:, row, column] = net[:3](IMAGES).norm(dim=1) - net[:3](without).norm(dim=1)
    torch.testing.assert_close(torch.from_numpy(found.maps["input"].values), drops)


def test_what_replaces_the_layer_that_an_output_is_read_at_counts():
    net = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.ReLU())
    model = ik.wrap(net.eval(), output=ik.Classes(layer="0", returns="logits"))
    with torch.no_grad():
        values = net[0](IMAGES)[:1, :, :1, :1]
        target = ik.Target(spec=0, label="0", score=float(values[0, 0]))
        image = IMAGES[:1, :, :1, :1]
        variants = torch.stack([values[0], 5 * values[0]])
        scores = model.scores_with(image, target, layer="0", variants=variants)
    torch.testing.assert_close(scores, torch.tensor([1.0, 5.0]) * values[0, 0, 0, 0])
