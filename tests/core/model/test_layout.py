from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import interpretkit as ik
from interpretkit import Layout, StepError
from interpretkit.model.layout import arrange

PATCH = 4


class Embedding(nn.Module):
    """Patches in rows, behind some tokens that stand for no place."""

    def __init__(self, prefix, channels=6):
        super().__init__()
        self.prefix = prefix
        self.proj = nn.Conv2d(3, channels, PATCH, stride=PATCH)

    def forward(self, images):
        tokens = self.proj(images).flatten(2).transpose(1, 2)
        return torch.cat([torch.full_like(tokens[:, :1], 7.0).repeat(1, self.prefix, 1), tokens], dim=1)


class Mean(nn.Module):
    def forward(self, tokens):
        return tokens.flatten(1, -2).mean(1)


class Permute(nn.Module):
    def forward(self, maps):
        return maps.permute(0, 2, 3, 1)


def token_net(prefix):
    torch.manual_seed(prefix)
    return nn.Sequential(Embedding(prefix), nn.LayerNorm(6), nn.Linear(6, 5), nn.Tanh(), Mean(), nn.Linear(5, 3))


def channels_last_net(channels=6):
    torch.manual_seed(1)
    conv = nn.Conv2d(3, channels, PATCH, stride=PATCH)
    block = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, channels), nn.GELU())
    return nn.Sequential(conv, Permute(), block, Mean(), nn.Linear(channels, 3))


def images(height, width, count=2):
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(height * width))


def outputs(net, inputs, path):
    seen = []
    handle = net.get_submodule(path).register_forward_hook(lambda part, arguments, output: seen.append(output))
    with torch.no_grad():
        net(inputs)
    handle.remove()
    return seen[0]


def grid_of(net, inputs, *layers, **more):
    result = ik.visualize(ik.wrap(net, **more), inputs, "feature_grid", layers=list(layers))
    return {layer: each.values for layer, each in result.maps.items()}


@pytest.mark.parametrize(
    ("size", "tokens", "prefix", "grid"),
    [
        ((224, 224), 197, 1, (14, 14)),
        ((224, 224), 198, 2, (14, 14)),
        ((32, 48), 6, 0, (2, 3)),
        ((48, 32), 11, 5, (3, 2)),
        ((40, 40), 4, 0, (2, 2)),
        ((40, 40), 9, 0, (3, 3)),
        ((32, 48), 7, 0, None),
        ((8, 8), 1, 1, None),
    ],
)
def test_the_grid_of_tokens_follows_from_the_patch(size, tokens, prefix, grid):
    assert Layout(kind="tokens", patch=(16, 16), prefix=prefix).grid(tokens=tokens, size=size) == grid


@pytest.mark.parametrize("arguments", [{"kind": "tokens"}, {"kind": "channels_last", "patch": (4, 4)}])
def test_a_layout_that_makes_no_sense_is_refused(arguments):
    with pytest.raises(ValueError, match="tokens have a patch"):
        Layout(**arguments)


@pytest.mark.parametrize("prefix", [0, 1, 2, 5])
@pytest.mark.parametrize("size", [(16, 16), (16, 28), (24, 12)])
def test_tokens_become_maps_without_their_prefix(prefix, size):
    net, inputs = token_net(prefix), images(*size)
    tokens = outputs(net, inputs, "2").numpy()
    rows, columns = size[0] // PATCH, size[1] // PATCH
    expected = np.empty((2, 5, rows, columns), np.float32)
    for y in range(rows):
        for x in range(columns):
            expected[:, :, y, x] = tokens[:, prefix + y * columns + x]
    found = grid_of(net, inputs, "0", "2")
    assert np.array_equal(found["2"], expected)
    with torch.no_grad():
        assert np.array_equal(found["0"], net[0].proj(inputs).numpy())


@pytest.mark.parametrize("size", [(16, 16), (16, 28), (24, 12)])
def test_channels_that_come_last_are_found(size):
    net, inputs = channels_last_net(), images(*size)
    found = grid_of(net, inputs, "0", "1", "2", "2.0", "2.1", "2.2")
    for layer, values in found.items():
        expected = outputs(net, inputs, layer).numpy()
        assert np.array_equal(values, expected if layer == "0" else np.moveaxis(expected, 3, 1)), layer


