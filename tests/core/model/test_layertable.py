from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

import interpretkit as ik
from interpretkit.errors import StepError
from interpretkit.model.model import Model
from interpretkit.model.preprocessing import Preprocessing


def test_layers_are_listed_in_the_order_of_execution_with_shapes(model):
    rows = model.layers()
    assert [(row.name, row.kind, row.shape, row.parameters) for row in rows] == [
        ("stem", "Conv2d", (4, 6, 6), 40),
        ("stage1.0.conv", "Conv2d", (4, 6, 6), 148),
        ("stage1.0.act", "ReLU", (4, 6, 6), 0),
        ("first", "ReLU", (4, 6, 6), 0),
        ("stage1.0", "Sequential", (4, 6, 6), 148),
        ("stage1.1", "Identity", (4, 6, 6), 0),
        ("stage1", "Sequential", (4, 6, 6), 148),
        ("stage2.0", "MaxPool2d", (4, 3, 3), 0),
        ("stage2", "Sequential", (4, 3, 3), 0),
    ]
    assert str(model.layers("first", size=(8, 10))).splitlines()[1].split() == [
        "first", "ReLU", "4×4×5", "2", "7", "0", "=", "stage1.0.act",
    ]  # fmt: skip


class Reused(nn.Module):
    """A module called twice, one under two names, one that returns a tuple, and an operation between modules."""

    def __init__(self):
        super().__init__()
        self.act = nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(3, 3, (3, 1), bias=False)
        self.shared = self.conv
        self.pair = Pair()
        self.blocks = nn.ModuleList([nn.Flatten()])

    def forward(self, x):
        y, _ = self.pair(self.act(self.conv(x)))
        return self.blocks[0](self.act(y + y.mean((2, 3), keepdim=True)))


class Pair(nn.Module):
    def forward(self, x):
        return x, x


def test_rows_of_calls_shared_modules_and_tuples():
    model = Model(module=Reused().train(), aliases={"early": "act", "mine": "shared"})
    before = {name: value.clone() for name, value in model.module.state_dict().items()}
    with torch.inference_mode():
        rows = model.layers(size=(8, 9))
    assert [(row.name, row.path, row.stride, row.receptive_field, row.alias_of) for row in rows] == [
        ("conv", "conv", (1, 1), (3, 1), ""),
        ("mine", "conv", (1, 1), (3, 1), "conv"),
        ("act#1", "act#1", (1, 1), (3, 1), ""),
        ("early#1", "act#1", (1, 1), (3, 1), "act#1"),
        ("pair", "pair", (None, None), (None, None), ""),
        ("act#2", "act#2", (1, 1), ("all", "all"), ""),
        ("early#2", "act#2", (1, 1), ("all", "all"), "act#2"),
        ("blocks.0", "blocks.0", (1, 1), ("all", "all"), ""),
    ]
    assert [row.name for row in model.layers("act", size=(8, 9))] == ["act#1", "act#2"]
    assert [row.name for row in model.layers("act#*", size=(8, 9))] == ["act#1", "act#2"]
    assert [row.name for row in model.layers("act#2", "shared", size=(8, 9))] == ["shared", "act#2"]
    assert str(rows).splitlines()[5].split() == ["pair", "Pair", "no", "tensor", "–", "–", "0"]
    assert model.module.training
    assert all(part.training and not part._forward_hooks for part in model.module.modules())
    assert all(torch.equal(before[name], value) for name, value in model.module.state_dict().items())


def test_a_tree_nests_layers_by_their_paths(model):
    lines = model.layers().tree().splitlines()
    assert [line[: lines[0].index("kind")].rstrip() for line in lines] == [
        "layer", "stem", "stage1", "  0", "    conv", "    act", "  1", "stage2", "  0",
    ]  # fmt: skip
    assert lines[5].endswith("alias first")
    calls = Model(module=Reused()).layers(size=(8, 9)).tree()
    assert [line.split()[0] for line in calls.splitlines()] == [
        "layer", "conv", "act#1", "act#2", "pair", "blocks", "0",
    ]  # fmt: skip


def test_a_network_without_parameters_has_layers():
    (row,) = Model(module=nn.Sequential(nn.AvgPool2d((2, 4)))).layers(size=(8, 8))
    assert (row.parameters, row.stride, row.receptive_field) == (0, (2, 4), (2, 4))
    assert row.cells()[2:4] == ("2×4", "2×4")


@pytest.mark.parametrize("in_place", [False, True])
def test_layers_are_the_same_on_the_meta_device(in_place):
    from torchvision.models import VisionTransformer

    block = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.Hardswish(inplace=in_place))
    for net in (block, VisionTransformer(32, 8, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=16, num_classes=2)):
        here = Model(module=net).layers(size=(32, 32))
        there = Model(module=net.to("meta")).layers(size=(32, 32))
        assert [row.json() for row in here if row.shape] == [row.json() for row in there if row.shape]
        assert all(None not in row.receptive_field for row in there if row.shape)


def test_an_image_that_the_network_cannot_take_is_an_error_that_says_so():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 30 * 30, 2))
    with pytest.raises(StepError, match=r"failed on an image 3×224×224: RuntimeError: .*--size HEIGHTxWIDTH"):
        Model(module=net, name="net").layers()
    assert len(Model(module=net).layers(size=(32, 32))) == 3
    assert not any(part._forward_hooks for part in net.modules())


