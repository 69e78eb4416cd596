from __future__ import annotations

import os

import numpy as np
import pytest

from interpretkit.errors import RecipeError, StepError, StorageError
from interpretkit.results.result import Result
from interpretkit.results.targets import Target
from interpretkit.runs.records import ImageRecord, MapRecord
from interpretkit.runs.run import open_run

CAT, PEAKS = "results/cam/cat.safetensors", "results/cam/peaks.csv"


def test_a_result_of_several_batches_reads_back_exactly(tmp_path, result_of, stored, assert_same):
    batches = [result_of(["zebra", "cat"], 1), result_of(["dog"], 2)]
    found = stored(tmp_path, *batches).results["step"]
    assert list(found.maps) == ["stage4", "half"]
    for name in found.maps:
        assert_same(found.maps[name].values, np.concatenate([batch.maps[name].values for batch in batches]))
        assert (found.maps[name].layer, found.maps[name].dims) == (batches[0].maps[name].layer, ("image", "y", "x"))
        assert (found.maps[name].extent, found.maps[name].polarity) == ({"y": 32, "x": 32}, "signed")
    for column in ("image", "peak"):
        assert_same(found.tables["peaks"][column], np.concatenate([each.tables["peaks"][column] for each in batches]))
    assert found.targets == batches[0].targets + batches[1].targets
    expected = batches[0].images + batches[1].images
    for name in ("id", "source", "sha256", "size", "conversions", "alerts", "label"):
        assert [getattr(each, name) for each in found.images] == [getattr(each, name) for each in expected]
    for image, original in zip(found.images, expected, strict=True):
        assert_same(image.pixels, original.pixels)


def test_a_reduction_reads_back_exactly(run, assert_same):
    found = open_run(run).results["statistics"]
    assert found.maps["mean"].dims == ("y", "x")
    assert_same(found.maps["mean"].values, np.eye(3))
    assert_same(found.tables["channels"]["channel"], np.array([0, 1]))
    assert_same(found.tables["channels"]["mean"], np.array([0.5, np.nan]))
    assert [image.id for image in found.images] == ["cat", "dog"]


def test_the_result_of_one_image_is_only_about_it(tmp_path, *, picture, result_of, stored, assert_same):
    batch = result_of(["cat", "dog"])
    found = stored(tmp_path, batch).result("step", image="dog")
    assert_same(found.maps["stage4"].values, batch.maps["stage4"].values[1:])
    assert found.tables["peaks"]["image"].tolist() == ["dog", "dog"]
    assert ([each.id for each in found.images], len(found.targets)) == (["dog"], 1)
    assert_same(found.images[0].pixels, picture(1))


@pytest.mark.parametrize("count", [10, 40])
def test_reading_the_images_of_a_run_one_by_one_looks_at_each_record_a_few_times(
    tmp_path, monkeypatch, count, *, result_of, stored
):
    names = [f"image{number}" for number in range(count)]
    found = stored(tmp_path, *(result_of(names[start : start + 5], start) for start in range(0, count, 5)))
    asked = []
    for kind in (MapRecord, ImageRecord):
        counting = lambda record, name: asked.append(name) or object.__getattribute__(record, name)  # noqa: E731
        monkeypatch.setattr(kind, "__getattribute__", counting)
    for name in names:
        result = found.result("step", image=name)
        assert [image.id for image in result.images] == [name]
        assert list(result.maps) == ["stage4", "half"]
    assert 0 < len(asked) <= 16 * count


def test_maps_of_different_shapes_are_read_one_by_one(tmp_path, image, cam, stored):
    wide = Result(maps={"stage4": cam(np.ones((1, 2, 9)))}, images=(image("wide"),))
    tall = Result(maps={"stage4": cam(np.ones((1, 9, 2)))}, images=(image("tall"),))
    found = stored(tmp_path, wide, tall)
    with pytest.raises(StepError, match=r"same shape.*run.result\('step', image='wide'\)"):
        _ = found.results["step"].maps["stage4"]
    assert found.result("step", image="tall").maps["stage4"].values.shape == (1, 9, 2)


def test_a_map_that_some_images_lack_is_read_one_by_one(tmp_path, image, cam, stored):
    ones = cam(np.ones((1, 2, 2)))
    both = Result(maps={"a": ones, "b": ones}, images=(image("both"),))
    one = Result(maps={"a": ones}, images=(image("one"),))
    found = stored(tmp_path, both, one)
    assert found.results["step"].maps["a"].values.shape == (2, 2, 2)
    with pytest.raises(StepError, match="one by one"):
        _ = found.results["step"].maps["b"]
    assert list(found.result("step", image="one").maps) == ["a"]


def test_a_step_that_stopped_on_the_way_is_about_the_images_that_it_reached(tmp_path, result_of, begun, seal):
    draft = begun(tmp_path, "maps", "targets")
    reached, unreached = result_of(["cat"]), result_of(["dog"])
    draft.write_result("maps", Result(maps=reached.maps, images=reached.images), reduction=False)
    draft.write_result("targets", Result(images=reached.images, targets=reached.targets), reduction=False)
    found = open_run(seal(draft, reached.images + unreached.images)).results
    assert [[each.id for each in found[name].images] for name in ("maps", "targets")] == [["cat"], ["cat"]]


def test_a_logit_that_is_no_number_is_null_in_the_manifest_and_nan_in_the_target(tmp_path, image, stored):
    target = Target(spec=1, label="1", score=float("nan"), probability=float("nan"))
    found = stored(tmp_path, Result(images=(image("cat"),), targets=(target,)))
    assert '"score": null' in (found.path / "manifest.json").read_text()
    assert np.isnan(found.results["step"].targets[0].score)


@pytest.mark.parametrize("path", ["nowhere", "results"])
def test_a_directory_that_is_no_run_is_a_mistake_of_usage(run, path):
    with pytest.raises(RecipeError, match="no run directory"):
        open_run(run / path)


def test_steps_and_images_that_the_run_lacks_are_named_with_the_nearest(run):
    opened = open_run(run)
    with pytest.raises(RecipeError, match=r"no step 'cma'.*'cam'"):
        opened.result("cma")
    with pytest.raises(RecipeError, match=r"no result for image 'catt'.*'cat'"):
        opened.result("cam", image="catt")
    with pytest.raises(RecipeError, match="whole set"):
        opened.result("statistics", image="cat")


def flip(run, name):
    data = bytearray((run / name).read_bytes())
    data[-1] ^= 1
    (run / name).write_bytes(data)


def truncate(run, name):
    os.truncate(run / name, 40)


@pytest.mark.parametrize(
    ("spoil", "name"),
    [(flip, CAT), (flip, PEAKS), (truncate, CAT), (truncate, PEAKS), (truncate, "inputs/cat.png")],
)
def test_a_damaged_file_is_named_when_it_is_read(run, spoil, name):
    spoil(run, name)
    found = open_run(run).result("cam", image="cat")
    with pytest.raises(StorageError, match=name):
        _ = found.maps["half"], found.tables["peaks"], found.images[0].pixels


def test_arrays_are_read_when_they_are_looked_at(run):
    for file in (run / "results").rglob("*.*"):
        file.unlink()
    found = open_run(run).results["cam"]
    assert (list(found.maps), list(found.tables), len(found.images)) == (["stage4", "half"], ["peaks"], 2)