class Positions(nn.Module):
    """As many channels as patches, `(image, channel, position)` or tokens, and a head over their mean."""

    def __init__(self, *, tokens: bool) -> None:
        super().__init__()
        self.patch, self.cells, self.act, self.head = nn.Conv2d(3, 16, 8, 8), nn.Identity(), nn.ReLU(), nn.Linear(16, 3)
        self.tokens = tokens

    def forward(self, x):
        values = self.patch(x).flatten(2)
        values = self.act(self.cells(values.transpose(1, 2) if self.tokens else values))
        return self.head(values.mean(1 if self.tokens else 2))


@pytest.mark.parametrize("tokens", [True, False])
def test_positions_are_told_from_as_many_channels_by_following_the_image(tokens):
    torch.manual_seed(0)
    net, inputs = Positions(tokens=tokens).eval(), torch.rand(2, 3, 32, 32)
    found = grid_of(net, inputs, "patch", "cells", "act")
    with torch.no_grad():
        expected = net.patch(inputs)
    np.testing.assert_array_equal(found["cells"], expected.numpy())
    np.testing.assert_array_equal(found["act"], expected.relu().numpy())
    model = ik.wrap(net, output=ik.Classes())
    score = net.head.weight.detach()[1].view(16, 1, 1) / 16
    cam = (score * expected.relu()).sum(1).numpy()
    for method in ("grad_cam", "hirescam"):
        maps = ik.visualize(model, inputs, method, layers=["act"], target=1).maps["act"].values
        np.testing.assert_allclose(maps, cam, rtol=1e-4, atol=1e-7)
    # What is put in place of the layer's output lies as it does.
    falls = ik.visualize(model, inputs, "ablation_cam", layers=["act"], target=1).maps["act"].values
    assert falls.shape == (2, 4, 4)


def test_what_both_readings_fit_is_told_by_following_the_image_and_else_by_the_author():
    net, inputs = channels_last_net(channels=4), images(16, 16)
    plain = outputs(net, inputs, "2").numpy()
    assert np.array_equal(grid_of(net, inputs, "2")["2"], np.moveaxis(plain, 3, 1))
    alone = arrange(torch.from_numpy(plain), network=net, path="2", inputs=inputs)
    assert np.array_equal(alone.values.numpy(), plain)
    model = ik.Model(module=net, layouts={"*": Layout(kind="channels_last")})
    found = ik.visualize(model, inputs, "feature_grid", layers=["0", "2"]).maps
    assert np.array_equal(found["2"].values, np.moveaxis(plain, 3, 1))
    # A convolution has its channels first, whatever pattern it falls under.
    assert np.array_equal(found["0"].values, outputs(net, inputs, "0").numpy())


def test_of_several_patterns_the_first_that_matches_holds():
    net, inputs = token_net(prefix=5), images(8, 8)
    # Nine tokens: five and a grid of 2 × 2, or a grid of 3 × 3 of larger patches.
    wrong = Layout(kind="tokens", patch=(3, 3))
    right = Layout(kind="tokens", patch=(PATCH, PATCH), prefix=5)
    for layouts, shape in (({"2": right, "*": wrong}, (2, 2)), ({"2": wrong, "*": right}, (3, 3))):
        maps = ik.visualize(ik.Model(module=net, layouts=layouts), inputs, "feature_grid", layers=["2"]).maps
        assert maps["2"].values.shape[2:] == shape


def test_a_patch_that_no_convolution_shows_can_be_declared_without_the_right_prefix():
    net = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.Identity())
    layout = Layout(kind="tokens", patch=(8, 8), prefix=1)
    values = torch.arange(2 * 4 * 6).reshape(2, 4, 6)
    arranged = arrange(values, network=net, path="1", inputs=images(16, 16), declared=layout).values
    assert torch.equal(arranged, values.reshape(2, 2, 2, 6).permute(0, 3, 1, 2))


def test_a_declared_layout_that_does_not_fit_gives_way_to_what_the_shapes_say():
    net, inputs = token_net(prefix=0), images(16, 16)
    model = ik.Model(module=net, layouts={"**": Layout(kind="tokens", patch=(PATCH, PATCH), prefix=1)})
    assert ik.visualize(model, inputs, "feature_grid", layers=["2"]).maps["2"].values.shape == (2, 5, 4, 4)


