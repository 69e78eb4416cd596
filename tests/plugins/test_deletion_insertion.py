"""Deletion and insertion curves against closed forms on linear nets and a slow derivation, pixel by pixel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

import interpretkit as ik
from interpretkit.testing import check_visualizer, tiny_images, tiny_model
from interpretkit_compare.deletion_insertion import DeletionInsertion


def linear_model(size=(4, 6)) -> ik.Model:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * size[0] * size[1], 4))
    return ik.wrap(net.double().eval(), name="linear", output=ik.Classes())


def conv_model() -> ik.Model:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 4))
    return ik.wrap(net.double().eval(), name="conv", output=ik.Classes())


def images_of(size, count=2) -> torch.Tensor:
    return torch.randn(count, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def explained(model, images, values: np.ndarray, *, target=1) -> dict[str, ik.Result]:
    """Return a step whose maps are these values, `(image, y, x)`, and that explains a class."""
    cam = ik.visualize(model, images, "grad_cam", layers=["0"], target=target)
    size = tuple(images.shape[-2:])
    each = ik.Map(
        values=values, dims=("image", "y", "x"), layer="a", extent=dict(zip("yx", size, strict=True)), polarity="signed"
    )
    return {"step": replace(cam, maps={"a": each})}


def contributions(model, images, target) -> np.ndarray:
    """Return what each pixel contributes to a logit of the linear net, `(image, y, x)`."""
    weights = model.module[1].weight[target].detach().reshape(images.shape[1:])
    return (weights * images).sum(1).numpy()


def targets_of(model, images, target):
    scores = model.module(images).detach()[:, target].tolist()
    return tuple(ik.Target(spec=target, label=str(target), score=score, probability=0.5) for score in scores)


def linear_results(images, values, target=1):
    """Return an explaining step of the linear net, which has no layer for Grad-CAM."""
    model = linear_model()
    each = ik.Map(values=values, dims=("image", "y", "x"), layer="a", extent={"y": 4, "x": 6}, polarity="signed")
    ids = tuple(ik.InputImage(id=f"image{k}", source="", sha256="", size=(6, 4)) for k in range(len(images)))
    return {"step": ik.Result(maps={"a": each}, images=ids, targets=targets_of(model, images, target))}


def line(found: ik.Result, image: str, curve: str, order: str, *, attribution="step/a"):
    points = found.tables["curves"].where("image", image).where("attribution", attribution)
    points = points.where("curve", curve).where("order", order)
    return points["fraction"], points["score"]


def test_on_a_linear_net_deletion_takes_the_contributions_away_from_the_greatest_on():
    model, images = linear_model(), images_of((4, 6))
    values = contributions(model, images, 1)
    found = ik.visualize(
        model,
        images,
        "deletion_insertion",
        of=linear_results(images, values),
        steps=24,
        score="logit",
        internal_batch_size=5,
    )
    for position in range(2):
        fractions, scores = line(found, f"image{position}", "deletion", "map")
        np.testing.assert_allclose(fractions, np.arange(25) / 24)
        taken = np.concatenate([[0], np.cumsum(np.sort(values[position].ravel())[::-1])])
        score = float(model.module(images)[position, 1].detach())
        np.testing.assert_allclose(scores, score - taken, rtol=1e-10, atol=1e-12)
        _, reverse = line(found, f"image{position}", "deletion", "reverse")
        taken = np.concatenate([[0], np.cumsum(np.sort(values[position].ravel()))])
        np.testing.assert_allclose(reverse, score - taken, rtol=1e-10, atol=1e-12)
    areas = found.tables["auc"]
    deletion, insertion = (areas.where("curve", curve) for curve in ("deletion", "insertion"))
    # No order takes a sum away faster than the sorted one.
    assert (deletion["auc"] < deletion["auc_random"]).all()
    assert (deletion["auc_random"] < deletion["auc_reverse"]).all()
    np.testing.assert_allclose(deletion["gain"], deletion["auc_random"] - deletion["auc"])
    np.testing.assert_allclose(insertion["gain"], insertion["auc"] - insertion["auc_random"])
    assert (deletion["gain"] > 0).all()


def blurred_by_scipy(image: np.ndarray, share: float) -> np.ndarray:
    sigma = share * min(image.shape[1:])
    radius = min(int(np.ceil(3 * sigma)), min(image.shape[1:]) - 1)
    return gaussian_filter(image, (0, sigma, sigma), mode="mirror", radius=(0, radius, radius))


def slow_curve(model, before, after, values, *, steps, target):
    """Replace pixels one by one in the order of their cells, in plain loops; return fractions and probabilities."""
    height, width = before.shape[1:]
    rows, columns = values.shape
    order = sorted(np.ndindex(values.shape), key=lambda cell: -values[cell])
    fractions, scores = [], []
    for count in sorted({round(values.size * step / steps) for step in range(steps + 1)}):
        image, gone = before.copy(), set(order[:count])
        replaced = 0
        for y in range(height):
            for x in range(width):
                if (int((y + 0.5) / height * rows), int((x + 0.5) / width * columns)) in gone:
                    image[:, y, x] = after[:, y, x]
                    replaced += 1
        logits = model.module(torch.from_numpy(image)[None]).detach().numpy()[0]
        scores.append(np.exp(logits[target]) / np.exp(logits).sum())
        fractions.append(replaced / (height * width))
    return np.array(fractions), np.array(scores)


@pytest.mark.parametrize(("grid", "steps"), [((2, 3), 50), ((3, 4), 5), ((9, 11), 7)])
def test_curves_equal_a_slow_derivation_on_grids_that_do_not_divide_the_image(grid, steps):
    model, images = conv_model(), images_of((9, 11))
    values = np.random.default_rng(2).standard_normal((2, *grid))
    of = explained(model, images, values)
    found = ik.visualize(
        model, images, "deletion_insertion", of=of, steps=steps, fill="image_mean", blur=0.1, internal_batch_size=4
    )
    for position in range(2):
        image = images[position].numpy()
        mean = np.broadcast_to(image.mean((1, 2), keepdims=True), image.shape)
        blurred = blurred_by_scipy(image, 0.1)
        pairs = {"deletion": (image, mean), "insertion": (blurred, image)}
        areas = found.tables["auc"].where("image", f"image{position}")
        for curve, (before, after) in pairs.items():
            for order, sign in (("map", 1), ("reverse", -1)):
                asked = {"steps": min(steps, values[0].size), "target": 1}
                expected = slow_curve(model, before, after, sign * values[position], **asked)
                np.testing.assert_allclose(line(found, f"image{position}", curve, order), expected, rtol=1e-9)
                column = "auc" if order == "map" else "auc_reverse"
                area = sum(
                    (expected[0][k + 1] - expected[0][k]) * (expected[1][k + 1] + expected[1][k]) / 2
                    for k in range(len(expected[0]) - 1)
                )
                assert areas.where("curve", curve)[column][0] == pytest.approx(area, rel=1e-9)


def test_a_pixel_belongs_to_the_cell_that_its_centre_lies_in():
    cells = ik.Grid.even((2, 3), (5, 7)).nearest
    for y, x in np.ndindex(5, 7):
        assert cells[y, x] == int((y + 0.5) / 5 * 2) * 3 + int((x + 0.5) / 7 * 3)
    assert np.bincount(cells.ravel()).tolist() == [4, 6, 4, 6, 9, 6]


@pytest.mark.parametrize("fill", ["zero", "image_mean", "black", "blurred"])
def test_all_deleted_is_the_fill(fill):
    model, images = conv_model(), images_of((8, 8), 1)
    of = explained(model, images, np.random.default_rng(0).standard_normal((1, 2, 2)))
    found = ik.visualize(model, images, "deletion_insertion", of=of, fill=fill, score="logit")
    filled = {
        "zero": torch.zeros(3, 1, 1),
        "image_mean": images[0].mean((1, 2), keepdim=True),
        "black": torch.tensor([-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225])[:, None, None],
        "blurred": torch.from_numpy(blurred_by_scipy(images[0].numpy(), 0.05)),
    }[fill]
    expected = model.module(filled.double().expand(1, 3, 8, 8))[0, 1]
    for order in ("map", "reverse", "random"):
        _, scores = line(found, "image0", "deletion", order)
        assert scores[-1] == pytest.approx(float(expected.detach()), rel=1e-6)


def test_what_is_watched_is_the_score_that_the_map_explains():
    model, images = conv_model(), images_of((8, 8))
    values = np.random.default_rng(0).standard_normal((2, 2, 2))
    for target in (2, "predicted", {"for": 0, "against": 3}):
        of = explained(model, images, values, target=target)
        for score in ("probability", "logit"):
            found = ik.visualize(model, images, "deletion_insertion", of=of, score=score)
            contrast = isinstance(target, dict)
            explains = "0 against 3" if contrast else of["step"].targets[0].label
            assert found.tables["auc"]["target"][0] == explains
            assert set(found.tables["auc"]["score"].tolist()) == {"logit difference" if contrast else score}
            for position, each in enumerate(of["step"].targets):
                begin = each.probability if score == "probability" and not contrast else each.score
                assert line(found, f"image{position}", "deletion", "map")[1][0] == pytest.approx(begin, abs=1e-12)
                assert line(found, f"image{position}", "insertion", "map")[1][-1] == pytest.approx(begin, abs=1e-12)


def test_each_of_the_top_classes_is_watched_with_its_own_map():
    model, images = conv_model(), images_of((8, 8))
    cam = {"cam": ik.visualize(model, images, "grad_cam", layers=["0"], target={"top": 2})}
    found = ik.visualize(model, images, "deletion_insertion", of=cam, score="logit")
    for rank in (1, 2):
        for position in range(2):
            start = line(found, f"image{position}", "deletion", "map", attribution=f"cam/0 top {rank}")[1][0]
            expected = model.module(images)[position].sort(descending=True).values[rank - 1]
            assert start == pytest.approx(float(expected.detach()), abs=1e-12)


def ranks_of(values, **options):
    images = (ik.InputImage(id="a", source="", sha256="12", size=(8, 8)),)
    each = ik.Map(values=values[None], dims=("image", "y", "x"), layer="", extent={"y": 8, "x": 8}, polarity="signed")
    captured = ik.Captured(
        images=images,
        inputs=torch.zeros(1, 3, 8, 8),
        activations={},
        gradients={},
        results={"step": ik.Result(maps={"a": each}, images=images)},
    )
    from interpretkit_compare.attributions import attributions

    visualizer = DeletionInsertion(DeletionInsertion.Options(**options))
    (attribution,) = attributions(captured)
    return visualizer._orders(captured, attribution, 0, visualizer._grid(attribution))


def test_equal_cells_come_in_an_order_that_the_seed_decides_and_others_by_value():
    values = np.repeat([0.0, 1.0], 32).reshape(8, 8)
    first, again, other = (ranks_of(values, seed=seed).map for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert first[4:].max() == 31
    assert first[:4].min() == 32
    # Neither row by row nor back: about half of the neighbours ascend.
    ascending = np.diff(first[4:].ravel()) > 0
    assert 8 < ascending.sum() < 24
    np.testing.assert_array_equal(np.sort(first.ravel()), np.arange(64))


def test_random_orders_are_permutations_and_maps_of_one_grid_share_their_curve():
    ranks = ranks_of(np.zeros((8, 8)), random_orders=3, chance_orders=5).random
    assert len(ranks) == 5
    for each in ranks:
        np.testing.assert_array_equal(np.sort(each.ravel()), np.arange(64))
    model, images = conv_model(), images_of((8, 8))
    results = explained(model, images, np.random.default_rng(0).standard_normal((2, 4, 4)))
    of = {"a": results["step"], "b": explained(model, images, np.ones((2, 4, 4)))["step"]}
    found = ik.visualize(model, images, "deletion_insertion", of=of)
    for curve in ("deletion", "insertion"):
        first, second = (line(found, "image1", curve, "random", attribution=f"{name}/a")[1] for name in of)
        np.testing.assert_array_equal(first, second)
        area = found.tables["auc"].where("image", "image1").where("curve", curve)
        fractions, _ = line(found, "image1", curve, "random", attribution="a/a")
        assert area["auc_random"][0] == pytest.approx(np.trapezoid(first, fractions))


def test_what_cannot_be_scored_is_refused():
    model, images = conv_model(), images_of((8, 8))
    values = np.random.default_rng(0).standard_normal((2, 2, 2))
    of = explained(model, images, values)

    def refused(results, message, **more):
        with pytest.raises(ik.StepError, match=message):
            ik.visualize(more.get("model", model), images, "deletion_insertion", of=results)

    torch.manual_seed(7)
    other = ik.wrap(nn.Sequential(nn.Flatten(), nn.Linear(192, 4)).double())
    refused(of, r"map step/a explains '1' \(logit .*\) of another model", model=other)
    sized = replace(of["step"].maps["a"], extent={"y": 16, "x": 16})
    refused({"step": replace(of["step"], maps={"a": sized})}, "of another model than this step looks at")
    refused({"step": replace(of["step"], targets=())}, "map step/a explains no class")
    values[1, 0, 1] = np.inf
    refused(explained(model, images, values), "map step/a of image 'image1': 1 cells are NaN or infinite")
    features = {"features": ik.visualize(model, images, "feature_grid", layers=["0"])}
    with pytest.raises(ik.RecipeError, match="'features' yields features"):
        ik.visualize(model, images, "deletion_insertion", of=features)


def test_black_that_the_preprocessing_does_not_make_is_refused():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = ik.wrap(net, transform=lambda image: image.size)
    images = torch.randn(1, 3, 8, 8)
    cam = {"cam": ik.visualize(model, images, "grad_cam", layers=["0"], target=0)}
    with pytest.raises(ik.StepError, match=r"makes no black image: AttributeError.*choose zero"):
        ik.visualize(model, images, "deletion_insertion", of=cam, fill="black")


def cam():
    return {"cam": ik.visualize(tiny_model(), tiny_images(3), "grad_cam", layers=["features"], target=1)}


def test_black_of_three_channels_is_refused_where_images_have_one():
    model = ik.wrap(
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), name="grey", output=ik.Classes()
    )
    images = torch.rand(1, 1, 8, 8)
    cam = ik.visualize(model, images, "grad_cam", layers=["0"])
    with pytest.raises(ik.StepError, match="the preprocessing makes black of 3 channels, and the images have 1"):
        ik.visualize(model, images, "deletion_insertion", of={"cam": cam}, fill="black")


def test_the_probability_of_a_network_that_ends_in_a_softmax_is_what_it_returns():
    model, images = conv_model(), images_of((8, 8))
    ending = ik.wrap(nn.Sequential(*model.module, nn.Softmax(1)), name="ending")
    found = {}
    for each in (model, ending):
        cam = explained(each, images, np.arange(8.0).reshape(2, 2, 2))
        found[each.name] = ik.visualize(each, images, "deletion_insertion", of=cam, steps=4), cam["step"].targets
    (logits, of_logits), (probabilities, of_probabilities) = found["conv"], found["ending"]
    np.testing.assert_allclose(probabilities.tables["auc"]["auc"], logits.tables["auc"]["auc"], rtol=1e-12)
    for one, other in zip(of_probabilities, of_logits, strict=True):
        assert one.probability == one.score == pytest.approx(other.probability, rel=1e-12)
        assert "logit" in str(other)
        assert "logit" not in str(one)


def test_deletion_insertion_keeps_the_contract():
    check_visualizer(DeletionInsertion, of=cam(), images=tiny_images(3), steps=6)


def test_the_figure_says_what_is_better_and_what_to_compare_with():
    model, images = tiny_model(), tiny_images(1)
    of = {"cam": ik.visualize(model, images, "grad_cam", layers=["features"], target=1)}
    found = ik.visualize(model, images, "deletion_insertion", of=of, steps=4)
    (figure,) = ik.draw(found)
    area = found.tables["auc"].where("curve", "deletion")
    chance = [f"{area[name][0]:.3g}" for name in ("chance", "chance_low", "chance_high")]
    said = f"cam/features, deletion: {area['auc'][0]:.3g} (random {chance[0]}, {chance[1]} to {chance[2]})"
    assert said in figure.alt
    assert "lower is better" in figure.caption
    assert "beside that of random order: here the mean of 9 random orders" in figure.caption
    assert "better than all of 9 random orders once in 10" in figure.caption


def taken_away(values, ranks):
    """Return what is gone of a sum of `values` after each cell in the order of its ranks, first nothing."""
    in_order = np.empty(values.size)
    in_order[ranks.ravel()] = values.ravel()
    return np.concatenate([[0.0], np.cumsum(in_order)])


def area_of(scores):
    return (scores[0] + scores[-1]) / 2 / (len(scores) - 1) + scores[1:-1].sum() / (len(scores) - 1)


def orders_of(results, position, **options):
    from interpretkit_compare.attributions import attributions

    images = results["step"].images
    inputs = torch.zeros(len(images), 3, 4, 6)
    captured = ik.Captured(images=images, inputs=inputs, activations={}, gradients={}, results=results)
    visualizer = DeletionInsertion(DeletionInsertion.Options(**options))
    (attribution,) = attributions(captured)
    return visualizer._orders(captured, attribution, position, visualizer._grid(attribution))


def test_chance_is_of_the_areas_of_random_orders_of_the_same_cells():
    model, images = linear_model(), images_of((4, 6))
    values = contributions(model, images, 1)
    results = linear_results(images, values)
    options = {"score": "logit", "steps": 24, "random_orders": 2, "chance_orders": 5}
    found = ik.visualize(model, images, "deletion_insertion", of=results, **options)
    for position in range(2):
        orders = orders_of(found_inputs(found, results), position, random_orders=2, chance_orders=5)
        score = results["step"].targets[position].score
        lines = [score - taken_away(values[position], ranks) for ranks in orders.random]
        areas = [area_of(each) for each in lines]
        row = found.tables["auc"].where("image", f"image{position}").where("curve", "deletion")
        measured = [row[name][0] for name in ("chance", "chance_low", "chance_high", "auc_random")]
        np.testing.assert_allclose(measured, [np.mean(areas), min(areas), max(areas), np.mean(areas[:2])], rtol=1e-9)
        band = found.tables["chance"].where("image", f"image{position}").where("curve", "deletion")
        np.testing.assert_allclose(band["low"], np.min(lines, axis=0), rtol=1e-9)
        np.testing.assert_allclose(band["high"], np.max(lines, axis=0), rtol=1e-9)
        np.testing.assert_allclose(band["score"], np.mean(lines, axis=0), rtol=1e-9)
        np.testing.assert_allclose(band["fraction"], np.arange(25) / 24, rtol=1e-9)


def found_inputs(found, results):
    """Return the results as a step reads them: of the images that were really read."""
    return {"step": replace(results["step"], images=found.images)}


def test_the_map_of_contributions_beats_all_random_orders_and_its_negative_none():
    model, images = linear_model(), images_of((4, 6))
    values = contributions(model, images, 1)
    for sign, beats in ((1, 7), (-1, 0)):
        results = linear_results(images, sign * values)
        found = ik.visualize(model, images, "deletion_insertion", of=results, score="logit", chance_orders=7)
        assert found.tables["auc"]["orders"].tolist() == [7] * 4
        assert found.tables["auc"].where("curve", "deletion")["beats"].tolist() == [beats] * 2
    (figure,) = ik.draw(
        ik.visualize(model, images[:1], "deletion_insertion", of=linear_results(images[:1], -values[:1]))
    )
    assert "Not better than all random orders: step/a (deletion" in figure.caption


def test_more_random_orders_change_no_number_of_the_first_ones():
    model, images = conv_model(), images_of((8, 8))
    of = explained(model, images, np.repeat([0.0, 1.0], 64).reshape(2, 8, 8))
    few, many = (
        ik.visualize(model, images, "deletion_insertion", of=of, steps=5, chance_orders=count).tables["auc"]
        for count in (1, 6)
    )
    for column in ("auc", "auc_random", "auc_reverse", "gain"):
        np.testing.assert_array_equal(few[column], many[column])
    assert few["orders"].tolist() == [2] * 4
    np.testing.assert_allclose(few["chance"], few["auc_random"], rtol=1e-12)
    assert (many["chance"] != many["auc_random"]).all()


def test_maps_of_different_grids_meet_on_one():
    model, images = linear_model(), images_of((4, 6))
    fine = contributions(model, images, 1)
    coarse = fine.reshape(2, 2, 2, 3, 2).sum((2, 4))
    steps = {"fine": linear_results(images, fine)["step"], "coarse": linear_results(images, coarse)["step"]}
    found = ik.visualize(model, images, "deletion_insertion", of=steps, grid=[2, 3], score="logit", steps=6)
    areas = found.tables["auc"]
    assert set(areas["height"].tolist()) == {2}
    assert set(areas["width"].tolist()) == {3}
    # A sum over a cell is its mean times its area, so both maps have the same order, and the same random ones.
    one, other = (areas.where("attribution", f"{name}/a") for name in steps)
    for column in ("auc", "auc_reverse", "chance", "chance_low", "chance_high"):
        np.testing.assert_array_equal(one[column], other[column])
    native = ik.visualize(model, images, "deletion_insertion", of={"coarse": steps["coarse"]}, score="logit", steps=6)
    np.testing.assert_array_equal(native.tables["auc"]["auc"], other["auc"])
    (figure, *_) = ik.draw(
        ik.visualize(model, images[:1], "deletion_insertion", of=linear_results(images[:1], fine[:1]), grid=[2, 3])
    )
    assert "one grid of 2×3 cells" in figure.caption


def test_on_pixels_a_coarse_map_goes_cell_by_cell_and_in_random_order_within():
    model, images = linear_model(), images_of((4, 6))
    values = contributions(model, images, 1)
    coarse = values.reshape(2, 2, 2, 3, 2).sum((2, 4))
    found = ik.visualize(
        model, images, "deletion_insertion", of=linear_results(images, coarse), grid="pixels", score="logit", steps=24
    )
    for position in range(2):
        _, scores = line(found, f"image{position}", "deletion", "map")
        cells = np.sort(coarse[position].ravel())[::-1]
        expected = scores[0] - np.concatenate([[0.0], np.cumsum(cells)])
        np.testing.assert_allclose(scores[::4], expected, rtol=1e-9)


def test_a_grid_that_the_image_has_not_is_refused():
    images = images_of((4, 6))
    of = linear_results(images, contributions(linear_model(), images, 1))
    for grid, message in (([7], r"grid: \[7\] is not \[y, x\]"), ([5, 6], "finer than the input, which has 4×6")):
        with pytest.raises(ik.StepError, match=message):
            ik.visualize(linear_model(), images, "deletion_insertion", of=of, grid=grid)
