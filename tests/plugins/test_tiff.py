"""TIFFs that the core does not read: against the values that were written, or what other libraries find."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import tifffile
from PIL import Image

import interpretkit as ik
from interpretkit.inputs.decode import pages_of
from interpretkit.inputs.find import ImageFile
from interpretkit.inputs.read import read_image
from interpretkit.inputs.reading import Reading
from interpretkit.results.scaling import scaled
from interpretkit.testing import checks_of
from interpretkit_tiff.tiff import TiffReader

RANDOM = np.random.default_rng(5)
WIDE = RANDOM.integers(0, 65536, (20, 28, 13)).astype(np.uint16)
BANDS, BYTES = WIDE[..., :4], (WIDE >> 8).astype(np.uint8)
RGB, GREY = WIDE[..., :3], WIDE[..., 0]
FLOATS = WIDE.astype(np.float64) / 7 - 3000
PALETTE = RANDOM.integers(0, 65536, (3, 65536)).astype(np.uint16)
TOGETHER = {"photometric": "minisblack", "planarconfig": "contig"}
READERS = {suffix: TiffReader(TiffReader.Options()) for suffix in TiffReader.suffixes}


def planes(values):
    return np.moveaxis(values, -1, 0).copy()


def over_white(values, most=65535, *, premultiplied=False):
    alpha = values[..., -1:] / most
    found = values[..., :-1] * (1 if premultiplied else alpha) + most * (1 - alpha)
    return np.rint(np.clip(found, 0, most)).astype(values.dtype)


PREMULTIPLIED = np.minimum(BANDS, BANDS[..., 3:])
APART = {"photometric": "minisblack", "planarconfig": "separate"}
WRITTEN = {
    "4 bands of 16 bits": (BANDS, TOGETHER, BANDS),
    "4 bands of 16 bits in planes": (planes(BANDS), APART, BANDS),
    "13 bands": (WIDE, TOGETHER, WIDE),
    "13 bands in planes": (planes(WIDE), APART, WIDE),
    "13 bands of 8 bits": (BYTES, TOGETHER, BYTES),
    "13 bands, big-endian": (WIDE, {**TOGETHER, "byteorder": ">"}, WIDE),
    "13 bands in a BigTIFF": (WIDE, {**TOGETHER, "bigtiff": True}, WIDE),
    "13 bands in tiles": (WIDE, {**TOGETHER, "tile": (16, 16)}, WIDE),
    "13 bands in planes of tiles": (planes(WIDE), {**APART, "tile": (16, 16)}, WIDE),
    "13 bands in strips": (WIDE, {**TOGETHER, "rowsperstrip": 3}, WIDE),
    "2 bands of 8 bits": (BYTES[..., :2], TOGETHER, BYTES[..., :2]),
    "2 bands of 8 bits in planes": (planes(BYTES[..., :2]), APART, BYTES[..., :2]),
    "rgb and infrared": (BANDS, {"photometric": "rgb", "extrasamples": ["unspecified"]}, BANDS),
    "rgb and infrared of 8 bits": (
        BYTES[..., :4],
        {"photometric": "rgb", "extrasamples": ["unspecified"]},
        BYTES[..., :4],
    ),
    "rgb 16 in planes": (planes(RGB), {"photometric": "rgb", "planarconfig": "separate"}, RGB),
    "rgba 16 in planes": (
        planes(BANDS),
        {"photometric": "rgb", "planarconfig": "separate", "extrasamples": ["unassalpha"]},
        over_white(BANDS),
    ),
    "rgba 16 premultiplied": (
        PREMULTIPLIED,
        {"photometric": "rgb", "extrasamples": ["assocalpha"]},
        over_white(PREMULTIPLIED, premultiplied=True),
    ),
    "grey and alpha 16": (
        BANDS[..., :2],
        {**TOGETHER, "extrasamples": ["unassalpha"]},
        over_white(BANDS[..., :2])[..., 0],
    ),
    "float64": (FLOATS[..., 0], {}, FLOATS[..., 0]),
    "float16": (FLOATS[..., 0].astype(np.float16), {}, FLOATS[..., 0].astype(np.float16)),
    "float64, 3 bands": (FLOATS[..., :3], TOGETHER, FLOATS[..., :3]),
    "float32, rgb": (FLOATS[..., :3].astype(np.float32), {"photometric": "rgb"}, FLOATS[..., :3].astype(np.float32)),
    "int64": (GREY.astype(np.int64) - 40000, {}, GREY.astype(np.int64) - 40000),
    "uint64": (GREY.astype(np.uint64) * 3, {}, GREY.astype(np.uint64) * 3),
    "uint32, rgb": (RGB.astype(np.uint32) * 65537, {"photometric": "rgb"}, RGB.astype(np.uint32) * 65537),
    "int16, 5 bands": (WIDE[..., :5].view(np.int16), TOGETHER, WIDE[..., :5].view(np.int16)),
    "int8, rgb": (BYTES[..., :3].view(np.int8), {"photometric": "rgb"}, BYTES[..., :3].view(np.int8)),
    "float32, white is zero": (
        FLOATS[..., 0].astype(np.float32),
        {"photometric": "miniswhite"},
        -FLOATS[..., 0].astype(np.float32),
    ),
    "int16, white is zero": (GREY.view(np.int16), {"photometric": "miniswhite"}, -1 - GREY.view(np.int16)),
    "uint32, white is zero": (
        GREY.astype(np.uint32),
        {"photometric": "miniswhite"},
        (2**32 - 1 - GREY.astype(np.int64)).astype(np.uint32),
    ),
    "palette of 16 bits": (GREY, {"photometric": "palette", "colormap": PALETTE}, np.moveaxis(PALETTE[:, GREY], 0, -1)),
    "lzw": (WIDE, {**TOGETHER, "compression": "lzw"}, WIDE),
    "lzw with a predictor": (WIDE, {**TOGETHER, "compression": "lzw", "predictor": True}, WIDE),
    "deflate with a predictor": (WIDE, {**TOGETHER, "compression": "zlib", "predictor": True}, WIDE),
    "deflate with a predictor of floats": (
        FLOATS[..., :2],
        {**TOGETHER, "compression": "zlib", "predictor": True},
        FLOATS[..., :2],
    ),
    "zstd with a predictor": (WIDE, {**TOGETHER, "compression": "zstd", "predictor": True}, WIDE),
    "lzma": (WIDE, {**TOGETHER, "compression": "lzma"}, WIDE),
    "packbits": (WIDE, {**TOGETHER, "compression": "packbits"}, WIDE),
    "jpeg xl": (GREY, {"compression": "jpegxl"}, GREY),
    "jpeg xl, rgb": (BYTES[..., :3], {"photometric": "rgb", "compression": "jpegxl"}, BYTES[..., :3]),
    "jpeg 2000": (GREY, {"compression": "jpeg2000"}, GREY),
    "webp": (BYTES[..., :3], {"photometric": "rgb", "compression": "webp"}, BYTES[..., :3]),
    "png": (RGB, {"photometric": "rgb", "compression": "png"}, RGB),
    "lerc": (FLOATS[..., 0].astype(np.float32), {"compression": "lerc"}, FLOATS[..., 0].astype(np.float32)),
    "jpeg xr": (GREY, {"compression": "jpegxr"}, GREY),
}


def stored_in(path, *, page=None, readers=READERS, **reading):
    file = ImageFile(id="a", source=path.name, path=path, page=page, reading=Reading(**reading))
    return read_image(file, readers=readers)[1]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "image.tif"


def refusal(path, **options):
    with pytest.raises(ik.InputError) as caught:
        stored_in(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", WRITTEN)
def test_every_value_is_the_one_that_was_written(path, name):
    values, options, expected = WRITTEN[name]
    tifffile.imwrite(path, values, **options)
    stored = stored_in(path)
    assert stored.values.dtype == expected.dtype
    np.testing.assert_array_equal(stored.values, expected)
    assert stored.alerts == ()
    assert "is a TIFF" in refusal(path, readers={}), "the core reads it too"


@pytest.mark.parametrize(
    ("values", "options"),
    [
        (BYTES[..., :3], {"photometric": "rgb"}),
        (BYTES[..., :3], {"photometric": "rgb", "compression": "jpeg"}),
        (planes(BYTES[..., :3]), {"photometric": "rgb", "planarconfig": "separate"}),
        (planes(BYTES[..., :4]), {"photometric": "rgb", "planarconfig": "separate", "extrasamples": ["unassalpha"]}),
        (BYTES[..., 0], {"photometric": "miniswhite"}),
        (BYTES[..., 0] > 90, {}),
        (RGB, {"photometric": "rgb", "compression": "lzw", "predictor": True}),
        (planes(WIDE), {"photometric": "minisblack", "imagej": True}),
        (planes(WIDE), {"ome": True, "metadata": {"axes": "CYX"}}),
    ],
)
def test_what_the_core_reads_is_the_same_with_and_without_the_reader(path, values, options, monkeypatch):
    tifffile.imwrite(path, values, **options)
    expected = stored_in(path, readers={})
    monkeypatch.setattr(TiffReader, "read", None)
    found = stored_in(path)
    assert found.values.dtype == expected.values.dtype
    np.testing.assert_array_equal(found.values, expected.values)
    assert (found.conversions, found.alerts, found.range) == (expected.conversions, expected.alerts, expected.range)


def test_opencv_finds_the_same_bands_in_another_order(path):
    import cv2

    tifffile.imwrite(path, FLOATS[..., :3], photometric="rgb", compression="lzw")
    np.testing.assert_array_equal(stored_in(path).values, cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[..., ::-1])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_as_pillow_turns_one(tmp_path, orientation):
    values = BYTES[..., :2]
    found = []
    for name, page in (("two.tif", values), ("one.tif", values[..., 0])):
        tifffile.imwrite(
            tmp_path / name, page, **(TOGETHER if page.ndim == 3 else {}), extratags=[(274, 3, 1, orientation)]
        )
        found.append(stored_in(tmp_path / name))
    two, one = found
    np.testing.assert_array_equal(two.values[..., 0], one.values)
    assert (
        two.conversions == one.conversions == ((f"EXIF orientation {orientation} applied",) if orientation > 1 else ())
    )


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_bits_that_fill_no_bytes_say_the_range(path, bits):
    values = WIDE[..., :4] >> (16 - bits)
    packed = "".join(f"{value:0{bits}b}" for value in values.ravel().tolist())
    rows = np.packbits(np.array(list(packed), np.uint8))
    assert 20 * 28 * 4 * bits == 8 * len(rows), "no row ends within a byte"
    tifffile.imwrite(path, values, **TOGETHER, rowsperstrip=20)
    with tifffile.TiffFile(path, mode="r+b") as file:
        page = file.pages[0]
        page.tags["BitsPerSample"].overwrite((bits,) * 4)
        page.tags["StripByteCounts"].overwrite(len(rows))
        file.filehandle.seek(page.dataoffsets[0])
        file.filehandle.write(rows.tobytes())
    stored = stored_in(path)
    np.testing.assert_array_equal(stored.values, values)
    assert (stored.range, stored.said_by) == ((0, 2**bits - 1), f"{bits} bits stored")


@pytest.mark.parametrize("kind", ["imagej", "shaped"])
def test_a_stack_that_one_page_describes_has_its_planes_as_pages(path, kind):
    stack = planes(WIDE).reshape(13, 1, 20, 28)[:12].reshape(2, 2, 3, 20, 28)
    options = {"imagej": True, "metadata": {"axes": "TZCYX"}} if kind == "imagej" else {"photometric": "minisblack"}
    tifffile.imwrite(path, stack, truncate=True, **options)
    assert pages_of(path, Reading(), readers=READERS) == 12
    for page in (0, 7, 11):
        np.testing.assert_array_equal(stored_in(path, page=page).values, planes(WIDE)[page])
    np.testing.assert_array_equal(stored_in(path, pages="volume").values, planes(WIDE)[:12])
    assert stored_in(path).alerts == ("page 1 of 12: choose by `#3` or `pages:`",)


def test_a_stack_of_colours_that_one_page_describes(path):
    stack = np.stack([RGB, RGB[::-1]])
    tifffile.imwrite(path, stack, photometric="rgb", truncate=True, byteorder=">")
    np.testing.assert_array_equal(stored_in(path, page=1).values, RGB[::-1])


def test_the_slices_of_a_volume_in_one_page_are_pages(path):
    options = {"photometric": "minisblack", "volumetric": True, "tile": (16, 16, 16)}
    tifffile.imwrite(path, planes(WIDE), **options)
    np.testing.assert_array_equal(stored_in(path, page=7).values, WIDE[..., 7])
    np.testing.assert_array_equal(stored_in(path, pages="volume").values, planes(WIDE))
    with tifffile.TiffWriter(path) as writer:
        for _ in range(2):
            writer.write(planes(WIDE), **options, metadata=None)
    assert "is a TIFF of several volumes (save each as a file)" in refusal(path, page=1)


def test_what_imagej_showed_is_told_and_changes_nothing(path):
    stack = planes(WIDE)[:2]
    tifffile.imwrite(path, stack, imagej=True, truncate=True, metadata={"axes": "ZYX", "min": 5.0, "max": 500.0})
    stored = stored_in(path, page=0)
    assert stored.range is None
    assert stored.alerts == ("ImageJ showed it from 5 to 500: `range: [5, 500]` does so too",)


def test_pages_of_different_layouts_are_each_read_by_what_reads_them(path):
    with tifffile.TiffWriter(path) as writer:
        writer.write(BYTES[..., :3], photometric="rgb")
        writer.write(WIDE, **TOGETHER)
        writer.write(FLOATS[..., 0])
        writer.write(GREY)
    assert pages_of(path, Reading(), readers=READERS) == 4
    for page, expected in enumerate((BYTES[..., :3], WIDE, FLOATS[..., 0], GREY)):
        np.testing.assert_array_equal(stored_in(path, page=page).values, expected)


@pytest.mark.parametrize(
    ("values", "nodata", "expected"),
    [
        (np.uint16([[[7, 65535], [9, 8]]]), "65535", [[[7, 0], [9, 8]]]),
        (np.int16([[[-7, -9999], [9, 8]]]), "-9999", [[[-7, -7], [9, 8]]]),
        (np.float64([[[0.5, np.nan], [2, 1]]]), "nan", [[[0.5, 0.5], [2, 1]]]),
        (np.float32([[[0.5, -3.4028235e38], [2, 1]]]), "-3.4028234663852886e+38", [[[0.5, 0.5], [2, 1]]]),
    ],
)
def test_what_the_file_calls_no_data_does_not_decide_the_range(path, values, nodata, expected):
    tifffile.imwrite(path, values, **TOGETHER, extratags=[(42113, 2, 0, nodata)])
    stored = stored_in(path)
    np.testing.assert_array_equal(stored.values, np.asarray(expected, values.dtype))
    assert stored.conversions == (f"no data ({nodata}) set to {expected[0][0][1]}",)
    assert stored.alerts == ("25.00 % of the values are no data",)


@pytest.mark.parametrize("nodata", ["-9999", "nan", "7.5", "none", "70000"])
def test_no_data_that_no_value_can_be_changes_nothing(path, nodata):
    tifffile.imwrite(path, WIDE, **TOGETHER, extratags=[(42113, 2, 0, nodata)])
    stored = stored_in(path)
    np.testing.assert_array_equal(stored.values, WIDE)
    assert stored.alerts == ()


def test_alpha_is_not_taken_for_no_data(path):
    values = BANDS.copy()
    values[..., 3] = 65535
    options = {"photometric": "rgb", "planarconfig": "separate", "extrasamples": ["unassalpha"]}
    tifffile.imwrite(path, planes(values), **options, extratags=[(42113, 2, 0, "65535")])
    np.testing.assert_array_equal(stored_in(path).values, values[..., :3])


def test_alpha_of_floats_is_not_applied_and_said(path):
    values = FLOATS[..., :4]
    tifffile.imwrite(path, values, photometric="rgb", extrasamples=["unassalpha"])
    stored = stored_in(path)
    np.testing.assert_array_equal(stored.values, values)
    assert stored.alerts == ("its last band is alpha, which is not applied: choose others by `bands:`",)


def test_bands_are_chosen_and_scaled_by_a_stated_range(path):
    tifffile.imwrite(path, WIDE, **TOGETHER)
    shown = scaled(stored_in(path, bands=(4, 3, 2), range=(1000.0, 60000.0)))
    expected = ((WIDE[..., [3, 2, 1]].astype(np.float64) - 1000) / 59000).clip(0, 1).astype(np.float32)
    np.testing.assert_array_equal(shown.values, expected)


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (FLOATS[..., 0].astype(np.complex64), {}, "is a TIFF of complex numbers (save what is to be seen of them"),
        (BANDS, {"photometric": "separated"}, "is a TIFF of colours of kind SEPARATED (save it as RGB)"),
        (np.full((4, 5), 7.0), {"extratags": [(42113, 2, 0, "7")]}, "holds no data: all values are 7"),
    ],
)
def test_what_has_no_meaning_as_an_image_is_refused(path, values, options, message):
    tifffile.imwrite(path, values, **options)
    assert message in refusal(path)


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"tile": (16, 16)}, {"truncate": True}])
def test_a_truncated_file_is_refused_and_never_filled_up(path, options):
    values = planes(WIDE)[:3] if "truncate" in options else WIDE
    tifffile.imwrite(path, values, **({"photometric": "minisblack"} if "truncate" in options else TOGETHER), **options)
    data = path.read_bytes()
    whole = 20 * 28 * 2 if "truncate" in options else len(data)
    for share in (0.3, 0.6, 0.99):
        path.write_bytes(data[: int(share * whole)])
        refusal(path)


@pytest.mark.parametrize("compression", ["jpegxr", "jpeg"])
def test_what_a_decoder_would_fill_up_is_refused(path, compression):
    values = GREY if compression == "jpegxr" else planes(BYTES[..., :4])
    tifffile.imwrite(path, values, **(APART if values.ndim == 3 else {}), compression=compression)
    data = path.read_bytes()
    with tifffile.TiffFile(path) as file:
        end = file.pages[0].dataoffsets[-1] + file.pages[0].databytecounts[-1]
    assert stored_in(path).size == (28, 20)
    path.write_bytes(data[: end - 20])
    assert "is truncated (copy or download it anew)" in refusal(path)


def test_tiles_that_are_left_out_are_told(path):
    tifffile.imwrite(path, WIDE, **TOGETHER, tile=(16, 16))
    with tifffile.TiffFile(path, mode="r+b") as file:
        for name in ("TileOffsets", "TileByteCounts"):
            tag = file.pages[0].tags[name]
            tag.overwrite((tag.value[0], 0, *tag.value[2:]))
    stored = stored_in(path)
    assert stored.alerts == ("parts of it are not in the file, and empty",)
    expected = WIDE.copy()
    expected[:16, 16:] = 0
    np.testing.assert_array_equal(stored.values, expected)


def test_more_pixels_than_pillow_would_decode_are_refused(path, monkeypatch):
    tifffile.imwrite(path, WIDE, **TOGETHER)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20 * 28 - 1)
    assert "image.tif: has more than 559 pixels (make it smaller)" in refusal(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20 * 28)
    assert stored_in(path).bands == 13


@pytest.mark.parametrize(("missing", "compression"), [("tifffile", None), ("imagecodecs", "lzw")])
def test_without_the_packages_the_error_says_what_to_install(path, monkeypatch, missing, compression):
    tifffile.imwrite(path, WIDE, **TOGETHER, compression=compression)
    monkeypatch.setitem(sys.modules, missing, None)
    assert refusal(path).endswith("and what that needs is not installed (pip install 'interpretkit[tiff]')")


FILES = [(WIDE, TOGETHER, ".tif"), (FLOATS[..., 0], {"bigtiff": True}, ".btf")]


@pytest.fixture(scope="module")
def subjects(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    names = [folder / f"image{number}{suffix}" for number, (*_, suffix) in enumerate(FILES)]
    for name, (values, options, _) in zip(names, FILES, strict=True):
        tifffile.imwrite(name, values, **options)
    stack = folder / "stack.tiff"
    tifffile.imwrite(stack, planes(WIDE), photometric="minisblack", truncate=True)
    return {str(check): check for check in checks_of(TiffReader, files=[*names, stack])}


@pytest.mark.parametrize("name", ["suffixes", "reads", "same_twice", "garbage"])
def test_it_is_a_reader_as_readers_should_be(subjects, name):
    [check] = [check for said, check in subjects.items() if name in said]
    check()


PLUGIN = """
from torch import nn
from interpretkit import Model, ModelBuilder, Preprocessing, hookimpl

class Free(ModelBuilder):
    '''A net for images of any size.'''
    name = "free"

    def build(self, state):
        net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        return Model(module=net, name="Free", preprocessing=Preprocessing(resize=None, crop=None))

@hookimpl
def interpretkit_models():
    yield Free
"""

RECIPE = """schema: interpretkit/1
name: satellites
model: {uses: free}
inputs:
  - {path: images, bands: [4, 3, 2], range: [0, 65535]}
steps:
  - {id: features, uses: feature_grid, with: {layers: ["1"]}}
"""


def test_a_run_shows_three_of_thirteen_bands(tmp_path, monkeypatch):
    (tmp_path / "images").mkdir()
    tifffile.imwrite(tmp_path / "images" / "scene.tif", WIDE, **TOGETHER, compression="lzw")
    (tmp_path / "plugin.py").write_text(PLUGIN)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    run = ik.run("recipe.yaml", plugins=["plugin.py"])
    assert run.status == "complete"
    [image] = run.manifest["inputs"]
    assert image["conversions"][0] == "bands 4, 3, 2 of 13"
    pixels = run.result("features", image="scene").images[0].pixels
    exact = WIDE[..., [3, 2, 1]] / 65535 * 255
    assert np.abs(pixels - exact).max() <= 0.51
