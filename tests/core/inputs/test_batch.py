from __future__ import annotations

import hashlib
import struct

import numpy as np
import pytest
import torch
from PIL import Image

from interpretkit.inputs.batch import batches, tensor_batches
from interpretkit.inputs.find import find_images
from interpretkit.inputs.given import handed_over
from interpretkit.inputs.read import read_image
from interpretkit.model.model import Model
from interpretkit.model.preprocessing import EightBit, Preprocessing, as_picture

RANDOM = np.random.default_rng(0)
COLOUR = RANDOM.integers(0, 256, (5, 7, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("size", "resize", "crop"), [((20, 31), 10, 8), ((31, 20), 45, 40), ((20, 31), None, 12), ((9, 7), None, 11)]
)
def test_a_mask_goes_where_the_pixels_of_its_image_go(tmp_path, size, resize, crop):
    height, width = size
    inside = RANDOM.integers(0, 2, size).astype(bool)
    Image.fromarray(np.zeros(size, np.uint8)).save(tmp_path / "image.png")
    Image.fromarray(inside).save(tmp_path / "mask.png")
    (tmp_path / "list.csv").write_text("path,mask\nimage.png,mask.png\n")
    models = {
        "known": plain_model(Preprocessing(resize=resize, crop=crop)),
        "own": plain_model(lambda picture: torch.zeros(3, crop, crop)),
    }
    [batch] = batches(map(read_image, find_images([str(tmp_path / "list.csv")])), models, batch_size=1)
    # By hand: the pixel of the image under the middle of each pixel that the model is fed.
    resized = [height, width] if resize is None else [resize * each // min(size) for each in size]
    rows, columns = (
        np.floor((np.arange(crop) + 0.5 + round((side - crop) / 2)) * length / side).astype(int)
        for side, length in zip(resized, size, strict=True)
    )
    within = np.ix_((rows >= 0) & (rows < height), (columns >= 0) & (columns < width))
    expected = np.zeros((crop, crop), bool)
    expected[within] = inside[np.ix_(rows[(rows >= 0) & (rows < height)], columns[(columns >= 0) & (columns < width)])]
    np.testing.assert_array_equal(batch.masks["known"][0], expected)
    assert batch.masks["own"] == (None,)
    assert batch.images[0].mask is None


def pictures(picture):
    return handed_over(picture, axes=3, leave_out=pytest.fail)


def scaled(picture):
    return torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1).float() / 255


def plain_model(preprocessing=scaled):
    return Model(module=torch.nn.Identity(), preprocessing=preprocessing)


def images_of(sizes):
    for number, size in enumerate(sizes):
        values = np.full((size, 4, 3), number, np.uint8)
        values[0, 0], values[0, 1] = 0, 255
        [pair] = pictures(Image.fromarray(values))
        yield pair


def test_images_of_equal_shape_go_together_in_order_of_arrival():
    sizes = [3, 5, 3, 3, 5, 9, 3, 5, 3]
    models = {"plain": plain_model(), "rows": plain_model(lambda picture: scaled(picture)[:, 1:])}
    found = list(batches(images_of(sizes), models, batch_size=3))
    numbers = [[int(pixels[1, 1, 0]) for pixels in batch.pixels["plain"]] for batch in found]
    assert numbers == [[0, 2, 3], [1, 4, 7], [5], [6, 8]]
    for batch, members in zip(found, numbers, strict=True):
        size = sizes[members[0]]
        assert batch.inputs["plain"].shape == (len(members), 3, size, 4)
        assert batch.inputs["rows"].shape == (len(members), 3, size - 1, 4)
        assert batch.inputs["plain"].dtype == torch.float32
        for image, pixels, fed in zip(batch.images, batch.pixels["plain"], batch.inputs["plain"], strict=True):
            assert image.size == (4, size)
            # From 0 to 255 the stretched picture is the image itself.
            assert np.array_equal(pixels, np.rint(fed.numpy().transpose(1, 2, 0) * 255))


def test_images_go_through_one_at_a_time_and_few_of_them_wait():
    taken = []

    def supply(sizes):
        for pair in images_of(sizes):
            taken.append(pair)
            yield pair

    given = 0
    for batch in batches(supply(range(2, 40)), {"plain": plain_model()}, batch_size=2):
        given += len(batch.images)
        assert len(taken) - given < 8
    assert given == 38
    taken.clear()
    next(batches(supply([4] * 10), {"plain": plain_model()}, batch_size=2))
    assert len(taken) == 2


def shrinking(picture):
    picture.thumbnail((2, 2))
    return scaled(picture)


def test_a_preprocessing_that_works_in_place_does_not_reach_the_next_model():
    models = {"first": plain_model(shrinking), "second": plain_model()}
    [batch] = batches(images_of([8]), models, batch_size=1)
    assert batch.inputs["first"].shape != batch.inputs["second"].shape == (1, 3, 8, 4)


@pytest.mark.parametrize(
    ("preprocessing", "message"),
    [
        (lambda picture: {}["key"], "failed: KeyError: 'key'"),
        (lambda picture: np.zeros((3, 2, 2)), "made a ndarray"),
        (lambda picture: torch.zeros(1, 1, 3, 2, 2), "torch.float32 of shape (1, 1, 3, 2, 2)"),
        (lambda picture: torch.zeros(3), "finite floats (channel, y, x) or (channel, x) or (channel, z, y, x)"),
        (lambda picture: torch.zeros(3, 2, 2, dtype=torch.uint8), "torch.uint8 of shape (3, 2, 2)"),
        (lambda picture: torch.zeros(3, 0, 2), "of shape (3, 0, 2)"),
        (lambda picture: torch.full((3, 2, 2), torch.nan), "NaN or infinity"),
        (lambda picture: torch.full((3, 2, 2), 1e300, dtype=torch.float64), "NaN or infinity"),
    ],
)
def test_a_preprocessing_that_fails_is_named_with_image_and_model(preprocessing, message, refusal):
    error = refusal(list, batches(images_of([4]), {"mine": plain_model(preprocessing)}, batch_size=1))
    assert message in error.message
    assert "model 'mine'" in error.message
    assert error.where == "PIL image 0"


def test_an_image_too_narrow_to_be_resized_is_refused_and_a_single_pixel_is_not(tmp_path, refusal):
    usual = {"usual": Model(module=torch.nn.Identity())}
    for size in ((1, 50_000), (50_000, 1)):
        narrow = pictures(Image.new("RGB", size))
        error = refusal(list, batches(narrow, usual, batch_size=1))
        assert "would be resized to" in error.message
        assert "12800000" in error.message
    [batch] = batches(pictures(Image.new("RGB", (1, 1), (9, 99, 199))), usual, batch_size=1)
    assert (batch.pixels["usual"][0] == (9, 99, 199)).all()
    assert batch.pixels["usual"][0].shape == (224, 224, 3)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_tensor_is_fed_as_it_is(dtype):
    tensor = torch.randn(5, 3, 4, 6, generator=torch.Generator().manual_seed(0)).to(dtype)
    tensor = tensor.transpose(2, 3).requires_grad_()
    models = {"a": plain_model(), "b": plain_model()}
    found = list(tensor_batches(tensor, models, batch_size=2))
    assert [[image.id for image in batch.images] for batch in found] == [
        ["image0", "image1"],
        ["image2", "image3"],
        ["image4"],
    ]
    for key in models:
        fed = torch.cat([batch.inputs[key] for batch in found])
        assert not fed.requires_grad
        assert fed.dtype == dtype
        assert torch.equal(fed, tensor)
    [last], values = found[-1].images, tensor[4].detach().double().numpy()
    assert last.size == (4, 6)
    assert np.array_equal(found[-1].pixels["a"][0], as_picture((values - values.min()) / (values.max() - values.min())))


def test_the_hash_of_an_image_in_a_tensor_is_that_of_its_bytes_in_order():
    tensor = torch.arange(48, dtype=torch.float32).reshape(2, 3, 4, 2).transpose(2, 3)
    [batch] = tensor_batches(tensor, {}, batch_size=2)
    values = [struct.pack("<24f", *image.flatten().tolist()) for image in tensor]
    assert [image.sha256 for image in batch.images] == [hashlib.sha256(each).hexdigest() for each in values]


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(4, 4),
        torch.zeros(1, 1, 3, 4, 4, 4),
        torch.zeros(1, 3, 4, 4, dtype=torch.uint8),
        torch.full((1, 3, 4, 4), torch.inf),
        torch.ones(1, 3, 4, 4).to_sparse(),
        torch.ones(1, 3, 4, 4, device="meta"),
        COLOUR,
    ],
    ids=["two dims", "six dims", "integers", "infinite", "sparse", "meta", "array"],
)
def test_what_cannot_be_fed_as_it_is_is_refused(tensor, refusal):
    assert "(image, channel, y, x)" in refusal(list, tensor_batches(tensor, {}, batch_size=1)).message


