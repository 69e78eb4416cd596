from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial import distance
from scipy.stats import hypergeom, pearsonr, spearmanr
from skimage.metrics import structural_similarity

import interpretkit as ik
from interpretkit import rank_correlation
from interpretkit.testing import check_visualizer, tiny_images, tiny_model
from interpretkit_compare.compare import Compare
from interpretkit_compare.measures import MEASURES, cosine, iou_by_chance, pearson, ssim, top_iou, topmost
from interpretkit_compare.pairs_figure import matrices
from interpretkit_compare.shuffles import Shuffles

GENERATOR = np.random.default_rng(0)


def overlap_of_sets(first, second, count):
    one, other = (set(np.argsort(-values.ravel(), kind="stable")[:count].tolist()) for values in (first, second))
    return len(one & other) / len(one | other)


def scikit_images_ssim(first, second, *, signed, window=7):
    one, other = (values / np.abs(values).max() for values in (first, second))
    return structural_similarity(one, other, win_size=window, data_range=2.0 if signed else 1.0)


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize(("grid", "window"), [((14, 14), 7), ((7, 7), 7), ((6, 9), 5), ((5, 20), 5), ((3, 4), 3)])
def test_ssim_equals_scikit_images_with_a_window_that_fits(grid, window, signed):
    first, second = GENERATOR.standard_normal((2, *grid))
    first, second = (first, second) if signed else (np.abs(first), np.abs(second))
    expected = scikit_images_ssim(first, second, signed=signed, window=window)
    assert ssim(first, second, signed=signed) == pytest.approx(expected, abs=1e-12)
    assert ssim(3 * first, second / 7, signed=signed) == pytest.approx(expected, abs=1e-12)


def test_pearson_and_cosine_equal_scipys_at_any_scale():
    first, second = GENERATOR.standard_normal((2, 5, 6)) + 0.3
    for scale in (1.0, 1e-200):
        assert pearson(scale * first, second) == pytest.approx(pearsonr(first.ravel(), second.ravel()).statistic)
        assert cosine(scale * first, second) == pytest.approx(1 - distance.cosine(first.ravel(), second.ravel()))


def test_the_overlap_of_top_cells_equals_that_of_sets():
    maps, reference = GENERATOR.standard_normal((4, 6, 5)), GENERATOR.standard_normal((6, 5))
    found = top_iou(maps, reference, share=0.25)
    assert found.tolist() == [overlap_of_sets(each, reference, 8) for each in maps]


def test_cells_that_tie_share_the_last_places_as_over_all_orders():
    values = np.array([3.0, 1.0, 1.0, 0.0, 1.0])
    memberships = []
    for _ in range(4000):
        order = np.argsort(-(values + 1e-9 * GENERATOR.random(5)))
        memberships.append(np.isin(np.arange(5), order[:3]))
    np.testing.assert_allclose(topmost(values, 3), np.mean(memberships, 0), atol=0.04)
    assert topmost(values, 3).tolist() == pytest.approx([1, 2 / 3, 2 / 3, 0, 2 / 3])
    assert topmost(values, 1.5).tolist() == pytest.approx([1, 1 / 6, 1 / 6, 0, 1 / 6])
    # Two of ten cells of each map are positive, one of them in both: 0.2 takes them, 0.4 adds a quarter of the zeros.
    first, second = np.zeros((2, 1, 10))
    first[0, [0, 1]], second[0, [1, 2]] = 1, 1
    assert top_iou(first, second, share=0.2) == pytest.approx(1 / 3)
    assert top_iou(first, second, share=0.4) == pytest.approx((1 + 9 * 0.25) / (3 + 7 * 0.25))


