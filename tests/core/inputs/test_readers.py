"""Files that a plugin reads: a made-up format, rows of digits from black to white."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import interpretkit as ik
from interpretkit.cli.answers import offer_text
from interpretkit.contracts.hooks import hookimpl
from interpretkit.contracts.kinds import READER
from interpretkit.contracts.registry import Plugin, Registry
from interpretkit.digests import sha256_file
from interpretkit.engine.offered import readers_of
from interpretkit.inputs.find import find_images
from interpretkit.inputs.read import read_image

PLUGIN = """
import numpy as np
from torch import nn
from interpretkit import Model, ModelBuilder, Preprocessing, Reader, Stored, hookimpl

class Toy(Reader):
    '''Rows of digits: 0 is black, 9 is white.'''
    name = "toy"
    suffixes = (".toy",)

    def read(self, path, page):
        rows = path.read_text().split()
        values = np.array([[int(digit) * 255 // 9 for digit in row] for row in rows], np.uint8)
        return Stored(values=values, conversions=("digits to grey",))

class Free(ModelBuilder):
    '''A net for images of any size.'''
    name = "free"

    def build(self, state):
        net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        return Model(module=net, name="Free", preprocessing=Preprocessing(resize=None, crop=None))

@hookimpl
def interpretkit_readers():
    yield Toy

@hookimpl
def interpretkit_models():
    yield Free
"""

RECIPE = """schema: interpretkit/1
name: toys
model: {uses: free}
inputs: [images]
steps:
  - {id: features, uses: feature_grid, with: {layers: ["1"]}}
"""

ROWS = "0369\n9630\n0369\n"
GREY = np.array([[0, 85, 170, 255], [255, 170, 85, 0], [0, 85, 170, 255]], np.uint8)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "steps.TOY").write_text(ROWS)
    Image.new("RGB", (4, 3), "red").save(tmp_path / "images" / "plain.png")
    (tmp_path / "plugin.py").write_text(PLUGIN)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_reads_files_of_a_plugins_own_format_out_of_a_folder(folder):
    run = ik.run("recipe.yaml", plugins=["plugin.py"])
    assert run.status == "complete"
    image = {each["id"]: each for each in run.manifest["inputs"]}["steps"]
    assert image["conversions"] == ["digits to grey", "grey to RGB"]
    assert image["size"] == [4, 3]
    assert image["sha256"] == sha256_file("images/steps.TOY")
    pixels = run.result("features", image="steps").images[0].pixels
    np.testing.assert_array_equal(pixels, np.repeat(GREY[..., None], 3, axis=2))
    assert run.result("features", image="plain").images[0].pixels[0, 0].tolist() == [255, 0, 0]


def test_without_the_plugin_such_files_are_not_looked_for(folder):
    assert [file.id for file in find_images(["images"])] == ["plain"]
    assert [file.id for file in find_images(["images"], suffixes=[".toy"])] == ["plain", "steps"]
    assert [file.id for file in find_images(["im*/*"], suffixes=[".toy"])] == ["plain", "steps"]


def test_what_cannot_be_read_is_left_out_with_its_place_and_cause(folder):
    (folder / "images" / "bad.toy").write_text("12x")
    run = ik.run("recipe.yaml", plugins=["plugin.py"])
    assert run.status == "failed"
    assert {each["id"] for each in run.manifest["inputs"]} == {"plain", "steps"}
    (alert,) = [each for each in run.manifest["alerts"] if "bad" in each]
    assert alert.endswith(
        "images/bad.toy: reader 'toy' failed: ValueError: invalid literal for int() with base 10: 'x'"
    )


class Named:
    """A reader, as `inputs` sees it."""

    package = ""
    fallback = False

    def __init__(self, name, read):
        self.name, self.read = name, lambda path, page: read()

    def pages(self, path):
        return 1


def told(read, **about):
    [file] = find_images(["images/steps.TOY"])
    reader = Named("strange", read)
    vars(reader).update(about)
    with pytest.raises(ik.InputError) as caught:
        read_image(file, readers={".toy": reader})
    return str(caught.value)


def raising(error):
    def read():
        raise error

    return read


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda: Image.new("L", (2, 2)), "reader 'strange' failed: TypeError: read() returns a Image, not Stored"),
        (lambda: None, "read() returns a NoneType, not Stored"),
        (lambda: ik.Stored(values=[[1]]), "failed: ValueError: the stored values are list, not an array of numbers"),
        (lambda: ik.Stored(values=np.array([["a"]])), "the stored values are <U1, not an array of numbers"),
        (lambda: ik.Stored(values=np.zeros((0, 2))), "the stored values have shape (0, 2) and axes (y, x)"),
        (lambda: ik.Stored(values=np.zeros((2, 2, 3))), "the stored values have shape (2, 2, 3) and axes (y, x)"),
        (lambda: ik.Stored(values=np.zeros((2, 2)), axes=("x", "y")), "shape (2, 2) and axes (x, y)"),
        (raising(ik.InputError("has no slices", hint="export it anew")), "has no slices (export it anew)"),
        (raising(ik.PluginError("needs pydicom")), "reader 'strange' failed: PluginError: needs pydicom"),
    ],
)
def test_whatever_a_reader_does_is_told_as_an_error_of_the_image(folder, read, message):
    found = told(read)
    assert found.startswith("images/steps.TOY: ")
    assert message in found


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"package": "toys[all]"}, "(pip install 'toys[all]')"),
        ({}, "(No module named 'toylib')"),
    ],
)
def test_a_reader_whose_package_is_missing_names_what_installs_it(folder, about, message):
    found = told(raising(ModuleNotFoundError("No module named 'toylib'")), **about)
    what = "is read by reader 'strange', and what that needs is not installed"
    assert found == f"images/steps.TOY: {what} {message}"


@pytest.mark.parametrize(
    ("beginning", "suffix"),
    [
        (bytes(128) + b"DICM", ".dcm"),
        (b"\0\0\0\x20ftypheic", ".heic"),
        (b"\0\0\0\x20ftypavif", ".avif"),
        (b"\x5c\1\0\0" + bytes(340) + b"n+1\0", ".nii"),
        (b"\0\0\2\x1cn+2\0\r\n\x1a\n", ".nii"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", ".jp2"),
    ],
)
@pytest.mark.parametrize("name", ["IM_0001", "scan.png"])
def test_a_file_of_another_name_is_read_by_the_reader_of_what_it_is(tmp_path, beginning, suffix, name):
    path = tmp_path / name
    path.write_bytes(beginning + bytes(600))
    [file] = find_images([str(path)])
    stored = ik.Stored(values=np.full((2, 3), 7, np.uint8))
    _, found = read_image(file, readers={suffix: Named("known", lambda: stored), ".other": Named("other", None)})
    assert found.values.tolist() == stored.values.tolist()
    with pytest.raises(ik.InputError, match=r"is an? .* file"):
        read_image(file, readers={})


def test_a_page_is_asked_of_the_reader(folder):
    class Paged(Named):
        def __init__(self):
            self.name = "paged"

        def pages(self, path):
            return 5

        def read(self, path, page):
            return ik.Stored(values=np.full((2, 3), page, np.uint8))

    [file] = find_images(["images/steps.TOY"])
    for page, expected in ((None, 0), (0, 0), (4, 4)):
        image, stored = read_image(replace(file, page=page), readers={".toy": Paged()})
        assert (stored.values == expected).all()
        assert image.size == (3, 2)


def test_the_longest_suffix_counts_and_goes_before_pillow(folder):
    (folder / "both.toy.png").write_text("no picture")
    readers = {
        ".png": Named("short", raising(ValueError("not this one"))),
        ".toy.png": Named("long", lambda: ik.Stored(values=np.full((1, 1), 7, np.uint8))),
    }
    [file] = find_images(["both.toy.png"])
    image, stored = read_image(file, readers=readers)
    assert (image.size, stored.values.tolist()) == ((1, 1), [[7]])


def offering(*readers):
    class Module:
        @hookimpl
        def interpretkit_readers(self):
            yield from readers

    return Module()


def reader(name, *suffixes, **more):
    def read(self, path, page):
        return ik.Stored(values=np.zeros((1, 1), np.uint8))

    return type("Made", (ik.Reader,), {"name": name, "suffixes": suffixes, "read": read, **more})


def registry(**modules):
    return Registry([(Plugin(name, f"dist-{name}", "1.0"), lambda m=module: m) for name, module in modules.items()])


@pytest.mark.parametrize("second", ["first", "second"])
def test_a_suffix_that_two_readers_claim_is_read_by_neither(folder, second):
    found = registry(one=offering(reader("first", ".toy")), two=offering(reader(second, ".toy", ".own")))
    readers = readers_of(found)
    [file] = find_images(["images/steps.TOY"])
    with pytest.raises(ik.InputError, match=rf"first \(dist-one 1\.0\) and {second} \(dist-two 1\.0\) both read such"):
        read_image(file, readers=readers)
    assert readers[".own"].read(None, 0).size == (1, 1)


@pytest.mark.parametrize(
    ("offer", "message"),
    [
        (reader("one"), "suffixes is ()"),
        (reader("one", "dcm"), "suffixes is ('dcm',)"),
        (reader("one", ".DCM"), "suffixes is ('.DCM',)"),
        (reader("one", ".csv"), "has '.csv', which is for lists of images"),
    ],
)
def test_a_reader_without_fitting_suffixes_is_not_registered(offer, message):
    found = registry(one=offering(offer))
    assert message in found.plugins[0].error
    assert not found.of(READER)


class Fixed(ik.Options):
    window: int
    """Nobody can say it."""


def test_options_of_a_reader_must_have_defaults():
    found = registry(one=offering(reader("one", ".toy", Options=Fixed)))
    assert "Options.window has no default, and nobody can set it" in found.plugins[0].error


class Undefined(ik.Options):
    window: "Nowhere" = None  # noqa: F821 - there is no such type, which pydantic finds when it is asked for options
    """No type."""


def test_a_reader_that_cannot_be_made_costs_no_run():
    found = registry(one=offering(reader("one", ".toy", Options=Undefined)), two=offering(reader("two", ".own")))
    assert "Undefined" in found.plugins[0].error
    assert list(readers_of(found)) == [".own"]


def test_show_says_which_files_a_reader_reads(folder):
    found = registry(one=offering(reader("one", ".toy", ".own", __doc__="Digits.")))
    assert "suffixes: .toy .own" in offer_text(found, "one")


def test_the_python_calls_read_them_too(folder, monkeypatch):
    net = torch.nn.Sequential(torch.nn.Identity())
    model = ik.wrap(net, transform=lambda image: torch.from_numpy(np.array(image)).permute(2, 0, 1).float())
    monkeypatch.setattr("interpretkit.api.readers_of", lambda _: {".toy": Named("toy", self_made)})
    result = ik.visualize(model, "images/steps.TOY", "feature_grid", layers=["0"])
    np.testing.assert_array_equal(result.maps["0"].values, np.full((1, 3, 2, 2), 255))


def self_made():
    return ik.Stored(values=np.full((2, 2), 255, np.uint8))
