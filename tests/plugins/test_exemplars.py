from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from torch import nn

import interpretkit as ik
from interpretkit import Model, figures
from interpretkit.testing import check_visualizer, tiny_images, tiny_model
from interpretkit_channel_stats.exemplars import Exemplars

OPTIONS = {"layers": ["1", "3"], "top": 3, "channels": [4, 0]}


@pytest.fixture
def model() -> ik.Model:
    """Two convolutions whose cells see 3 × 3 and 7 × 11 pixels, in float64; channel 2 of the first is dead."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 5, 3, stride=2, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(5, 6, (3, 5), padding=(1, 0)),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 2),
    ).double()
    with torch.no_grad():
        net[0].bias[2] = -100.0
    return ik.wrap(net.eval())


FIELDS = {"1": ((2, 1, 3), (2, 1, 3)), "3": ((2, 3, 7), (2, 1, 11))}
"""Stride, pixels before the image that cell 0 begins at, and size of the receptive field, down and across, by hand."""


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(7, 3, 20, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def brute_force(model: ik.Model, images: torch.Tensor, layer: str, top: int) -> list[tuple]:
    """Rank the images of each channel by going through every cell in turn."""
    with torch.no_grad():
        # The layers work in place: a copy for each.
        values = nn.Sequential(*model.module[: int(layer) + 1])(images.clone())
    rows = []
    for channel in range(values.shape[1]):
        found = []
        for position, image in enumerate(values[:, channel]):
            best = max(
                ((float(value), -y, -x) for y, line in enumerate(image) for x, value in enumerate(line)),
            )
            found.append((-best[0], f"image{position}", -best[1], -best[2]))
        for rank, (value, image, y, x) in enumerate(sorted(found)[:top], 1):
            rows.append((layer, channel, rank, -value, image, y, x))
    return rows


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7])
def test_exemplars_are_those_of_a_brute_force_search_whatever_the_batches(model, images, batch_size):
    table = ik.visualize(model, images, "exemplars", batch_size=batch_size, **OPTIONS).tables["exemplars"]
    expected = [row for layer in ("1", "3") for row in brute_force(model, images, layer, 3)]
    names = ("layer", "channel", "rank", "value", "image", "y", "x")
    found = list(zip(*(table[name].tolist() for name in names), strict=True))
    assert [(*row[:3], *row[4:]) for row in found] == [(*row[:3], *row[4:]) for row in expected]
    np.testing.assert_allclose(table["value"], [row[3] for row in expected], rtol=1e-12)


@pytest.mark.parametrize("batch_size", [1, 3, 7])
def test_cut_outs_are_the_pixels_of_the_field_by_hand_as_far_as_it_lies_inside(model, images, batch_size):
    result = ik.visualize(model, images, "exemplars", batch_size=batch_size, **OPTIONS)
    pictures = {f"image{position}": model.picture(image) for position, image in enumerate(images)}
    reaches_over = set()
    for layer, ((down, up, tall), (across, before, broad)) in FIELDS.items():
        table = result.tables["exemplars"].where("layer", layer)
        assert not table["whole"].any()
        shape = result.arrays[layer].values.shape
        for row in range(len(table)):
            facts = {name: column[row] for name, column in table.columns.items()}
            top, left = facts["y"] * down - up, facts["x"] * across - before
            rows, columns = slice(max(top, 0), min(top + tall, 20)), slice(max(left, 0), min(left + broad, 24))
            assert (facts["top"], facts["left"]) == (rows.start, columns.start)
            assert (facts["height"], facts["width"]) == (rows.stop - rows.start, columns.stop - columns.start)
            reaches_over.add((layer, facts["height"] < tall))
            if facts["channel"] in (4, 0):
                place = result.arrays[layer].values[[4, 0].index(facts["channel"]), facts["rank"] - 1]
                cut = pictures[facts["image"]][rows, columns]
                assert np.array_equal(place[: cut.shape[0], : cut.shape[1]], cut)
                assert not place[cut.shape[0] :].any()
                assert not place[:, cut.shape[1] :].any()
        assert shape[:2] == (2, 3)
        assert result.arrays[layer].dims == ("channel", "exemplar", "y", "x", "colour")
    assert {("1", True), ("3", True), ("3", False)} <= reaches_over
    assert result.tables["shown"].columns.keys() == {"layer", "channel"}
    assert result.tables["shown"]["channel"].tolist() == [4, 0, 4, 0]


def test_nothing_outside_a_cut_out_changes_the_value_and_its_outermost_pixels_do(model, images):
    table = ik.visualize(model, images, "exemplars", **OPTIONS).tables["exemplars"].where("layer", "3")
    for row in range(len(table)):
        facts = {name: column[row] for name, column in table.columns.items()}
        if facts["value"] == 0:
            continue
        image = images[int(facts["image"].removeprefix("image"))]

        def value(rows: slice, columns: slice, image=image, facts=facts) -> float:
            kept = torch.zeros_like(image)
            kept[:, rows, columns] = image[:, rows, columns]
            with torch.no_grad():
                return float(model.module[:3](kept[None])[0, facts["channel"], facts["y"], facts["x"]])

        top, left = facts["top"], facts["left"]
        bottom, right = top + facts["height"], left + facts["width"]
        assert value(slice(top, bottom), slice(left, right)) == pytest.approx(facts["value"], rel=1e-12)
        for rows, columns in (((top + 1, bottom), (left, right)), ((top, bottom), (left, right - 1))):
            assert value(slice(*rows), slice(*columns)) != pytest.approx(facts["value"], rel=1e-9)


def test_equal_values_come_in_the_order_of_ids_and_an_image_has_the_first_of_its_cells(model, images):
    same = images[:1].expand(5, -1, -1, -1)
    stats = Exemplars(Exemplars.Options(**OPTIONS))
    parts = [ik.visualize(model, same[:1], "exemplars", **OPTIONS) for _ in range(3)]
    parts = [renamed(part, name) for part, name in zip(parts, ("b", "c", "a"), strict=True)]
    for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0)):
        merged = parts[order[0]]
        for index in order[1:]:
            merged = stats.merge(merged, parts[index])
        assert merged.tables["exemplars"]["image"].tolist() == ["a", "b", "c"] * 11
    flat = ik.visualize(model, torch.full((2, 3, 20, 24), 0.5, dtype=torch.float64), "exemplars", layers=["0"])
    inner = flat.tables["exemplars"].where("channel", 2)
    with torch.no_grad():
        values = model.module[:1](torch.full((1, 3, 20, 24), 0.5, dtype=torch.float64))[0, 2].numpy()
    assert [inner["y"][0], inner["x"][0]] == list(np.unravel_index(values.argmax(), values.shape))


def renamed(result: ik.Result, name: str) -> ik.Result:
    table = result.tables["exemplars"]
    columns = {**table.columns, "image": np.full(len(table), name)}
    return ik.Result(arrays=result.arrays, tables={**result.tables, "exemplars": ik.Table(columns)})


def test_any_grouping_gives_the_same_exemplars_and_pixels(model, images):
    stats = Exemplars(Exemplars.Options(**OPTIONS))
    a, b, c = (renamed(ik.visualize(model, images[i : i + 2], "exemplars", **OPTIONS), str(i)) for i in (0, 2, 4))
    first, second, third = (
        stats.merge(stats.merge(a, b), c),
        stats.merge(a, stats.merge(b, c)),
        stats.merge(c, stats.merge(b, a)),
    )
    for other in (second, third):
        for name, column in first.tables["exemplars"].columns.items():
            assert np.array_equal(column, other.tables["exemplars"][name])
        for layer, each in first.arrays.items():
            assert np.array_equal(each.values, other.arrays[layer].values)


class Gated(nn.Module):
    """Every cell depends on the mean over the grid."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * x.mean((2, 3), keepdim=True)


