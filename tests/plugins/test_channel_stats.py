from __future__ import annotations

import re
from functools import reduce
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from PIL import Image
from torch import nn

import interpretkit as ik
from interpretkit.contracts.registry import discover
from interpretkit.engine.resolve import resolve
from interpretkit.recipe.read import read_recipe
from interpretkit.testing import check_visualizer, tiny_images, tiny_model
from interpretkit_channel_stats import bins, even_bins
from interpretkit_channel_stats.channel_stats import ChannelStats
from interpretkit_channel_stats.even_bins import EvenBins


@pytest.fixture
def model() -> ik.Model:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.ReLU(inplace=True), nn.Conv2d(6, 4, 1))
    with torch.no_grad():
        net[0].bias[2] = -100.0
    return ik.wrap(net.eval())


def table(model: ik.Model, images: torch.Tensor, *, batch_size: int = 16) -> ik.Table:
    return ik.visualize(model, images, "channel_stats", layers=["1", "2"], batch_size=batch_size).tables["channels"]


def arrays(model: ik.Model, images: torch.Tensor) -> dict[str, np.ndarray]:
    """Return what both layers give, in float64, as the statistics see it."""
    with torch.no_grad():
        first = model.module[:2](images)
        return {"1": first.numpy().astype(np.float64), "2": model.module[2](first.clone()).numpy().astype(np.float64)}


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(7, 3, 9, 11, generator=torch.Generator().manual_seed(2)) * 3 + 1


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_statistics_equal_numpys_in_float64_whatever_the_batches(model, batch_size):
    images = torch.randn(7, 3, 9, 11, generator=torch.Generator().manual_seed(2)) * 3 + 1
    found = table(model, images, batch_size=batch_size)
    with torch.no_grad():
        first = model.module[:2](images).numpy().astype(np.float64)
        second = model.module(images).numpy().astype(np.float64)
    for layer, values in (("1", first), ("2", second)):
        rows = found.where("layer", layer)
        assert rows["channel"].tolist() == list(range(values.shape[1]))
        np.testing.assert_allclose(rows["mean"], values.mean((0, 2, 3)), rtol=1e-5)
        np.testing.assert_allclose(rows["std"], values.std((0, 2, 3)), rtol=1e-5, atol=1e-12)
        np.testing.assert_allclose(rows["sparsity"], (values == 0).mean((0, 2, 3)))
        np.testing.assert_allclose(rows["min"], values.min((0, 2, 3)), rtol=1e-5)
        np.testing.assert_allclose(rows["max"], values.max((0, 2, 3)), rtol=1e-5)
    assert found.where("layer", "1")["dead"].tolist() == [False, False, True, False, False, False]
    assert not found.where("layer", "2")["dead"].any()


def test_merging_is_exact_where_a_sum_of_squares_would_cancel():
    values = 1e8 + np.random.default_rng(0).standard_normal((10, 2, 3, 3))
    net = ik.wrap(nn.Sequential(nn.Identity()), name="identity")
    found = ik.visualize(net, torch.from_numpy(values), "channel_stats", layers=["0"], batch_size=3).tables["channels"]
    np.testing.assert_allclose(found["std"], values.std((0, 2, 3)), rtol=1e-7)
    naive = np.sqrt(np.maximum((values**2).mean((0, 2, 3)) - values.mean((0, 2, 3)) ** 2, 0))
    assert np.abs(naive / values.std((0, 2, 3)) - 1).max() > 1e-2


def test_merging_is_associative(model):
    images = torch.randn(3, 3, 9, 9, generator=torch.Generator().manual_seed(3))
    stats = ChannelStats(ChannelStats.Options(layers=["2"]))
    a, b, c = (ik.visualize(model, images[i : i + 1], "channel_stats", layers=["2"]) for i in range(3))
    left = stats.merge(stats.merge(a, b), c).tables["channels"]
    right = stats.merge(a, stats.merge(b, c)).tables["channels"]
    for name in left.columns:
        if name != "layer":
            np.testing.assert_allclose(left[name], right[name], rtol=1e-12, atol=1e-12)
    first, second = (
        stats.merge(*pair).tables["histogram"] for pair in ((stats.merge(a, b), c), (a, stats.merge(b, c)))
    )
    assert all(np.array_equal(first[name], second[name]) for name in first.columns)


