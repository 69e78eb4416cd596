"""Where cells lie, against the pixels that move them: the middle of these, cell by cell."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from interpretkit.capture.addresses import Address
from interpretkit.capture.capture import Capture
from interpretkit.capture.receptive import Row


class Gated(nn.Module):
    """Each channel times a number that follows from the whole image, as in squeeze and excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, stride=2)

    def forward(self, x):
        y = self.conv(x)
        return y * y.mean((2, 3), keepdim=True).sigmoid()


class Residual(nn.Module):
    """Two convolutions beside the identity."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 1, 3, padding=1), nn.Conv2d(1, 1, 5, padding=2)

    def forward(self, x):
        return x + self.second(self.first(x))


class Filled(nn.Module):
    """A convolution of stride 2 that fills up below and to the right only, as TensorFlow's `same` does."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, stride=2)

    def forward(self, x):
        return self.conv(functional.pad(x, (0, 1, 0, 1)))


NETS = {
    "unpadded": (nn.Sequential(nn.Conv2d(1, 1, 5), nn.AvgPool2d(2), nn.Conv2d(1, 1, 5)), 2),
    "padded and strided": (nn.Sequential(nn.Conv2d(1, 1, 3, 2, 1), nn.Conv2d(1, 1, 3, 2, 1)), 2),
    "filled up on one side": (nn.Sequential(Filled(), Filled()), 2),
    "dilated": (nn.Sequential(nn.Conv2d(1, 1, 3, dilation=3)), 2),
    "a kernel of even length": (nn.Sequential(nn.Conv2d(1, 1, 4, 2, 1)), 2),
    "patches": (nn.Sequential(nn.Conv2d(1, 1, 4, 4)), 2),
    "residual": (nn.Sequential(nn.Conv2d(1, 1, 3, 2), Residual()), 2),
    "a signal": (nn.Sequential(nn.Conv1d(1, 1, 7, 3), nn.AvgPool1d(3, 2)), 1),
    "a volume": (nn.Sequential(nn.Conv3d(1, 1, (1, 3, 5), (1, 2, 1)), nn.AvgPool3d((2, 1, 1))), 3),
}


def rows_of(net, size, *, gradients=()):
    with Capture(net, activations=[Address("last")], gradients=gradients, follow=True) as capture:
        capture.forward(torch.ones(1, 1, *size))
    # What the cells see together is about padding, and tested with what becomes of that.
    rows = [None if row is None else Row(*row[:3]) for row in capture.fields[Address("last")].rows]
    return tuple(rows), capture.activations[Address("last")]


