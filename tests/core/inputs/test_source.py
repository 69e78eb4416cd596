from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from interpretkit.inputs.decode import told_pages
from interpretkit.inputs.find import find
from interpretkit.inputs.source import Files, Given, named_in
from interpretkit.model.model import Model
from interpretkit.model.preprocessing import Preprocessing

MODELS = {"model": Model(module=torch.nn.Identity(), preprocessing=Preprocessing(resize=None, crop=None))}

pages_of = partial(told_pages, readers={})


def ids(source, leave_out=None):
    found = source.batches(MODELS, batch_size=2, leave_out=leave_out or pytest.fail)
    return [[image.id for image in batch.images] for batch in found]


def saved(folder, *names):
    for name in names:
        Image.new("RGB", (6, 5), "teal").save(folder / f"{name}.png")


def files(*paths):
    return Files(find(list(map(str, paths)), pages=pages_of))


def test_a_file_that_cannot_be_read_is_told_and_left_out(tmp_path):
    saved(tmp_path, "a", "c", "d")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:40])
    source = files(tmp_path)
    told = []
    assert ids(source, told.append) == [["a", "c"], ["d"]]
    assert [error.where for error in told] == [str(tmp_path / "b.png")]
    assert source.total(MODELS) == 4


def test_a_file_that_is_empty_or_a_link_to_nothing_costs_only_itself_and_keeps_its_place(tmp_path):
    saved(tmp_path, "b", "d")
    (tmp_path / "a.png").touch()
    (tmp_path / "c.png").symlink_to("gone.png")
    (tmp_path / "notes.txt").touch()
    source = files(tmp_path)
    told = []
    batches = source.batches(MODELS, batch_size=2, leave_out=told.append)
    assert [(image.id, image.position) for batch in batches for image in batch.images] == [("b", 1), ("d", 3)]
    assert [(error.where, error.message) for error in told] == [
        (str(tmp_path / "a.png"), "is empty"),
        (str(tmp_path / "c.png"), "does not exist"),
    ]
    assert source.total(MODELS) == 4
    assert source.remarks == (f"{tmp_path}: left out 1 .txt",)


@pytest.mark.parametrize(("mask", "masked"), [("", False), ("b.png", True)])
def test_files_are_masked_where_one_of_them_has_a_mask(tmp_path, mask, masked):
    saved(tmp_path, "a", "b")
    (tmp_path / "list.csv").write_text(f"path,mask\na.png,\nb.png,{mask}\n")
    assert files(tmp_path / "list.csv").masked is masked


@pytest.mark.parametrize("several", [False, True])
def test_a_picture_or_several_may_be_handed_over(several):
    picture = Image.new("RGB", (6, 5), "teal")
    source = Given([picture, picture, picture] if several else picture)
    assert ids(source) == ([["image0", "image1"], ["image2"]] if several else [["image0"]])
    assert (source.total(MODELS), source.masked) == (3 if several else 1, False)


def test_a_tensor_that_is_handed_over_is_fed_as_it_is():
    tensor = torch.arange(3 * 3 * 4 * 4.0).reshape(3, 3, 4, 4)
    source = Given(tensor)
    batches = list(source.batches(MODELS, batch_size=2, leave_out=pytest.fail))
    assert source.total(MODELS) == 3
    assert torch.equal(torch.cat([batch.inputs["model"] for batch in batches]), tensor)


def test_an_image_that_is_handed_over_and_cannot_be_fed_costs_only_itself():
    good = np.zeros((5, 6, 3), np.uint8)
    told = []
    assert ids(Given([good, 7, np.zeros((5, 6, 4)), good]), told.append) == [["image0", "image3"]]
    assert [str(error).split(" (")[0] for error in told] == ["image1: is of type int", "array 2: has 4 bands"]


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        ("a.png", ["a.png"]),
        (Path("a.png"), ["a.png"]),
        (("a.png", Path("b.png")), ["a.png", "b.png"]),
        (map(Path, ["a.png", "b.png"]), ["a.png", "b.png"]),
        ({"path": "a.png", "bands": [1]}, [{"path": "a.png", "bands": [1]}]),
        ([], []),
        (iter([]), None),
        (["a.png", np.zeros((4, 3))], None),
        ({"image": np.zeros((4, 3))}, None),
        (torch.zeros(1, 3, 4, 4), None),
    ],
)
def test_images_are_named_as_in_a_recipe(images, expected):
    names, _ = named_in(images)
    assert names == expected


def test_an_iterator_of_images_loses_none_by_being_looked_at():
    names, images = named_in(iter([1, 2, 3]))
    assert names is None
    assert list(images) == [1, 2, 3]
