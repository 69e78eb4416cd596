"""Where the cells of layers lie: at the middles of their fields, padded rows in the middle of the image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

import interpretkit as ik


def cells_of(net, sizes, layer):
    """Return the middles of the cells of a layer along y and x, in pixels."""
    model = ik.wrap(net.eval(), output=ik.Classes(returns="logits"))
    images = torch.rand(1, 3, *sizes)
    found = ik.visualize(model, images, "feature_grid", layers=[layer]).maps[layer]
    return found, [row.first + row.step * np.arange(row.cells) for row in found.grid.rows]


@pytest.mark.parametrize(
    ("size", "first", "cells"),
    [
        # Steps that fill the image tile it: 7 · 32 = 224.
        (224, 16.0, 7),
        (256, 16.0, 8),
        # 10 cells of 32 pixels on 300: their middle is pixel 150.
        (300, 6.0, 10),
        # The middles of the fields are symmetric already: 0.5, …, 224.5.
        (225, 0.5, 8),
    ],
)
def test_padded_rows_lie_in_the_middle_of_the_image(size, first, cells):
    net = torchvision.models.resnet18(weights=None, num_classes=2)
    found, (rows, columns) = cells_of(net, (size, 224), "layer4")
    assert rows.tolist() == pytest.approx([first + 32 * cell for cell in range(cells)])
    assert columns.tolist() == pytest.approx([16 + 32 * cell for cell in range(7)])
    # A mirrored image has its cells where these are.
    assert rows.tolist() == pytest.approx((size - rows)[::-1].tolist())
    assert ("y" in found.spacing) is (size not in (224, 256))
    assert "x" not in found.spacing


@pytest.mark.parametrize("fill", [(0, 1, 0, 1), (1, 0, 1, 0), (1, 1, 1, 1)])
def test_so_do_rows_that_are_padded_on_one_side(fill):
    stages = [nn.Sequential(nn.ZeroPad2d(fill), nn.Conv2d(3, 3, 3, 2)) for _ in range(3)]
    net = nn.Sequential(nn.Sequential(*stages), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    _, (rows, _) = cells_of(net, (64, 64), "0")
    assert rows.tolist() == [4.0 + 8 * cell for cell in range(8)]


def test_rows_that_are_not_padded_lie_at_the_middles_of_their_fields():
    # Windows 0 to 2, 2 to 4, 4 to 6 of 8 pixels: the last pixel is seen by none.
    net = nn.Sequential(nn.Conv2d(3, 2, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    found, (rows, _) = cells_of(net, (8, 8), "0")
    assert rows.tolist() == [1.5, 3.5, 5.5]
    assert found.spacing["y"] == (1.5, 2.0)


def test_a_row_that_looks_farther_aside_than_half_a_step_is_left_there():
    # Padded by four pixels on the left alone, a cell looks four pixels to the left.
    net = nn.Sequential(nn.ZeroPad2d((4, 0, 0, 0)), nn.Conv2d(3, 2, 1, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    _, (rows, columns) = cells_of(net, (8, 8), "1")
    assert columns[0] == -3.5
    assert rows[0] == 0.5
