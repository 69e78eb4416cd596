from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from interpretkit.errors import InputError
from interpretkit.inputs.items import counted, items, makes_batches, names_images, singles

PICTURE = Image.new("RGB", (4, 3))
IMAGES = torch.arange(5 * 3 * 4 * 4.0).reshape(5, 3, 4, 4)
LABELS = torch.tensor([4, 0, 3, 1, 2])


class Numbered(Dataset):
    """As most data sets are: they have a length, and no end."""

    def __len__(self):
        return 5

    def __getitem__(self, index):
        return IMAGES[index % 5], int(LABELS[index % 5])


class Streamed(IterableDataset):
    def __iter__(self):
        return zip(IMAGES, LABELS, strict=True)


def one_by_one():
    yield from zip(IMAGES, LABELS, strict=True)


def dictionaries(image, label):
    return [{image: each, label: number, "file": "a.png"} for each, number in zip(IMAGES, LABELS, strict=True)]


def unbatched(images, *, axes=3):
    batched = makes_batches(images)
    return [single for item in items(images) for single in singles(item, axes=axes, batched=batched)]


@pytest.mark.parametrize(
    "images",
    [
        (IMAGES, LABELS),
        [IMAGES, LABELS],
        (IMAGES, LABELS[:, None]),
        (IMAGES, LABELS.tolist(), ["what", "else", "is", "there", "."]),
        list(zip(IMAGES, LABELS, strict=True)),
        one_by_one(),
        Numbered(),
        Subset(Numbered(), range(5)),
        Streamed(),
        TensorDataset(IMAGES, LABELS),
        DataLoader(TensorDataset(IMAGES, LABELS), batch_size=2),
        DataLoader(TensorDataset(IMAGES, LABELS.double()), batch_size=2),
        DataLoader(TensorDataset(IMAGES, LABELS), batch_size=None),
        DataLoader(Numbered(), batch_size=3, collate_fn=lambda drawn: drawn),
        DataLoader(Numbered(), batch_size=3, collate_fn=lambda drawn: tuple(zip(*drawn, strict=True))),
        DataLoader(Streamed(), batch_size=2),
        {"pixel_values": IMAGES, "labels": LABELS},
        dictionaries("image", "label"),
        DataLoader(dictionaries("pixel_values", "labels"), batch_size=4),
    ],
)
def test_whatever_holds_them_the_images_come_one_by_one_each_with_its_label(images):
    found = unbatched(images)
    assert [label for _, label in found] == [4, 0, 3, 1, 2]
    assert torch.equal(torch.stack([image for image, _ in found]), IMAGES)


@pytest.mark.parametrize(
    "images",
    [
        IMAGES,
        list(IMAGES),
        iter(IMAGES),
        [IMAGES[:2], IMAGES[2:]],
        DataLoader(IMAGES, batch_size=2),
        {"image": IMAGES},
        [(image, {"boxes": torch.zeros(2, 4)}) for image in IMAGES],
        (IMAGES, torch.zeros(5, 14)),
        [(image, torch.zeros(14)) for image in IMAGES],
        [(image, None) for image in IMAGES],
        [(image, 0.5) for image in IMAGES],
    ],
)
def test_without_labels_or_with_what_is_no_label_they_have_none(images):
    found = unbatched(images)
    assert [label for _, label in found] == [None] * 5
    assert torch.equal(torch.stack([image for image, _ in found]), IMAGES)


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (3, 3),
        (np.int64(3), 3),
        (np.array([3]), 3),
        (torch.tensor(3), 3),
        (3.0, 3),
        (torch.tensor(3.0), 3),
        (True, 1),
        ("3", "3"),
        ("cat", "cat"),
        (0.5, None),
        ([1, 0], None),
    ],
)
def test_a_label_is_a_whole_number_or_a_name(label, expected):
    for image in (PICTURE, np.zeros((3, 4, 3)), torch.zeros(3, 4, 4)):
        [(_, found)] = singles((image, label), axes=3, batched=False)
        assert found == expected
        assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("axes", "shapes"),
    [(2, {(2, 8): 1, (5, 2, 8): 5}), (3, {(2, 8, 8): 1, (5, 2, 8, 8): 5}), (4, {(2, 4, 8, 8): 1, (5, 2, 4, 8, 8): 5})],
    ids=["signals", "images", "volumes"],
)
def test_a_tensor_is_one_image_or_several_by_the_axes_that_the_network_is_fed(axes, shapes):
    for shape, count in shapes.items():
        assert len(unbatched([torch.zeros(shape)], axes=axes)) == count
    # What a loader has put together is a batch whatever the network takes.
    loader = DataLoader(torch.zeros(5, 2, 8), batch_size=4)
    assert len(unbatched(loader, axes=3)) == 5


