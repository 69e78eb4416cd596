"""RepVGG pools and applies one linear layer after stage4: there Grad-CAM must add up to the logit exactly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import interpretkit as ik


def network_of(variant):
    generator = torch.Generator().manual_seed(1)
    module = ik.load_model("repvgg", variant=variant, form="train", num_classes=7, device="cpu").module.double()
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.weight.normal_(1, 0.3, generator=generator)
                part.bias.normal_(0, 0.3, generator=generator)
                part.running_mean.normal_(0, 0.1, generator=generator)
                part.running_var.uniform_(0.5, 1.5, generator=generator)
        module.linear.bias.normal_(0, 1, generator=generator)
    return module


@pytest.mark.parametrize("variant", ["B0", "B1g4", "D2se"])
def test_grad_cam_at_stage4_is_cam_over_the_number_of_cells_and_adds_up_to_the_logit(variant):
    network, target = network_of(variant), 3
    inputs = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    with torch.no_grad():
        values = inputs
        for stage in (network.stage0, *network.stage1, *network.stage2, *network.stage3, *network.stage4):
            values = stage(values)
        logit = float(network(inputs)[0, target])
    cam = np.einsum("k,kyx->yx", network.linear.weight[target].detach().numpy(), values[0].numpy())
    bias = float(network.linear.bias[target].detach())
    result = ik.visualize(ik.wrap(network), inputs, "grad_cam", layers=["stage4"], target=target)
    found = result.maps["stage4"].values[0]
    assert found.dtype == np.float64
    assert found.shape == cam.shape == (2, 3)
    scale = np.abs(cam).max()
    assert scale > 0
    np.testing.assert_allclose(found, cam / cam.size, rtol=1e-12, atol=1e-12 * scale / cam.size)
    assert cam.mean() + bias == pytest.approx(logit, rel=1e-12, abs=1e-12 * scale)
    assert found.sum() + bias == pytest.approx(logit, rel=1e-12, abs=1e-12 * scale)
    assert result.targets[0].score == pytest.approx(logit, rel=1e-12)
