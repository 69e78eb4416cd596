from __future__ import annotations

import gzip
import logging
import shutil
import sys
import tracemalloc

import nibabel
import numpy as np
import pytest
import torch

import interpretkit as ik
from interpretkit.contracts.kinds import READER
from interpretkit.contracts.registry import discover
from interpretkit.engine.offered import readers_of
from interpretkit.inputs.find import find_images
from interpretkit.inputs.read import read_image
from interpretkit.testing import checks_of
from interpretkit_nifti.nifti import NiftiReader

NOISE = np.random.default_rng(0)
VALUES = NOISE.integers(-1000, 3000, (5, 6, 7)).astype(np.int16)
RIGHT, FRONT, UP = range(3)


def saved(path, values, affine=None, **header):
    affine = np.diag([2.0, 2.0, 4.0, 1.0]) if affine is None else affine
    image = nibabel.Nifti1Image(values, affine)
    for key, value in header.items():
        image.header[key] = value
    nibabel.save(image, path)
    return path


def oriented(codes, *, tilt=0.0):
    """The affine of a file whose axes run towards these sides, tilted by so many radians about the body's long axis."""
    affine = np.eye(4)
    for axis, code in enumerate(codes):
        body = next(number for number, pair in enumerate(("LR", "PA", "IS")) if code in pair)
        affine[:3, axis] = 0
        affine[body, axis] = 1 if code in "RAS" else -1
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]]
    return turn @ affine


def reader():
    return NiftiReader(NiftiReader.Options())


def read(path, page=0):
    return reader().read(path, page)