@pytest.mark.parametrize("measure", [pearson, lambda a, b: top_iou(a, b, share=0.2)], ids=["pearson", "iou"])
@pytest.mark.parametrize("broken", [np.full((4, 4), 2.0), np.diag([np.nan, 1, 1, 1]), np.diag([np.inf, 1, 1, 1])])
def test_a_map_without_differences_or_with_broken_cells_has_no_measure(measure, broken):
    reference = GENERATOR.standard_normal((4, 4))
    assert np.isnan(measure(broken, reference))
    assert np.isnan(measure(reference, broken))


@pytest.mark.parametrize("measure", [cosine, lambda a, b: ssim(a, b, signed=True)], ids=["cosine", "ssim"])
def test_a_map_of_zeros_has_no_direction_and_no_scale(measure):
    reference = GENERATOR.standard_normal((4, 4))
    assert np.isnan(measure(np.zeros((4, 4)), reference))
    assert not np.isnan(measure(np.ones((4, 4)), reference))


def test_ssim_needs_three_cells_a_side():
    assert np.isnan(ssim(np.ones((2, 9)), np.ones((2, 9)), signed=True))


@pytest.fixture
def results() -> dict[str, ik.Result]:
    model, images = tiny_model(), tiny_images(3)
    return {
        "features": ik.visualize(model, images, "feature_grid", layers=["features"]),
        "cam": ik.visualize(model, images, "grad_cam", layers=["features", "features.0"], target=0),
    }


def test_channels_are_ranked_by_their_correlation_with_the_map(results):
    found = ik.visualize(tiny_model(), tiny_images(3), "compare", of=results, top=2)
    table = found.tables["channels"]
    assert len(table) == 3 * 2 * 4
    for position, image in enumerate(("image0", "image1", "image2")):
        rows = table.where("image", image).where("attribution", "cam/features")
        assert rows["rank"].tolist() == [1, 2, 3, 4]
        assert np.all(np.diff(rows["rank_correlation"]) <= 0)
        for channel, value in zip(rows["channel"], rows["rank_correlation"], strict=True):
            values = results["features"].maps["features"].values[position, channel]
            expected = spearmanr(values.ravel(), results["cam"].maps["features"].values[position].ravel()).statistic
            assert value == pytest.approx(expected, abs=1e-12)


def test_the_channels_shown_are_those_at_both_ends(results):
    found = ik.visualize(tiny_model(), tiny_images(3), "compare", of=results, top=1)
    rows = found.tables["channels"].where("image", "image1").where("attribution", "cam/features")
    features = results["features"].maps["features"].values[1]
    shown = {end: found.maps[f"features/features by cam/features, {end}"].values[1, 0] for end in ("most", "least")}
    np.testing.assert_array_equal(shown["most"], features[rows["channel"][0]])
    np.testing.assert_array_equal(shown["least"], features[rows["channel"][-1]])


def test_a_layer_is_summed_up(results):
    found = ik.visualize(tiny_model(), tiny_images(3), "compare", of=results)
    rows = found.tables["layers"].where("image", "image2").where("attribution", "cam/features")
    channels = found.tables["channels"].where("image", "image2").where("attribution", "cam/features")
    values = results["features"].maps["features"].values[2]
    assert rows["highest"][0] == np.nanmax(channels["rank_correlation"])
    assert rows["median"][0] == np.nanmedian(channels["rank_correlation"])
    assert rows["undefined"][0] == np.isnan(channels["rank_correlation"]).sum()
    assert (rows["min"][0], rows["max"][0]) == (values.min(), values.max())


def test_maps_that_are_the_same_everywhere_are_drawn_as_undefined(results):
    flat = replace(results["cam"].maps["features"], values=np.zeros((3, 8, 8)))
    of = {**results, "cam": replace(results["cam"], maps={"a": flat, "b": flat})}
    found = ik.visualize(tiny_model(), tiny_images(3), "compare", of=of)
    captions = [figure.caption for figure in Compare(Compare.Options()).draw(found.select("image0"))]
    assert len(captions) == 2
    assert all("undefined" in caption for caption in captions)


