from __future__ import annotations

import io
import logging
import sys
import warnings
from functools import partial
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels.decoders.base import Decoder
from pydicom.pixels.processing import apply_modality_lut, apply_voi, apply_windowing
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLossless,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

import interpretkit as ik
from interpretkit.contracts.kinds import READER
from interpretkit.contracts.registry import discover
from interpretkit.engine.offered import readers_of
from interpretkit.inputs.decode import stored_in
from interpretkit.inputs.find import find_images
from interpretkit.inputs.read import read_image
from interpretkit.inputs.reading import Reading
from interpretkit.results.scaling import scaled
from interpretkit.testing import checks_of, tiny_model
from interpretkit_dicom.dicom import DicomReader

NOISE = np.random.default_rng(0)
TWELVE = NOISE.integers(0, 4096, (6, 8)).astype(np.uint16)
HOUNSFIELD = NOISE.integers(0, 4096, (6, 8)).astype(np.int16)
PATIENT = {
    "PatientName": "Doe^Jonathan",
    "PatientID": "MRN-4711-0815",
    "PatientBirthDate": "19700203",
    "InstitutionName": "Saint Elsewhere",
    "AccessionNumber": "ACC99821",
    "StudyDate": "20210304",
}


def saved(path, values, *, syntax=ExplicitVRLittleEndian, bits=12, **tags):
    """Write values as a DICOM file, with the tags of somebody's examination."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    colours = values.ndim > 2 and values.shape[-1] == 3
    frames = values.shape[:-3] if colours else values.shape[:-2]
    if frames:
        dataset.NumberOfFrames = frames[0]
    dataset.Rows, dataset.Columns = values.shape[len(frames) : len(frames) + 2]
    dataset.SamplesPerPixel = 3 if colours else 1
    if colours:
        dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = "RGB" if colours else "MONOCHROME2"
    dataset.BitsAllocated = 8 * values.dtype.itemsize
    dataset.BitsStored = 8 if values.dtype == np.uint8 else bits
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(values.dtype.kind == "i")
    for key, value in {**PATIENT, **tags}.items():
        setattr(dataset, key, value)
    dataset.PixelData = values.tobytes()
    dataset["PixelData"].VR = "OB" if values.dtype == np.uint8 else "OW"
    if syntax == RLELossless:
        dataset.compress(RLELossless)
    dataset.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        dataset.PixelData = values.astype(values.dtype.newbyteorder(">")).tobytes()
    dataset.save_as(path, enforce_file_format=True)
    return path


def read(path, page=0):
    return DicomReader(DicomReader.Options()).read(Path(path), page)


def test_it_is_offered_and_keeps_the_contract(tmp_path):
    assert discover().find(READER, "dicom").offer is DicomReader
    files = [
        saved(tmp_path / "grey.dcm", TWELVE),
        saved(tmp_path / "frames.dcm", np.stack([TWELVE, TWELVE[::-1]])),
        saved(tmp_path / "colours.dicom", NOISE.integers(0, 256, (6, 8, 3)).astype(np.uint8)),
    ]
    for check in checks_of(DicomReader, files=files):
        check()


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless])
@pytest.mark.parametrize(
    ("values", "bits", "limits", "said"),
    [
        (TWELVE, 12, (0, 4095), "12 bits stored"),
        (HOUNSFIELD - 2048, 12, (-2048, 2047), "12 bits stored"),
        ((TWELVE * 16).astype(np.uint16), 16, (0, 65535), "16 bits stored"),
        ((TWELVE // 16).astype(np.uint8), 8, (0, 255), "8 bits stored"),
    ],
)
def test_values_are_those_that_were_stored_in_the_range_of_their_bits(tmp_path, *, values, bits, limits, said, syntax):
    stored = read(saved(tmp_path / "a.dcm", values, bits=bits, syntax=syntax))
    np.testing.assert_array_equal(stored.values, values)
    assert stored.values.dtype == values.dtype
    assert (stored.range, stored.said_by, stored.conversions, stored.alerts) == (limits, said, (), ())


@pytest.mark.parametrize("signed", [False, True])
def test_bits_above_those_stored_do_not_count(tmp_path, signed):
    values = HOUNSFIELD - 2048 if signed else TWELVE
    dirty = (values.view(np.uint16) & 0x0FFF | 0xA000).view(values.dtype)
    np.testing.assert_array_equal(read(saved(tmp_path / "a.dcm", dirty)).values, values)


@pytest.mark.parametrize("shape", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("slope", "intercept"), [(1, 0), (1, -1024), (0.5, 3), (-2, 100)])
@pytest.mark.parametrize(("center", "width"), [(40, 400), ([300, 7], [1500, 9]), (1000.5, 2.5)])
def test_a_window_of_the_file_gives_the_shares_of_the_standard(tmp_path, *, center, width, slope, intercept, shape):
    tags = {"WindowCenter": center, "WindowWidth": width, "VOILUTFunction": shape}
    path = saved(tmp_path / "a.dcm", TWELVE, RescaleSlope=slope, RescaleIntercept=intercept, **tags)
    dataset = pydicom.dcmread(path)
    with np.errstate(over="ignore"):
        shown = apply_windowing(apply_modality_lut(dataset.pixel_array, dataset), dataset)
    ends = sorted([intercept, slope * 4095 + intercept])
    expected = (shown - ends[0]) / (ends[1] - ends[0]) if slope > 0 else (shown - ends[1]) / (ends[0] - ends[1])
    found = scaled(read(path))
    np.testing.assert_allclose(found.values, expected, atol=1e-6)
    assert "window of the file" in found.conversions[-1]


def test_whole_numbers_stay_whole_when_they_are_rescaled(tmp_path):
    stored = read(saved(tmp_path / "a.dcm", TWELVE, RescaleSlope=1, RescaleIntercept=-1024))
    assert stored.values.dtype == np.int32
    np.testing.assert_array_equal(stored.values, TWELVE.astype(int) - 1024)
    assert (stored.range, stored.conversions) == ((-1024, 3071), ("rescaled by 1 and -1024",))


@pytest.mark.parametrize("window", [{}, {"WindowCenter": 700, "WindowWidth": 900}])
@pytest.mark.parametrize("shape", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_where_high_values_are_dark_the_picture_is_that_of_the_twin_where_they_are_bright(tmp_path, window, shape):
    twin = dict(window)
    if window:
        # A linear window reaches from one value above its lower end: around 0 to 4095 its middle is turned to 4096 - c.
        twin["WindowCenter"] = (4096 if shape == "LINEAR" else 4095) - 700
    dark = saved(tmp_path / "a.dcm", TWELVE, PhotometricInterpretation="MONOCHROME1", VOILUTFunction=shape, **window)
    bright = saved(tmp_path / "b.dcm", (4095 - TWELVE).astype(np.uint16), VOILUTFunction=shape, **twin)
    first, second = read(dark), read(bright)
    np.testing.assert_allclose(scaled(first).values, scaled(second).values, atol=1e-6)
    if shape != "SIGMOID":
        np.testing.assert_array_equal(first.values, second.values)
    assert first.conversions[-1] == "inverted: MONOCHROME1"


def table_of(entries, first, bits):
    table = Dataset()
    table.LUTDescriptor = [len(entries), first, bits]
    table.add_new("LUTData", "OW", entries.astype(np.uint16).tobytes())
    return table


def test_tables_of_the_modality_and_of_values_are_applied(tmp_path):
    measured = np.linspace(0, 255, 4096).round().astype(int)
    curve = (np.linspace(0, 1, 256) ** 2 * 4095).round()
    modality, voi = table_of(measured, 0, 16), table_of(curve, 0, 12)
    path = saved(tmp_path / "a.dcm", TWELVE, ModalityLUTSequence=[modality], VOILUTSequence=[voi])
    stored = read(path)
    np.testing.assert_array_equal(stored.values, curve[measured[TWELVE]])
    dataset = pydicom.dcmread(path)
    np.testing.assert_array_equal(stored.values, apply_voi(apply_modality_lut(dataset.pixel_array, dataset), dataset))
    assert (stored.range, stored.said_by) == ((0, 4095), "table of the file")


def test_frames_are_pages_and_each_has_its_own_rescaling_and_window(tmp_path):
    frames = np.stack([TWELVE, TWELVE // 2, TWELVE // 4])
    path = saved(tmp_path / "a.dcm", frames)
    dataset = pydicom.dcmread(path)
    groups = []
    for number in range(3):
        group, rescaling, window = Dataset(), Dataset(), Dataset()
        rescaling.RescaleSlope, rescaling.RescaleIntercept, rescaling.RescaleType = number + 1, -10 * number, "US"
        window.WindowCenter, window.WindowWidth = 100.5 + number, 11
        group.PixelValueTransformationSequence, group.FrameVOILUTSequence = [rescaling], [window]
        groups.append(group)
    shared = Dataset()
    shared.PixelValueTransformationSequence = groups[2].PixelValueTransformationSequence
    dataset.SharedFunctionalGroupsSequence = [shared]
    del groups[2].PixelValueTransformationSequence
    dataset.PerFrameFunctionalGroupsSequence = groups
    dataset.save_as(path)
    assert DicomReader(DicomReader.Options()).pages(path) == 3
    for number, frame in enumerate(frames):
        stored = read(path, number)
        np.testing.assert_array_equal(stored.values, frame.astype(int) * (number + 1) - 10 * number)
        assert stored.range == (95 + number, 105 + number)


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"PixelSpacing": [2, 0.5]}, "pixels are 2 mm high and 0.5 mm wide, and taken as squares"),
        ({"ImagerPixelSpacing": [0.1, 0.2]}, "pixels are 0.1 mm high and 0.2 mm wide"),
        ({"PixelAspectRatio": ["4", "3"]}, "pixels are 4 high and 3 wide"),
        ({"PixelSpacing": [1, 1], "PixelAspectRatio": ["4", "3"]}, ""),
        ({"PixelSpacing": [0.7, 0.7031]}, ""),
        ({"PixelSpacing": [0, 1]}, ""),
        ({"PixelSpacing": None}, ""),
        ({}, ""),
    ],
)
def test_pixels_that_are_no_squares_are_told_of(tmp_path, tags, said):
    alerts = read(saved(tmp_path / "a.dcm", TWELVE, **tags)).alerts
    assert len(alerts) == bool(said)
    assert all(alert.startswith(said) for alert in alerts)


def test_pixels_of_frames_are_told_of_by_what_is_said_of_all_or_of_each(tmp_path):
    path = saved(tmp_path / "a.dcm", np.stack([TWELVE, TWELVE]))
    dataset = pydicom.dcmread(path)
    groups = []
    for spacing in ([1, 3], [2, 2]):
        group, measures = Dataset(), Dataset()
        measures.PixelSpacing = spacing
        group.PixelMeasuresSequence = [measures]
        groups.append(group)
    dataset.SharedFunctionalGroupsSequence = [groups[1]]
    dataset.PerFrameFunctionalGroupsSequence = [groups[0], Dataset()]
    dataset.save_as(path)
    assert [len(read(path, page).alerts) for page in range(2)] == [1, 0]


def test_frames_of_different_windows_are_a_volume_in_a_range_that_is_stated(tmp_path):
    path = saved(tmp_path / "a.dcm", np.stack([TWELVE, TWELVE[::-1]]))
    dataset = pydicom.dcmread(path)
    groups = []
    for width in (100, 200):
        window, group = Dataset(), Dataset()
        window.WindowCenter, window.WindowWidth = 2000, width
        group.FrameVOILUTSequence = [window]
        groups.append(group)
    dataset.PerFrameFunctionalGroupsSequence = groups
    dataset.save_as(path)
    readers = readers_of(discover())
    with pytest.raises(ik.InputError) as caught:
        stored_in(path, Reading(pages="volume"), page=None, readers=readers)
    assert str(caught.value) == "its pages make no volume: they lie in different ranges (state one by `range:`)"
    stored = stored_in(path, Reading(pages="volume", range=(0, 4095)), page=None, readers=readers)
    np.testing.assert_array_equal(stored.values, [TWELVE, TWELVE[::-1]])
    assert (stored.range, stored.said_by) == ((0, 4095), "stated by the recipe")


def test_colours_are_rgb_whatever_they_are_kept_as(tmp_path):
    colours = NOISE.integers(0, 256, (6, 8, 3)).astype(np.uint8)
    stored = read(saved(tmp_path / "a.dcm", colours))
    np.testing.assert_array_equal(stored.values, colours)
    assert (stored.eight_bit, stored.conversions) == (True, ())
    # Luma and chroma by the formula of the standard (PS3.3 C.7.6.3.1.2).
    luma = colours @ [0.299, 0.587, 0.114]
    chroma = [128 + (colours[..., 2] - luma) / 1.772, 128 + (colours[..., 0] - luma) / 1.402]
    kept = np.stack([luma, *chroma], axis=-1).round().clip(0, 255).astype(np.uint8)
    stored = read(saved(tmp_path / "b.dcm", kept, PhotometricInterpretation="YBR_FULL"))
    assert np.abs(stored.values.astype(int) - colours).max() <= 2
    assert stored.conversions == ("YBR_FULL to RGB",)
    palette = NOISE.integers(0, 65536, (3, 256)).astype(np.uint16)
    names = ("Red", "Green", "Blue")
    tags = {f"{name}PaletteColorLookupTableDescriptor": [256, 0, 16] for name in names}
    tags |= {f"{name}PaletteColorLookupTableData": row.tobytes() for name, row in zip(names, palette, strict=True)}
    indices = (TWELVE % 256).astype(np.uint8)
    stored = read(saved(tmp_path / "c.dcm", indices, PhotometricInterpretation="PALETTE COLOR", **tags))
    np.testing.assert_array_equal(stored.values, np.moveaxis(palette[:, indices], 0, -1))
    assert (stored.range, stored.conversions) == ((0, 65535), ("PALETTE COLOR to RGB",))


def test_files_of_many_makers_have_the_values_that_pydicom_finds():
    names = ["MR_small.dcm", "MR_small_bigendian.dcm", "MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "JPEG2000.dcm"]
    for name in names:
        path = get_testdata_file(name, download=False)
        np.testing.assert_array_equal(read(path).values, pydicom.dcmread(path).pixel_array)
    # The same slice, kept in five ways.
    first, *others = [read(get_testdata_file(name, download=False)).values for name in names[:4]]
    for other in others:
        np.testing.assert_array_equal(first, other)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("test-SR.dcm", "is a DICOM file without an image (leave it out)"),
        ("no_meta.dcm", "is no DICOM file, or lacks the header that marks it as one"),
        ("MR_truncated.dcm", "cannot be read as DICOM (ValueError)"),
        ("rtplan.dcm", "is a DICOM file without an image"),
    ],
)
def test_what_holds_no_image_that_can_be_read_is_told_in_one_line(name, message):
    with pytest.raises(ik.InputError) as caught:
        read(get_testdata_file(name, download=False))
    assert str(caught.value).startswith(message)


def not_jpeg(path):
    """Write a file whose pixels are compressed as JPEG, or so it says."""
    dataset = pydicom.dcmread(saved(path, (TWELVE // 16).astype(np.uint8)))
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.PixelData = pydicom.encaps.encapsulate([b"no JPEG"])
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path)
    return path


@pytest.mark.parametrize(
    ("available", "what"),
    [
        ((), "compressed as JPEG Baseline (Process 1), which no installed package decodes"),
        (("pillow",), "damaged, or compressed as JPEG Baseline (Process 1) in a way that no installed package decodes"),
    ],
)
def test_pixels_that_no_package_decodes_name_their_kind_and_what_does(tmp_path, monkeypatch, available, what):
    monkeypatch.setattr(Decoder, "is_available", property(lambda self: bool(available)))
    monkeypatch.setattr(Decoder, "available_plugins", property(lambda self: available))
    with pytest.raises(ik.InputError) as caught:
        read(not_jpeg(tmp_path / "a.dcm"))
    assert str(caught.value) == f"its pixels are {what} (pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg)"


def test_damaged_pixels_are_not_taken_for_the_lack_of_a_package(tmp_path, monkeypatch):
    monkeypatch.setattr(Decoder, "available_plugins", property(lambda self: ("pillow", "pylibjpeg")))
    with pytest.raises(ik.InputError, match=r"^its pixels are damaged, or not compressed as JPEG Baseline") as caught:
        read(not_jpeg(tmp_path / "a.dcm"))
    assert "pip" not in str(caught.value)


@pytest.mark.parametrize(
    ("syntax", "encode", "needed"),
    [
        (JPEGLossless, imagecodecs.ljpeg_encode, "libjpeg"),
        (JPEGLSLossless, imagecodecs.jpegls_encode, "libjpeg"),
        (JPEG2000Lossless, partial(imagecodecs.jpeg2k_encode, codecformat="j2k", reversible=True, level=0), "openjpeg"),
    ],
)
def test_frames_that_are_compressed_without_loss_are_the_values(tmp_path, syntax, encode, needed):
    pytest.importorskip(needed, reason="pydicom decodes it with this package")
    frames = NOISE.integers(0, 4096, (3, 20, 24)).astype(np.uint16)
    dataset = pydicom.dcmread(saved(tmp_path / "a.dcm", frames, RescaleSlope=1, RescaleIntercept=-1024))
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = pydicom.encaps.encapsulate([encode(frame) for frame in frames])
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(tmp_path / "a.dcm")
    for page, frame in enumerate(frames):
        np.testing.assert_array_equal(read(tmp_path / "a.dcm", page).values, frame.astype(int) - 1024)


@pytest.mark.parametrize("name", ["SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_dcmtk_+eb+cy+s2.dcm", "examples_ybr_color.dcm"])
def test_jpeg_of_luma_and_chroma_has_the_colours_that_pillow_finds(name):
    path = get_testdata_file(name, download=False)
    compressed = pydicom.encaps.get_frame(pydicom.dcmread(path).PixelData, 0, number_of_frames=1)
    pixels = np.asarray(Image.open(io.BytesIO(compressed)).convert("RGB"))
    stored = read(path)
    assert np.abs(stored.values.astype(int) - pixels).mean() < 2
    assert stored.conversions[0].startswith("YBR_FULL")


@pytest.mark.parametrize(
    ("syntax", "name"),
    [
        ("1.2.840.10008.1.2.4.100", "MPEG2 Main Profile / Main Level"),
        ("1.2.3.4711", "what the standard has no name for"),
    ],
)
def test_pixels_that_pydicom_never_decodes_name_no_package_and_no_number_of_the_file(tmp_path, syntax, name):
    dataset = pydicom.dcmread(not_jpeg(tmp_path / "a.dcm"))
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(tmp_path / "a.dcm", implicit_vr=False, little_endian=True)
    with pytest.raises(ik.InputError) as caught:
        read(tmp_path / "a.dcm")
    assert str(caught.value) == f"its pixels are kept as {name}, which pydicom does not decode"


def test_without_pydicom_the_extra_is_named(tmp_path, monkeypatch):
    path = saved(tmp_path / "IM_0001", TWELVE)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    [file] = find_images([str(path)])
    with pytest.raises(ik.InputError) as caught:
        read_image(file, readers=readers_of(discover()))
    what = "is read by reader 'dicom', and what that needs is not installed"
    assert str(caught.value) == f"{path}: {what} (pip install 'interpretkit[dicom]')"


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_a_file_without_the_mark_is_read_if_its_suffix_and_contents_say_what_it_is(tmp_path, syntax):
    whole = saved(tmp_path / "a.dcm", TWELVE, syntax=syntax, RescaleSlope=2).read_bytes()
    # The mark and the group of the file, whose length stands at its beginning.
    bare = whole[144 + int.from_bytes(whole[140:144], "little") :]
    for name in ("b.dcm", "b.png"):
        (tmp_path / name).write_bytes(bare)
    stored = read(tmp_path / "b.dcm")
    np.testing.assert_array_equal(stored.values, TWELVE.astype(int) * 2)
    assert stored.conversions == ("read without the mark of DICOM files", "rescaled by 2 and 0")
    with pytest.raises(ik.InputError, match="is no DICOM file, or lacks the header"):
        read(tmp_path / "b.png")


@pytest.mark.parametrize("name", ["image_dfl.dcm", "SC_rgb_jpeg.dcm"])
def test_files_that_pydicom_reads_only_as_a_whole_are_read(name):
    path = get_testdata_file(name, download=False)
    found = read(path).values
    with warnings.catch_warnings(action="ignore"):
        np.testing.assert_array_equal(found, pydicom.dcmread(path).pixel_array)


def test_a_header_of_an_image_without_pixels_is_no_image(tmp_path):
    dataset = pydicom.dcmread(saved(tmp_path / "a.dcm", TWELVE))
    del dataset.PixelData
    dataset.save_as(tmp_path / "a.dcm")
    with pytest.raises(ik.InputError, match=r"^is a DICOM file without pixels"):
        read(tmp_path / "a.dcm")


@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_floats_have_no_range_unless_a_window_gives_one(tmp_path, kind):
    floats = np.linspace(-1, 3, 48).reshape(6, 8).astype(kind)
    dataset = pydicom.dcmread(saved(tmp_path / "a.dcm", TWELVE))
    for key in ("PixelData", "BitsStored", "HighBit", "PixelRepresentation"):
        del dataset[key]
    dataset.BitsAllocated = 8 * floats.itemsize
    setattr(dataset, "FloatPixelData" if kind == "f4" else "DoubleFloatPixelData", floats.tobytes())
    dataset.save_as(tmp_path / "a.dcm")
    stored = read(tmp_path / "a.dcm")
    np.testing.assert_array_equal(stored.values, floats)
    assert (stored.range, stored.said_by) == (None, "")
    dataset.WindowCenter, dataset.WindowWidth, dataset.VOILUTFunction = 1, 4, "LINEAR_EXACT"
    dataset.save_as(tmp_path / "a.dcm")
    np.testing.assert_allclose(scaled(read(tmp_path / "a.dcm")).values, (floats + 1) / 4, atol=1e-6)


@pytest.mark.parametrize(
    ("tags", "slope", "intercept"),
    [
        ({"RescaleSlope": 2}, 2, 0),
        ({"RescaleIntercept": -5}, 1, -5),
        ({"RescaleSlope": "", "RescaleIntercept": ""}, 1, 0),
    ],
)
def test_what_a_file_leaves_out_of_its_rescaling_changes_nothing(tmp_path, tags, slope, intercept):
    stored = read(saved(tmp_path / "a.dcm", TWELVE, **tags))
    np.testing.assert_array_equal(stored.values, TWELVE.astype(int) * slope + intercept)
    assert stored.range == (intercept, 4095 * slope + intercept)


def test_of_several_windows_the_first_counts_and_that_is_said(tmp_path):
    stored = read(saved(tmp_path / "a.dcm", TWELVE, WindowCenter=[300, 7], WindowWidth=[1500, 9]))
    assert (stored.range, stored.conversions) == ((-450, 1049), ("window 1 of 2",))
    assert read(saved(tmp_path / "a.dcm", TWELVE, WindowCenter=300, WindowWidth=1500)).conversions == ()


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(
    ("tags", "padding"),
    [
        ({"PixelPaddingValue": -2000}, -2000),
        ({"PixelPaddingValue": 63536}, -2000),
        ({"PixelPaddingValue": 2000, "PixelPaddingRangeLimit": 2047}, 2010),
    ],
)
def test_padding_is_as_dark_as_the_darkest_of_the_other_values(tmp_path, tags, padding, photometric):
    values = NOISE.integers(-1000, 1000, (6, 8)).astype(np.int16)
    padded = values.copy()
    padded[:2] = padding
    tags = {**tags, "PhotometricInterpretation": photometric, "RescaleSlope": 3, "RescaleIntercept": 7}
    path = saved(tmp_path / "a.dcm", padded)
    dataset = pydicom.dcmread(path)
    for key, value in tags.items():
        # As it is found in files, a value without a sign may stand beside pixels that have one.
        vr = ("US" if tags["PixelPaddingValue"] > 0 else "SS") if key.startswith("PixelPadding") else None
        dataset.add_new(key, vr, value) if vr else setattr(dataset, key, value)
    dataset.save_as(path)
    stored = read(path)
    measured = values.astype(int) * 3 + 7
    if photometric == "MONOCHROME1":
        measured = (-2048 * 3 + 7) + (2047 * 3 + 7) - measured
    np.testing.assert_array_equal(stored.values[2:], measured[2:])
    assert (stored.values[:2] == measured[2:].min()).all()
    assert stored.conversions[-1] == "padding set to the darkest of the other values"
    assert stored.range == (-2048 * 3 + 7, 2047 * 3 + 7)


def test_a_palette_of_8_bits_that_is_written_as_16_is_one_of_8(tmp_path):
    palette = NOISE.integers(0, 256, (3, 256)).astype(np.uint16)
    names = ("Red", "Green", "Blue")
    indices = (TWELVE % 256).astype(np.uint8)
    for written in (palette << 8, palette * 257):
        tags = {f"{name}PaletteColorLookupTableDescriptor": [256, 0, 16] for name in names}
        tags |= {f"{name}PaletteColorLookupTableData": row.tobytes() for name, row in zip(names, written, strict=True)}
        stored = read(saved(tmp_path / "a.dcm", indices, PhotometricInterpretation="PALETTE COLOR", **tags))
        np.testing.assert_array_equal(stored.values, np.moveaxis(palette[:, indices], 0, -1))
        assert (stored.eight_bit, stored.conversions) == (True, ("PALETTE COLOR to RGB",))


def test_nothing_of_a_file_is_heard_of_on_the_terminal_in_logs_or_in_errors(tmp_path, capfd, caplog):
    path = saved(tmp_path / "a.dcm", TWELVE)
    whole = path.read_bytes()
    # Values that fit no number and no date: pydicom warns of some of them, in their words, and raises others.
    broken = whole.replace(b"19700203", b"SecretMe").replace(b"MRN-4711-0815", b"\xff\xfe\x80\x1b$Secret")
    generator = np.random.default_rng(1)
    for _ in range(300):
        damaged = bytearray(broken)
        for place in generator.integers(132, len(broken), 4):
            damaged[place] ^= 1 << int(generator.integers(8))
        path.write_bytes(bytes(damaged))
        try:
            said = str(read(path))
        except ik.InputError as error:
            said = str(error)
        assert "Secret" not in said
        assert not any(value in said for value in PATIENT.values())
    heard = capfd.readouterr()
    assert heard.out + heard.err + caplog.text == ""
    assert logging.getLogger("pydicom").propagate


def test_a_window_without_a_width_is_said_and_not_used(tmp_path):
    stored = read(saved(tmp_path / "a.dcm", TWELVE, WindowCenter=40, WindowWidth=0))
    assert stored.range == (0, 4095)
    assert stored.alerts == ("the window of the file has no width: 12 bits stored instead",)


def test_a_run_of_a_folder_keeps_nothing_of_the_patient(tmp_path):
    folder = tmp_path / "scans"
    folder.mkdir()
    window = {"WindowCenter": 2000, "WindowWidth": 3000}
    big = NOISE.integers(0, 4096, (40, 40)).astype(np.uint16)
    saved(folder / "one.dcm", big, **window)
    saved(folder / "two.dcm", big, PhotometricInterpretation="MONOCHROME1", BurnedInAnnotation="YES")
    saved(folder / "IM_0003", big, **window)
    broken = folder / "four.dcm"
    saved(broken, big)
    broken.write_bytes(broken.read_bytes()[:-100])
    recipe = {
        "schema": "interpretkit/1",
        "name": "scans",
        "inputs": [str(folder), str(folder / "IM_0003")],
        "steps": [{"id": "maps", "uses": "feature_grid", "with": {"layers": ["features"]}}],
    }
    heard = []
    run = ik.run(recipe, model=tiny_model(), output=tmp_path / "runs", listen=lambda event: heard.append(event.text))
    assert [image.id for image in run.results["maps"].images] == ["one", "two", "IM_0003"]
    assert "four.dcm: cannot be read as DICOM" in str(run.manifest)
    assert "text is burned into its pixels" in str(run.manifest)
    kept = b"".join(file.read_bytes() for file in run.path.rglob("*") if file.is_file())
    names = " ".join(file.name for file in run.path.rglob("*"))
    for value in PATIENT.values():
        assert value.encode() not in kept
        assert value not in names + " ".join(heard)


def test_a_range_of_a_recipe_is_said_of_the_values_in_the_file(tmp_path):
    dark = saved(tmp_path / "a.dcm", TWELVE, PhotometricInterpretation="MONOCHROME1", WindowCenter=9, WindowWidth=5)
    shares = scaled(read(dark).in_range(0, 3000)).values
    np.testing.assert_allclose(shares, 1 - np.clip(TWELVE / 3000, 0, 1), atol=1e-6)


def test_more_frames_than_there_is_room_for_are_refused_at_once(tmp_path):
    for syntax in (ExplicitVRLittleEndian, RLELossless):
        path = saved(tmp_path / "a.dcm", np.stack([TWELVE, TWELVE]), syntax=syntax)
        assert DicomReader(DicomReader.Options()).pages(path) == 2
        dataset = pydicom.dcmread(path)
        dataset.NumberOfFrames = 1_234_567
        dataset.save_as(path)
        with pytest.raises(ik.InputError, match="announces 1,234,567 frames, and is too short for them"):
            DicomReader(DicomReader.Options()).pages(path)


def test_bits_that_are_not_the_lowest_are_refused(tmp_path):
    with pytest.raises(ik.InputError, match="keeps 12 bits below bit 15"):
        read(saved(tmp_path / "a.dcm", (TWELVE * 16).astype(np.uint16), HighBit=15))