class Mirrored(nn.Module):
    """What a cell of it sees is not known."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flip(2, 3)


@pytest.mark.parametrize("module", [Gated(), Mirrored()])
def test_where_the_field_is_everything_or_unknown_the_whole_image_is_shown_and_said(module, images):
    net = ik.wrap(nn.Sequential(nn.Conv2d(3, 2, 3).double(), module))
    result = ik.visualize(net, images, "exemplars", layers=["1"], top=2)
    table = result.tables["exemplars"]
    assert table["whole"].all()
    assert set(zip(*(table[name].tolist() for name in ("top", "left", "height", "width")), strict=True)) == {
        (0, 0, 20, 24)
    }
    first = int(table["image"][0].removeprefix("image"))
    assert np.array_equal(result.arrays["1"].values[0, 0], net.picture(images[first]))
    (figure,) = ik.draw(result)
    assert "the whole image is shown" in figure.caption


def test_values_that_are_not_finite_do_not_count():
    class Broken(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.masked_fill(x > 0.9, torch.inf).masked_fill(x < 0.05, torch.nan)

    images = torch.tensor([[[[0.3, 0.95], [0.01, 0.2]]], [[[0.5, 0.4], [0.1, 0.2]]], [[[1.0, 1.0], [1.0, 0.0]]]])
    net = ik.wrap(nn.Sequential(Broken()), transform=lambda image: image)
    result = ik.visualize(net, images.expand(-1, 3, -1, -1), "exemplars", layers=["0"], batch_size=2)
    rows = result.tables["exemplars"].where("channel", 0)
    assert rows["image"].tolist() == ["image1", "image0"]
    assert rows["value"].tolist() == pytest.approx([0.5, 0.3])
    assert rows["rank"].tolist() == [1, 2]


def test_a_layer_without_a_finite_value_has_no_exemplars_and_is_drawn():
    class Lost(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * torch.nan

    options = {"layers": ["0"]}
    net = ik.wrap(nn.Sequential(Lost()))
    result = ik.visualize(net, torch.rand(2, 3, 4, 4), "exemplars", batch_size=1, **options)
    assert len(result.tables["exemplars"]) == 0
    assert len(ik.draw(result)) == 1


@pytest.fixture
def sheets(monkeypatch) -> list[dict]:
    """What is handed to `figures.gallery`."""
    calls: list[dict] = []
    whole = figures.gallery

    def record(rows, **given):
        calls.append({"rows": rows, **given})
        return whole(rows, **given)

    monkeypatch.setattr(figures, "gallery", record)
    return calls


def test_a_sheet_has_a_row_for_each_channel_with_value_and_image_below_each_cut_out(model, images, sheets):
    options = {"layers": ["1"], "top": 2, "channels": [3, 2]}
    result = ik.visualize(model, images, "exemplars", **options)
    (figure,) = ik.draw(result)
    (given,) = sheets
    assert given["labels"] == ["channel 3", "channel 2: 0 in every image"]
    table = result.tables["exemplars"].where("channel", 3)
    first, second = given["rows"]
    assert [exhibit.words for exhibit in first] == [
        f"{figures.number(value)} · {image}" for value, image in zip(table["value"], table["image"], strict=True)
    ]
    # Layer 1 has padded cells of two pixels, whose row lies in the middle of the image: the first has its middle at 1.
    middle = [2 * table["y"][0] + 1 - table["top"][0], 2 * table["x"][0] + 1 - table["left"][0]]
    assert list(first[0].mark) == middle
    assert "The cross is the middle of the strongest cell." in figure.caption
    cut = result.arrays["1"].values[0, 0, : table["height"][0], : table["width"][0]]
    assert np.array_equal(first[0].pixels, cut)
    assert second == []
    assert "3×3 pixels at most" in figure.caption
    assert "Channels that are 0 in every image: 1." in figure.caption
    assert f"image {table['image'][0]} at row {table['y'][0]}, column {table['x'][0]}" in figure.alt


def test_an_image_all_over_which_a_channel_is_0_has_a_place_without_pixels(sheets):
    options = {"layers": ["0"], "channels": [0], "top": 3}
    net = ik.wrap(nn.Sequential(nn.ReLU()))
    images = torch.stack([torch.full((3, 4, 4), value) for value in (-1.0, 2.0, -3.0)])
    result = ik.visualize(net, images, "exemplars", **options)
    ik.draw(result)
    ((row,),) = [given["rows"] for given in sheets]
    assert [(exhibit.words, exhibit.pixels.shape[:2]) for exhibit in row] == [
        ("2 · image1", (1, 1)), ("0 · image0", (0, 0)), ("0 · image2", (0, 0)),
    ]  # fmt: skip


def test_the_network_is_asked_once_for_each_size_what_its_cells_see(model, images, monkeypatch):
    asked = []
    whole = Model.layers

    def counted(self, *patterns, size=None):
        asked.append((patterns, size))
        return whole(self, *patterns, size=size)

    monkeypatch.setattr(Model, "layers", counted)
    ik.visualize(model, images, "exemplars", batch_size=1, **OPTIONS)
    assert asked == [(("1",), (20, 24)), (("3",), (20, 24))]


PLUGIN = """
from torch import nn
from interpretkit import Model, ModelBuilder, Preprocessing, hookimpl


