"""What the cells of signals and volumes see, against the outputs that change with one plane of the input."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from interpretkit.capture.dataflow.flow import Dataflow
from interpretkit.capture.probe import probe

SIGNAL = (48,)
VOLUME = (12, 16, 24)
SIZES = {1: SIGNAL, 3: VOLUME}


class Function(nn.Module):
    """Parts and a function of them: what lies between modules is seen by no hook."""

    def __init__(self, function, *parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.function = function

    def forward(self, x):
        return self.function(x, *self.parts)


def chain(x, *parts):
    return nn.Sequential(*parts)(x)


def up(**more):
    return lambda x, before, after: after(functional.interpolate(before(x), **more))


def tokens(x, patches, within, after):
    y = patches(x)
    z = within(y.flatten(2).transpose(1, 2))
    return after(z.transpose(1, 2).reshape(y.shape))


def slice_by_slice(x, of_slices, after):
    images, channels, depth, *size = x.shape
    slices = x.transpose(1, 2).reshape(images * depth, channels, *size)
    return after(of_slices(slices).view(images, depth, channels, *size).transpose(1, 2))


def columns_as_signals(x, of_columns):
    images, channels, depth, height, width = x.shape
    columns = x.permute(0, 3, 4, 1, 2).reshape(-1, channels, depth)
    return of_columns(columns).view(images, height, width, channels, depth).permute(0, 3, 4, 1, 2)


def one_slice(x, before):
    y = before(x)
    z = y.flatten(2).view(y.shape)
    return z + z.mean(3, keepdim=True)


def written_in_part(x):
    y = x.clone()
    y[:, 0] = functional.avg_pool1d(x, 3, 1, 1)[:, 0]
    return y


CASES = {
    "a chain of signals": (1, chain, nn.Conv1d(2, 2, 3, stride=2, padding=1), nn.Conv1d(2, 2, 5, dilation=2)),
    "pools of signals": (1, chain, nn.MaxPool1d(3, 2, ceil_mode=True), nn.AvgPool1d(2), nn.Conv1d(2, 2, 2)),
    "adaptive pools of signals": (1, chain, nn.AdaptiveAvgPool1d(24), nn.AdaptiveMaxPool1d(8)),
    "transposed signals": (1, chain, nn.Conv1d(2, 2, 3, 2, 1), nn.ConvTranspose1d(2, 2, 4, 2, 1), nn.Conv1d(2, 2, 3)),
    "nearest in a signal": (1, up(scale_factor=2), nn.Conv1d(2, 2, 3, 2, 1), nn.Conv1d(2, 2, 3, padding=1)),
    "nearest-exact in a signal": (
        *(1, up(scale_factor=1.5, mode="nearest-exact"), nn.Conv1d(2, 2, 3, 2, 1), nn.Conv1d(2, 2, 3, padding=1)),
    ),
    "linear in a signal": (1, up(scale_factor=2, mode="linear"), nn.Conv1d(2, 2, 3, 2, 1), nn.Conv1d(2, 2, 1)),
    "branches of a signal": (1, lambda x, a: torch.cat([a(x), x[..., 2:-2]], 1), nn.Conv1d(2, 2, 5)),
    "padded signals": (1, lambda x, a: a(functional.pad(x, (3, 1))), nn.Conv1d(2, 2, 4)),
    "tokens of a signal": (
        *(1, tokens, nn.Conv1d(2, 2, 4, 4), nn.Sequential(nn.LayerNorm(2), nn.Linear(2, 2)), nn.Conv1d(2, 2, 3)),
    ),
    "normalised signals": (1, chain, nn.Conv1d(2, 2, 3), nn.BatchNorm1d(2)),
    "a signal and its mean": (1, lambda x, a: a(x) + a(x).mean(2, keepdim=True), nn.Conv1d(2, 2, 3)),
    "a chain of volumes": (
        *(3, chain, nn.Conv3d(2, 2, (1, 3, 4), stride=(1, 2, 2), padding=(0, 1, 0)), nn.Conv3d(2, 2, (3, 1, 2))),
    ),
    "pools of volumes": (3, chain, nn.MaxPool3d((1, 2, 3)), nn.AvgPool3d(2, ceil_mode=True), nn.Conv3d(2, 2, 1)),
    "adaptive pools of volumes": (3, chain, nn.Conv3d(2, 2, 3, padding=1), nn.AdaptiveAvgPool3d((12, 8, 6))),
    "transposed volumes": (
        *(3, chain, nn.Conv3d(2, 2, 3, 2, 1), nn.ConvTranspose3d(2, 2, (2, 4, 4), 2, (0, 1, 1)), nn.Conv3d(2, 2, 2)),
    ),
    "nearest in a volume": (3, up(scale_factor=2), nn.Conv3d(2, 2, 3, 2, 1), nn.Conv3d(2, 2, 3, padding=1)),
    "trilinear in a volume": (
        *(3, up(scale_factor=(1, 2, 2), mode="trilinear"), nn.Conv3d(2, 2, 3, (1, 2, 2), 1), nn.Conv3d(2, 2, 1)),
    ),
    "trilinear with corners": (
        *(3, up(size=(11, 15, 23), mode="trilinear", align_corners=True), nn.Conv3d(2, 2, 3, 2, 1), nn.Conv3d(2, 2, 1)),
    ),
    "branches of a volume": (3, lambda x, a: a(x) + x[..., 1:-1, :, 2:], nn.Conv3d(2, 2, (3, 1, 3))),
    "padded volumes": (3, lambda x, a: a(functional.pad(x, (2, 1, 0, 0, 3, 0))), nn.Conv3d(2, 2, (4, 1, 4))),
    "tokens of a volume": (
        *(3, tokens, nn.Conv3d(2, 2, 4, 4), nn.Sequential(nn.LayerNorm(2), nn.Linear(2, 2)), nn.Conv3d(2, 2, 2)),
    ),
    "one slice": (3, one_slice, nn.Conv3d(2, 2, (10, 3, 3), stride=(3, 1, 1))),
    "slice by slice": (3, slice_by_slice, nn.Conv2d(2, 2, 3, padding=1), nn.Conv3d(2, 2, (3, 1, 1))),
    "columns as signals": (3, columns_as_signals, nn.Conv1d(2, 2, 5, padding=2)),
    "pixels of slices unshuffled": (
        3,
        lambda x, a: a(functional.pixel_unshuffle(x.transpose(1, 2), 2).transpose(1, 2)),
        nn.Conv3d(8, 2, (3, 1, 1)),
    ),
    "a volume and its mean over z": (3, lambda x, a: a(x) + a(x).mean(2, keepdim=True), nn.Conv3d(2, 2, 3)),
    "group normalisation of volumes": (3, chain, nn.GroupNorm(1, 2)),
}
"""By name: how many axes the input has, a function, and the parts that it is of."""


def network(case: str) -> nn.Module:
    _, function, *parts = CASES[case]
    net = copy.deepcopy(Function(function, *parts)).double().eval()
    torch.manual_seed(0)
    for parameter in net.parameters():
        nn.init.uniform_(parameter, 0.5, 1.5)
    return nn.Sequential(net)


def seen(net: nn.Module, size: tuple[int, ...], axis: int) -> dict[int, list[int]]:
    """Return for each cell along an axis, in the middle of the others, which planes of the input it changes with.

    Every weight is positive, and a plane becomes so much greater that each pool and each sum changes with it.
    """
    inputs = torch.rand(1, 2, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found: dict[int, list[int]] = {}
    with torch.no_grad():
        before = net(inputs)
        for plane in range(size[axis]):
            changed = inputs.clone()
            changed.select(axis + 2, plane).add_(100)
            others = [dim for dim in range(before.ndim) if dim != axis + 2]
            cells = (net(changed) != before).any(1, keepdim=True)
            for dim in others:
                cells = cells.narrow(dim, cells.shape[dim] // 2, 1)
            for cell in cells.flatten().nonzero().flatten().tolist():
                found.setdefault(cell, []).append(plane)
    return found


@pytest.mark.parametrize("case", CASES)
def test_a_cell_sees_the_planes_that_change_it_and_no_others(case):
    net, size = network(case), SIZES[CASES[case][0]]
    call = probe(net, torch.zeros(1, 2, *size, dtype=torch.float64))[-1]
    assert len(call.grid) == len(call.strides) == len(call.extents) == len(size)
    for axis, length in enumerate(size):
        cells = call.grid[axis]
        found = seen(net, size, axis)
        assert len(found) == call.shape[axis + 2]
        for cell, planes in found.items():
            first, last = (0, length - 1) if cells is None else cells.span(cell)
            assert (planes[0], planes[-1]) == (max(first, 0), min(last, length - 1)), (axis, cell)
        if call.extents[axis] == "all":
            assert all(planes == list(range(length)) for planes in found.values())
        elif len(found) > 4:
            assert call.extents[axis] == max(planes[-1] - planes[0] + 1 for planes in found.values())


@pytest.mark.parametrize(
    ("size", "function"),
    [
        (SIGNAL, lambda x: x.flip(2)),
        (SIGNAL, lambda x: nn.GRU(2, 2, batch_first=True)(x.transpose(1, 2))[0]),
        (VOLUME, lambda x: x.roll(1, 3)),
        (VOLUME, lambda x: functional.pixel_unshuffle(x, 2)),
        (SIGNAL, written_in_part),
        (VOLUME, lambda x: x[:, :, 0]),
    ],
)
def test_what_no_rule_covers_is_not_known(size, function):
    inputs = torch.zeros(1, 2, *size)
    with torch.no_grad(), Dataflow(inputs) as flow:
        field = flow.field(function(inputs))
    assert len(field.extents) == len(size)
    assert None in field.extents


@pytest.mark.parametrize("size", SIZES.values())
def test_what_is_no_tensor_or_does_not_depend_on_the_input_has_one_entry_for_each_axis(size):
    class Pair(nn.Module):
        def forward(self, x):
            return x, x

    class Constant(nn.Module):
        def forward(self, x):
            return torch.ones(1, 3)

    class Both(nn.Sequential):
        def forward(self, x):
            return [part(x) for part in self]

    pair, constant = probe(Both(Pair(), Constant()), torch.zeros(1, 2, *size))
    nothing = (None,) * len(size)
    assert (pair.shape, pair.strides, pair.extents, pair.grid) == (None, nothing, nothing, nothing)
    assert (constant.strides, constant.extents, constant.grid) == (nothing, (0,) * len(size), nothing)