@pytest.mark.parametrize(
    "shape",
    [
        (2, 18, 6),  # neither 16 tokens nor up to five more, but one that is no number of patches
        (8, 4, 6),  # windows: another number of images
        (2, 6),
        (2, 3, 16, 16, 1),
    ],
)
def test_other_shapes_stay_as_they_are(shape):
    net = nn.Sequential(nn.Conv2d(3, 6, 8, stride=8), nn.Identity())
    values = torch.zeros(shape)
    assert arrange(values, network=net, path="1", inputs=images(16, 16)).values is values


def test_a_network_without_patches_has_no_tokens():
    net = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.Conv2d(6, 6, 1))
    values = torch.zeros(2, 16, 6)
    assert arrange(values, network=net, path="1", inputs=images(16, 16)).values is values


def test_what_cannot_be_arranged_is_refused_with_its_shape():
    shuffled = token_net(prefix=6)
    shuffled[0].register_forward_hook(lambda _part, _arguments, tokens: tokens[:, torch.arange(21, -1, -1)])
    with pytest.raises(StepError, match="2×22×6"):
        grid_of(shuffled, images(16, 16), "1")
    with pytest.raises(StepError, match="2×3"):
        grid_of(token_net(1), images(16, 16), "5")


@pytest.mark.parametrize("path", ["2", "0"])
def test_arranging_copies_nothing(path):
    for net in (token_net(1), channels_last_net()):
        inputs = images(16, 28)
        values = outputs(net, inputs, path)
        arranged = arrange(values, network=net, path=path, inputs=inputs).values
        assert arranged.shape[2:] == (4, 7)
        assert arranged.untyped_storage().data_ptr() == values.untyped_storage().data_ptr()


@pytest.mark.parametrize(("net", "layer"), [(token_net(2), "2"), (channels_last_net(), "2.1")])
def test_grad_cam_agrees_with_a_slow_derivation(net, layer):
    inputs, target = images(16, 28), 1
    found = ik.visualize(ik.wrap(net), inputs, "grad_cam", layers=[layer], target=target).maps[layer].values
    double = net.double()
    parts = [*double[:2], *(double[2] if "." in layer else double[2:3])]
    after = parts.index(double.get_submodule(layer)) + 1
    rest = nn.Sequential(*parts[after:], *double[3:])
    activation = nn.Sequential(*parts[:after])(inputs.double()).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(rest(activation)[:, target].sum(), activation)
    cells = activation[:, 2:] if activation.ndim == 3 else activation.flatten(1, 2)
    slopes = gradient[:, 2:] if gradient.ndim == 3 else gradient.flatten(1, 2)
    expected = np.zeros((2, 4, 7))
    for image in range(2):
        for channel in range(cells.shape[2]):
            weight = slopes[image, :, channel].mean().item()
            for cell in range(28):
                expected[image, cell // 7, cell % 7] += weight * cells[image, cell, channel].item()
    net.float()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max())


def test_statistics_count_the_cells_of_the_grid_and_no_class_token():
    net, inputs = token_net(prefix=1), images(16, 16)
    table = ik.visualize(ik.wrap(net), inputs, "channel_stats", layers=["0"]).tables["channels"]
    cells = outputs(net, inputs, "0")[:, 1:].double().flatten(0, 1)
    np.testing.assert_allclose(table["mean"], cells.mean(0), rtol=1e-6, atol=1e-9)
    assert table["count"].tolist() == [32] * 6


