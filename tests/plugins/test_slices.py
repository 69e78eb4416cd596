from __future__ import annotations

import re
from itertools import permutations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import interpretkit as ik
from interpretkit_compare.slices import Slices
from interpretkit_compare.slices_numbers import numbers_of
from interpretkit_compare.slices_tests import Resampling, compared

SITES = ("A", "B", "A", "B", "A", "B", "A", "B")
HOW = Resampling(least=2, level=0.9, resamples=4000, shuffles=400, seed=1)


def column(table: ik.Table, name: str) -> dict[str, float]:
    return dict(zip(table["slice"].tolist(), table[name].tolist(), strict=True))


def test_means_intervals_and_differences_are_those_of_bootstrap_samples():
    generator = np.random.default_rng(0)
    values = generator.normal(size=24)
    values[3] = np.nan
    slices = np.where(np.arange(24) < 10, "a", "b")
    table = compared({"n": values}, {"by": slices}, HOW)
    own, rest = values[:10][~np.isnan(values[:10])], values[10:]
    assert column(table, "images") == {"a": 9, "b": 14}
    assert column(table, "mean") == pytest.approx({"a": own.mean(), "b": rest.mean()})
    assert column(table, "difference")["a"] == pytest.approx(own.mean() - rest.mean())
    assert column(table, "rest")["b"] == pytest.approx(own.mean())
    # Drawn apart, in another way: indices of images, with those that have no number among them.
    picks = generator.integers(10, size=(4000, 10))
    means = np.nanmean(values[:10][picks], axis=1)
    others = rest[generator.integers(14, size=(4000, 14))].mean(1)
    low, high = np.quantile(means, [0.05, 0.95])
    assert [column(table, "low")["a"], column(table, "high")["a"]] == pytest.approx([low, high], abs=0.04)
    low, high = np.quantile(means - others, [0.05, 0.95])
    ends = [column(table, "difference_low")["a"], column(table, "difference_high")["a"]]
    assert ends == pytest.approx([low, high], abs=0.05)


def test_p_is_the_share_of_orders_in_which_some_number_of_some_slice_differs_as_much():
    generator = np.random.default_rng(3)
    values = {"m": generator.normal(size=6) + np.array([0, 0, 0, 1.2, 1.2, 1.2]), "n": generator.normal(size=6)}
    slices = np.array(["a", "a", "a", "b", "b", "b"])
    table = compared(values, {"by": slices}, Resampling(least=2, level=0.9, resamples=100, shuffles=20000, seed=0))

    def errors(order, name):
        first, second = values[name][list(order)][:3], values[name][list(order)][3:]
        return abs(first.mean() - second.mean()) / np.sqrt(first.var(ddof=1) / 3 + second.var(ddof=1) / 3)

    greatest = np.array([max(errors(order, name) for name in values) for order in permutations(range(6))])
    for name in values:
        exact = (greatest >= errors(range(6), name) - 1e-9).mean()
        found = table.where("number", name)["p"]
        assert found.tolist() == pytest.approx([exact, exact], abs=0.012)


def test_among_numbers_that_do_not_depend_on_the_slice_few_are_beyond_chance():
    beyond = 0
    for seed in range(60):
        generator = np.random.default_rng(seed)
        values = {str(number): generator.normal(size=30) for number in range(12)}
        slices = {"by": generator.permutation(["a", "b", "c"] * 10)}
        how = Resampling(least=5, level=0.9, resamples=100, shuffles=100, seed=seed)
        beyond += bool((compared(values, slices, how)["p"] < 0.05).any())
    assert beyond <= 9  # of 60 with a chance of 0.05 each, more have a probability below 0.002


def test_slices_of_too_few_images_have_a_mean_and_nothing_else():
    values = np.array([1.0, 3.0, 1.0, 2.0, 3.0])
    table = compared(
        {"n": values}, {"by": np.array(["a", "a", "b", "b", "b"])}, Resampling(**{**vars_of(HOW), "least": 3})
    )
    assert column(table, "mean") == {"a": 2.0, "b": 2.0}
    assert np.isnan([column(table, name)["a"] for name in ("low", "high", "difference_low", "p")]).all()
    assert np.isnan(column(table, "p")["b"])
    assert not np.isnan(column(table, "low")["b"])


def vars_of(how: Resampling) -> dict[str, object]:
    return {name: getattr(how, name) for name in Resampling.__dataclass_fields__}


@pytest.mark.parametrize("offset", [0.0, 1e9])
def test_a_number_that_is_the_same_everywhere_does_not_differ(offset):
    slices = {"by": np.array(["a", "b"] * 6)}
    same = compared({"n": np.full(12, offset + 0.1)}, slices, HOW)
    assert same["p"].tolist() == [1.0, 1.0]
    apart = compared({"n": offset + np.array([0.0, 1.0] * 6)}, slices, HOW)
    assert max(apart["p"]) < 0.02


def test_numbers_are_told_apart_by_words_that_all_images_have_alike():
    images = ["i", "j"]
    layers = {"layer": ["1", "2", "1", "2"], "height": [4, 2, 4, 2]}
    named = ik.Table(
        image=["i", "i", "j", "j"], target=["cat", "cat", "dog", "dog"], **layers, mass=[0.1, 0.2, 0.3, 0.4]
    )
    counted = ik.Table(image=["i", "i", "j", "j"], k=[1, 5, 1, 5], fell=[True, False, True, True])
    channels = ik.Table(image=["i", "i", "j"], channel=[7, 9, 3], mean=[0.1, 0.2, 0.3])
    tables = {
        "s: named": named,
        "s: counted": counted,
        "s: channels": channels,
        "t: one": ik.Table(image=["j"], mass=[5.0]),
    }
    found = numbers_of(tables, images, between=": ")
    assert {name: values.tolist() for name, values in found.items() if "mass" in name and "s." in name} == {
        "s.mass[layer=1]": [0.1, 0.3],
        "s.mass[layer=2]": [0.2, 0.4],
    }
    assert found["s.fell[k=5]"].tolist() == [0, 1]
    np.testing.assert_array_equal(found["t.mass"], [np.nan, 5])
    assert len(found) == 5


