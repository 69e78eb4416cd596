"""CKA against the formulas over Gram matrices, which the sums in feature space must equal."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import interpretkit as ik
from interpretkit.testing import check_visualizer, tiny_images, tiny_model
from interpretkit_compare.cka import CKA


def generator(seed=0):
    return np.random.default_rng(seed)


def gram_cka(first: np.ndarray, second: np.ndarray) -> float:
    """Kornblith et al., equations 3 and 4, with the centring matrix written out."""
    count = len(first)
    centring = np.eye(count) - np.ones((count, count)) / count

    def hsic(k, l):  # noqa: E741 - the paper's names
        return np.trace(k @ centring @ l @ centring) / (count - 1) ** 2

    k, l = first @ first.T, second @ second.T  # noqa: E741
    return hsic(k, l) / np.sqrt(hsic(k, k) * hsic(l, l))


def gram_cka_debiased(first: np.ndarray, second: np.ndarray) -> float:
    """Nguyen et al., equation 3, after Song et al., on Gram matrices without diagonals and without centring."""
    count = len(first)
    ones = np.ones(count)

    def hsic(k, l):  # noqa: E741
        k, l = k - np.diag(np.diag(k)), l - np.diag(np.diag(l))  # noqa: E741
        correction = (ones @ k @ ones) * (ones @ l @ ones) / ((count - 1) * (count - 2))
        return (np.trace(k @ l) + correction - 2 / (count - 2) * (ones @ k @ l @ ones)) / (count * (count - 3))

    k, l = first @ first.T, second @ second.T  # noqa: E741
    return hsic(k, l) / np.sqrt(hsic(k, k) * hsic(l, l))


def results_of(*layers: np.ndarray, step: str = "features") -> dict[str, ik.Result]:
    """Return a step whose result are these features, `(image, channel, y, x)`."""
    images = tuple(ik.InputImage(id=f"image{k}", source="", sha256="", size=(16, 16)) for k in range(len(layers[0])))
    dims = ("image", "channel", "y", "x")
    maps = {
        f"layer{k}": ik.Map(values=each, dims=dims, layer=f"layer{k}", extent={"y": 16, "x": 16}, polarity="signed")
        for k, each in enumerate(layers)
    }
    return {step: ik.Result(maps=maps, images=images)}


def cka(results: dict[str, ik.Result], *, batch_size=16, **options) -> ik.Table:
    count = len(next(iter(results.values())).images)
    found = ik.visualize(tiny_model(), tiny_images(count), "cka", of=results, batch_size=batch_size, **options)
    assert set(found.tables) == {"cka"}
    assert not found.maps
    assert not found.arrays
    return found.tables["cka"]


def features(count=12, offset=0.0) -> list[np.ndarray]:
    """Three layers of 5, 3 and 7 channels that share some of what they vary with, on grids of two sizes."""
    draw = generator()
    common = draw.standard_normal((count, 5, 4, 6))
    mixed = np.einsum("kc,ncyx->nkyx", draw.standard_normal((3, 5)), common[:, :, ::2, ::2])
    return [
        common + offset,
        mixed + 0.5 * draw.standard_normal(mixed.shape) - 2,
        draw.standard_normal((count, 7, 3, 5)),
    ]


def expected_examples(layers, how, averaged=None):
    if how == "images":
        return [each.mean((2, 3)) for each in layers]
    examples = []
    for layer in layers:
        own, coarse = ([(n, 8 / n, 16 / n) for n in grid] for grid in (layer.shape[2:], (2, 3)))
        images = [
            np.stack([averaged(channel, own, coarse, (16, 16), samples=30) for channel in each]) for each in layer
        ]
        examples.append(np.stack([pixel for each in images for pixel in each.reshape(len(each), -1).T]))
    return examples


@pytest.mark.parametrize("how", ["images", "cells"])
@pytest.mark.parametrize("batch_size", [1, 5, 12])
def test_both_estimates_equal_those_of_gram_matrices(how, batch_size, slowly_averaged):
    layers = features()
    table = cka(results_of(*layers), batch_size=batch_size, examples=how)
    examples = expected_examples(layers, how, slowly_averaged)
    biased = [gram_cka(first, second) for first in examples for second in examples]
    debiased = [gram_cka_debiased(first, second) for first in examples for second in examples]
    np.testing.assert_allclose(table["cka"], biased, rtol=1e-11)
    np.testing.assert_allclose(table["debiased"], debiased, rtol=1e-10, atol=1e-12)
    assert set(table["n"].tolist()) == {len(examples[0])}
    assert list(zip(table["row"], table["column"], strict=True))[:4] == [
        ("layer0", "layer0"), ("layer0", "layer1"), ("layer0", "layer2"), ("layer1", "layer0")
    ]  # fmt: skip
    assert table["row_channels"].tolist() == [5, 5, 5, 3, 3, 3, 7, 7, 7]
    assert (table["debiased"] < table["cka"])[table["row"] != table["column"]].all()


def test_two_steps_are_rows_and_columns():
    layers = features()
    of = {**results_of(layers[0], layers[1], step="a"), **results_of(layers[2], step="b")}
    table = cka(of, batch_size=5)
    examples = expected_examples(layers, "images")
    assert table["row"].tolist() == ["a/layer0", "a/layer1"]
    assert table["column"].tolist() == ["b/layer0"] * 2
    np.testing.assert_allclose(table["cka"], [gram_cka(each, examples[2]) for each in examples[:2]], rtol=1e-11)
    np.testing.assert_allclose(
        table["debiased"], [gram_cka_debiased(each, examples[2]) for each in examples[:2]], rtol=1e-10
    )


def test_any_grouping_and_any_order_of_merging_give_the_same():
    layers = features(9)
    reduction = CKA(CKA.Options(examples="cells"))
    parts = [_sums(reduction, layers, slice(start, start + size)) for start, size in ((0, 1), (1, 4), (5, 2), (7, 2))]
    a, b, c, d = parts
    trees = [
        reduction.merge(reduction.merge(reduction.merge(a, b), c), d),
        reduction.merge(a, reduction.merge(b, reduction.merge(c, d))),
        reduction.merge(reduction.merge(a, d), reduction.merge(c, b)),
    ]
    whole = reduction.finish(_sums(reduction, layers, slice(0, 9))).tables["cka"]
    for tree in trees:
        found = reduction.finish(tree).tables["cka"]
        for estimate in ("cka", "debiased"):
            np.testing.assert_allclose(found[estimate], whole[estimate], rtol=1e-12, atol=1e-14)


def _sums(reduction, layers, part):
    results = results_of(*(each[part] for each in layers))
    count = len(results["features"].images)
    captured = ik.Captured(
        images=results["features"].images,
        inputs=torch.zeros(count, 3, 16, 16),
        activations={},
        gradients={},
        results=results,
    )
    return reduction.compute(captured)


def test_means_far_from_zero_cost_no_digits():
    # Uncentred sums in float64 would lose all: 1e6² · n is 1e13 times the squared deviations.
    near, far = (cka(results_of(*features(offset=offset)), batch_size=3) for offset in (0.0, 1e6))
    np.testing.assert_allclose(far["cka"], near["cka"], rtol=1e-8)
    np.testing.assert_allclose(far["debiased"], near["debiased"], rtol=1e-7, atol=1e-9)


def test_cka_is_the_same_for_a_layer_turned_scaled_and_shifted():
    draw = generator(3)
    layer = draw.standard_normal((20, 6, 1, 1))
    turn, _ = np.linalg.qr(draw.standard_normal((6, 6)))
    turned = np.einsum("kc,ncyx->nkyx", 7 * turn, layer) + 3
    table = cka(results_of(layer, turned))
    np.testing.assert_allclose(table["cka"], 1, rtol=1e-12)
    np.testing.assert_allclose(table["debiased"], 1, rtol=1e-12)


def test_of_unrelated_layers_the_biased_estimate_is_inflated_and_the_debiased_is_not():
    draw = generator(1)
    tables = [cka(results_of(*draw.standard_normal((2, 16, 200, 1, 1)))) for _ in range(40)]
    biased, debiased = (np.array([table[name][1] for table in tables]) for name in ("cka", "debiased"))
    assert biased.mean() > 0.9
    assert abs(debiased.mean()) < 4 * debiased.std() / np.sqrt(len(tables))
    assert debiased.min() < 0 < debiased.max()


def test_a_layer_that_is_the_same_for_all_examples_has_no_cka():
    layers = features()
    layers[1] = np.full_like(layers[1], 0.1)
    table = cka(results_of(*layers), batch_size=5)
    constant = (table["row"] == "layer1") | (table["column"] == "layer1")
    np.testing.assert_array_equal(np.isnan(table["cka"]), constant)
    np.testing.assert_array_equal(np.isnan(table["debiased"]), constant)


def test_debiased_needs_some_examples_to_be_nearer_than_others():
    one_hot = np.eye(6)[:, :, None, None]
    table = cka(results_of(one_hot, features(6)[0]))
    np.testing.assert_array_equal(np.isnan(table["debiased"]), [True, True, True, False])
    assert table["cka"][0] == pytest.approx(1)


@pytest.mark.parametrize(("count", "defined"), [(2, False), (3, False), (4, True)])
def test_few_examples(count, defined):
    table = cka(results_of(*features(count)))
    assert np.isfinite(table["cka"]).all()
    assert (np.isfinite(table["debiased"]) == defined).all()
    if count == 2:
        np.testing.assert_allclose(table["cka"], 1)


def test_what_cannot_be_compared_is_refused():
    of = results_of(*features(1))
    with pytest.raises(ik.StepError, match=r"there is 1 image .*examples: cells"):
        cka(of)
    assert np.isfinite(cka(of, examples="cells")["cka"]).all()
    maps = {"cam": ik.visualize(tiny_model(), tiny_images(2), "grad_cam", layers=["features"])}
    with pytest.raises(ik.RecipeError, match="'cam' yields attribution"):
        cka(maps)
    three = {name: results_of(*features(3), step=name)[name] for name in "abc"}
    with pytest.raises(ik.RecipeError, match=r"reads 1 to 2 earlier steps .*it names 3"):
        cka(three)
    broken = features(4)
    broken[2][1, 0, 0, 0] = np.nan
    with pytest.raises(ik.StepError, match="layer layer2 has NaN or infinity in image 'image1'"):
        cka(results_of(*broken))


def features_of_the_tiny_model():
    return {"features": ik.visualize(tiny_model(), tiny_images(6), "feature_grid", layers=["features.0", "features"])}


@pytest.mark.parametrize("examples", ["images", "cells"])
def test_cka_keeps_the_contract(examples):
    check_visualizer(CKA, of=features_of_the_tiny_model(), images=tiny_images(6), examples=examples)


def test_the_figure_says_how_many_examples_there_are_and_for_how_many_channels():
    of = results_of(*features(6))
    found = ik.visualize(tiny_model(), tiny_images(6), "cka", of=of)
    (figure,) = ik.draw(found)
    assert "over 6 images" in figure.caption
    assert "ndefined" not in figure.caption
    warning = "inflated where there are few examples beside the number of channels, as here: 6 for 3 to 7 channels"
    assert warning in figure.caption
    (figure,) = ik.draw(ik.visualize(tiny_model(), tiny_images(2), "cka", of=results_of(*features(2))))
    assert "with two examples it is 1 for any layers" in figure.caption
    assert "debiased undefined" in figure.alt
    undefined = "undefined for a layer that tells no examples apart, and the debiased one for fewer than four"
    assert undefined in figure.caption


def test_two_models_are_compared_through_one_recipe_and_no_sums_are_stored(tmp_path, monkeypatch):
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    draw = generator()
    for k in range(5):
        Image.fromarray(draw.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(f"image{k}.png")
    (tmp_path / "plugin.py").write_text(PLUGIN)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    run = ik.run("recipe.yaml", plugins=["plugin.py"])
    assert run.status == "complete"
    step = next(each for each in run.manifest["steps"] if each["id"] == "cka")
    assert not step["maps"]
    assert [table["name"] for table in step["tables"]] == ["cka"]
    features = {
        name: np.concatenate([run.result(name, image=f"image{k}").maps["0"].values for k in range(5)])
        for name in ("narrow", "wide")
    }
    first, second = (each.mean((2, 3), dtype=float) for each in features.values())
    table = run.results["cka"].tables["cka"]
    assert (table["row"][0], table["column"][0], table["n"][0]) == ("narrow/0", "wide/0", 5)
    assert table["cka"][0] == pytest.approx(gram_cka(first, second), rel=1e-6)
    assert table["debiased"][0] == pytest.approx(gram_cka_debiased(first, second), rel=1e-4, abs=1e-6)


PLUGIN = """
from torch import nn
from interpretkit import Model, ModelBuilder, Preprocessing, hookimpl


class Free(ModelBuilder):
    '''A small net.'''
    name = "free"

    class Options(ModelBuilder.Options):
        width: int = 4
        '''Channels.'''

    def build(self, state):
        net = nn.Sequential(nn.Conv2d(3, self.options.width, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        return Model(module=net, name="free", preprocessing=Preprocessing(resize=None, crop=None))


@hookimpl
def interpretkit_models():
    yield Free
"""

RECIPE = """schema: interpretkit/1
name: two
models:
  narrow: {uses: free}
  wide: {uses: free, with: {width: 6}}
inputs: [image0.png, image1.png, image2.png, image3.png, image4.png]
steps:
  - {id: narrow, uses: feature_grid, model: narrow, with: {layers: ["0"]}}
  - {id: wide, uses: feature_grid, model: wide, with: {layers: ["0"]}}
  - {id: cka, uses: cka, of: [narrow, wide]}
numerics: {seed: 3, batch_size: 2}
"""