@pytest.mark.parametrize("size", [(6, 9), (4, 6, 9)], ids=["image", "volume"])
@pytest.mark.parametrize("prefix", [0, 1])
def test_tokens_lie_where_their_patches_do(size, prefix):
    """Each token is the sum of its patch: a pooling, found by its kernel, says the same."""
    patch = tuple(3 if length % 3 == 0 else 2 for length in size)
    conv = nn.Conv2d if len(size) == 2 else nn.Conv3d
    embedding = conv(1, 2, patch, stride=patch)
    inputs = torch.randn(3, 1, *size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        grid = embedding(inputs)
    tokens = torch.cat([torch.full((3, prefix, 2), 7.0), grid.flatten(2).transpose(1, 2)], 1)
    network = nn.Sequential(embedding, nn.Identity())
    found = arrange(tokens, network=network, path="1", inputs=inputs)
    assert found.axes == ("image", "channel", *("z", "y", "x")[-len(size) :])
    assert torch.equal(found.values, grid)
    declared = Layout(kind="tokens", patch=patch, prefix=prefix)
    assert torch.equal(arrange(tokens, network=nn.Identity(), path="", inputs=inputs, declared=declared).values, grid)


def test_tokens_of_a_signal_must_be_declared_since_maps_have_as_many_axes():
    inputs, tokens = torch.zeros(2, 1, 12), torch.arange(24.0).reshape(2, 4, 3)
    network = nn.Sequential(nn.Conv1d(1, 3, 4, stride=4), nn.Identity())
    plain = arrange(tokens, network=network, path="1", inputs=inputs)
    assert plain.axes == ("image", "channel", "x")
    assert torch.equal(plain.values, tokens)
    declared = Layout(kind="tokens", patch=(4,), prefix=1)
    found = arrange(tokens, network=network, path="1", inputs=inputs, declared=declared)
    assert found.axes == ("image", "channel", "x")
    assert torch.equal(found.values, tokens[:, 1:].transpose(1, 2))
    unfit = Layout(kind="tokens", patch=(5,))
    assert arrange(tokens, network=nn.Identity(), path="", inputs=inputs, declared=unfit).axes[1] == "token"


def test_volumes_whose_channels_come_last_are_found():
    network = nn.Sequential(nn.Identity(), nn.LayerNorm(5))
    values = torch.randn(2, 2, 4, 6, 5)
    found = arrange(values, network=network, path="0", inputs=torch.zeros(2, 1, 4, 8, 12))
    assert found.axes == ("image", "channel", "z", "y", "x")
    assert torch.equal(found.values, values.movedim(-1, 1))


class Laid(nn.Module):
    """Tokens of patches in any order, others before and behind them; a layer that is followed, and one that is not."""

    def __init__(self, *, by_columns=False, before=0, behind=0, axes=2):
        super().__init__()
        torch.manual_seed(0)
        conv = {2: nn.Conv2d, 3: nn.Conv3d}[axes]
        self.proj, self.cells, self.beyond = conv(3, 6, PATCH, stride=PATCH), nn.Linear(6, 6), nn.Linear(6, 6)
        self.head = nn.Linear(6, 3)
        self.by_columns, self.before, self.behind = by_columns, before, behind

    def forward(self, images):
        maps = self.proj(images)
        if self.by_columns:
            maps = maps.permute(0, 1, *reversed(range(2, maps.ndim)))
        tokens = maps.flatten(2).transpose(1, 2)
        other = torch.full_like(tokens[:, :1], 7.0)
        parts = [other.repeat(1, self.before, 1), tokens, other.repeat(1, self.behind, 1)]
        tokens = self.cells(torch.cat([part for part in parts if part.shape[1]], 1))
        # No rule follows where an index takes the tokens to; here it leaves each where it is.
        there = torch.arange(tokens.shape[1])
        mixed = tokens[:, there] + 0.01 * tokens.mean(1, keepdim=True)
        return self.head(self.beyond(mixed).mean(1))


ORDERS = [(0, 0), (1, 0), (0, 1), (1, 1), (2, 1)]


@pytest.mark.parametrize("by_columns", [False, True])
@pytest.mark.parametrize("others", ORDERS)
@pytest.mark.parametrize("layer", ["cells", "beyond"])
@pytest.mark.parametrize("size", [(16, 16), (16, 28), (4, 12), (8, 12, 16)])
def test_tokens_lie_where_their_patches_do_in_whatever_order(by_columns, others, layer, size):
    before, behind = others
    net = Laid(by_columns=by_columns, before=before, behind=behind, axes=len(size))
    inputs = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    tokens = outputs(net, inputs, layer)
    grid = [length // PATCH for length in size]
    expected = np.empty((2, 6, *grid), np.float32)
    for place, cell in enumerate(np.ndindex(*(grid[::-1] if by_columns else grid))):
        expected[(..., *(cell[::-1] if by_columns else cell))] = tokens[:, before + place].numpy()
    np.testing.assert_array_equal(grid_of(net, inputs, layer)[layer], expected)
    declared = {layer: Layout(kind="tokens", patch=(PATCH,) * len(size), prefix=before, suffix=behind)}
    declared[layer] = replace(declared[layer], by_columns=by_columns)
    np.testing.assert_array_equal(grid_of(net, inputs, layer, layouts=declared)[layer], expected)


def test_the_order_of_tokens_is_looked_for_once_and_only_where_following_does_not_show_it():
    net, inputs = Laid(before=1), images(16, 16, count=1)
    calls = []
    net.register_forward_hook(lambda *_: calls.append(1))
    model = ik.wrap(net)
    ik.visualize(model, inputs, "feature_grid", layers=["cells"])
    assert len(calls) == 1
    ik.visualize(model, inputs, "feature_grid", layers=["beyond"])
    # As it is, and with each of four patches changed: two corners and the neighbours of the first.
    assert len(calls) == 1 + 1 + 5
    ik.visualize(model, inputs, "feature_grid", layers=["beyond", "cells"])
    assert len(calls) == 8


@pytest.mark.parametrize("order", ["backwards", "mixed", "anew in each pass"])
@pytest.mark.parametrize("behind", [0, 1])
@pytest.mark.parametrize("seed", range(4))
def test_tokens_in_another_order_than_by_rows_or_columns_are_refused(order, behind, seed):
    class Ordered(Laid):
        def forward(self, images):
            tokens = self.proj(images).flatten(2).transpose(1, 2)
            count = tokens.shape[1]
            if order == "anew in each pass":
                there = torch.randperm(count)
            else:
                mixed = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
                there = torch.arange(count).flip(0) if order == "backwards" else mixed
            tokens = torch.cat([tokens[:, there], torch.full_like(tokens[:, : self.behind], 7.0)], 1)
            return self.head(self.cells(tokens).mean(1))

    with pytest.raises(StepError, match=r"layer cells returns .*, not feature maps"):
        grid_of(Ordered(behind=behind), images(16, 16), "cells")


def test_tokens_of_which_no_order_stands_out_are_refused_until_they_are_declared():
    class Mixed(nn.Module):
        """Every token is the mean of all."""

        def __init__(self):
            super().__init__()
            self.proj, self.cells, self.head = nn.Conv2d(3, 6, PATCH, stride=PATCH), nn.Identity(), nn.Linear(6, 3)

        def forward(self, images):
            tokens = self.proj(images).flatten(2).transpose(1, 2)
            tokens = self.cells(tokens.mean(1, keepdim=True).repeat(1, 16, 1)[:, torch.arange(16)])
            return self.head(tokens.mean(1))

    with pytest.raises(
        StepError, match=r"if these are 4×4 tokens in rows, say so: .*Layout\(kind='tokens', patch=\(4, 4\)"
    ):
        grid_of(Mixed(), images(16, 16), "cells")
    layouts = {"cells": Layout(kind="tokens", patch=(4, 4))}
    assert grid_of(Mixed(), images(16, 16), "cells", layouts=layouts)["cells"].shape == (2, 6, 4, 4)


class Recurrent(nn.Module):
    """A recurrent layer on a signal, and a linear one behind it, which no rule follows."""

    def __init__(self, kind, *, batch_first=True, width=5, both_ways=False):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv1d(2, 6, 5, padding=2)
        self.layer = kind(6, width, batch_first=batch_first, bidirectional=both_ways)
        self.linear = nn.Linear(width * (1 + both_ways), 7)
        self.head = nn.Linear(7, 3)

    def forward(self, signals):
        steps = self.conv(signals).transpose(1, 2)
        steps = steps if self.layer.batch_first else steps.transpose(0, 1)
        found = self.linear(self.layer(steps)[0])
        return self.head((found if self.layer.batch_first else found.transpose(0, 1)).mean(1))


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize(("width", "both_ways"), [(5, False), (5, True), (40, False), (20, True)])
def test_channels_of_a_recurrent_layer_come_last(kind, width, both_ways):
    net = Recurrent(kind, width=width, both_ways=both_ways).eval()
    signals = torch.randn(2, 2, 40, generator=torch.Generator().manual_seed(1))
    # The others return two tensors, of which it is not known which is meant.
    layers = ["layer", "linear"] if kind is nn.LSTM else ["linear"]
    found = ik.visualize(ik.wrap(net), signals, "feature_grid", layers=layers).maps
    with torch.no_grad():
        steps, _ = net.layer(net.conv(signals).transpose(1, 2))
        expected = {"layer": steps, "linear": net.linear(steps)}
    for name in layers:
        assert found[name].dims == ("image", "channel", "x")
        np.testing.assert_allclose(found[name].values, expected[name].transpose(1, 2).numpy(), atol=1e-6)


@pytest.mark.parametrize("signals", [2, 40])
def test_a_recurrent_layer_with_steps_before_signals_is_refused(signals):
    net = Recurrent(nn.LSTM, batch_first=False).eval()
    values = torch.randn(signals, 2, 40, generator=torch.Generator().manual_seed(1))
    with pytest.raises(StepError):
        ik.visualize(ik.wrap(net), values, "feature_grid", layers=["layer"], batch_size=40)


def test_of_a_linear_layer_that_may_work_on_channels_or_on_the_signal_nobody_knows():
    class Doubtful(Recurrent):
        def forward(self, signals):
            steps = torch.nn.functional.avg_pool1d(self.conv(signals), 4).transpose(1, 2)
            return self.head(self.linear(self.layer(steps)[0]).mean(1))

    net = Doubtful(nn.LSTM).eval()
    with pytest.raises(StepError, match="layer linear returns 2×10×7, not feature maps"):
        ik.visualize(ik.wrap(net), torch.randn(2, 2, 40), "feature_grid", layers=["linear"])
    layouts = {"linear": Layout(kind="channels_last")}
    found = ik.visualize(ik.wrap(net, layouts=layouts), torch.randn(2, 2, 40), "feature_grid", layers=["linear"])
    assert found.maps["linear"].values.shape == (2, 7, 10)


class First(nn.Module):
    """Tokens before images, `(token, image, channel)`, as transformers of torch have them by default."""

    def __init__(self, *, followed):
        super().__init__()
        torch.manual_seed(0)
        self.proj, self.cells, self.head = nn.Conv2d(3, 6, 8, stride=8), nn.Linear(6, 6), nn.Linear(6, 3)
        self.followed = followed

    def forward(self, images):
        tokens = self.proj(images).flatten(2).permute(2, 0, 1)
        tokens = tokens if self.followed else tokens[torch.arange(len(tokens))]
        return self.head(self.cells(tokens).mean(0))


@pytest.mark.parametrize("followed", [True, False])
@pytest.mark.parametrize("count", [4, 3])
def test_tokens_before_images_are_refused_also_where_there_are_as_many_of_both(followed, count):
    model = ik.wrap(First(followed=followed))
    message = r"returns 4×4×6, tokens before images.*batch_first=True" if count == 4 else "returns 4 rows for 3 images"
    for _ in range(2):
        with pytest.raises(StepError, match=message):
            ik.visualize(model, images(16, 16, count=count), "feature_grid", layers=["cells"])
    assert ik.visualize(model, images(16, 16, count=count), "saliency").maps["input"].values.shape == (count, 16, 16)


def test_as_many_tokens_as_images_are_no_reason_to_refuse_them():
    net, inputs = Laid(), images(8, 8, count=4)
    expected = outputs(net, inputs, "beyond").transpose(1, 2).reshape(4, 6, 2, 2).numpy()
    np.testing.assert_array_equal(grid_of(net, inputs, "beyond")["beyond"], expected)


class Merged(nn.Module):
    """Patches of 4 pixels as tokens, of which the second layer merges two by two."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Conv2d(3, 8, 4, stride=4)
        self.merge = nn.Linear(32, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, images):
        patches = self.embed(images)
        count, channels, height, width = patches.shape
        cells = patches.reshape(count, channels, height // 2, 2, width // 2, 2)
        tokens = cells.permute(0, 2, 4, 1, 3, 5).reshape(count, height * width // 4, -1)
        return self.head(self.merge(tokens).mean(1))


def test_tokens_after_merging_are_declared_as_the_error_says():
    images = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ik.StepError) as caught:
        ik.visualize(ik.wrap(Merged()), images, "grad_cam", layers=["merge"], target=1)
    assert "if these are 4×4 tokens in rows, say so: wrap(…, layouts={…: Layout(kind='tokens', patch=(8, 8))})" in str(
        caught.value
    )
    layouts = {"merge": ik.Layout(kind="tokens", patch=(8, 8))}
    found = ik.visualize(ik.wrap(Merged(), layouts=layouts), images, "grad_cam", layers=["merge"], target=1)
    net = Merged()
    kept = []
    net.merge.register_forward_hook(lambda _m, _a, output: kept.append(output))
    (gradient,) = torch.autograd.grad(net(images)[0, 1], kept)
    expected = (gradient.mean(1, keepdim=True) * kept[0]).sum(2).reshape(1, 4, 4)
    torch.testing.assert_close(torch.from_numpy(found.maps["merge"].values), expected.detach())