def test_attribution_maps_are_compared_pair_by_pair(results):
    found = ik.visualize(tiny_model(), tiny_images(3), "compare", of={"cam": results["cam"]})
    assert set(found.tables) == {"pairs"}
    pairs = found.tables["pairs"].where("image", "image2")
    first, second = (results["cam"].maps[name].values[2].ravel().astype(float) for name in ("features", "features.0"))
    expected = {
        "rank_correlation": spearmanr(first, second).statistic,
        "pearson": pearsonr(first, second).statistic,
        "cosine": 1 - distance.cosine(first, second),
        "iou": overlap_of_sets(first, second, round(0.2 * 64)),
        "ssim": scikit_images_ssim(first.reshape(8, 8), second.reshape(8, 8), signed=True),
    }
    for name, value in expected.items():
        assert pairs[name].reshape(2, 2) == pytest.approx(np.array([[1, value], [value, 1]]), abs=1e-12), name
    assert (pairs["height"][0], pairs["width"][0]) == (8, 8)


@pytest.mark.parametrize(
    ("values", "part"), [("signed", lambda v: v), ("positive", lambda v: np.maximum(v, 0)), ("absolute", np.abs)]
)
def test_all_maps_meet_on_the_coarsest_grid_after_their_part_is_taken(values, part):
    made = {
        name: GENERATOR.standard_normal((2, *grid)) for name, grid in {"a": (8, 4), "b": (4, 8), "c": (8, 8)}.items()
    }
    maps = {
        name: ik.Map(values=each, dims=("image", "y", "x"), layer=name, extent={"y": 16, "x": 16}, polarity="signed")
        for name, each in made.items()
    }
    read = ik.Result(
        maps=maps, images=ik.visualize(tiny_model(), tiny_images(2), "grad_cam", layers=["features"]).images
    )
    found = ik.visualize(tiny_model(), tiny_images(2), "compare", of={"m": read}, values=values)
    pairs = found.tables["pairs"].where("image", "image1")
    assert (pairs["height"][0], pairs["width"][0]) == (4, 4)
    coarse = {
        "a": part(made["a"][1]).reshape(4, 2, 4).mean(1),
        "b": part(made["b"][1]).reshape(4, 4, 2).mean(2),
        "c": part(made["c"][1]).reshape(4, 2, 4, 2).mean((1, 3)),
    }
    for first, second, value in zip(pairs["first"], pairs["second"], pairs["pearson"], strict=True):
        one, other = coarse[first[-1]], coarse[second[-1]]
        assert value == pytest.approx(pearsonr(one.ravel(), other.ravel()).statistic, abs=1e-12)


def test_a_grid_of_ones_own_is_used_unless_it_is_finer_than_a_map(results, slowly_averaged):
    of = {"cam": results["cam"]}
    found = ik.visualize(tiny_model(), tiny_images(3), "compare", of=of, grid=[4, 2])
    pairs = found.tables["pairs"].where("image", "image0")
    own = {"features": [(8, 1.0, 2.0)] * 2, "features.0": [(8, 1.0, 2.0)] * 2}
    onto = [(4, 2.0, 4.0), (2, 4.0, 8.0)]
    first, second = (slowly_averaged(results["cam"].maps[name].values[0], own[name], onto, (16, 16)) for name in own)
    assert pairs["rank_correlation"][1] == pytest.approx(spearmanr(first.ravel(), second.ravel()).statistic, abs=1e-12)
    with pytest.raises(ik.StepError, match="a grid of 4×9 cells is finer than cam/features, which has 8×8"):
        ik.visualize(tiny_model(), tiny_images(3), "compare", of=of, grid=[4, 9])


