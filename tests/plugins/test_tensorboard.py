"""Runs in TensorBoard, read back from the file of events."""

from __future__ import annotations

import io
import struct
import sys
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

import interpretkit as ik
from interpretkit_tensorboard.series import of_bins, of_values

PLUGIN = """
from torch import nn
from interpretkit import Model, ModelBuilder, Preprocessing, hookimpl

class Free(ModelBuilder):
    '''A net for images of any size.'''
    name = "free"

    def build(self, state):
        net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        net.append(nn.Linear(4, 3))
        return Model(module=net, name="Free", preprocessing=Preprocessing(resize=None, crop=None))

@hookimpl
def interpretkit_models():
    yield Free
"""

RECIPE = """schema: interpretkit/1
name: epoch
model: {uses: free}
inputs: [images]
steps:
  - {id: features, uses: feature_grid, with: {layers: ["0", "1"]}}
  - {id: stats, uses: channel_stats, with: {layers: ["0", "1"]}}
"""


@pytest.fixture(scope="module")
def epochs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("training")
    (folder / "images").mkdir()
    generator = np.random.default_rng(0)
    for name in "abc":
        Image.fromarray(generator.integers(0, 256, (8, 6, 3), np.uint8)).save(folder / "images" / f"{name}.png")
    (folder / "plugin.py").write_text(PLUGIN)
    (folder / "recipe.yaml").write_text(RECIPE)
    return [
        ik.run(
            folder / "recipe.yaml",
            images=folder / "images",
            plugins=[folder / "plugin.py"],
            output=folder / "runs",
            set={"numerics.seed": seed},
        )
        for seed in (0, 1)
    ]


def events(folder):
    """Yield the values of all files of events with their steps; a file is length, checksum, data, checksum, again."""
    from tensorboardX.proto.event_pb2 import Event

    for file in sorted(folder.glob("events.out.tfevents.*")):
        data = file.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            event = Event.FromString(data[12 : 12 + length])
            data = data[16 + length :]
            for value in event.summary.value:
                yield event.step, value


@pytest.fixture(scope="module")
def written(epochs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("log")
    for step, run in enumerate(epochs):
        assert ik.export(run, "tensorboard", output=folder, step=step, images=2) == folder
    found = {}
    for step, value in events(folder):
        assert (step, value.tag) not in found
        found[step, value.tag] = value
    return found


def test_each_run_is_a_step_of_the_same_names(written):
    assert {tag for step, tag in written if step == 0} == {tag for step, tag in written if step == 1}
    assert {step for step, _ in written} == {0, 1}


def test_numbers_are_means_over_the_rows_of_the_same_words(epochs, written):
    for step, run in enumerate(epochs):
        channels = run.results["stats"].tables["channels"]
        for layer in "01":
            rows = channels["layer"] == layer
            expected = channels["mean"][rows].mean()
            assert written[step, f"stats/channels/{layer}/mean"].simple_value == pytest.approx(expected, rel=1e-6)
            assert (step, f"stats/channels/{layer}/channel") not in written
        features = run.results["features"].tables["channels"]
        dead = features["dead"][features["layer"] == "1"].mean()
        assert written[step, "features/channels/1/dead"].simple_value == pytest.approx(dead, rel=1e-6)
    tag = "stats/channels/0/mean"
    assert written[0, tag].simple_value != written[1, tag].simple_value


def test_the_values_of_several_rows_make_a_histogram(epochs, written):
    features = epochs[0].results["features"].tables["channels"]
    values = features["max"][features["layer"] == "0"]
    found = written[0, "features/channels/0/max/values"].histo
    assert (found.num, found.min, found.max) == (len(values), values.min(), values.max())
    edges = np.array([found.min, *found.bucket_limit])
    np.testing.assert_allclose(edges[-1], values.max())
    inside = [((values > low) & (values <= high)).sum() for low, high in pairwise(edges)]
    # The least value lies on the lower end of the first bucket, which is its own.
    assert [int(count) for count in found.bucket] == [inside[0] + 1, *inside[1:]]


def test_histograms_of_layers_are_those_of_the_run(epochs, written):
    bins = epochs[1].results["stats"].tables["histogram"]
    layer = bins["layer"] == "0"
    found = written[1, "stats/histogram/0"].histo
    assert found.num == bins["count"][layer].sum() == 3 * 8 * 6 * 4
    for low, high, count in zip(bins["low"][layer], bins["high"][layer], bins["count"][layer], strict=True):
        position = list(found.bucket_limit).index(high)
        assert found.bucket[position] == count
        assert (found.bucket_limit[position - 1] if position else found.min) == low
    assert sum(found.bucket) == found.num


def test_figures_are_the_pictures_of_the_first_images(epochs, written):
    pictures = {tag: value for (step, tag), value in written.items() if step == 0 and value.HasField("image")}
    drawn = [figure for step in epochs[0].manifest["steps"] for figure in step["figures"]]
    assert len(pictures) == len([figure for figure in drawn if figure["image"] != "c"])
    figure = next(each for each in drawn if (each["image"], each["name"]) == ("b", "1"))
    found = Image.open(io.BytesIO(pictures["features/b/1"].image.encoded_image_string))
    with Image.open(epochs[0].path / figure["file"]) as expected:
        np.testing.assert_array_equal(np.asarray(found), np.asarray(expected.convert("RGB")))


def test_gaps_between_bins_are_empty_buckets():
    found = of_bins(ik.Table(low=[3.0, -1.0, 0.0], high=[4.0, 0.0, 0.0], count=[5, 1, 2]))
    assert (found.limits, found.counts) == ([0.0, 0.0, 3.0, 4.0], [1.0, 2.0, 0.0, 5.0])
    assert (found.least, found.greatest, found.total, found.squares) == (-1.0, 4.0, 17.0, 61.5)


@pytest.mark.parametrize("values", [[2.0, 2.0], [1.0, 1.0 + 2.0**-52], [0.0, 0.0, 0.0], [-1e300, 1e300]])
def test_any_finite_values_make_a_histogram(values):
    with np.errstate(over="ignore"):
        found = of_values(np.array(values))
    assert (found.least, found.greatest, sum(found.counts)) == (min(values), max(values), len(values))


def test_without_the_package_one_line_says_what_to_install(epochs, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ik.PluginError) as caught:
        ik.export(epochs[0], "tensorboard", output=tmp_path / "log")
    assert str(caught.value).endswith("is not installed (pip install interpretkit[tensorboard])")
    assert caught.value.exit_code == 3
    assert not (tmp_path / "log").exists()