class OfOneSize(nn.Module):
    def __init__(self, *sides, **declared):
        super().__init__()
        self.body = nn.Conv2d(3, 2, 1)
        self.sides = sides
        vars(self).update(declared)

    def forward(self, images):
        assert images.shape[2:] == self.sides
        return self.body(images)


@pytest.mark.parametrize(
    ("sides", "declared"),
    [
        ((32, 32), {"img_size": 32}),
        ((32, 48), {"image_size": (32, 48)}),
        ((16, 16), {"config": SimpleNamespace(image_size=16)}),
    ],
)
def test_a_network_that_declares_its_size_is_looked_at_in_it(sides, declared):
    assert Model(module=OfOneSize(*sides, **declared)).layers()[0].shape == (2, *sides)


def test_a_preprocessing_of_its_own_goes_before_the_size_that_a_network_declares():
    net = OfOneSize(40, 40, img_size=32)
    assert Model(module=net, preprocessing=Preprocessing(crop=40)).layers()[0].shape == (2, 40, 40)


def test_the_size_is_what_the_preprocessing_makes():
    def preprocess(image):
        return torch.zeros(3, image.height // 7, image.width // 4)

    net = nn.Sequential(nn.Identity())
    assert Model(module=net, preprocessing=preprocess).layers()[0].shape == (3, 32, 56)
    assert Model(module=net, preprocessing=Preprocessing(resize=40, crop=None)).layers()[0].shape == (3, 40, 40)
    with pytest.raises(StepError, match=r"preprocessing of model 'net' failed .*--size"):
        Model(module=net, name="net", preprocessing=lambda image: image.missing).layers()


def of_volumes() -> nn.Sequential:
    conv = nn.Conv3d(1, 4, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))
    return nn.Sequential(conv, nn.MaxPool3d((2, 2, 1)), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 2))


def of_signals() -> nn.Sequential:
    return nn.Sequential(nn.Conv1d(2, 4, 5, stride=2), nn.AvgPool1d(2), nn.Flatten(), nn.Linear(28, 3))


def test_the_layers_of_a_network_of_volumes():
    assert str(ik.wrap(of_volumes()).layers(size=(4, 16, 12))) == (
        "layer  kind               output   stride  receptive field  parameters\n"
        "0      Conv3d             4×4×8×6   1×2×2            1×3×3          40\n"
        "1      MaxPool3d          4×2×4×6   2×4×2            2×5×3           0\n"
        "2      AdaptiveAvgPool3d  4×1×1×1       –              all           0\n"
        "3      Flatten            4             –              all           0\n"
        "4      Linear             2             –              all          10"
    )
    _, pool, *_ = ik.wrap(of_volumes()).layers(size=(4, 16, 12))
    assert pool.window(1, 2, 3) == ((2, 3), (7, 11), (5, 7))
    with pytest.raises(ValueError, match="argument"):
        pool.window(2, 3)


def test_the_layers_of_a_network_of_signals():
    conv, pool, flat, linear = ik.wrap(of_signals()).layers(size=(32,))
    assert (conv.shape, conv.stride, conv.receptive_field) == ((4, 14), (2,), (5,))
    assert (pool.shape, pool.stride, pool.receptive_field) == ((4, 7), (4,), (7,))
    assert pool.window(2) == ((8, 14),)
    assert flat.receptive_field == pool.receptive_field
    assert linear.json()["receptive_field"] == ["all"]


def test_without_a_size_it_is_what_the_preprocessing_makes():
    def slices(picture):
        return torch.zeros(1, 4, picture.height // 14, picture.width // 7)

    assert Model(module=of_volumes(), preprocessing=slices).layers()[0].shape == (4, 4, 8, 16)
    assert ik.wrap(of_volumes()).layers()[0].shape == (4, 64, 32, 32)
    assert ik.wrap(of_signals()[:2]).layers()[0].shape == (4, 510)
    with pytest.raises(StepError, match=r"failed on a signal 2×1024: RuntimeError: .*`--size LENGTH`"):
        ik.wrap(of_signals(), name="net").layers()
    with pytest.raises(StepError, match=r"failed on an image 1×9×9: .*takes volumes .*, not images"):
        ik.wrap(of_volumes(), name="net").layers(size=(9, 9))


class Focused(nn.Module):
    """Puts each 2 × 2 pixels into channels by slices."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(12, 4, 3, padding=1)

    def forward(self, x):
        return self.conv(torch.cat([x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]], 1))


@pytest.mark.parametrize(
    ("net", "shapes"),
    [
        (nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(12, 4, 3, padding=1)), [(12, 112, 112), (4, 112, 112)]),
        (nn.Sequential(nn.PixelUnshuffle(4), nn.Conv2d(16, 4, 3, padding=1)), [(16, 56, 56), (4, 56, 56)]),
        (nn.Sequential(nn.PixelShuffle(2), nn.Conv2d(1, 4, 3, padding=1)), [(1, 448, 448), (4, 448, 448)]),
        (nn.Sequential(nn.Conv2d(2, 4, 1), nn.PixelShuffle(2), nn.Conv2d(1, 4, 1)), [(4, 224, 224), (1, 448, 448)]),
        (nn.Sequential(nn.Flatten(), nn.Linear(224 * 224, 2)), [(224 * 224,), (2,)]),
        (Focused(), [(4, 112, 112)]),
    ],
)
def test_a_network_that_shuffles_pixels_first_is_looked_at_with_the_channels_that_it_takes(net, shapes):
    assert [row.shape for row in ik.wrap(net).layers()][: len(shapes)] == shapes
