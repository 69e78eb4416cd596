from __future__ import annotations

import pytest
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
    with pytest.raises(ik.InputError, match="explains what that returns, not norm, which is read at layer 2"):
        ik.visualize(model, IMAGES, "occlusion", target="norm")