def test_a_layer_is_drawn_once_for_each_step_by_the_map_at_the_same_layer_or_the_last(results):
    features = ik.visualize(tiny_model(), tiny_images(3), "feature_grid", layers=["features.0", "features"])
    of = {"features": features, "cam": results["cam"], "other": results["cam"]}
    found = ik.visualize(tiny_model(), tiny_images(3), "compare", of=of)
    assert len(found.tables["layers"].where("image", "image0")) == 2 * 4
    names = [figure.name for figure in ik.draw(found.select("image0"))]
    assert names == [
        "features-features.0--cam-features.0",
        "features-features.0--other-features.0",
        "features-features--cam-features",
        "features-features--other-features",
        "pairs",
    ]
    (cam,) = ik.visualize(tiny_model(), tiny_images(3), "grad_cam", layers=["features"]).maps.items()
    of = {"features": features, "cam": ik.Result(maps=dict([cam]), images=features.images)}
    found = ik.visualize(tiny_model(), tiny_images(3), "compare", of=of)
    names = [figure.name for figure in ik.draw(found.select("image0"))]
    assert names == ["features-features.0--cam-features", "features-features--cam-features"]


@pytest.mark.parametrize("count", [3, 14])
def test_matrices_of_many_maps_stand_below_each_other(count):
    found = {name: np.eye(count) for name in MEASURES}
    ranges = {name: (np.full((count, count), -0.25), np.full((count, count), 0.25)) for name in MEASURES}
    names = [f"integrated_gradients{index}/input" for index in range(count)]
    picture = matrices(found, names, ranges=ranges, title="t")
    assert picture.width < 1440
    assert (picture.height > picture.width) == (count == 14)


@pytest.mark.parametrize("second", [0, 1])
def test_what_the_maps_explain_stands_in_table_and_figures(results, second):
    model, images = tiny_model(), tiny_images(3)
    other = ik.visualize(model, images, "saliency", target=second)
    found = ik.visualize(model, images, "compare", of={**results, "other": other})
    pairs, rows = found.tables["pairs"], found.tables["pairs"].where("first", "other/input")
    assert set(rows["target"].tolist()) == {f"class {second}"}
    assert set(pairs.where("first", "cam/features")["target"].tolist()) == {"class 0"}
    *channels, matrix = ik.draw(found.select("image0"))
    assert ("maps of 'class 0':" in matrix.caption) == (second == 0)
    assert ("other/input: class 1" in matrix.alt) == (second == 1)
    assert "with cam/features of 'class 0'" in channels[0].caption
    eigen = ik.visualize(model, images, "eigen_cam", layers=["features"])
    (figure,) = ik.draw(ik.visualize(model, images, "compare", of={"other": other, "eigen": eigen}).select("image0"))
    assert f"Matrices of attribution maps of 'class {second}' (other/input, eigen/features: of no class);" in figure.alt


def smooth_maps(count, side=8, sigma=1.5):
    """Return random maps that are as smooth as those of attributions, also over their edges."""
    noise = GENERATOR.standard_normal((count, side, side))
    return gaussian_filter(noise, (0, sigma, sigma), mode="wrap")


def slowly_shuffled(values, mirrored, shift):
    """Mirror and shift a map around in plain loops."""
    found = np.empty_like(values)
    for cell in np.ndindex(values.shape):
        place = [
            length - 1 - at if mirror else at for at, length, mirror in zip(cell, values.shape, mirrored, strict=True)
        ]
        place = [(at + by) % length for at, by, length in zip(place, shift, values.shape, strict=True)]
        found[tuple(place)] = values[cell]
    return found