class Halves(nn.Module):
    """Its classes are the mean of the left and of the right half of an image."""

    def forward(self, images):
        return torch.stack([images[..., :4].mean((1, 2, 3)), images[..., 4:].mean((1, 2, 3))], dim=1)


@pytest.fixture
def manifest(tmp_path):
    """Images of two classes, of which those of site B have a bright left half whatever they are."""
    generator = np.random.default_rng(0)
    rows = ["path,label,site,number"]
    for position, site in enumerate(SITES * 4):
        label = int(generator.integers(2))
        pixels = generator.integers(0, 60, (8, 8), np.uint8)
        pixels[:, 4 * label : 4 * label + 4] += 100
        if site == "B":
            pixels[:, :4] = 250
        Image.fromarray(pixels).save(tmp_path / f"{position}.png")
        rows.append(f"{position}.png,{label},{site},{position}")
    (tmp_path / "m.csv").write_text("\n".join(rows))
    return tmp_path / "m.csv"


def recipe(manifest, **options):
    return {
        "schema": "interpretkit/1",
        "name": "sites",
        "checks": "none",
        "inputs": [str(manifest)],
        "steps": [
            {"id": "map", "uses": "input_x_gradient", "with": {"target": 1}},
            {"id": "sparse", "uses": "sparseness", "of": ["map"]},
            {"id": "slices", "uses": "slices", "of": ["map", "sparse"], "with": options},
        ],
        "expect": [{"slices.high[number=prediction.right,slice=B]": "< 0.9"}],
    }


def halves():
    grey = ik.Preprocessing(mean=(0.0,), std=(1.0,), resize=8, crop=8)
    return ik.wrap(Halves(), transform=grey, output=ik.Classes(names=("left", "right"), returns="logits"))


def ran(manifest, tmp_path, *, batch_size=16, **options):
    asked = {**recipe(manifest, **options), "numerics": {"batch_size": batch_size}}
    return ik.run(asked, model=halves(), output=tmp_path / f"runs{batch_size}")


@pytest.mark.parametrize("batch_size", [16, 3])
def test_a_column_of_a_manifest_shows_a_shortcut(manifest, tmp_path, batch_size):
    run = ran(manifest, tmp_path, batch_size=batch_size, by=["site"], least=4, seed=0)
    table = run.results["slices"].tables["slices"]
    right = table.where("number", "prediction.right")
    lines = [line.split(",") for line in manifest.read_text().splitlines()[1:]]
    of_b = [float(label == "0") for _, label, site, _ in lines if site == "B"]
    assert column(right, "mean") == pytest.approx({"A": 1.0, "B": np.mean(of_b)})
    assert column(right, "images") == {"A": 16, "B": 16}
    assert max(right["p"]) < 0.05
    (expected,) = run.expectations
    assert expected.passed
    maps = run.results["map"].maps["input"].values
    shares = maps / np.abs(maps).sum((1, 2), keepdims=True)
    sites = np.array([site for _, _, site, _ in lines])
    means = [shares[sites == site].mean(0) for site in "AB"]
    np.testing.assert_allclose(run.results["slices"].arrays["site: map/input"].values, means, rtol=1e-6)
    figures = [figure for step in run.record.steps if step.id == "slices" for figure in step.figures]
    assert len(figures) == 2
    assert "prediction.right of A is 1, of the others" in figures[0].caption
    # What other columns of a manifest say of people is nobody's business but that of whoever asks for it.
    assert "number" not in (run.path / "manifest.json").read_text().split('"inputs"')[1].split('"steps"')[0]


def test_any_batches_give_the_same_slices(manifest, tmp_path):
    first, second = (ran(manifest, tmp_path, batch_size=size, by=["site", "label"]) for size in (16, 5))
    one, other = (run.results["slices"].tables["slices"] for run in (first, second))
    for name in one:
        if one[name].dtype.kind == "f":
            np.testing.assert_allclose(one[name], other[name], rtol=1e-6, atol=1e-9)
        else:
            assert one[name].tolist() == other[name].tolist()


def failure(run):
    return next(step.error for step in run.record.steps if step.id == "slices")


@pytest.mark.parametrize(
    ("by", "message"),
    [
        ("sites", "has no column 'sites' .*did you mean 'site'"),
        ("number", "column 'number' has another value for each of 32 images"),
    ],
)
def test_columns_that_make_no_groups_are_refused(manifest, tmp_path, by, message):
    assert re.search(message, failure(ran(manifest, tmp_path, by=[by])))


def test_one_value_for_all_images_is_no_slice(manifest, tmp_path):
    manifest.write_text(manifest.read_text().replace(",B,", ",A,"))
    assert "column 'site' says 'A' of every image" in failure(ran(manifest, tmp_path, by=["site"]))


def test_labels_given_in_python_make_slices_too(manifest, tmp_path):
    images = [(torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(each)), each % 2) for each in range(12)]
    asked = {key: value for key, value in recipe(manifest).items() if key not in ("inputs", "expect")}
    run = ik.run(asked, model=halves(), images=images, output=tmp_path / "runs")
    table = run.results["slices"].tables["slices"].where("number", "prediction.right")
    assert column(table, "images") == {"0": 6, "1": 6}


def test_it_merges_and_describes_itself_as_every_visualizer():
    assert Slices.per_set
    assert {"efron1993bootstrap", "westfall1993resampling"} <= Slices.citations.keys()