def test_it_is_offered_and_keeps_the_contract(tmp_path):
    assert discover().find(READER, "nifti").offer is NiftiReader
    colours = np.zeros((4, 5, 6), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    files = [saved(tmp_path / "a.nii", VALUES), saved(tmp_path / "b.nii.gz", colours)]
    for check in checks_of(NiftiReader, files=files):
        check()


@pytest.mark.parametrize("codes", ["RAS", "LAS", "LPS", "PSR", "SAL", "ASR", "IPR"])
@pytest.mark.parametrize("tilt", [0.0, 0.3, -0.5])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_whatever_order_the_file_has_the_front_is_above_and_the_right_side_on_the_left(tmp_path, codes, tilt, suffix):
    sides = {RIGHT: 5, FRONT: 6, UP: 7}
    body = [next(number for number, pair in enumerate(("LR", "PA", "IS")) if code in pair) for code in codes]
    values = np.zeros([sides[each] for each in body], np.uint8)
    # A voxel to the right, another to the front, of different slices: found by where the affine puts them.
    places = {200: {RIGHT: 4, FRONT: 2, UP: 1}, 100: {RIGHT: 1, FRONT: 5, UP: 6}}
    for value, place in places.items():
        index = [
            place[each] if code in "RAS" else sides[each] - 1 - place[each]
            for each, code in zip(body, codes, strict=True)
        ]
        values[tuple(index)] = value
    path = saved(tmp_path / f"a{suffix}", values, oriented(codes, tilt=tilt))
    assert reader().pages(path) == 7
    for value, place in places.items():
        stored = read(path, place[UP])
        assert stored.values.shape == (6, 5)
        assert np.argwhere(stored.values == value).tolist() == [[5 - place[FRONT], 4 - place[RIGHT]]]
        assert stored.conversions == ("axial slice, the right side on the left",)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR", "SRA"])
def test_slices_are_those_of_the_canonical_volume_of_nibabel(tmp_path, codes):
    path = saved(tmp_path / "a.nii", VALUES, oriented(codes, tilt=0.2))
    canonical = np.asarray(nibabel.as_closest_canonical(nibabel.load(path)).dataobj)
    assert reader().pages(path) == canonical.shape[2]
    for page in range(canonical.shape[2]):
        np.testing.assert_array_equal(read(path, page).values, canonical[::-1, ::-1, page].T)


@pytest.mark.parametrize(
    ("codes", "shape", "plane"),
    [
        ("RAS", (5, 1, 7), "coronal slice, the right side on the left"),
        ("RAS", (1, 6, 7), "sagittal slice, the front on the left"),
        ("RAS", (5, 6, 1), "axial slice, the right side on the left"),
        ("RAS", (5, 6), "axial slice, the right side on the left"),
        ("RSA", (5, 7), "coronal slice, the right side on the left"),
    ],
)
def test_a_single_slice_is_shown_as_it_was_taken(tmp_path, codes, shape, plane):
    values = NOISE.integers(0, 100, shape).astype(np.int16)
    path = saved(tmp_path / "a.nii", values, oriented(codes))
    stored = read(path)
    assert reader().pages(path) == 1
    assert stored.conversions == (plane,)
    np.testing.assert_array_equal(stored.values, np.squeeze(values)[::-1, ::-1].T)


def test_slope_and_intercept_are_applied_and_whole_numbers_stay_so_without(tmp_path):
    path = saved(tmp_path / "a.nii", VALUES)
    assert read(path).values.dtype == np.int16
    image = nibabel.Nifti1Image(VALUES, np.eye(4))
    image.header.set_slope_inter(0.5, -10)
    nibabel.save(image, path)
    loaded = nibabel.load(path)
    np.testing.assert_allclose(read(path, 3).values, loaded.get_fdata()[::-1, ::-1, 3].T)


def test_the_display_range_of_the_file_is_the_range_of_its_values(tmp_path):
    stored = read(saved(tmp_path / "a.nii", VALUES, cal_min=-200, cal_max=300))
    assert (stored.range, stored.said_by) == ((-200, 300), "display range of the file")
    assert read(saved(tmp_path / "b.nii", VALUES)).range is None


def test_of_a_series_the_first_volume_is_read_and_that_is_said(tmp_path):
    series = np.stack([VALUES, VALUES + 1, VALUES + 2], axis=-1)
    path = saved(tmp_path / "a.nii", series)
    stored = read(path, 2)
    np.testing.assert_array_equal(stored.values, VALUES[::-1, ::-1, 2].T)
    assert stored.alerts == ("volume 1 of 3: save another by itself to see it",)


def test_colours_have_three_channels(tmp_path):
    colours = NOISE.integers(0, 256, (4, 5, 6, 3)).astype(np.uint8)
    kept = colours.view([("R", "u1"), ("G", "u1"), ("B", "u1")])[..., 0]
    stored = read(saved(tmp_path / "a.nii", kept), 2)
    np.testing.assert_array_equal(stored.values, colours[::-1, ::-1, 2].swapaxes(0, 1))


def test_a_file_that_does_not_say_which_side_is_which_says_so(tmp_path):
    image = nibabel.Nifti1Image(VALUES, None)
    nibabel.save(image, tmp_path / "a.nii")
    (alert,) = read(tmp_path / "a.nii").alerts
    assert alert.startswith("the file does not say which side is which")


@pytest.mark.parametrize(
    ("codes", "lengths", "shape", "sides"),
    [
        ("RAS", (1, 2, 5), (3, 4, 5), (2, 1)),
        ("ARS", (1, 2, 5), (3, 4, 5), (1, 2)),
        ("SPL", (1, 2, 5), (3, 4, 5), (2, 5)),
        ("RAS", (1, 2, 5), (3, 1, 5), (5, 1)),  # a single coronal slice
        ("RAS", (2, 2.01, 5), (3, 4, 5), None),
    ],
)
@pytest.mark.parametrize("tilt", [0.0, 0.3])
def test_pixels_that_are_no_squares_are_told_of(tmp_path, *, codes, lengths, shape, sides, tilt):
    affine = oriented(codes, tilt=tilt) @ np.diag([*lengths, 1.0])
    path = saved(tmp_path / "a.nii", np.zeros(shape, np.int16), affine, xyzt_units=2)
    found = read(path).alerts
    if sides is None:
        assert found == ()
    else:
        (alert,) = found
        assert alert.startswith(f"pixels are {sides[0]} mm high and {sides[1]} mm wide, and taken as squares")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((2, 3, 4), np.complex64), "holds complex64 numbers"),
        (np.zeros((2, 3, 4, 5, 6), np.int16), "holds 2×3×4×5×6 values"),
        (np.zeros(5, np.int16), "holds 5 values"),
        (np.zeros((2, 3, 4), [(name, "u1") for name in "RGBA"]), "holds colours of 4 channels"),
    ],
)
def test_what_is_no_volume_of_numbers_is_refused(tmp_path, values, message):
    path = saved(tmp_path / "a.nii", values)
    with pytest.raises(ik.InputError, match=message):
        read(path)


