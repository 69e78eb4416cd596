"""Values of files against readers that share no code with ours: tifffile, OpenCV, or the bytes that were written."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from interpretkit.errors import InputError
from interpretkit.inputs import decode
from interpretkit.inputs.decode import pages_of
from interpretkit.inputs.find import ImageFile
from interpretkit.inputs.read import read_image
from interpretkit.inputs.reading import Reading
from interpretkit.results.scaling import scaled
from interpretkit.results.stored import Stored

RANDOM = np.random.default_rng(3)
WIDE = RANDOM.integers(0, 65536, (9, 11, 4)).astype(np.uint16)
BYTES = (WIDE >> 8).astype(np.uint8)
FLOATS = WIDE[..., 0].astype(np.float32) / 7 - 3000


def stored_in(path, *, page=None, readers=None, **reading):
    file = ImageFile(id="a", source=str(path), path=path, page=page, reading=Reading(**reading))
    image, stored = read_image(file, readers=readers)
    assert (image.conversions, image.alerts) == (stored.conversions, stored.alerts)
    assert image.size == stored.size
    return stored


def png(values, depth, colour, *, more=b""):
    """Encode a PNG by hand, each row with another filter, so that 16-bit colours can be written."""

    def chunk(name, content):
        body = name + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    height, width = values.shape[:2]
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    raw = values.reshape(height, -1)
    rows = raw.astype(">u2").view(np.uint8) if depth == 16 else raw.astype(np.uint8)
    above = np.vstack([np.zeros_like(rows[:1]), rows[:-1]])
    step = rows.shape[1] // width
    left = np.hstack([np.zeros_like(rows[:, :step]), rows[:, :-step]])
    filtered = [rows, rows - left, rows - above, rows - ((left.astype(int) + above) // 2).astype(np.uint8)]
    data = b"".join(bytes([y % 4]) + filtered[y % 4][y].tobytes() for y in range(height))
    return b"\x89PNG\r\n\x1a\n" + header + more + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def tiff(values, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, values, **options)
    return file.getvalue()


def by_tifffile(data):
    return tifffile.imread(io.BytesIO(data))


def by_opencv(data):
    import cv2

    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return found[..., ::-1] if found.ndim == 3 else found


def netpbm(kind, values, greatest, *, comment=""):
    head = f"P{kind}\n{comment}{values.shape[1]} {values.shape[0]}\n{greatest}\n".encode()
    if kind in (2, 3):
        return head + " ".join(map(str, values.ravel())).encode() + b"\n"
    return head + values.astype(">u2" if greatest > 255 else "u1").tobytes()


def bmp_of_five_six_five(values):
    """Encode `(y, x, channel)` of 5, 6 and 5 bits as a BMP; its rows go upwards, and are even in number of pixels."""
    red, green, blue = np.moveaxis(values.astype(np.uint16), -1, 0)
    packed = (red << 11 | green << 5 | blue)[::-1].astype("<u2").tobytes()
    height, width = values.shape[:2]
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 16, 3, len(packed), 0, 0, 0, 0)
    masks = struct.pack("<III", 0xF800, 0x07E0, 0x001F)
    return b"BM" + struct.pack("<IHHI", 66 + len(packed), 0, 0, 66) + head + masks + packed


def tiff_of_twelve_bits(values):
    """Encode `(y, x)` with an even number of columns as a TIFF of 12 bits, two values in three bytes."""
    first, second = values[:, ::2].astype(np.uint32), values[:, 1::2]
    packed = first << 12 | second
    rows = np.stack([packed >> 16, packed >> 8, packed], axis=-1).astype(np.uint8).reshape(len(values), -1)
    data = tiff(rows)
    for tag, old, new in ((256, rows.shape[1], values.shape[1]), (258, 8, 12)):
        kind = 4 if tag == 256 else 3
        entry = struct.pack("<HHI", tag, kind, 1)
        at = data.index(entry) + len(entry)
        size = "<I" if kind == 4 else "<H"
        assert struct.unpack_from(size, data, at) == (old,)
        data = data[:at] + struct.pack(size, new) + data[at + struct.calcsize(size) :]
    return data


def array(values):
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def zipped(**values):
    file = io.BytesIO()
    np.savez_compressed(file, **values)
    return file.getvalue()


def by_pillow(values, kind, **options):
    file = io.BytesIO()
    Image.fromarray(values).save(file, kind, **options)
    return file.getvalue()


GREY, GREY8 = WIDE[..., 0], BYTES[..., 0]
RGB, RGB8 = WIDE[..., :3], BYTES[..., :3]
OVER_WHITE = np.rint(RGB * (WIDE[..., 3:] / 65535) + 65535 * (1 - WIDE[..., 3:] / 65535)).astype(np.uint16)
GREY_OVER_WHITE = np.rint(GREY * (WIDE[..., 1] / 65535) + 65535 * (1 - WIDE[..., 1] / 65535)).astype(np.uint16)
FIVE_SIX_FIVE = WIDE[:, :10, :3] % [32, 64, 32]
AS_BYTES = (FIVE_SIX_FIVE.astype(int) * 255 // [31, 63, 31]).astype(np.uint8)
TWELVE = GREY[:, :10] % 4096
TILED = {"tile": (16, 16)}
FILES = {
    "png grey 8": (png(GREY8, 8, 0), by_opencv),
    "png rgb 8": (png(RGB8, 8, 2), by_opencv),
    "png grey 16": (png(GREY, 16, 0), by_opencv),
    "png rgb 16": (png(RGB, 16, 2), by_opencv),
    "png rgba 16": (png(WIDE, 16, 6), OVER_WHITE),
    "png grey and alpha 16": (png(WIDE[..., :2], 16, 4), GREY_OVER_WHITE),
    "png grey 16 of pillow": (by_pillow(GREY, "PNG"), by_opencv),
    "bmp": (by_pillow(RGB8, "BMP"), by_opencv),
    "bmp of 16 bits": (bmp_of_five_six_five(FIVE_SIX_FIVE), AS_BYTES),
    "bmp grey": (by_pillow(GREY8, "BMP"), GREY8),
    "webp": (by_pillow(RGB8, "WEBP", lossless=True), by_opencv),
    "gif": (by_pillow(GREY8, "GIF"), np.stack([GREY8] * 3, axis=-1)),
    "pgm 8": (netpbm(5, GREY8, 255), by_opencv),
    "pgm 12": (netpbm(5, GREY % 4096, 4095, comment="# a comment\n"), GREY % 4096),
    "pgm 16": (netpbm(5, GREY, 65535), by_opencv),
    "pgm 16 in text": (netpbm(2, GREY, 65535), GREY),
    "ppm 8": (netpbm(6, RGB8, 255), by_opencv),
    "ppm 16": (netpbm(6, RGB, 65535), by_opencv),
    "ppm 12 in text": (netpbm(3, RGB % 4096, 4095), RGB % 4096),
    "tiff grey 8": (tiff(GREY8), by_tifffile),
    "tiff int8": (tiff(GREY8.view(np.int8)), by_tifffile),
    "tiff uint16": (tiff(GREY), by_tifffile),
    "tiff uint16 big-endian": (tiff(GREY, byteorder=">"), by_tifffile),
    "tiff uint16 in tiles": (tiff(GREY, **TILED), by_tifffile),
    "tiff uint16 deflated": (tiff(GREY, compression="zlib", predictor=True), by_tifffile),
    "tiff uint16 of pillow, lzw": (by_pillow(GREY, "TIFF", compression="tiff_lzw"), GREY),
    "tiff of 12 bits": (tiff_of_twelve_bits(TWELVE), TWELVE),
    "bigtiff uint16": (tiff(GREY, bigtiff=True), by_tifffile),
    "tiff int16": (tiff(GREY.view(np.int16)), by_tifffile),
    "tiff int16 big-endian": (tiff(GREY.view(np.int16), byteorder=">"), by_tifffile),
    "tiff uint32": (tiff(GREY.astype(np.uint32) * 65537), by_tifffile),
    "tiff int32": (tiff(GREY.astype(np.int32) - 40000), by_tifffile),
    "tiff float32": (tiff(FLOATS), by_tifffile),
    "tiff float32 big-endian": (tiff(FLOATS, byteorder=">"), by_tifffile),
    "tiff float32 deflated": (tiff(FLOATS, compression="zlib"), by_tifffile),
    "tiff rgb 8": (tiff(RGB8, photometric="rgb"), by_tifffile),
    "tiff rgb 8 planar": (
        tiff(np.moveaxis(RGB8, -1, 0).copy(), photometric="rgb", planarconfig="separate"),
        lambda data: np.moveaxis(by_tifffile(data), 0, -1),
    ),
    "tiff rgb 16": (tiff(RGB, photometric="rgb"), by_tifffile),
    "tiff rgb 16 big-endian": (tiff(RGB, photometric="rgb", byteorder=">"), by_tifffile),
    "tiff rgb 16 deflated": (tiff(RGB, photometric="rgb", compression="zlib"), by_tifffile),
    "tiff rgb 16 in tiles": (tiff(RGB, photometric="rgb", **TILED), by_tifffile),
    "tiff rgba 16": (tiff(WIDE, photometric="rgb", extrasamples=["unassalpha"]), OVER_WHITE),
    "tiff white is zero 8": (tiff(GREY8, photometric="miniswhite"), 255 - GREY8),
    "tiff white is zero 16": (tiff(GREY, photometric="miniswhite"), 65535 - GREY),
    "npy uint16": (array(GREY), GREY),
    "npy float64": (array(FLOATS.astype(np.float64)), FLOATS.astype(np.float64)),
    "npy of three channels": (array(RGB), RGB),
    "npy big-endian": (array(GREY.astype(">u2")), GREY),
    "npz": (zipped(image=GREY), GREY),
}


@pytest.mark.parametrize("name", FILES)
def test_every_value_is_the_one_that_an_independent_reader_finds(tmp_path, name):
    data, reader = FILES[name]
    path = tmp_path / f"image{'.npz' if 'npz' in name else '.npy' if 'npy' in name else ''}"
    path.write_bytes(data)
    expected = reader(data) if callable(reader) else reader
    found = stored_in(path).values
    assert found.dtype == expected.dtype.newbyteorder("=")
    np.testing.assert_array_equal(found, expected)


BEYOND = {
    "a TIFF of 2 bands of 8 bits": tiff(BYTES[..., :2], photometric="minisblack", planarconfig="contig"),
    "a TIFF of 2 bands of 16 bits": tiff(WIDE[..., :2], photometric="minisblack", planarconfig="contig"),
    "a TIFF of 4 bands of 8 bits": tiff(BYTES, photometric="rgb", extrasamples=["unspecified"]),
    "a TIFF of 4 bands of 16 bits": tiff(WIDE, photometric="minisblack", planarconfig="contig"),
    "a TIFF of 1 band of 64 bits": tiff(FLOATS.astype(np.float64)),
    "a TIFF of 12 images that one page describes": tiff(np.stack([GREY] * 12), imagej=True, truncate=True),
    "a TIFF of 4 images that one page describes": tiff(np.stack([RGB8] * 4), photometric="rgb", truncate=True),
    "a TIFF of 5 images that one page describes": tiff(
        np.stack([GREY] * 5), photometric="minisblack", volumetric=True, tile=(16, 16, 16)
    ),
    "a TIFF compressed as WebP": by_pillow(RGB8, "TIFF").replace(
        struct.pack("<HHIH", 259, 3, 1, 1), struct.pack("<HHIH", 259, 3, 1, 50001)
    ),
    "a DICOM file": bytes(128) + b"DICM" + bytes(90),
    "a HEIC file": b"\0\0\0\x18ftypheic" + bytes(90),
    "an AVIF file": b"\0\0\0\x18ftypavif" + bytes(90),
    "a NIfTI file": struct.pack("<i", 348) + bytes(340) + b"n+1\0" + bytes(90),
    "a JPEG 2000 file": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(90),
    "a Photoshop file": b"8BPS\0\1" + bytes(90),
}


@pytest.mark.parametrize("what", BEYOND)
def test_a_file_that_the_core_does_not_read_is_named(tmp_path, what, refusal):
    path = tmp_path / "image.tif"
    path.write_bytes(BEYOND[what])
    error = refusal(stored_in, path)
    assert error.message == f"is {what}"
    assert error.hint == "install a plugin that reads it, or save it as a PNG"


def test_a_page_of_a_layout_that_pillow_does_not_know_is_left_to_a_plugin_alone(tmp_path, refusal):
    path = tmp_path / "mixed.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(RGB8, photometric="rgb")
        writer.write(np.dstack([WIDE, WIDE]), photometric="minisblack", planarconfig="contig")
    assert refusal(stored_in, path, page=0).message == "is a TIFF of 8 bands of 16 bits"

    class Paged(Strange):
        def pages(self, path):
            return 2

        def read(self, path, page):
            return Stored(values=tifffile.imread(path, key=page), axes=("y", "x", "channel"))

    readers = {".tif": Paged()}
    np.testing.assert_array_equal(stored_in(path, page=0, readers=readers).values, RGB8)
    np.testing.assert_array_equal(stored_in(path, page=1, readers=readers).values, np.dstack([WIDE, WIDE]))


def test_nothing_is_written_onto_the_terminal_behind_the_back_of_the_run(tmp_path):
    path = tmp_path / "many.tif"
    path.write_bytes(tiff(np.dstack([WIDE, WIDE]), photometric="minisblack", planarconfig="contig"))
    read = (
        "import sys; from interpretkit.inputs.find import find_images; from interpretkit.inputs.read import read_image;"
        "[file] = find_images(sys.argv[1:]); read_image(file)"
    )
    done = subprocess.run([sys.executable, "-c", read, path], capture_output=True, text=True, check=False)
    assert "is a TIFF of 8 bands of 16 bits" in done.stderr.splitlines()[-1]
    assert done.stderr.startswith("Traceback")


@pytest.mark.parametrize(
    "described",
    ["ImageJ=1.54f\nimages=12\nslices=12\n", '{"shape": [12, 9, 11], "truncated": true}', '{"shape": 7}', "{"],
)
def test_a_description_of_planes_that_are_not_in_the_file_is_no_stack(tmp_path, described):
    path = tmp_path / "image.tif"
    path.write_bytes(tiff(GREY, description=described, metadata=None))
    stored = stored_in(path)
    np.testing.assert_array_equal(stored.values, GREY)
    assert stored.alerts == ()


def test_a_stack_of_imagej_with_a_page_for_each_plane_is_read_by_its_pages(tmp_path):
    path = tmp_path / "stack.tif"
    path.write_bytes(tiff(np.stack([GREY, GREY[::-1]]), imagej=True))
    np.testing.assert_array_equal(stored_in(path, page=1).values, GREY[::-1])


@pytest.mark.parametrize(
    ("values", "nodata"),
    [
        (np.uint16([[7, 65535], [9, 8]]), "65535"),
        (np.float32([[7, -9999], [9, 8]]), "-9999"),
        (np.float32([[7, np.nan], [9, 8]]), "nan"),
        (np.float32([[7, -3.4028235e38], [9, 8]]), "-3.4028234663852886e+38"),
    ],
)
def test_what_a_tiff_calls_no_data_is_told(tmp_path, values, nodata):
    path = tmp_path / "image.tif"
    path.write_bytes(tiff(values, extratags=[(42113, 2, 0, nodata)]))
    stored = stored_in(path)
    np.testing.assert_array_equal(stored.values, values)
    said = f"25.00 % of the values are no data ({nodata}), and read as they are: state the range by `range:`"
    assert stored.alerts == (said,)
    path.write_bytes(tiff(values[::, :1], extratags=[(42113, 2, 0, nodata)]))
    assert stored_in(path).alerts == ()


class Strange:
    name, package, fallback = "strange", "strange_package", True

    def pages(self, path):
        return 1

    def read(self, path, page):
        return Stored(values=by_tifffile(path.read_bytes()), axes=("y", "x", "channel"))


def test_a_fallback_reads_what_the_core_does_not_and_nothing_else(tmp_path, refusal):
    strange, usual = tmp_path / "strange.tif", tmp_path / "usual.tif"
    strange.write_bytes(BEYOND["a TIFF of 4 bands of 16 bits"])
    usual.write_bytes(FILES["tiff white is zero 16"][0])
    np.testing.assert_array_equal(stored_in(strange, readers={".tif": Strange()}).values, WIDE)
    np.testing.assert_array_equal(stored_in(usual, readers={".tif": Strange()}).values, 65535 - GREY)
    chosen = stored_in(strange, readers={".tif": Strange()}, bands=(4, 1, 1))
    np.testing.assert_array_equal(chosen.values, WIDE[..., [3, 0, 0]])
    assert chosen.conversions == ("bands 4, 1, 1 of 4",)
    error = refusal(stored_in, strange, readers={".tif": Strange()}, bands=(1, 5))
    assert error.message == "has 4 bands, and 5 is asked for"


def test_a_band_that_nothing_calls_alpha_is_taken_as_alpha_and_said(tmp_path):
    path = tmp_path / "image.tif"
    Image.fromarray(BYTES).save(path)
    data = path.read_bytes()
    # The tag of the fourth band becomes an unknown one.
    path.write_bytes(data.replace(struct.pack("<HH", 338, 3), struct.pack("<HH", 65100, 3)))
    assert stored_in(path).alerts == ("its last band is taken as alpha, which the file does not say",)


PAGES = RANDOM.integers(0, 4096, (12, 5, 7)).astype(np.uint16)
STACK = tiff(PAGES, photometric="minisblack")


def test_of_several_pages_the_first_is_taken_and_said_unless_one_is_chosen(tmp_path, refusal):
    path = tmp_path / "stack.tif"
    path.write_bytes(STACK)
    first = stored_in(path)
    np.testing.assert_array_equal(first.values, PAGES[0])
    assert first.alerts == ("page 1 of 12: choose by `#3` or `pages:`",)
    for page in (0, 7, 11):
        chosen = stored_in(path, page=page)
        np.testing.assert_array_equal(chosen.values, PAGES[page])
        assert (chosen.conversions, chosen.alerts) == ((f"page {page + 1} of 12",), ())
    assert refusal(stored_in, path, page=12).message == "has 12 pages, and page 13 is asked for"
    assert pages_of(path, Reading(), readers={}) == 12


def test_all_pages_are_a_volume_where_that_is_wanted(tmp_path, refusal):
    path = tmp_path / "stack.tif"
    path.write_bytes(STACK)
    stored = stored_in(path, pages="volume", range=(0, 4095))
    np.testing.assert_array_equal(stored.values, PAGES)
    assert (stored.axes, stored.range, stored.size) == (("z", "y", "x"), (0, 4095), (7, 5))
    assert stored.conversions == ("volume of 12 pages",)
    Image.fromarray(PAGES[0]).save(path, save_all=True, append_images=[Image.fromarray(PAGES[1][:3])])
    assert refusal(stored_in, path, pages="volume").message == "its pages make no volume: 5×7 uint16, 3×7 uint16"


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_frames_of_animations_are_pages(tmp_path, kind):
    path = tmp_path / "moving"
    frames = [Image.fromarray(np.full((5, 7, 3), level, np.uint8)) for level in (40, 90, 200)]
    more = {"lossless": True} if kind == "WEBP" else {}
    frames[0].save(path, kind, save_all=True, append_images=frames[1:], **more)
    assert [stored_in(path, page=page).values.max() for page in range(3)] == [40, 90, 200]
    assert stored_in(path, pages="volume").values.shape == (3, 5, 7, 3)


def test_what_a_phone_puts_beside_a_photo_is_no_page(tmp_path):
    path = tmp_path / "photo.jpg"
    photo = Image.fromarray(RGB8)
    photo.save(path, "MPO", save_all=True, append_images=[photo])
    assert stored_in(path).alerts == ()


@pytest.mark.parametrize(
    ("shape", "axes", "wanted"),
    [
        ((5, 7), None, ("y", "x")),
        ((5, 7, 3), None, ("y", "x", "channel")),
        ((5, 7, 4), None, ("y", "x", "channel")),
        ((5, 7, 1), None, ("y", "x")),
        ((3, 5, 7), ("channel", "y", "x"), ("y", "x", "channel")),
        ((7, 5), ("x", "y"), ("y", "x")),
    ],
)
def test_axes_of_arrays_are_those_that_are_stated_or_beyond_doubt(tmp_path, shape, axes, wanted):
    values = RANDOM.integers(0, 9, shape)
    path = tmp_path / "array.npy"
    np.save(path, values)
    stored = stored_in(path, axes=axes)
    assert (stored.axes, stored.size) == (wanted, (7, 5))
    expected = {"xy": values.T, "channelyx": np.moveaxis(values, 0, -1)}.get("".join(axes or ()), np.squeeze(values))
    np.testing.assert_array_equal(stored.values, expected)


def test_slices_of_an_array_are_pages(tmp_path):
    path = tmp_path / "array.npy"
    np.save(path, np.moveaxis(PAGES, 0, -1))
    axes = ("y", "x", "z")
    assert stored_in(path, axes=axes).alerts == ("page 1 of 12: choose by `#3` or `pages:`",)
    np.testing.assert_array_equal(stored_in(path, axes=axes, page=7).values, PAGES[7])
    np.testing.assert_array_equal(stored_in(path, axes=axes, pages="volume").values, PAGES)


@pytest.mark.parametrize(
    ("name", "data", "axes", "message"),
    [
        ("a.npy", array(PAGES), None, "holds an array 12×5×7 whose axes are not known"),
        ("a.npy", array(PAGES), ("y", "x"), "holds an array 12×5×7, and its axes are said to be y, x"),
        ("a.npy", array(PAGES), ("t", "y", "x"), "its axes are said to be t, y, x"),
        ("a.npy", array(np.array([{"a": 1}])), None, "cannot be read as an array: ValueError"),
        ("a.npy", array(np.zeros((2, 2), complex)), None, "holds an array of complex128, not of numbers"),
        ("a.npy", array(PAGES)[:-9], None, "cannot be read as an array"),
        ("a.npy", b"", None, "cannot be read as an array"),
        ("a.npz", zipped(image=GREY, other=GREY), None, "holds several arrays, or none: image, other"),
        ("a.npz", zipped(), None, "holds several arrays, or none: none"),
        ("a.npz", zipped(image=GREY)[:200], None, "cannot be read as an array"),
    ],
)
def test_arrays_that_leave_a_doubt_are_refused(tmp_path, *, name, data, axes, message, refusal):
    path = tmp_path / name
    path.write_bytes(data)
    error = refusal(stored_in, path, axes=axes)
    assert message in error.message
    assert error.where == str(path)


def test_the_bits_of_a_tiff_are_its_range(tmp_path):
    path = tmp_path / "image.tif"
    path.write_bytes(tiff_of_twelve_bits(TWELVE))
    stored = stored_in(path)
    assert (stored.range, stored.said_by) == ((0, 4095), "12 bits stored")


def test_grey_and_coloured_frames_make_one_volume(tmp_path):
    path = tmp_path / "moving.gif"
    frames = [Image.fromarray(GREY8), Image.fromarray(GREY8 // 2)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    stored = stored_in(path, pages="volume")
    assert stored.values.shape[:3] == (2, *GREY8.shape)
    levels = stored.values.reshape(2, *GREY8.shape, -1)
    np.testing.assert_array_equal(levels, np.stack([GREY8, GREY8 // 2])[..., None].repeat(levels.shape[-1], axis=-1))


def test_significant_bits_of_a_png_tell_its_range_where_it_keeps_to_the_standard(tmp_path):
    bits = struct.pack(">I", 1) + b"sBIT\x0c" + struct.pack(">I", zlib.crc32(b"sBIT\x0c"))
    path = tmp_path / "image.png"
    path.write_bytes(png(GREY // 2, 16, 0, more=bits))
    stored = stored_in(path)
    assert (stored.range, stored.said_by) == ((0, 65535), "12 significant bits of a PNG")
    path.write_bytes(png(GREY // 16, 16, 0, more=bits))
    assert stored_in(path).range is None


def test_a_range_that_the_recipe_states_goes_before_that_of_the_file(tmp_path):
    path = tmp_path / "image.pgm"
    path.write_bytes(netpbm(5, GREY % 4096, 4095))
    assert stored_in(path).range == (0, 4095)
    stored = stored_in(path, range=(100, 900))
    assert (stored.range, stored.said_by) == ((100, 900), "stated by the recipe")


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_range_is_said_of_the_values_in_the_file_also_where_their_least_is_white(tmp_path, photometric, dtype):
    values = np.array([[0, 50, 100], [150, 200, 250]], dtype)
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(values, photometric=photometric))
    stored = decode.stored_in(path, Reading(range=(50, 150)), page=None, readers={})
    shares = np.clip((values.astype(float) - 50) / 100, 0, 1)
    expected = 1 - shares if photometric == "miniswhite" else shares
    np.testing.assert_allclose(scaled(stored).values, expected, atol=1e-6)


def test_axes_are_for_arrays(tmp_path):
    Image.new("L", (4, 3)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="says its axes itself"):
        decode.stored_in(tmp_path / "a.png", Reading(axes=("x", "y")), page=None, readers={})


class Grid:
    """Reads two kinds of files."""

    name, package, fallback = "grid", "", False

    def read(self, path, page):
        raise NotImplementedError

    def pages(self, path):
        raise NotImplementedError


def test_what_is_known_names_what_plugins_read(tmp_path):
    path = tmp_path / "a.xyz"
    path.write_text("no image")
    grid = Grid()
    for readers, plugins in (({}, ""), ({".grd": grid, ".grid": grid}, ", grid (.grd .grid)")):
        with pytest.raises(InputError) as caught:
            stored_in(path, readers=readers)
        formats = "PNG, JPEG, GIF, BMP, TIFF, WEBP, PPM"
        known = f"known are {formats}{plugins}, and arrays of numpy"
        assert str(caught.value) == f"{path}: is no image that can be read ({known})"
