from __future__ import annotations

import hashlib
import io
import weakref

import numpy as np
import pytest
import torch
from PIL import Image

from interpretkit.inputs.given import handed_over

COLOUR = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
WIDE = np.random.default_rng(1).integers(0, 4096, (5, 7)).astype(np.uint16)


def known(images, *, leave_out=pytest.fail):
    return list(handed_over(images, axes=3, leave_out=leave_out))


def told(images):
    faults = []
    found = known(images, leave_out=faults.append)
    return [image.id for image, _ in found], [str(fault) for fault in faults]


def test_a_picture_is_upright_and_is_left_as_it_is():
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = Image.fromarray(COLOUR[..., 0])
    turned.info["exif"] = exif.tobytes()
    (one, _), (two, stored) = known(iter([Image.fromarray(COLOUR), turned]))
    assert (one.id, one.source, one.size, one.conversions) == ("image0", "PIL image 0", (7, 5), ())
    assert one.sha256 == hashlib.sha256(COLOUR.tobytes()).hexdigest()
    assert (two.id, two.size, two.conversions) == ("image1", (5, 7), ("EXIF orientation 6 applied",))
    np.testing.assert_array_equal(stored.values, COLOUR[..., 0].T[:, ::-1])
    np.testing.assert_array_equal(np.asarray(turned), COLOUR[..., 0])


@pytest.mark.parametrize("values", [COLOUR, COLOUR[..., 0], COLOUR[..., :1], WIDE, COLOUR[..., 0] > 100])
def test_an_array_is_the_picture_of_the_same_values(values):
    [(image, stored)] = known(values)
    picture = Image.fromarray(values[..., 0] if values.shape[-1] == 1 else values)
    [(same, expected)] = known(picture)
    assert (image.id, image.source, image.size) == ("image0", "array 0", (7, 5))
    assert image.sha256 == same.sha256
    assert stored.axes == expected.axes
    np.testing.assert_array_equal(stored.values, expected.values)


def test_floats_and_values_of_more_bits_stay_as_they_are():
    for values in (WIDE, WIDE.astype(np.int32) - 1000, np.float64(WIDE)):
        [(_, stored)] = known([values])
        assert stored.values.dtype == values.dtype
        np.testing.assert_array_equal(stored.values, values)


def test_a_tensor_is_what_the_network_is_fed():
    tensor = torch.arange(24, dtype=torch.float64).reshape(3, 4, 2).requires_grad_()
    [(image, fed), (other, _)] = known([tensor, torch.zeros(1, 3, 8, 6)])
    assert torch.equal(fed, tensor.detach())
    assert not fed.requires_grad
    assert (image.id, image.source, image.size) == ("image0", "tensor[0]", (2, 4))
    assert image.sha256 == hashlib.sha256(tensor.detach().numpy().tobytes()).hexdigest()
    assert (other.id, other.size) == ("image1", (6, 8))


def test_what_is_no_image_is_told_by_its_number_and_the_others_keep_theirs():
    good = torch.zeros(3, 8, 8)
    lazy = Image.open(io.BytesIO(_encoded(Image.fromarray(COLOUR))[:-60]))
    bad = {
        "is of type int": 7,
        "is a path among images": "a.png",
        "torch.uint8 of shape (3, 8, 8)": good.byte(),
        "NaN or infinity": good / 0,
        "shape (8,)": good[0, 0],
        "an array 3×8×8 whose axes are not known": good.numpy(),
        "an array of object": np.array([[print]]),
        "an array 0×4, which is empty": np.zeros((0, 4)),
        "it has no pixels": Image.new("RGB", (0, 5)),
        "cannot be read": lazy,
        "a mapping holds its image as": {"img": good},
    }
    ids, faults = told([good, *bad.values(), good])
    assert ids == ["image0", f"image{len(bad) + 1}"]
    for number, (fault, words) in enumerate(zip(faults, bad, strict=True), 1):
        assert fault.startswith(f"image{number}: ")
        assert words in fault


def test_nothing_is_no_images(refusal):
    for images in ([], iter([]), ()):
        assert refusal(known, images).message == "no images are given"


def test_images_come_when_they_are_asked_for_and_are_not_held():
    alive = []

    def supply():
        for value in range(50):
            picture = Image.new("RGB", (4, 3), (value, 0, 0))
            alive.append(weakref.ref(picture))
            yield picture

    most = 0
    for image, _ in handed_over(supply(), axes=3, leave_out=pytest.fail):
        most = max(most, sum(each() is not None for each in alive))
        assert image.position < 50
    assert most <= 3


def _encoded(picture):
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def test_masked_values_are_not_shown():
    values = np.ma.masked_greater(np.arange(12).reshape(3, 4), 5)
    ids, faults = told([values, np.ma.array(np.zeros((3, 4)))])
    assert ids == ["image1"]
    assert "holds masked values" in faults[0]