def test_values_that_are_not_finite_are_counted_and_enter_nothing_else():
    class Overflow(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * torch.where(x == 5, torch.nan, torch.where(x == 6, torch.inf, 1.0))

    values = torch.tensor([[[[1.0, 5.0], [3.0, 6.0]], [[0.0, 0.0], [0.0, 2.0]]]])
    found = ik.visualize(ik.wrap(nn.Sequential(Overflow())), values, "channel_stats", layers=["0"])
    rows = found.tables["channels"]
    assert rows["nonfinite"].tolist() == [2, 0]
    assert rows["mean"].tolist() == [2.0, 0.5]
    assert rows["max"].tolist() == [3.0, 2.0]
    assert rows["sparsity"].tolist() == [0.0, 0.75]


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_the_variance_splits_into_that_between_images_and_that_within(model, images, batch_size):
    found = table(model, images, batch_size=batch_size)
    for layer, values in arrays(model, images).items():
        rows = found.where("layer", layer)
        means = values.mean((2, 3))
        np.testing.assert_allclose(rows["between"], means.var(0), rtol=1e-5, atol=1e-12)
        np.testing.assert_allclose(rows["within"], values.var((2, 3)).mean(0), rtol=1e-5, atol=1e-12)
        np.testing.assert_allclose(rows["between"] + rows["within"], rows["std"] ** 2, rtol=1e-12, atol=1e-15)
        assert rows["images"].tolist() == [7] * len(rows)


def test_images_of_other_sizes_weigh_by_their_number_of_values():
    net = ik.wrap(nn.Sequential(nn.Identity()))
    generator = np.random.default_rng(1)
    parts = [generator.normal(size=(1, 2, *shape)) for shape in ((3, 4), (9, 2), (1, 1))]
    stats = ChannelStats(ChannelStats.Options(layers=["0"]))
    results = [ik.visualize(net, torch.from_numpy(part), "channel_stats", layers=["0"]) for part in parts]
    merged = stats.merge(stats.merge(results[0], results[1]), results[2]).tables["channels"]
    flat = [part.reshape(2, -1) for part in parts]
    every = np.concatenate(flat, axis=1)
    expected = sum(part.shape[1] * (part.mean(1) - every.mean(1)) ** 2 for part in flat) / every.shape[1]
    np.testing.assert_allclose(merged["between"], expected, rtol=1e-12)
    np.testing.assert_allclose(merged["std"], every.std(1), rtol=1e-12)


def test_the_variance_between_images_is_not_lost_in_a_great_mean():
    values = 1e8 + np.random.default_rng(0).standard_normal((10, 2, 3, 3)) * 1e-2 + np.arange(10)[:, None, None, None]
    net = ik.wrap(nn.Sequential(nn.Identity()))
    found = ik.visualize(net, torch.from_numpy(values), "channel_stats", layers=["0"], batch_size=3).tables["channels"]
    shifted = values - 1e8
    np.testing.assert_allclose(found["between"], shifted.mean((2, 3)).var(0), rtol=1e-6)
    np.testing.assert_allclose(found["within"], shifted.var((2, 3)).mean(0), rtol=1e-6)


@pytest.mark.parametrize(
    ("layer", "saturated"),
    [
        (nn.ReLU6(), [2 / 6, 0.0, 0.0, 5 / 6]),
        (nn.Sigmoid(), [1 / 6, 0.0, 5 / 6, 3 / 6]),
        (nn.Identity(), [0.0, 0.0, 5 / 6, 0.0]),
    ],
    ids=["relu6", "sigmoid", "none"],
)
@pytest.mark.parametrize("batch_size", [1, 3])
def test_saturated_is_the_share_of_other_values_at_the_greatest(layer, saturated, batch_size):
    rows = [
        [7.0, 70.0, 80.0, 1.0, 2.0, -1.0],
        [1.0, 2.0, 3.0, 4.0, 5.0, 5.5],
        [-2.0] * 6,
        [60.0, 50.0, 40.0, 30.0, 9.0, 8.0],
    ]
    values = torch.tensor(rows).T.reshape(3, 2, 4, 1).transpose(1, 2).contiguous()
    net = ik.wrap(nn.Sequential(layer))
    found = ik.visualize(net, values, "channel_stats", layers=["0"], batch_size=batch_size).tables["channels"]
    # The third channel is dead after ReLU6, and constant after the others.
    np.testing.assert_allclose(found["saturated"], saturated)


QUANTILES = {"p1": 0.01, "p5": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95, "p99": 0.99}


@pytest.mark.parametrize("batch_size", [1, 3, 16])
@pytest.mark.parametrize("histograms", ["layer", "channel"])
def test_quantiles_keep_the_bound_that_is_stated(model, images, histograms, batch_size):
    options = {"layers": ["1", "2"], "histograms": histograms, "batch_size": batch_size}
    tables = ik.visualize(model, images, "channel_stats", **options).tables
    for layer, values in arrays(model, images).items():
        (row,) = (
            dict(zip(tables["layers"].columns, row, strict=True))
            for row in tables["layers"].where("layer", layer).rows()
        )
        for name, level in QUANTILES.items():
            exact = np.quantile(values, level, method="lower")
            assert abs(row[name] - exact) <= abs(exact) / 128 + 1e-6
            if histograms == "channel":
                exact = np.quantile(values, level, axis=(0, 2, 3), method="lower")
                found = tables["channels"].where("layer", layer)[name]
                assert (np.abs(found - exact) <= np.abs(exact) / 128 + 1e-6).all()


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_quantiles_of_channels_are_off_by_less_than_a_bin_where_layers_are_counted(model, images, batch_size):
    found = table(model, images, batch_size=batch_size)
    whole = table(model, images, batch_size=len(images))
    for layer, values in arrays(model, images).items():
        rows = found.where("layer", layer)
        reach = rows["max"] - rows["min"]
        for name, level in QUANTILES.items():
            if name in {"p1", "p99"}:
                assert name not in rows.columns
                continue
            exact = np.quantile(values, level, axis=(0, 2, 3), method="lower")
            assert (np.abs(rows[name] - exact) <= reach / 63 + 1e-6).all()
            # A rectified channel has zeros, and a dead one nothing else.
            np.testing.assert_array_equal(rows[name] == 0, exact == 0)
            np.testing.assert_allclose(rows[name], whole.where("layer", layer)[name], rtol=1e-5)
    assert not ik.visualize(model, images, "channel_stats", layers=["1"]).arrays


def test_even_bins_count_every_value_in_its_bin_however_they_are_grouped():
    generator = np.random.default_rng(4)
    scales = np.exp(generator.uniform(-600, 600, (6, 1)))
    values = generator.standard_normal((6, 900)) * scales
    values[0] = 0
    values[1] = np.abs(values[1]) * generator.integers(0, 2, 900)
    values[2, ::7] = np.nan
    values[3] += 1e9 * scales[3]
    values[4] = values[4, 0]
    values[5] = np.nan
    whole = EvenBins.of(values)
    order = generator.permutation(900)
    parts = [EvenBins.of(values[:, chosen]) for chosen in np.array_split(order, 23)]
    left = reduce(EvenBins.merged, parts)
    right = reduce(lambda first, second: second.merged(first), reversed(parts))
    for merged in (left, right):
        np.testing.assert_array_equal(merged.counts, whole.counts)
        np.testing.assert_array_equal(merged.low, whole.low)
    for channel in range(5):
        known = values[channel][np.isfinite(values[channel])]
        low, high = known.min(), known.max()
        assert whole.counts[channel].sum() == len(known)
        found = whole.quantiles((values == 0).sum(1))
        for name, level in zip(even_bins.NAMES, even_bins.LEVELS, strict=True):
            exact = np.quantile(known, level, method="lower")
            assert abs(found[name][channel] - exact) <= (high / 63 - low / 63) * (1 + 1e-9) + abs(high) * 2e-16
    assert np.isnan(found["p50"][5])
    assert found["p50"][0] == 0
    assert found["p50"][4] == values[4, 0]


def test_the_chart_shows_no_value_that_a_channel_does_not_reach(monkeypatch):
    bands = []
    original = Axes.stairs
    monkeypatch.setattr(
        Axes,
        "stairs",
        lambda axes, *given, **more: (
            bands.append((more.get("label"), given[0], more)) or original(axes, *given, **more)
        ),
    )
    values = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)).relu()
    found = ik.visualize(ik.wrap(nn.Sequential(nn.ReLU())), values, "channel_stats", layers=["0"])
    list(ik.draw(found))
    drawn = {label: (high, more.get("baseline")) for label, high, more in bands}
    high, low = drawn["5 % to 95 %"]
    ranked = np.argsort(-found.tables["channels"]["mean"], kind="stable")
    exact = np.quantile(values.numpy().reshape(3, -1)[ranked], [0.05, 0.95], axis=1, method="lower")
    assert low.tolist() == [0, 0, 0]
    np.testing.assert_allclose(high, exact[1], atol=float(values.max()) / 63)
    assert "mean ± std" not in drawn