def test_axes_of_length_one_after_those_of_space_are_none(tmp_path):
    stored = read(saved(tmp_path / "a.nii", VALUES[..., None, None]), 2)
    np.testing.assert_array_equal(stored.values, VALUES[::-1, ::-1, 2].T)
    assert stored.alerts == ()


def read_as_named(path):
    [file] = find_images([str(path)])
    return read_image(file, readers=readers_of(discover()))[1]


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("name", ["IM_0001", "scan.png", "b.NII"])
def test_a_file_is_known_by_what_is_in_it(tmp_path, kind, name):
    nibabel.save(kind(VALUES, np.eye(4)), tmp_path / "a.nii")
    shutil.copy(tmp_path / "a.nii", tmp_path / name)
    np.testing.assert_array_equal(read_as_named(tmp_path / name).values, VALUES[::-1, ::-1, 0].T)


def test_a_compressed_file_without_the_suffix_for_that_is_unpacked(tmp_path):
    shutil.copy(saved(tmp_path / "a.nii.gz", VALUES), tmp_path / "b.nii")
    np.testing.assert_array_equal(read(tmp_path / "b.nii", 3).values, VALUES[::-1, ::-1, 3].T)


def test_the_header_of_a_pair_is_read_with_the_image_beside_it(tmp_path):
    nibabel.save(nibabel.Nifti1Pair(VALUES, np.eye(4)), tmp_path / "a.hdr")
    np.testing.assert_array_equal(read_as_named(tmp_path / "a.hdr").values, VALUES[::-1, ::-1, 0].T)


def test_without_nibabel_the_extra_is_named(tmp_path, monkeypatch):
    path = saved(tmp_path / "a.nii.gz", VALUES)
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(ik.InputError) as caught:
        read_as_named(path)
    what = "is read by reader 'nifti', and what that needs is not installed"
    assert str(caught.value) == f"{path}: {what} (pip install 'interpretkit[nifti]')"


@pytest.mark.parametrize("page", [0, 6])
def test_a_file_that_is_cut_short_is_refused_on_every_page(tmp_path, page):
    path = saved(tmp_path / "a.nii", VALUES)
    whole = path.read_bytes()
    path.write_bytes(whole[:-50])
    there, end = len(whole) - 50, len(whole)
    with pytest.raises(ik.InputError, match=f"^is cut short: {there} of {end} bytes are there"):
        read(path, page)
    packed = tmp_path / "b.nii.gz"
    packed.write_bytes(gzip.compress(whole[:-50]))
    with pytest.raises(ik.InputError, match=f"^is cut short: {there} of {end} bytes are there"):
        read(packed, page)
    for damaged in (gzip.compress(whole)[:-50], gzip.compress(whole)[:-8] + bytes(8)):
        packed.write_bytes(damaged)
        with pytest.raises(ik.InputError, match=r"^cannot be read as NIfTI \((EOFError|BadGzipFile)\)"):
            read(packed, page)


def test_of_a_file_that_is_not_compressed_a_slice_is_read_alone(tmp_path):
    path = saved(tmp_path / "a.nii", np.zeros((256, 256, 400), np.int16))
    read(path)
    tracemalloc.start()
    try:
        read(path, 200)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10 * 256 * 256 * 2


def test_a_compressed_file_is_unpacked_once_and_anew_when_it_has_changed(tmp_path, monkeypatch):
    unpacked = []
    unpack = gzip.GzipFile.read

    def counted(self, size=-1):
        found = unpack(self, size)
        unpacked.append(len(found))
        return found

    monkeypatch.setattr(gzip.GzipFile, "read", counted)
    path = saved(tmp_path / "a.nii.gz", NOISE.integers(0, 99, (40, 40, 50)).astype(np.int16))
    keeping = reader()
    for page in range(50):
        keeping.read(path, page)
    assert sum(unpacked) < 2 * 40 * 40 * 50 * 2
    saved(path, VALUES)
    np.testing.assert_array_equal(keeping.read(path, 2).values, VALUES[::-1, ::-1, 2].T)