def test_arrays_of_four_axes_are_several_images_and_pictures_are_single():
    assert len(unbatched(np.zeros((5, 3, 4, 3)))) == 5
    assert len(unbatched([np.zeros((3, 4, 3)), np.zeros((3, 4))])) == 2
    assert len(unbatched([[PICTURE, PICTURE], PICTURE])) == 3
    assert [label for _, label in unbatched(([PICTURE, PICTURE], ["cat", "dog"]))] == ["cat", "dog"]


@pytest.mark.parametrize(
    ("images", "count"),
    [
        (IMAGES, 5),
        (IMAGES[0], 1),
        (PICTURE, 1),
        (np.zeros((3, 4)), 1),
        (np.zeros((5, 3, 4, 3)), 5),
        ((PICTURE, "cat"), 1),
        ((IMAGES, LABELS), 5),
        ([PICTURE, PICTURE], 2),
        ([IMAGES[:2], IMAGES[2:]], 5),
        ({"image": IMAGES}, 5),
        (Numbered(), 5),
        (DataLoader(Numbered(), batch_size=2), 5),
        (DataLoader(Numbered(), batch_size=2, drop_last=True), 0),
        (DataLoader(Streamed(), batch_size=2), 0),
        (Streamed(), 0),
        (iter([PICTURE]), 0),
    ],
)
def test_images_are_counted_where_that_costs_nothing(images, count):
    assert counted(images, axes=3) == count


def test_an_item_that_cannot_be_had_is_told_in_its_place_and_what_has_numbers_goes_on():
    class Broken(Numbered):
        def __getitem__(self, index):
            if index == 2:
                raise OSError("the disk is gone")
            return super().__getitem__(index)

    found = list(items(Broken()))
    assert [isinstance(item, InputError) for item in found] == [False, False, True, False, False]
    assert found[2].message == "item 2 of the Broken cannot be had: OSError: the disk is gone"

    def failing():
        yield PICTURE
        raise OSError("the disk is gone")

    found = list(items(failing()))
    assert [isinstance(item, InputError) for item in found] == [False, True]


@pytest.mark.parametrize("thing", [3, None, 1.5, print, "a.png"])
def test_what_holds_no_images_is_refused(thing, refusal):
    assert "images are paths, PIL images, arrays" in refusal(list, items(thing)).message


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (
            {"image": PICTURE, "pixel_values": IMAGES},
            "a mapping has pixel_values and image, and it is not known which is meant",
        ),
        (
            {"image": PICTURE, "label": 1, "labels": 0},
            "a mapping has labels and label, and it is not known which is meant",
        ),
        ({"img": IMAGES}, "a mapping holds its image as pixel_values or image, and this one has the keys img"),
        ((IMAGES, [1, 2]), "5 images with 2 labels"),
        ((IMAGES, 3), "5 images with 1 label"),
        (([PICTURE, PICTURE], "cat"), "2 images with 1 label"),
    ],
)
def test_labels_are_as_many_as_images_and_a_mapping_has_an_image(item, message, refusal):
    assert refusal(singles, item, axes=3, batched=False).message == message


def test_names_are_told_from_images():
    assert names_images({"path": "a.png"})
    assert names_images({"pth": "a.png"})
    assert not names_images({"img": PICTURE})
    assert not names_images(PICTURE)