def test_the_bound_holds_for_values_of_any_size_and_sign_and_is_nearly_reached():
    generator = np.random.default_rng(0)
    values = np.exp(generator.uniform(-700, 700, (1, 1, 50, 400))) * generator.choice([-1, 1], (1, 1, 50, 400))
    net = ik.wrap(nn.Sequential(nn.Identity()))
    tables = ik.visualize(net, torch.from_numpy(values), "channel_stats", layers=["0"]).tables
    errors = []
    for name, level in QUANTILES.items():
        exact = np.quantile(values, level, method="lower")
        errors.append(abs(tables["layers"][name][0] / exact - 1))
    counted = tables["histogram"]
    for value in values.ravel()[:200]:
        (place,) = np.flatnonzero((counted["low"] <= value) & (value <= counted["high"]))
        errors.append(abs((counted["low"][place] + counted["high"][place]) / 2 / value - 1))
    assert 0.006 < max(errors) <= 1 / 128


@pytest.mark.parametrize("histograms", ["layer", "channel"])
def test_histograms_count_every_value_in_its_bin_and_add_up_whatever_the_batches(model, images, histograms):
    options = {"layers": ["1", "2"], "histograms": histograms}
    first, second = (
        ik.visualize(model, images, "channel_stats", batch_size=size, **options).tables["histogram"] for size in (7, 2)
    )
    for layer, values in arrays(model, images).items():
        found = first.where("layer", layer)
        for channel in range(values.shape[1]) if histograms == "channel" else (None,):
            rows = found if channel is None else found.where("channel", channel)
            wanted = values if channel is None else values[:, channel]
            assert rows["count"].sum() == wanted.size
            assert (np.diff(rows["low"]) > 0).all()
            zero = rows["count"][(rows["low"] == 0) & (rows["high"] == 0)].sum()
            assert zero == (wanted == 0).sum()
            for low, high, count in zip(rows["low"], rows["high"], rows["count"], strict=True):
                slack = 1e-5 * max(abs(low), abs(high))
                least, most = ((wanted >= low + s) & (wanted <= high - s) for s in (slack, -slack))
                assert least.sum() <= count <= most.sum()
    np.testing.assert_array_equal(first["count"].sum(), second["count"].sum())