def test_of_a_compressed_series_no_more_than_the_first_volume_is_unpacked(tmp_path):
    series = NOISE.integers(0, 9, (60, 60, 50, 20)).astype(np.int16)
    path = saved(tmp_path / "a.nii.gz", series)
    tracemalloc.start()
    try:
        np.testing.assert_array_equal(read(path, 2).values, series[::-1, ::-1, 2, 0].T)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < series.nbytes / 2


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_whatever_is_damaged_is_told_in_one_line_and_nowhere_else(tmp_path, capfd, caplog, suffix):
    path = saved(tmp_path / "a.nii", VALUES, descrip=b"Secret Name", db_name=b"Secret")
    whole = path.read_bytes()
    generator = np.random.default_rng(1)
    refused = 0
    for _ in range(300):
        damaged = bytearray(whole)
        for place in generator.integers(0, 348, 4):
            damaged[place] ^= 1 << int(generator.integers(8))
        path = tmp_path / f"b{suffix}"
        path.write_bytes(gzip.compress(damaged, 1) if suffix == ".nii.gz" else damaged)
        try:
            reader().pages(path)
            said = str(read(path))
        except ik.InputError as error:
            refused += 1
            said = str(error)
            assert "\n" not in said
        assert "Secret" not in said
    assert 0 < refused < 300
    heard = capfd.readouterr()
    assert heard.out + heard.err + caplog.text == ""
    assert not logging.getLogger("nibabel.global").disabled


def test_a_volume_goes_through_a_network_of_three_axes(tmp_path):
    saved(tmp_path / "brain.nii.gz", np.abs(VALUES), cal_min=0, cal_max=3000)
    net = torch.nn.Sequential(
        torch.nn.Conv3d(1, 4, 3, padding=1), torch.nn.AdaptiveAvgPool3d(1), torch.nn.Flatten(), torch.nn.Linear(4, 2)
    )
    grey = ik.Preprocessing(resize=None, crop=None, mean=(0.5,), std=(0.5,))
    images = {"path": str(tmp_path), "pages": "volume"}
    found = ik.visualize(ik.wrap(net, transform=grey), images, "grad_cam", layers=["0"], target=0)
    assert found.maps["0"].values.shape == (1, 7, 6, 5)
    fed = torch.from_numpy(np.clip(np.abs(VALUES) / 3000, 0, 1)[::-1, ::-1].T.copy()).float()[None, None] * 2 - 1
    expected = ik.visualize(net, fed, "grad_cam", layers=["0"], target=0)
    np.testing.assert_allclose(found.maps["0"].values, expected.maps["0"].values, atol=1e-5)


def test_a_run_of_a_volume_says_how_it_was_read_and_nothing_that_the_header_tells(tmp_path):
    path = saved(tmp_path / "brain.nii.gz", np.abs(VALUES), cal_min=0, cal_max=3000, descrip=b"Secret Name")
    net = torch.nn.Sequential(
        torch.nn.Conv3d(1, 4, 3, padding=1), torch.nn.AdaptiveAvgPool3d(1), torch.nn.Flatten(), torch.nn.Linear(4, 2)
    )
    recipe = {
        "schema": "interpretkit/1",
        "name": "volume",
        "inputs": [{"path": str(path), "pages": "volume"}],
        "steps": [{"id": "cam", "uses": "grad_cam", "with": {"layers": ["0"], "target": 0}}],
    }
    grey = ik.Preprocessing(resize=None, crop=None, mean=(0.5,), std=(0.5,))
    run = ik.run(recipe, model=ik.wrap(net, transform=grey), output=tmp_path / "runs")
    assert run.status == "complete"
    assert run.results["cam"].maps["0"].values.shape == (1, 7, 6, 5)
    [image] = run.manifest["inputs"]
    assert image["conversions"] == [
        "volume of 7 pages",
        "axial slice, the right side on the left",
        "scaled from 0 … 3000 (display range of the file)",
    ]
    assert not any(b"Secret" in file.read_bytes() for file in run.path.rglob("*") if file.is_file())