@pytest.mark.parametrize("cells", [(9,), (4, 5), (3, 4, 5)])
def test_a_shuffle_keeps_values_and_smoothness_and_moves_everything_together(cells):
    values = GENERATOR.standard_normal(cells)
    shuffles = Shuffles.drawn(cells, 30, (1, 2))
    found = np.concatenate(list(shuffles.of(values)))
    assert len(found) == 30
    ways = zip(found, shuffles.mirrored, shuffles.shifts, strict=True)
    for each, mirrored, shift in ways:
        np.testing.assert_array_equal(each, slowly_shuffled(values, mirrored, shift))
        # The power spectrum holds the autocorrelation, and a mirror turns it around.
        power, own = (np.abs(np.fft.fftn(which)) for which in (each, values))
        np.testing.assert_allclose(np.sort(power.ravel()), np.sort(own.ravel()), atol=1e-12)
    for axis in range(len(cells)):
        assert 3 < shuffles.mirrored[:, axis].sum() < 27
        assert set(shuffles.shifts[:, axis].tolist()) == set(range(cells[axis]))


def test_over_all_shifts_correlations_are_0_in_the_mean_and_cosines_what_the_means_make_them():
    first, second = GENERATOR.standard_normal((2, 4, 5)) + 0.4
    everywhere = list(np.ndindex(4, 5))
    shuffles = Shuffles(np.zeros((20, 2), bool), np.array(everywhere))
    moved = np.concatenate(list(shuffles.of(second)))
    for measure in (pearson, rank_correlation):
        assert measure(moved, first).mean() == pytest.approx(0, abs=1e-12)
    lengths = np.linalg.norm(first) * np.linalg.norm(second)
    assert cosine(moved, first).mean() == pytest.approx(20 * first.mean() * second.mean() / lengths, abs=1e-12)


def test_the_iou_of_independent_top_cells_is_that_of_the_hypergeometric_distribution():
    for cells, share in ((16, 0.2), (49, 0.5), (10, 0.95), (3000, 0.1)):
        count = round(share * cells)
        both = np.arange(count + 1)
        expected = hypergeom(cells, count, count).pmf(both) @ (both / (2 * count - both))
        assert iou_by_chance(cells, share=share) == pytest.approx(expected, rel=1e-9)
    rough = GENERATOR.standard_normal((4000, 7, 7))
    found = top_iou(rough, GENERATOR.standard_normal((7, 7)), share=0.2)
    assert found.mean() == pytest.approx(iou_by_chance(49, share=0.2), abs=4 * found.std() / 63)


def maps_of(values):
    """Return one image's maps as a step that explains, by name."""
    images = ik.visualize(tiny_model(), tiny_images(1), "grad_cam", layers=["features"]).images
    about = {"dims": ("image", "y", "x"), "extent": {"y": 16, "x": 16}, "polarity": "signed"}
    maps = {name: ik.Map(values=each[None], layer=name, **about) for name, each in values.items()}
    return ik.Result(maps=maps, images=images)


def seed_of(result):
    return ik.Captured(images=result.images, inputs=None, activations={}, gradients={}).seed(0, 0)


def test_pairs_stand_beside_what_shuffled_maps_have_in_common():
    made = dict(zip("abc", smooth_maps(3), strict=True))
    read = maps_of(made)
    pairs = ik.visualize(tiny_model(), tiny_images(1), "compare", of={"m": read}, shuffles=40).tables["pairs"]
    for row in pairs.rows():
        about = dict(zip(pairs.columns, row, strict=True))
        first, second = sorted((about["first"][-1], about["second"][-1]))
        ends = [about[f"rank_correlation_chance_{end}"] for end in ("low", "high")]
        if first == second:
            assert np.isnan(ends).all()
            continue
        shuffles = Shuffles.drawn((8, 8), 40, (seed_of(read), "abc".index(second)))
        moved = [slowly_shuffled(made[second], *way) for way in zip(shuffles.mirrored, shuffles.shifts, strict=True)]
        ranked = [spearmanr(made[first].ravel(), each.ravel()).statistic for each in moved]
        np.testing.assert_allclose(ends, np.quantile(ranked, [0.05, 0.95]), atol=1e-12)
        overlaps = [overlap_of_sets(made[first], each, 13) for each in moved]
        ends = [about[f"iou_chance_{end}"] for end in ("low", "high")]
        np.testing.assert_allclose(ends, np.quantile(overlaps, [0.05, 0.95]), atol=1e-12)
        likeness = [scikit_images_ssim(made[first], each, signed=True) for each in moved]
        ends = [about[f"ssim_chance_{end}"] for end in ("low", "high")]
        np.testing.assert_allclose(ends, np.quantile(likeness, [0.05, 0.95]), atol=1e-12)
    assert pairs["iou_independent"].tolist() == [iou_by_chance(64, share=0.2)] * 9


