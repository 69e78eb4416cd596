from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import interpretkit as ik
from interpretkit.testing import check_visualizer, tiny_images, tiny_model
from interpretkit_channel_stats.channel_stats import ChannelStats


@pytest.fixture
def model() -> ik.Model:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.ReLU(inplace=True), nn.Conv2d(6, 4, 1))
    with torch.no_grad():
        net[0].bias[2] = -100.0
    return ik.wrap(net.eval())


def table(model: ik.Model, images: torch.Tensor, *, batch_size: int = 16) -> ik.Table:
    return ik.visualize(model, images, "channel_stats", layers=["1", "2"], batch_size=batch_size).tables["channels"]


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


def test_channel_stats_keeps_the_contract():
    check_visualizer(ChannelStats, layers=["features", "head"])


def test_one_chart_is_drawn_per_layer():
    result = ik.visualize(tiny_model(), tiny_images(), "channel_stats", layers=["features", "head"])
    figures = list(ChannelStats(ChannelStats.Options(layers=["features"])).draw(result))
    assert [figure.name for figure in figures] == ["features", "head"]
    assert "256 values each" in figures[0].caption