class Free(ModelBuilder):
    name = "free"

    def build(self, state):
        net = nn.Sequential(nn.Conv2d(3, 4, 5, padding=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        return Model(module=net, preprocessing=Preprocessing(resize=None, crop=None))


@hookimpl
def interpretkit_models():
    yield Free
"""

RECIPE = """schema: interpretkit/1
name: exemplars
model: {uses: free}
inputs: [images]
steps:
  - {id: exemplars, uses: exemplars, with: {layers: ["1"], top: 4}}
numerics: {batch_size: 2}
"""


def test_images_of_any_size_are_compared_and_cut_out_of_what_the_model_was_fed(tmp_path, monkeypatch):
    generator = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for name, (width, height) in {"a": (8, 6), "b": (3, 9), "c": (5, 9), "d": (8, 6), "e": (4, 3)}.items():
        Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(
            tmp_path / "images" / f"{name}.png"
        )
    (tmp_path / "plugin.py").write_text(PLUGIN)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    opened = ik.run("recipe.yaml", plugins=["plugin.py"])
    assert opened.status == "complete"
    result = opened.results["exemplars"]
    table = result.tables["exemplars"]
    assert len(table) == 4 * 4
    for row in range(len(table)):
        facts = {name: column[row] for name, column in table.columns.items()}
        pixels = np.asarray(Image.open(tmp_path / "images" / f"{facts['image']}.png"))
        rows = slice(max(facts["y"] - 2, 0), facts["y"] + 3)
        cut = pixels[rows, max(facts["x"] - 2, 0) : facts["x"] + 3]
        assert (facts["height"], facts["width"]) == cut.shape[:2]
        place = result.arrays["1"].values[facts["channel"], facts["rank"] - 1]
        assert np.array_equal(place[: cut.shape[0], : cut.shape[1]], cut)


def test_a_layer_without_a_grid_and_a_channel_that_is_not_there_are_refused(model, images):
    with pytest.raises(ik.StepError, match="layer 6 returns 7×2"):
        ik.visualize(model, images, "exemplars", layers=["6"])
    with pytest.raises(ik.StepError, match="layer 1 has no channel 5"):
        ik.visualize(model, images, "exemplars", layers=["1"], channels=[0, 5])


@pytest.mark.parametrize("options", [{"channels": [-1]}, {"channels": []}, {"top": 0}, {"layers": []}])
def test_options_out_of_bounds_are_refused(options):
    with pytest.raises(ValidationError):
        Exemplars.Options(**{"layers": ["1"], **options})


@pytest.mark.parametrize("options", [{}, {"top": 2, "channels": [3, 1, 3]}])
def test_exemplars_keep_the_contract(options):
    check_visualizer(Exemplars, layers=["features", "features.0"], **options)


def test_the_first_channels_are_shown_where_none_is_named():
    result = ik.visualize(tiny_model(), tiny_images(2), "exemplars", layers=["features"])
    assert result.tables["shown"]["channel"].tolist() == [0, 1, 2, 3]
    wide = ik.visualize(ik.wrap(nn.Sequential(nn.Conv2d(3, 40, 1))), tiny_images(2), "exemplars", layers=["0"])
    assert wide.tables["shown"]["channel"].tolist() == list(range(16))
    assert len(wide.tables["exemplars"]) == 40 * 2