def labelled(folder, monkeypatch, labels):
    generator = np.random.default_rng(0)
    lines = ["path,label"]
    for index, label in enumerate(labels):
        pixels = generator.integers(0, 256, (8, 8 + index % 2, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
        lines.append(f"{index}.png,{label}")
    (folder / "set.csv").write_text("\n".join(lines) + "\n")
    (folder / "plugin.py").write_text(PLUGIN)
    (folder / "recipe.yaml").write_text(RECIPE)
    monkeypatch.chdir(folder)
    return ik.run("recipe.yaml", plugins=["plugin.py"])


PLUGIN = """
from torch import nn
from interpretkit import Model, ModelBuilder, Preprocessing, hookimpl


class Two(ModelBuilder):
    name = "two"

    def build(self, state):
        net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1))
        return Model(module=net, preprocessing=Preprocessing(resize=None, crop=None))


@hookimpl
def interpretkit_models():
    yield Two
"""

RECIPE = """schema: interpretkit/1
name: labelled
model: {uses: two}
inputs: [set.csv]
steps:
  - {id: maps, uses: feature_grid, with: {layers: ["1", "2"]}, figures: false}
  - {id: stats, uses: channel_stats, with: {layers: ["1", "2"]}}
numerics: {dtype: float64, batch_size: 2}
"""


def test_classes_have_the_means_over_their_own_images(tmp_path, monkeypatch):
    labels = ["tabby", "dog", "tabby", "", "10", "dog", "tabby"]
    opened = labelled(tmp_path, monkeypatch, labels)
    found = opened.results["stats"].tables["classes"]
    assert list(found.columns) == ["layer", "class", "channel", "mean", "count"]
    assert list(dict.fromkeys(zip(found["layer"].tolist(), found["class"].tolist(), strict=True))) == [
        (layer, name) for layer in ("1", "2") for name in ("10", "dog", "tabby")
    ]
    images = {each["id"]: each["label"] for each in opened.manifest["inputs"]}
    for layer in ("1", "2"):
        for name in ("10", "dog", "tabby"):
            rows = found.where("layer", layer).where("class", name)
            own = [image for image, label in images.items() if label == name]
            values = [opened.result("maps", image=image).maps[layer].values[0] for image in own]
            every = np.concatenate([each.reshape(len(each), -1) for each in values], axis=1)
            np.testing.assert_allclose(rows["mean"], every.mean(1), rtol=1e-12, atol=1e-15)
            assert rows["count"].tolist() == [every.shape[1]] * len(every)
            assert rows["channel"].tolist() == list(range(len(every)))


def test_without_labels_there_is_no_table_of_classes(model, images):
    assert "classes" not in ik.visualize(model, images, "channel_stats", layers=["1"]).tables


def test_layers_sum_up_their_channels(model, images):
    found = ik.visualize(model, images, "channel_stats", layers=["1", "2"], batch_size=3).tables["layers"]
    for layer, values in arrays(model, images).items():
        (row,) = (dict(zip(found.columns, row, strict=True)) for row in found.where("layer", layer).rows())
        means = values.mean((2, 3))
        expected = {
            "channels": values.shape[1],
            "count": values.size,
            "mean": values.mean(),
            "std": values.std(),
            "min": values.min(),
            "max": values.max(),
            "sparsity": (values == 0).mean(),
            "dead": 1 / 6 if layer == "1" else 0.0,
            "between": means.var(0).sum() / values.var((0, 2, 3)).sum(),
        }
        for name, value in expected.items():
            assert row[name] == pytest.approx(value, rel=1e-4), name


def test_every_column_is_explained_on_the_page_and_its_recipe_is_valid(model, images, tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "inside.md").read_text()
    net = ik.wrap(nn.Sequential(*model.module, nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    for visualizer, options in (
        ("channel_stats", {"histograms": "channel"}),
        ("exemplars", {}),
        ("feature_grid", {"order": "contribution", "target": 0}),
    ):
        for name, table in ik.visualize(net, images, visualizer, layers=["2"], **options).tables.items():
            assert f"`{name}`" in page
            for column in table.columns:
                assert f"`{column}`" in page or column in bins.NAMES, (name, column)
    (recipe,) = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    (tmp_path / "recipe.yaml").write_text(recipe)
    assert len(resolve(read_recipe(tmp_path / "recipe.yaml"), discover()).steps) == 4


@pytest.mark.parametrize("histograms", ["layer", "channel"])
def test_channel_stats_keeps_the_contract(histograms):
    check_visualizer(ChannelStats, layers=["features", "head"], histograms=histograms)


def test_charts_are_few_however_many_layers_and_channels():
    result = ik.visualize(tiny_model(), tiny_images(), "channel_stats", layers=["features", "head"])
    figures = list(ChannelStats(ChannelStats.Options(layers=["features"])).draw(result))
    assert [figure.name for figure in figures] == ["features", "head", "over depth"]
    assert "256 values each" in figures[0].caption
    net = nn.Sequential(*(nn.Conv2d(3, 3, 1) for _ in range(9)))
    many = ik.visualize(ik.wrap(net), torch.rand(1, 3, 2, 2), "channel_stats", layers=["*"])
    (only,) = ChannelStats(ChannelStats.Options(layers=["*"])).draw(many)
    assert only.name == "over depth"


def test_a_layer_without_a_finite_value_is_described_and_drawn():
    class Broken(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * torch.inf

    options = {"layers": ["0"], "histograms": "channel"}
    result = ik.visualize(ik.wrap(nn.Sequential(Broken())), torch.ones(1, 3, 2, 2), "channel_stats", **options)
    rows = result.tables["channels"]
    assert rows["nonfinite"].tolist() == [4, 4, 4]
    assert not rows["saturated"].any()
    assert np.isnan(rows["p50"]).all()
    assert len(list(ChannelStats(ChannelStats.Options(**options)).draw(result))) == 1