def test_unrelated_smooth_maps_are_above_chance_as_rarely_as_is_said():
    above, above_noise = [], []
    for draw in range(300):
        first, second = smooth_maps(2)
        shuffles = Shuffles.drawn((8, 8), 60, (draw,))
        moved = np.concatenate(list(shuffles.of(second)))
        noise = GENERATOR.permuted(np.repeat(second.reshape(1, -1), 60, 0), axis=1).reshape(moved.shape)
        found = pearson(second, first)
        above.append(found > np.quantile(pearson(moved, first), 0.95))
        above_noise.append(found > np.quantile(pearson(noise, first), 0.95))
    assert np.mean(above) == pytest.approx(0.05, abs=0.04)
    # Cells shuffled one by one would call every third pair alike.
    assert np.mean(above_noise) > 0.2


def test_channels_stand_beside_the_best_of_as_many_by_chance(results):
    model, images = tiny_model(), tiny_images(3)
    found = ik.visualize(model, images, "compare", of=results, shuffles=30, seed=4)
    position, name = 1, "image1"
    seed = ik.Captured(images=found.images, inputs=None, activations={}, gradients={}).seed(position, 4)
    cam = results["cam"].maps["features"].values[position].astype(float)
    shuffles = Shuffles.drawn((8, 8), 30, (seed,))
    moved = [slowly_shuffled(cam, *way) for way in zip(shuffles.mirrored, shuffles.shifts, strict=True)]
    channels = results["features"].maps["features"].values[position]
    chance = np.array([[spearmanr(each.ravel(), one.ravel()).statistic for one in moved] for each in channels])
    rows = found.tables["channels"].where("image", name).where("attribution", "cam/features")
    low, high = np.quantile(chance, [0.05, 0.95], axis=1)
    np.testing.assert_allclose(rows["chance_low"], low[rows["channel"]], atol=1e-12)
    np.testing.assert_allclose(rows["chance_high"], high[rows["channel"]], atol=1e-12)
    layer = found.tables["layers"].where("image", name).where("attribution", "cam/features")
    assert layer["chance_highest"][0] == pytest.approx(np.quantile(chance.max(0), 0.95), abs=1e-12)
    assert layer["chance_lowest"][0] == pytest.approx(np.quantile(chance.min(0), 0.05), abs=1e-12)


def test_a_channel_that_is_the_map_is_marked_and_one_of_noise_is_not():
    cam, noise = smooth_maps(1)[0], GENERATOR.standard_normal((8, 8))
    read = maps_of({"a": cam})
    features = ik.Map(
        values=np.stack([noise, cam])[None],
        dims=("image", "channel", "y", "x"),
        layer="f",
        extent={"y": 16, "x": 16},
        polarity="signed",
    )
    of = {"cam": read, "features": replace(read, maps={"f": features})}
    found = ik.visualize(tiny_model(), tiny_images(1), "compare", of=of)
    (figure,) = ik.draw(found)
    assert "the best of 2 channels stays below" in figure.caption
    assert "; 1 lie beyond (*)" in figure.caption


def test_nothing_to_compare_is_an_error(results):
    with pytest.raises(ik.StepError, match="nothing to compare in features"):
        ik.visualize(tiny_model(), tiny_images(3), "compare", of={"features": results["features"]})


def test_compare_keeps_the_contract(results):
    check_visualizer(Compare, of=results, images=tiny_images(3), top=3)