def test_a_tensor_of_no_images_is_refused_as_such(refusal):
    error = refusal(list, tensor_batches(torch.zeros(0, 3, 4, 4), {}, batch_size=1))
    assert str(error) == "no images are given (the tensor is torch.float32 of shape (0, 3, 4, 4))"


@pytest.mark.parametrize(
    ("shape", "size", "shown"),
    [
        ((2, 3, 7), (7, 1), lambda values: np.repeat(values[:, None], 16, axis=1)),
        ((2, 3, 5, 4, 6), (6, 4), lambda values: values),
    ],
    ids=["signals", "volumes"],
)
def test_signals_and_volumes_are_fed_as_they_are_and_have_a_picture(shape, size, shown):
    tensor = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    scaled = Preprocessing(resize=None, crop=None, mean=(0.5, 0.4, 0.3), std=(0.9, 0.8, 0.7))
    models = {"own": plain_model(), "known": plain_model(scaled)}
    [batch] = tensor_batches(tensor, models, batch_size=4)
    assert [image.size for image in batch.images] == [size, size]
    assert torch.equal(batch.inputs["own"], tensor)
    for position, values in enumerate(tensor.double().numpy()):
        whole = shown(values)
        stretched = (whole - whole.min()) / (whole.max() - whole.min())
        others = (1,) * (whole.ndim - 1)
        undone = whole * np.reshape((0.9, 0.8, 0.7), (3, *others)) + np.reshape((0.5, 0.4, 0.3), (3, *others))
        for key, between in {"own": stretched, "known": undone}.items():
            levels = np.round(between.clip(0, 1) * 255).astype(np.uint8)
            assert np.array_equal(batch.pixels[key][position], np.stack(list(levels), axis=-1))


