"""Strides and receptive fields, against the pixels whose gradient is not zero."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional
from torchvision.models import alexnet, inception_v3, resnet18, resnet50, vgg16

from interpretkit.capture.dataflow.flow import Dataflow
from interpretkit.capture.probe import probe
from interpretkit.capture.receptive import Cells
from interpretkit.model.model import Model

SIZE = 72
TRIALS = 12
PERIOD = 6
"""Cells after which every pattern in the tests repeats."""


class Function(nn.Module):
    """Parts and a function of them: what lies between modules is seen by no hook."""

    def __init__(self, function, *parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.function = function

    def forward(self, x):
        return self.function(x, *self.parts)


def conv(kernel, inputs=2, outputs=2, **more) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, **more)


def padded(kernel, inputs=2, **more) -> nn.Conv2d:
    return conv(kernel, inputs, padding=kernel // 2, **more)


def up(**more):
    return lambda x, before, after: after(functional.interpolate(before(x), **more))


def focus(x, after):
    return after(torch.cat([x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]], 1))


def channels_last(x, before, within, after):
    y = before(x)
    return after(y + within(y.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))


def tokens(x, patches, within, after):
    y = patches(x)
    images, channels, height, width = y.shape
    z = within(y.flatten(2).transpose(1, 2))
    return after(z.transpose(1, 2).reshape(images, channels, height, width))


def depth_to_space(x, before, after):
    y = before(x)
    images, _, height, width = y.shape
    return after(y.view(images, 2, 2, 2, height, width).permute(0, 1, 4, 2, 5, 3).reshape(images, 2, 2 * height, -1))


def written_in_parts(x, small, large, after):
    y = torch.zeros_like(x)
    y[:, :1] = small(x)[:, :1]
    y[:, 1:] = large(x)[:, 1:]
    y[:, 0] *= 2
    return after(y)


def in_place(x, first, second):
    y = first(x)
    z = second(y)
    z += y
    return functional.hardswish(z.mul_(2), inplace=True).relu_()


def u_shaped(x, down, inner, after):
    y = down(x)
    z = functional.interpolate(inner(functional.max_pool2d(y, 2)), scale_factor=2)
    return after(torch.cat([y, z], 1))


def shuffled(x, branch, after):
    first, second = x.chunk(2, 1)
    return after(functional.channel_shuffle(torch.cat([first, branch(second)], 1), 2))


def squeeze_and_excitation(x, before, first, second):
    y = before(x)
    gate = second(functional.relu(first(functional.adaptive_avg_pool2d(y, 1))))
    return y * torch.sigmoid(gate / 1000)


def mixed(x, before):
    return torch.einsum("bchw,cd->bdhw", before(x), torch.ones(2, 3, dtype=x.dtype, device=x.device))


def off_centre(x, first, second):
    return functional.pad(first(x), (4, 0, 0, 2)) + functional.pad(second(x), (0, 4, 2, 0))


def one_after_the_other(x, *parts):
    return nn.Sequential(*parts)(x)


def attention(x, patches, inner):
    y = patches(x)
    z = y.flatten(2).transpose(1, 2)
    z = torch.cat([z.new_ones(len(z), 1, 2), z], 1)
    z = z + inner(z, z, z)[0]
    return z[:, 1:].transpose(1, 2).reshape(y.shape)


CASES = {
    "a chain": (one_after_the_other, padded(3, stride=2), conv(5, dilation=2, groups=2)),
    "even and asymmetric kernels": (one_after_the_other, conv((1, 4), stride=(1, 2)), conv((5, 2))),
    "pooling with ceil_mode": (
        lambda x, a: a(functional.max_pool2d(x, 3, 2, ceil_mode=True)),
        nn.AvgPool2d(2, ceil_mode=True),
    ),
    "dilated pooling": (lambda x, a: a(functional.max_pool2d(x, 2, 1, dilation=3)), conv(2)),
    "branches": (lambda x, a, b: a(x) + b(x) + x, padded(3), padded(7)),
    "branches off the centre": (off_centre, conv((3, 5)), conv((3, 5))),
    "transposed": (
        one_after_the_other,
        *(padded(3, stride=2), nn.ConvTranspose2d(2, 2, 4, stride=2, padding=1), conv(3)),
    ),
    "transposed, uneven": (
        one_after_the_other,
        *(padded(3, stride=4), nn.ConvTranspose2d(2, 2, 3, stride=2, output_padding=1)),
    ),
    "transposed with holes": (one_after_the_other, conv(3), nn.ConvTranspose2d(2, 2, 1, stride=3), conv(4)),
    "transposed, dilated": (one_after_the_other, conv(3), nn.ConvTranspose2d(2, 2, 3, stride=2, dilation=3)),
    "nearest": (up(scale_factor=2), padded(3, stride=2), padded(3)),
    "nearest by 3/2": (up(scale_factor=1.5), padded(3, stride=2), padded(3)),
    "nearest-exact by 3/2": (up(scale_factor=1.5, mode="nearest-exact"), padded(3, stride=2), padded(3)),
    "nearest, halved": (up(scale_factor=0.5), padded(3), padded(3)),
    "bilinear": (up(scale_factor=2, mode="bilinear"), padded(3, stride=2), padded(3)),
    "bilinear by 3": (up(size=(108, 108), mode="bilinear"), padded(3, stride=2), conv(1)),
    "bilinear with corners": (up(size=(71, 71), mode="bilinear", align_corners=True), padded(3, stride=2), padded(3)),
    "bicubic": (up(scale_factor=2, mode="bicubic"), padded(3, stride=2), conv(1)),
    "pixel shuffle": (lambda x, a, b: b(functional.pixel_shuffle(a(x), 2)), conv(3, 2, 8, stride=2), conv(3)),
    "pixel unshuffle": (lambda x, a, b: b(functional.pixel_unshuffle(a(x), 2)), conv(3), conv(3, 8)),
    "depth to space by views": (depth_to_space, conv(3, 2, 8, stride=2), conv(3)),
    "slices": (focus, conv(3, 8)),
    "a crop and a residual": (lambda x, a: a(x) + x[..., 2:-2, 2:-2], conv(5)),
    "a crop on one side": (lambda x, a: a(x) + x[..., 4:, :-4], conv(5)),
    "padding by reflection": (lambda x, a: a(functional.pad(x, (1, 2, 2, 1), mode="reflect")), conv(4)),
    "channels last": (channels_last, padded(3, stride=2), nn.Sequential(nn.LayerNorm(2), nn.Linear(2, 2)), conv(3)),
    "tokens and back": (tokens, conv(4, stride=4), nn.Sequential(nn.LayerNorm(2), nn.Linear(2, 2)), conv(3)),
    "written in parts": (written_in_parts, padded(3), padded(7), conv(2)),
    "in place": (in_place, padded(3, stride=2), padded(5)),
    "an hourglass": (u_shaped, padded(3, stride=2), padded(3), padded(3, 4)),
    "parts of channels": (shuffled, nn.Conv2d(1, 1, 5, padding=2), conv(1)),
    "stacked and averaged": (lambda x, a, b: torch.stack([a(x), b(x)]).mean(0), padded(3), padded(5)),
    "normalised across channels": (lambda x, a: a(functional.local_response_norm(x, 2)), conv(3)),
    "adaptive pooling": (lambda x, a: functional.adaptive_avg_pool2d(a(x), 18), padded(3)),
    "batch normalisation": (one_after_the_other, conv(3), nn.BatchNorm2d(2)),
    "mixed by einsum": (mixed, conv(3)),
    "squeeze and excitation": (squeeze_and_excitation, padded(3, stride=2), conv(1), conv(1)),
    "attention": (attention, conv(8, stride=8), nn.MultiheadAttention(2, 1, batch_first=True)),
    "group normalisation": (one_after_the_other, nn.GroupNorm(1, 2)),
    "instance normalisation": (one_after_the_other, nn.InstanceNorm2d(2)),
    "an average across": (lambda x, a: a(x) + a(x).mean(3, keepdim=True), padded(3)),
    "softmax over the grid": (lambda x, a: (y := a(x)) + y.flatten(2).softmax(-1).view(y.shape), padded(3)),
}


def network(case: str) -> nn.Module:
    function, *parts = CASES[case]
    net = copy.deepcopy(Function(function, *parts)).double().eval()
    torch.manual_seed(0)
    for parameter in net.parameters():
        nn.init.uniform_(parameter, 0.5, 1.5)
    return net


def seen(net: nn.Module) -> list[tuple[float, float]]:
    """Return stride and receptive field, down and across, from the gradients of single cells in the middle.

    Every weight is positive, and enough random images are taken for each cell of a pool to be the greatest once.
    """
    torch.manual_seed(1)
    images = torch.rand(TRIALS, 2, SIZE, SIZE, dtype=torch.float64).add_(0.5).requires_grad_()
    output = net(images)
    found = []
    for dim in (2, 3):
        middle = [length // 2 for length in output.shape[2:]]
        start = middle[dim - 2] - PERIOD // 2 if output.shape[dim] >= 2 * PERIOD else middle[dim - 2] - 2
        steps = PERIOD if output.shape[dim] >= 2 * PERIOD else 4
        spans = []
        for cell in range(start, start + steps + 1):
            place = (cell, middle[1]) if dim == 2 else (middle[0], cell)
            (gradient,) = torch.autograd.grad(output[:, :, place[0], place[1]].sum(), images, retain_graph=True)
            pixels = gradient.abs().amax((0, 1, 5 - dim)).nonzero().flatten().tolist()
            spans.append((pixels[0], pixels[-1]) if pixels else None)
        extent = max(last - first + 1 for first, last in filter(None, spans))
        found.append(((spans[-1][0] - spans[0][0]) / steps if extent < SIZE else None, extent))
    return found


@pytest.mark.parametrize("case", CASES)
def test_what_a_cell_sees_are_the_pixels_with_a_gradient(case):
    net = network(case)
    expected = seen(net)
    image = torch.zeros(1, 2, SIZE, SIZE, dtype=torch.float64, device="meta")
    with torch.no_grad(), Dataflow(image) as flow:
        field = flow.field(net.to("meta")(image))
    for stride, extent, (true_stride, true_extent) in zip(field.strides, field.extents, expected, strict=True):
        assert (SIZE if extent == "all" else extent) == true_extent
        if extent == "all":
            assert true_stride is None
        else:
            assert stride == pytest.approx(true_stride)


@pytest.mark.parametrize("case", CASES)
def test_the_window_of_each_cell_holds_the_pixels_with_a_gradient_and_no_more(case):
    net = nn.Sequential(network(case))
    call = probe(net, torch.zeros(1, 2, SIZE, SIZE, dtype=torch.float64))[-1]
    if None in call.grid:
        assert call.extents == ("all", "all")
        return
    images = torch.randn(TRIALS, 2, SIZE, SIZE, dtype=torch.float64, requires_grad=True)
    output = net(images)
    middle, corner = ([length // part for length in output.shape[2:]] for part in (2, SIZE))
    # What is padded by reflection shows a cell at the border pixels that its window leaves out.
    for place in (middle,) if case == "padding by reflection" else (corner, middle):
        (gradient,) = torch.autograd.grad(output[:, :, place[0], place[1]].sum(), images, retain_graph=True)
        for dim, cells in zip((2, 3), call.grid, strict=True):
            first, last = cells.span(place[dim - 2])
            pixels = gradient.abs().amax((0, 1, 5 - dim)).nonzero().flatten().tolist()
            assert not pixels or (first <= pixels[0] and pixels[-1] <= last)
            if place == middle:
                assert (pixels[0], pixels[-1]) == (max(first, 0), min(last, SIZE - 1))


def stacked_crops(x, conv):
    crops = [x[..., :36, :36], x[..., :36, 36:], x[..., 36:, :36], x[..., 36:, 36:]]
    return conv(torch.stack(crops, 1).flatten(0, 1)).view(len(x), 4, -1, 36, 36)


CROPS = {
    "in one column": lambda x, conv: stacked_crops(x, conv).transpose(1, 2).flatten(2, 3),
    "put together again": lambda x, conv: (
        stacked_crops(x, conv).view(len(x), 2, 2, -1, 36, 36).permute(0, 3, 1, 4, 2, 5).reshape(len(x), -1, SIZE, SIZE)
    ),
    "the second of two": lambda x, conv: conv(torch.cat([x[..., :36], x[..., 36:]]))[len(x) :],
    "a channel below the other": lambda x, conv: conv(x).flatten(1, 2)[:, None],
}


@pytest.mark.parametrize("case", CROPS)
def test_of_crops_among_the_images_no_cell_has_the_window_of_others(case):
    net = nn.Sequential(Function(CROPS[case], padded(3)).double())
    nn.init.uniform_(net[0].parts[0].weight, 0.5, 1.5)
    call = probe(net, torch.zeros(1, 2, SIZE, SIZE, dtype=torch.float64))[-1]
    image = torch.rand(1, 2, SIZE, SIZE, dtype=torch.float64, requires_grad=True)
    output = net(image)
    assert None in call.grid
    for part in (3, 2):
        place = [length - length // part for length in output.shape[2:]]
        (gradient,) = torch.autograd.grad(output[0, :, place[0], place[1]].sum(), image, retain_graph=True)
        for dim, cells in zip((2, 3), call.grid, strict=True):
            pixels = gradient.abs().amax((0, 1, 5 - dim)).nonzero().flatten()
            assert cells is None or cells.span(place[dim - 2]) == (pixels[0], pixels[-1])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.flip(2, 3),
        lambda x: x.cumsum(2).cumsum(3),
        lambda x: x.roll((1, 1), (2, 3)),
        lambda x: torch.fft.fft2(x).real,
        lambda x: x.view(1, 2, 9, 8, 9, 8).permute(0, 1, 3, 5, 2, 4).reshape(1, 128, 9, 9),
        lambda x: x + x.transpose(2, 3),
        lambda x: x[:, :, 0],
        lambda x: x[:, :, :1].clone().squeeze_(2),
        lambda x: functional.conv2d(x, x[:, :, :3, :3]),
    ],
)
def test_what_no_rule_covers_is_not_known(function):
    image = torch.zeros(1, 2, SIZE, SIZE)
    with Dataflow(image) as flow:
        assert None in flow.field(function(image)).extents


def test_operations_that_some_devices_do_not_take_apart_have_rules_too():
    with torch.inference_mode():
        image = torch.zeros(1, 2, SIZE, SIZE)
        with Dataflow(image) as flow:
            pooled = functional.max_pool2d(image, 3)
            assert flow.field(pooled).extents == (3, 3)
            assert flow.field(functional.linear(pooled.permute(0, 2, 3, 1), torch.ones(4, 2))).strides == (3, 3)


def test_what_does_not_depend_on_the_image_sees_none_of_it():
    image = torch.zeros(1, 2, SIZE, SIZE)
    with Dataflow(image) as flow:
        assert flow.field(torch.zeros_like(image) + torch.ones(1)) is None
        assert flow.field(image.clone().zero_()) is None


def test_patterns_without_an_end_are_not_followed():
    assert Cells(((0, 0),), 1).through(5000, 1, lambda cell: [cell // 5000]) is None


@pytest.mark.parametrize(
    ("make", "layer", "stride", "extent"),
    [
        # Araujo et al., Computing Receptive Fields of Convolutional Neural Networks, Distill 2019.
        (alexnet, "features", 32, 195),
        (vgg16, "features", 32, 212),
        (lambda: inception_v3(init_weights=False), "Mixed_7c", 32, 1311),
        # 483 with the stride in the first 1×1 convolution of a block, as published; torchvision has it in the 3×3.
        (resnet50, "layer4", 32, 427),
        (resnet18, "layer4", 32, 435),
    ],
)
def test_published_receptive_fields(make, layer, stride, extent):
    with torch.device("meta"):
        model = Model(module=make())
    (row,) = model.layers(layer, size=(299, 299))
    assert (row.stride, row.receptive_field) == ((stride, stride), (extent, extent))