class Whole(nn.Module):
    """A net, and a head behind it."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        for parameter in net.parameters():
            nn.init.uniform_(parameter, 0.5, 1.0)
        self.last = net

    def forward(self, x):
        return self.last(x).flatten(1).mean(1)


@pytest.mark.parametrize("name", NETS)
def test_a_cell_lies_in_the_middle_of_the_pixels_that_move_it(name):
    net, axes = NETS[name]
    size = (27, 30, 33)[:axes]
    rows, values = rows_of(Whole(net), size)
    assert [row.cells for row in rows] == list(values.shape[2:])
    cell = tuple(count // 2 for count in values.shape[2:])
    image = torch.rand(1, 1, *size).requires_grad_()
    (moved,) = torch.autograd.grad(net(image)[(0, 0, *cell)], image)
    for axis, (row, index) in enumerate(zip(rows, cell, strict=True)):
        seen = np.unique(np.nonzero(moved[0, 0].numpy())[axis])
        assert row.first + index * row.step == (seen[0] + seen[-1] + 1) / 2
    assert all(row.step >= 1 for row in rows)


def test_what_every_cell_sees_alike_moves_none_of_them():
    (plain, _), _ = rows_of(Whole(nn.Sequential(nn.Conv2d(1, 1, 3, 2))), (9, 9))
    (gated, _), _ = rows_of(Whole(Gated()), (9, 9))
    assert plain == gated == Row(cells=4, first=1.5, step=2.0)


def test_cells_that_see_the_same_pixels_lie_side_by_side_in_them():
    net = nn.Sequential(nn.Conv2d(1, 1, 2, 2), nn.Upsample(scale_factor=2))
    (row, _), _ = rows_of(Whole(net), (8, 8))
    assert row == Row(cells=8, first=0.5, step=1.0)


class Raised(nn.Module):
    """Strided stages, raised again and joined to the finer ones before them, down to one of the levels."""

    def __init__(self, levels: int, *, finest: int, concatenated: bool) -> None:
        super().__init__()
        self.stages = nn.ModuleList([nn.Conv2d(1, 4, 3, 1, 1)])
        self.stages.extend(nn.Conv2d(4, 4, 3, 2, 1) for _ in range(levels))
        self.joined = nn.ModuleList(nn.Conv2d(8 if concatenated else 4, 4, 3, 1, 1) for _ in range(levels))
        self.finest, self.concatenated, self.share = finest, concatenated, 1

    def forward(self, x):
        levels = []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        for level in range(len(levels) - 2, self.finest - 1, -1):
            raised = self.share * functional.interpolate(x, scale_factor=2)
            both = torch.cat([raised, levels[level]], 1) if self.concatenated else raised + levels[level]
            x = self.joined[level](both)
        return x


RAISED = {
    "a U-Net by concatenation": {"levels": 5, "finest": 0, "concatenated": True},
    "a U-Net by addition": {"levels": 5, "finest": 0, "concatenated": False},
    "a feature pyramid": {"levels": 5, "finest": 3, "concatenated": False},
}


@pytest.mark.parametrize("name", RAISED)
def test_where_ways_of_several_steps_meet_a_cell_lies_where_the_finest_looks(name):
    net = Raised(**RAISED[name])
    rows, values = rows_of(Whole(net), (128, 128))
    assert rows == (Row(cells=128 >> net.finest, first=0.5, step=float(1 << net.finest)),) * 2
    net.share = 0  # of what is raised: the finest way is left
    cell = values.shape[2] // 2 + 1
    image = torch.rand(1, 1, 128, 128).requires_grad_()
    (moved,) = torch.autograd.grad(net(image)[0, 0, cell, cell], image)
    seen = np.unique(np.nonzero(moved[0, 0].numpy())[0])
    assert rows[0].first + cell * rows[0].step == (seen[0] + seen[-1] + 1) / 2


def test_a_cell_of_a_unet_lies_at_the_centre_of_its_gradient():
    torch.manual_seed(0)
    net = Raised(**RAISED["a U-Net by concatenation"])
    (row, _), _ = rows_of(Whole(net), (128, 128))
    for weight in (part.weight for part in net.modules() if isinstance(part, nn.Conv2d)):
        nn.init.normal_(weight, std=0.02)
        weight.data[:, :, 1, 1] += 2 * torch.rand(weight.shape[:2]) / weight.shape[1]
    image = torch.rand(1, 1, 128, 128).requires_grad_()
    (moved,) = torch.autograd.grad(net(image)[0, :, 48:80, 64].sum(), image)
    along = moved.abs().sum((0, 1, 3)).double()
    centre = float((along * (torch.arange(128) + 0.5)).sum() / along.sum())
    assert row.first + 63.5 * row.step == pytest.approx(centre, abs=2)


def test_of_crops_put_on_one_another_it_is_not_known():
    class Crops(nn.Module):
        def forward(self, x):
            return torch.cat([x[..., :8], x[..., 8:]], 1)

    (down, across), _ = rows_of(Whole(Crops()), (16, 16))
    assert (down, across) == (Row(16, 0.5, 1.0), None)


def test_of_cells_in_no_order_it_is_not_known():
    (row, _), _ = rows_of(Whole(nn.Sequential(nn.Flatten(), nn.Linear(16, 4))), (4, 4))
    assert row is None


def test_gradients_change_nothing_and_without_following_nothing_is_known():
    net = Whole(nn.Sequential(nn.Conv2d(1, 1, 3, 2, 1), nn.ReLU(inplace=True), nn.MaxPool2d(2)))
    plain, _ = rows_of(net, (16, 16))
    differentiated, _ = rows_of(net, (16, 16), gradients=[Address("last")])
    assert plain == differentiated == (Row(4, 1.5, 4.0), Row(4, 1.5, 4.0))
    with Capture(net, activations=[Address("last")]) as capture:
        capture.forward(torch.ones(1, 1, 16, 16))
    assert capture.fields == {}