@pytest.mark.parametrize(
    ("kind", "image"), [(torch.nn.Conv1d, (3, 8)), (torch.nn.Conv2d, (3, 8, 6)), (torch.nn.Conv3d, (3, 4, 8, 6))]
)
def test_one_image_without_the_axis_image_is_refused_by_what_the_network_takes(kind, image, refusal):
    models = {"net": Model(module=torch.nn.Sequential(kind(3, 2, 1)))}
    if len(image) > 2:
        error = refusal(list, tensor_batches(torch.zeros(image), models, batch_size=1))
        assert f"shape {image} is that of one image as model 'net' takes them" in error.message
    [batch] = tensor_batches(torch.zeros(1, *image), models, batch_size=1)
    assert batch.inputs["net"].shape == (1, *image)


def test_a_network_that_brings_its_inputs_to_other_axes_itself_is_given_them():
    models = {"spectrum": Model(module=torch.nn.Sequential(torch.nn.Unflatten(1, (1, 1)), torch.nn.Conv2d(1, 2, 1)))}
    [batch] = tensor_batches(torch.zeros(1, 1, 8), models, batch_size=1)
    assert batch.inputs["spectrum"].shape == (1, 1, 8)


@pytest.mark.parametrize("shape", [(2, 9), (2, 3, 4, 4)], ids=["signal", "volume"])
def test_a_preprocessing_may_make_signals_and_volumes(shape):
    models = {"mine": plain_model(lambda picture: torch.full(shape, picture.width / 10, dtype=torch.float64))}
    [batch] = batches(images_of([3, 4]), models, batch_size=2)
    assert torch.equal(batch.inputs["mine"], torch.full((2, *shape), 0.4))


def test_a_preprocessing_that_makes_a_batch_of_one_is_refused_by_what_the_network_takes(refusal):
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1))
    models = {"mine": Model(module=net, preprocessing=lambda picture: scaled(picture)[None])}
    error = refusal(list, batches(images_of([4]), models, batch_size=1))
    assert "model 'mine' made torch.float32 of shape (1, 3, 4, 4), a batch of one image" in error.message


def test_what_is_done_for_several_models_is_said_once_for_the_image_and_what_differs_each():
    values = np.linspace(0, 4095, 30).reshape(5, 6).astype(np.uint16)
    models = {
        "one": plain_model(Preprocessing(resize=None, crop=None)),
        "two": plain_model(Preprocessing(resize=None, crop=None)),
        "bytes": plain_model(EightBit(scaled)),
        "own": plain_model(lambda picture: torch.from_numpy(np.array(picture)).float()[None]),
    }
    [batch] = batches(pictures(Image.fromarray(values)), models, batch_size=1)
    [image] = batch.images
    said = "12 of 16 bits used: scaled from 0 … 4095"
    assert image.conversions == (said, "scaled to 8 bits", "grey to RGB")
    assert image.alerts == (f"{said}, which is a guess: state the range by `range:`",)
    np.testing.assert_array_equal(batch.inputs["own"][0, 0], values)
    np.testing.assert_allclose(batch.inputs["bytes"][0, 1], np.rint(values / 4095 * 255) / 255)


def test_values_without_a_range_are_refused_by_the_place_of_the_image_and_given_to_a_transform(tmp_path, refusal):
    path = tmp_path / "scan.tif"
    Image.fromarray(np.linspace(-1000, 400, 30).reshape(5, 6).astype(np.int32)).save(path)
    error = refusal(
        list, batches(map(read_image, find_images([str(path)])), {"usual": plain_model(Preprocessing())}, batch_size=1)
    )
    assert (error.where, error.hint) == (str(path), "say it, such as `range: [-1000, 400]`")
    own = plain_model(lambda picture: torch.from_numpy(np.array(picture)).float()[None])
    [batch] = batches(map(read_image, find_images([str(path)])), {"own": own}, batch_size=1)
    assert batch.inputs["own"].min() == -1000


def test_a_transform_that_cannot_take_stored_values_is_told_what_takes_it(refusal):
    picture = Image.fromarray(np.full((5, 6), 4095, np.uint16))
    error = refusal(list, batches(pictures(picture), {"mine": plain_model(scaled)}, batch_size=1))
    assert "`EightBit(transform)`" in error.hint
