"""The bench on the network and the images that come along; what it must find is known before."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage

import interpretkit as ik
from interpretkit.bench.bench import RANDOM_WEIGHTS, bench
from interpretkit.bench.chart import chart
from interpretkit.bench.entries import CONTROLS, controls, entries
from interpretkit.bench.records import Bench
from interpretkit.bench.text import markdown, text
from interpretkit.contracts.kinds import VISUALIZER
from interpretkit.contracts.registry import discover

PLUGIN = '''
import torch
from interpretkit import Layered, Needs, Result, Targeted, Visualizer, hookimpl


class Bright(Visualizer):
    """How bright each pixel is."""
    name = "bright"
    yields = "attribution"

    class Options(Targeted):
        """What is explained."""

    def needs(self):
        return Needs(target=self.options.target)

    def compute(self, captured):
        return Result(maps={"input": captured.map("input", captured.inputs[:, 0], polarity="signed")})


class Nothing(Bright):
    """A map of nothing."""
    name = "nothing"

    def compute(self, captured):
        return Result(maps={"input": captured.map("input", -captured.inputs[:, 0].abs(), polarity="signed")})


class Fails(Visualizer):
    """Fails at one of two layers."""
    name = "fails"
    yields = "attribution"

    class Options(Layered):
        """Where."""

    def needs(self):
        return Needs(activations=self.options.layers)

    def compute(self, captured):
        if "stage4" in captured.activations:
            raise ValueError("kaput")
        return Result(maps={
            layer: captured.map(layer, each.mean(1), polarity="signed") for layer, each in captured.activations.items()
        })


@hookimpl
def interpretkit_visualizers():
    yield from (Bright, Nothing, Fails)
'''


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    path = tmp_path_factory.mktemp("plugin") / "third.py"
    path.write_text(PLUGIN)
    return path


@pytest.fixture(scope="module")
def said():
    return []


@pytest.fixture(scope="module")
def measured(plugin, said):
    methods = ["grad_cam", "saliency", "bright", "nothing", "fails"]
    return bench(methods, plugins=[plugin], listen=said.append)


@pytest.fixture
def row(measured):
    rows = {(each.method, each.layer): each for each in measured.rows}
    return lambda method, layer="input": rows[method, layer]


def test_grad_cam_points_at_the_digit_and_on_random_weights_no_more_than_chance_allows(measured, row):
    cam = row("grad_cam", "stage3")
    assert measured.images == 30
    assert cam.scores["pointing"].mean >= 0.95
    random = cam.random_weights["pointing"]
    assert random.low <= measured.chance["pointing"] <= random.high
    assert random.high < cam.scores["pointing"].low
    assert not cam.not_beaten


def test_the_controls_stand_beside_and_a_random_map_scores_what_chance_brings(measured, row):
    assert {each.method for each in measured.rows if each.control} == {*CONTROLS}
    random = row("random_map")
    for name, chance in measured.chance.items():
        assert random.scores[name].low <= chance <= random.scores[name].high, name
    assert random.scores["deletion"].low < 0 < random.scores["deletion"].high


def test_scores_are_those_of_the_visualizers_over_the_same_images(row, tmp_path):
    cam = row("grad_cam", "stage4")
    model = ik.load_model("digits", weights="builtin", device="cpu")
    steps = {
        "cam": ik.step("grad_cam", layers=["stage4"], target="label"),
        "where": ik.step("localization", of=["cam"], tolerance=8.0),
        "exact": ik.step("localization", of=["cam"]),
    }
    found = ik.visualize(model, "sample:digits", steps)
    table, exact = (found[step].tables["localization"] for step in ("where", "exact"))
    for name in ("pointing", "energy", "rank_accuracy", "iou"):
        # The form for deployment is the same function but for rounding.
        assert cam.scores[name].mean == pytest.approx(table[name].mean(), abs=2e-3), name
    assert cam.scores["pointing_exact"].mean == pytest.approx(exact["pointing"].mean(), abs=2e-3)
    pointing = table["pointing"]
    draws = np.random.default_rng(5).choice(pointing, (4000, 30)).mean(1)
    np.testing.assert_allclose(
        [cam.scores["pointing"].low, cam.scores["pointing"].high], np.quantile(draws, [0.025, 0.975]), atol=0.04
    )


def test_what_chance_brings_is_the_share_of_the_pixels_that_would_count(measured):
    images = ik.visualize(ik.load_model("digits"), "sample:digits", "edge_map").images
    inside, near = [], []
    for image in images:
        inside.append(image.mask.mean())
        near.append((scipy.ndimage.distance_transform_edt(~image.mask) < 8).mean())
    assert measured.chance["pointing"] == pytest.approx(np.mean(near))
    for name in ("pointing_exact", "energy", "rank_accuracy"):
        assert measured.chance[name] == pytest.approx(np.mean(inside)), name
    assert measured.chance["iou"] == pytest.approx(np.mean([share / (2 - share) for share in inside]))


def test_curves_of_maps_of_all_grids_are_on_one_grid_in_the_same_random_orders(row):
    model = ik.load_model("digits", weights="builtin", device="cpu", form="deploy")
    options = {"grid": [8, 8], "steps": 16, "random_orders": 2}
    steps = {
        "cam": ik.step("grad_cam", layers=["stage4"], target="label"),
        "pixels": ik.step("saliency", target="label"),
        "curves": ik.step("deletion_insertion", of=["cam", "pixels"], **options),
    }
    table = ik.visualize(model, "sample:digits", steps)["curves"].tables["auc"]
    random = []
    for name, each in (("cam/stage4", row("grad_cam", "stage4")), ("pixels/input", row("saliency"))):
        for curve in ("deletion", "insertion"):
            of_curve = table.where("attribution", name).where("curve", curve)
            assert each.scores[curve].mean == pytest.approx(of_curve["gain"].mean(), abs=1e-6)
            random.append(of_curve["auc_random"])
    np.testing.assert_array_equal(random[:2], random[2:])


def test_a_method_of_the_form_for_training_is_measured_on_that_branch_by_branch():
    found = bench(["repvgg_branches"], images=2)
    assert not found.failures
    layers = [each.layer for each in found.rows if each.method == "repvgg_branches"]
    assert sorted(layers) == ["stage4.0.rbr_1x1", "stage4.0.rbr_dense"]
    assert {each.passes for each in found.rows} == {1}
    assert "From 2 images intervals come out too narrow." in text(found).splitlines()


def test_the_best_in_the_pointing_game_stands_first(measured):
    pointing = [each.scores["pointing"].mean for each in measured.rows]
    assert pointing == sorted(pointing, reverse=True)


def test_a_method_of_a_plugin_file_is_measured_and_what_needs_no_network_does_not_beat_random_weights(row, plugin):
    bright = row("bright")
    assert bright.plugin == str(plugin)
    assert bright.not_beaten == (RANDOM_WEIGHTS,) or RANDOM_WEIGHTS in bright.not_beaten
    assert bright.random_weights["pointing"] == bright.scores["pointing"]


def test_a_map_that_points_nowhere_counts_as_nothing(row):
    nothing = row("nothing")
    assert nothing.nowhere == 30
    assert nothing.scores["pointing"].mean == nothing.scores["energy"].mean == 0
    assert nothing.scores["rank_accuracy"].mean > 0


def test_what_fails_costs_its_own_row_and_is_said(measured, row, said):
    assert row("fails", "stage3").scores["pointing"].mean >= 0
    (failure,) = measured.failures
    assert (failure.method, failure.layer) == ("fails", "stage4")
    assert "kaput" in failure.text
    assert [event.text for event in said if event.failed] == [str(failure)]
    assert f"Not measured: {failure}" in text(measured).splitlines()


def test_what_explains_no_target_has_no_curves(measured, row):
    assert "deletion" not in row("fails", "stage3").scores
    assert "Of no target, so that no score can be watched: fails." in text(measured).splitlines()


def test_passes_are_the_images_that_went_through_the_network(row):
    assert row("grad_cam", "stage3").passes == 1
    assert row("bright").passes == 1
    assert row("grad_cam", "stage3").seconds > 0


def test_the_same_comes_out_once_more(plugin):
    first, again = (bench(["grad_cam", "fails"], images=4, plugins=[plugin]) for _ in range(2))
    steady = {"rows": {"__all__": {"seconds"}}}
    assert first.model_dump(exclude=steady) == again.model_dump(exclude=steady)
    assert first.images == 4


def test_it_is_stored_and_read_again(measured):
    assert Bench.decode(json.dumps(measured.as_data()).encode()) == measured


def test_the_table_has_a_line_for_each_row_in_text_and_in_markdown(measured):
    lines = text(measured).splitlines()
    assert lines[0].startswith("30 images of RepVGG-digits")
    assert lines[2].split()[:3] == ["method", "layer", "pointing"]
    assert lines[3].startswith("by chance")
    assert [line.split()[0] for line in lines[4 : 4 + len(measured.rows)]] == [each.method for each in measured.rows]
    (poor,) = [line for line in lines if line.startswith("Not clearly above a control in the pointing game: ")]
    assert "nothing at input (random_map" in poor
    assert "grad_cam at stage3" not in poor
    page = markdown(measured)
    assert page.count("\n| ") == 3 + len(measured.rows)
    assert len({line.count("|") for line in page.splitlines() if line.startswith("|")}) == 1


def test_the_chart_grows_with_the_methods(measured):
    half = measured.model_copy(update={"rows": measured.rows[:3]})
    assert chart(half).height < chart(measured).height
    assert chart(half).width == chart(measured).width


def test_all_attribution_methods_are_meant_without_names_and_none_of_the_controls():
    registry = discover()
    found = {entry.method for entry in entries(registry, ())}
    explaining = {name for name, each in registry.of(VISUALIZER).items() if each.offer.yields == "attribution"}
    assert found == explaining - {*CONTROLS}
    assert [entry.method for entry in controls(registry)] == [*CONTROLS]


def test_methods_are_asked_about_two_layers_or_the_input():
    found = entries(discover(), ["saliency", "layer_cam", "guided_grad_cam", "saliency"])
    assert [(each.method, each.layer) for each in found] == [
        ("saliency", "input"),
        ("layer_cam", "stage3"),
        ("layer_cam", "stage4"),
        ("guided_grad_cam", "stage3"),
        ("guided_grad_cam", "stage4"),
    ]
    assert found[1].options == {"target": "label", "layers": ["stage3"]}
    assert found[3].options == {"target": "label", "layer": "stage3"}


def test_wrong_names_are_refused_together_before_anything_is_computed():
    with pytest.raises(ik.RecipeError) as refused:
        bench(["grad_cm", "feature_grid", "saliency"])
    first, second = str(refused.value).splitlines()
    assert first == "unknown visualizer 'grad_cm' (did you mean 'grad_cam'?)"
    assert second.startswith("visualizer 'feature_grid' makes no attribution maps")


@pytest.mark.parametrize("count", [0, 31])
def test_there_are_thirty_images(count):
    with pytest.raises(ik.InputError, match=f"{count} images are wanted, of 30"):
        bench(["saliency"], images=count)


def test_few_images_are_of_different_digits():
    from interpretkit.bench.bench import _subject

    names = _subject(discover(), 12, form="deploy").images
    assert names[:10] == [f"sample:digits/{digit}a" for digit in range(10)]
    assert names[10:] == ["sample:digits/0b", "sample:digits/1b"]


@pytest.mark.parametrize(
    ("hits", "others", "clear"),
    [
        ([1] * 15 + [0] * 15, [0] * 30, True),
        # More often by a third, but on other images: by chance it could be less often.
        ([1] * 12 + [0] * 18, [0] * 12 + [1] * 9 + [0] * 9, False),
        # Wherever the other hits, and beyond.
        ([1] * 28 + [0] * 2, [1] * 20 + [0] * 10, True),
        ([1] * 30, [1] * 30, False),
        ([0] * 30, [1] * 30, False),
        # What points nowhere is a miss.
        ([np.nan] * 30, [0] * 30, False),
        ([1] * 30, [np.nan] * 30, True),
    ],
)
def test_a_method_is_clearly_above_another_if_it_is_image_by_image(hits, others, clear):
    from interpretkit.bench.bench import _beats

    assert _beats({"pointing": np.array(hits, float)}, {"pointing": np.array(others, float)}) == clear


def test_ids_that_stand_in_the_code_are_those_of_visualizers():
    from interpretkit.bench.entries import _FEWER

    there = discover().of(VISUALIZER)
    for name, options in _FEWER.items():
        assert {*options} <= {*there[name].options().model_fields}, name
    assert {"localization", "deletion_insertion", *CONTROLS} <= {*there}


def test_the_page_is_that_of_the_stored_bench():
    docs = Path(__file__).parents[3] / "docs"
    stored = Bench.decode((docs / "bench.json").read_bytes())
    assert markdown(stored) in (docs / "bench.md").read_text(encoding="utf-8")
    assert {row.method for row in stored.rows} == {entry.method for entry in entries(discover(), ())} | {*CONTROLS}
