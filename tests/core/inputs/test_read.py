from __future__ import annotations

import hashlib
import io
import os
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageFile

from interpretkit.errors import InputError
from interpretkit.inputs.find import find_images
from interpretkit.inputs.given import handed_over
from interpretkit.inputs.read import read_image
from interpretkit.model.feeding import fed
from interpretkit.model.preprocessing import EightBit

RANDOM = np.random.default_rng(0)


COLOUR = RANDOM.integers(0, 256, (5, 7, 3), dtype=np.uint8)


GREY = COLOUR[..., 0]


ALPHA = COLOUR[..., 1]


WIDE = RANDOM.integers(0, 65536, (5, 7)).astype(np.uint16)


def encoded(picture, kind, **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


TWO_PAGES = encoded(Image.fromarray(GREY), "TIFF", save_all=True, append_images=[Image.fromarray(ALPHA)])


WIDTH_TAG = struct.pack("<HHI", 256, 4, 1)


def save(path, picture=None, **options):
    path.parent.mkdir(exist_ok=True)
    (Image.fromarray(COLOUR) if picture is None else picture).save(path, **options)
    return path


def png(size, *, depth=8, colour=2, data=b""):
    def chunk(name, content):
        body = name + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def read(path):
    [file] = find_images([str(path)])
    image, stored = read_image(file)
    assert stored.size == image.size
    try:
        pixels, given = fed(EightBit(np.asarray), stored)
    except InputError as error:
        raise error.at(image.source) from error
    return replace(image, conversions=given.conversions, alerts=given.alerts), pixels


INSIDE = GREY > 99


def read_masked(folder, mask, **options):
    save(folder / "deep" / "image.png")
    save(folder / "deep" / "mask.png", mask, **options)
    (folder / "deep" / "list.csv").write_text("mask , path\nmask.png, image.png\n , image.png\n")
    masked, bare = find_images([str(folder / "deep" / "list.csv")])
    assert read_image(bare)[0].mask is None
    return read_image(masked)[0].mask


def palette_mask():
    # Index 0 is not black and index 1 is: it is the index that counts.
    picture = Image.fromarray(INSIDE.astype(np.uint8))
    picture.putpalette([200, 200, 200, 0, 0, 0])
    return picture


@pytest.mark.parametrize(
    "mask",
    [
        Image.fromarray(INSIDE),
        Image.fromarray(INSIDE.astype(np.uint8)),
        Image.fromarray(np.dstack([INSIDE * 0, INSIDE * 0, INSIDE * 1]).astype(np.uint8)),
        Image.fromarray(INSIDE.astype(np.uint16)),
        palette_mask(),
    ],
    ids=["1-bit", "grey 1", "blue 1", "16-bit 1", "palette"],
)
def test_a_mask_is_true_where_the_stored_value_is_not_zero(tmp_path, mask):
    found = read_masked(tmp_path, mask)
    assert found.dtype == bool
    np.testing.assert_array_equal(found, INSIDE)


@pytest.mark.parametrize(
    ("mask", "options", "message"),
    [
        (Image.fromarray(INSIDE[:, 1:]), {}, "the mask has 6×5 pixels, its image 7×5"),
        (Image.fromarray(np.dstack([GREY, ALPHA])), {}, "no mask is defined for an image of mode LA with transparency"),
        (Image.fromarray(GREY), {"transparency": 3}, "mode L with transparency"),
        (Image.fromarray(GREY), {"format": "JPEG"}, "a JPEG cannot be a mask"),
        (Image.frombytes("CMYK", (7, 5), bytes(140)), {"format": "TIFF"}, "mode CMYK"),
    ],
)
def test_a_mask_that_leaves_a_doubt_is_refused_by_its_name(tmp_path, mask, options, message, *, refusal):
    error = refusal(read_masked, tmp_path, mask, **options)
    assert message in error.message
    assert error.where == str(tmp_path / "deep" / "mask.png")


def test_a_damaged_mask_is_refused_like_a_damaged_image(tmp_path, refusal):
    save(tmp_path / "image.png")
    (tmp_path / "mask.png").write_bytes(encoded(Image.fromarray(GREY), "PNG")[:-30])
    (tmp_path / "list.csv").write_text("path,mask\nimage.png,mask.png\n")
    [file] = find_images([str(tmp_path / "list.csv")])
    assert refusal(read_image, file).where == str(tmp_path / "mask.png")


@pytest.mark.parametrize("stem", ["猫 🐈", "two\nlines", "é" * 125, b"no \xff text", " ", "'\"$(x);&"])
def test_odd_file_names_are_found_read_and_shown_on_one_line(tmp_path, stem):
    path = tmp_path / f"{os.fsdecode(stem)}.png"
    save(path)
    image, pixels = read(path)
    assert np.array_equal(pixels, COLOUR)
    assert image.source.isprintable()
    image.source.encode()


def over_white(colour, alpha):
    share = alpha[..., None].astype(float) / 255
    return colour * share + 255 * (1 - share)


def threefold(grey):
    return np.repeat(grey[..., None], 3, axis=-1)


def palette_picture():
    picture = Image.fromarray(GREY % 4)
    picture.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90, 250, 240, 230])
    return picture


PALETTE = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90], [250, 240, 230]])[GREY % 4]


PALETTE_ALPHA = np.array([0, 100, 255, 255], np.uint8)[GREY % 4]


CMYK = np.dstack([COLOUR, ALPHA])


NARROWED = np.rint(WIDE / 257)


SIXTEEN = ("16 of 16 bits used: scaled from 0 … 65535",)


WHITE_WHERE_ALIKE = np.where((COLOUR[0, 0] == COLOUR).all(-1, keepdims=True), 255, COLOUR)


@pytest.mark.parametrize(
    ("kind", "picture", "options", "expected", "conversions"),
    [
        ("PNG", Image.fromarray(COLOUR), {}, COLOUR, ()),
        ("BMP", Image.fromarray(COLOUR), {}, COLOUR, ()),
        ("PPM", Image.fromarray(COLOUR), {}, COLOUR, ()),
        ("WEBP", Image.fromarray(COLOUR), {"lossless": True}, COLOUR, ()),
        ("PNG", Image.fromarray(GREY), {}, threefold(GREY), ("grey to RGB",)),
        ("PNG", Image.fromarray(GREY > 99), {}, threefold((GREY > 99) * 255), ("1-bit to RGB",)),
        (
            "PNG",
            Image.fromarray(np.dstack([GREY, ALPHA])),
            {},
            over_white(threefold(GREY), ALPHA),
            ("grey to RGB", "alpha composited over white"),
        ),
        ("PNG", Image.fromarray(CMYK), {}, over_white(COLOUR, ALPHA), ("alpha composited over white",)),
        (
            "PNG",
            Image.fromarray(COLOUR),
            {"transparency": tuple(COLOUR[0, 0].tolist())},
            WHITE_WHERE_ALIKE,
            ("alpha composited over white",),
        ),
        ("PNG", palette_picture(), {}, PALETTE, ("palette to RGB",)),
        (
            "PNG",
            palette_picture(),
            {"transparency": bytes([0, 100, 255, 255])},
            over_white(PALETTE, PALETTE_ALPHA),
            ("palette to RGB", "alpha composited over white"),
        ),
        (
            "GIF",
            palette_picture(),
            {"transparency": 1},
            over_white(PALETTE, (GREY % 4 != 1) * 255),
            ("palette to RGB", "alpha composited over white"),
        ),
        (
            "TIFF",
            Image.frombytes("CMYK", (7, 5), CMYK.tobytes()),
            {},
            (255 - COLOUR.astype(float)) * (255 - ALPHA[..., None].astype(float)) / 255,
            ("CMYK to RGB",),
        ),
        ("PNG", Image.fromarray(WIDE), {}, threefold(NARROWED), (*SIXTEEN, "scaled to 8 bits", "grey to RGB")),
        ("TIFF", Image.fromarray(WIDE), {}, threefold(NARROWED), (*SIXTEEN, "scaled to 8 bits", "grey to RGB")),
        (
            "TIFF",
            Image.fromarray(WIDE.astype(">u2")),
            {},
            threefold(NARROWED),
            (*SIXTEEN, "scaled to 8 bits", "grey to RGB"),
        ),
        (
            "TIFF",
            Image.fromarray(WIDE.astype(np.int32)),
            {},
            threefold(NARROWED),
            ("16 of 32 bits used: scaled from 0 … 65535", "scaled to 8 bits", "grey to RGB"),
        ),
        (
            "PPM",
            Image.fromarray(WIDE.astype(np.int32)),
            {},
            threefold(NARROWED),
            ("scaled from 0 … 65535 (greatest value of the file)", "scaled to 8 bits", "grey to RGB"),
        ),
        (
            "TIFF",
            Image.fromarray((WIDE / 65535).astype(np.float32)),
            {},
            threefold(NARROWED),
            ("scaled from 0 … 1", "scaled to 8 bits", "grey to RGB"),
        ),
    ],
)
def test_every_kind_of_pixel_becomes_rgb_in_the_way_that_is_recorded(
    tmp_path, *, kind, picture, options, expected, conversions
):
    path = tmp_path / "image"
    path.write_bytes(encoded(picture, kind, **options))
    image, pixels = read(path)
    assert image.conversions == conversions
    # Pillow blends in integers: one level of 255 may be between it and the exact value.
    exact = {"CMYK to RGB", "alpha composited over white"}.isdisjoint(conversions)
    assert np.abs(pixels - np.asarray(expected, float)).max() <= (0 if exact else 1)


def test_luma_and_chroma_become_rgb_by_the_formula_of_jpeg():
    luma, blue, red = np.moveaxis(COLOUR.astype(float) - [0, 128, 128], -1, 0)
    expected = np.dstack([luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue])
    picture = Image.frombytes("YCbCr", (7, 5), COLOUR.tobytes())
    [(image, stored)] = handed_over(picture, axes=3, leave_out=pytest.fail)
    assert image.conversions == ("YCbCr to RGB",)
    assert np.abs(stored.values - expected.clip(0, 255)).max() <= 1


def test_sixteen_bit_colour_is_read_whole_from_a_file_and_what_pillow_cuts_is_said(tmp_path):
    wide = RANDOM.integers(0, 65536, (5, 7, 3))
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in wide)
    path = tmp_path / "wide.png"
    path.write_bytes(png((7, 5), depth=16, data=rows))
    image, pixels = read(path)
    assert image.conversions == (*SIXTEEN, "scaled to 8 bits")
    assert np.array_equal(pixels, np.rint(wide / 257))
    [(given, stored)] = handed_over(Image.open(path), axes=3, leave_out=pytest.fail)
    assert np.array_equal(stored.values, wide >> 8)
    assert given.conversions == ("16-bit colour cut to 8 bits by Pillow",)
    assert given.alerts == ("16-bit colour cut to 8 bits by Pillow: give the path of the file instead",)


UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[:, ::-1],
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: lambda a: a.swapaxes(0, 1)[::-1],
}


@pytest.mark.parametrize("values", [COLOUR, GREY], ids=["colour", "grey"])
@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True})])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_images_are_turned_upright_as_exif_says(tmp_path, *, kind, options, orientation, values):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned"
    path.write_bytes(encoded(Image.fromarray(values), kind, exif=exif, **options))
    image, pixels = read(path)
    assert np.array_equal(pixels, UPRIGHT[orientation](values if values.ndim == 3 else threefold(values)))
    turned = () if orientation == 1 else (f"EXIF orientation {orientation} applied",)
    assert image.conversions == turned + (("grey to RGB",) if values.ndim == 2 and kind != "WEBP" else ())
    # Whoever preprocesses the picture must not turn it again.
    [file] = find_images([str(path)])
    assert not read_image(file)[1].picture().getexif()


@pytest.mark.parametrize("values", [WIDE, WIDE.astype(">u2")], ids=["little-endian", "big-endian"])
def test_conversions_are_recorded_in_their_order(tmp_path, values):
    pages = [Image.fromarray(values), Image.fromarray(values[:2])]
    path = tmp_path / "pages.tif"
    pages[0].save(path, save_all=True, append_images=pages[1:], tiffinfo={0x0112: 6})
    image, pixels = read(path)
    assert image.conversions == (
        "page 1 of 2",
        "EXIF orientation 6 applied",
        *SIXTEEN,
        "scaled to 8 bits",
        "grey to RGB",
    )
    assert np.array_equal(pixels, UPRIGHT[6](threefold(NARROWED)))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "TIFF", "WEBP"])
def test_of_an_animation_the_first_frame_is_read(tmp_path, kind):
    frames = [Image.fromarray(np.full((5, 7, 3), level, np.uint8)) for level in (40, 90, 200)]
    path = tmp_path / "moving"
    more = {"lossless": True} if kind == "WEBP" else {}
    path.write_bytes(encoded(frames[0], kind, save_all=True, append_images=frames[1:], **more))
    image, pixels = read(path)
    assert (pixels == 40).all()
    assert image.conversions[0] == "page 1 of 3"
    assert image.alerts == ("page 1 of 3: choose by `#3` or `pages:`",)


def test_the_record_of_an_image_says_what_its_file_is(tmp_path):
    path = save(tmp_path / "cat.png")
    (tmp_path / "list.csv").write_text("path,label\ncat.png,tabby\n")
    [file] = find_images([str(tmp_path / "list.csv")])
    image, _ = read_image(file)
    assert (image.id, image.source, image.label, image.size) == ("cat", str(path), "tabby", (7, 5))
    assert image.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("filling_up", [False, True])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("GIF", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WEBP", {}),
        ("PPM", {}),
    ],
)
def test_a_truncated_file_is_refused_even_where_pillow_is_set_to_fill_it_up(
    tmp_path, monkeypatch, *, kind, options, filling_up, refusal
):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", filling_up)
    picture = Image.fromarray(RANDOM.integers(0, 256, (40, 50, 3), dtype=np.uint8))
    data = encoded(picture, kind, **options)
    path = tmp_path / "cut"
    path.write_bytes(data)
    read(path)
    for kept in (0.95, 0.5, 0.1):
        path.write_bytes(data[: int(len(data) * kept)])
        error = refusal(read, path)
        assert error.where == str(path)
        assert error.hint
    assert filling_up is ImageFile.LOAD_TRUNCATED_IMAGES


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "is a Git LFS pointer"),
        (b"\xef\xbb\xbf\n <!DOCTYPE HTML><p>Not found", "is an HTML page"),
        (b"<html><body>", "is an HTML page"),
        (b"just text", "is no image that can be read"),
        (b"SIMPLE  =                    T" + b" " * 2850, "is no image that can be read"),
        (b"\x89PNG\r\n\x1a\n", "is no image that can be read"),
        (png((100_000, 100_000)), "has more than 89,478,485 pixels"),
        (png((10_000, 10_000)), "has more than 89,478,485 pixels"),
        (png((0, 0)), "is no image that can be read"),
        (
            encoded(Image.fromarray(np.float32([[-0.5, 1.5]])), "TIFF"),
            "holds floats from −0.5 to 1.5, and nothing says which are black and white",
        ),
        (encoded(Image.fromarray(np.float32([[0, np.nan]])), "TIFF"), "holds NaN or infinite values"),
        (encoded(Image.fromarray(np.int32([[-1, 0]])), "TIFF"), "holds integers from −1 to 0, and nothing says"),
        (encoded(Image.fromarray(WIDE), "PNG", transparency=3), "has no defined conversion"),
        # Pillow has an error of its own for each of these: of EXIF, of a frame's header, of a block, of a second page.
        (encoded(Image.fromarray(COLOUR), "PNG", exif=b"Exif\0\0nonsense"), "not a TIFF file"),
        (encoded(Image.fromarray(GREY), "GIF")[:-1] + b",\0\0\0\0", "unpack_from requires a buffer"),
        (encoded(Image.fromarray(GREY), "GIF")[:-1] + b"!", "index out of range"),
        (
            TWO_PAGES[: TWO_PAGES.rindex(WIDTH_TAG)] + b"\xff" + TWO_PAGES[TWO_PAGES.rindex(WIDTH_TAG) + 1 :],
            "dimensions",
        ),
    ],
)
def test_what_is_no_image_or_has_no_defined_conversion_is_refused_for_what_it_is(tmp_path, content, message, refusal):
    path = tmp_path / "image.png"
    path.write_bytes(content)
    error = refusal(read, path)
    assert message in error.message
    assert error.where == str(path)
    assert error.hint


@pytest.mark.filterwarnings("ignore")
def test_a_bomb_with_its_pixels_is_refused_at_the_limit_that_pillow_has(tmp_path, monkeypatch, refusal):
    path = save(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 35)
    assert np.array_equal(read(path)[1], COLOUR)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 34)
    assert "has more than 34 pixels" in refusal(read, path).message


def test_a_file_that_vanishes_after_it_was_found_is_refused(tmp_path, refusal):
    path = save(tmp_path / "gone.png")
    [file] = find_images([str(path)])
    path.unlink()
    assert refusal(read_image, file).where == str(path)


def test_what_pillow_remarks_about_a_file_is_recorded(tmp_path):
    # One EXIF entry whose hundred characters lie beyond the end.
    entry = struct.pack("<HHII", 0x010E, 2, 100, 5000)
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 1) + entry + b"\0\0\0\0"
    path = save(tmp_path / "odd.jpg", exif=exif)
    [remark] = read(path)[0].conversions
    assert remark.startswith("Pillow remarks: ")
    assert remark != "Pillow remarks: "


def test_damage_of_any_kind_gives_an_image_or_a_refusal_and_nothing_else(tmp_path):
    generator = np.random.default_rng(2)
    pictures = [Image.fromarray(COLOUR), palette_picture(), Image.fromarray(CMYK), Image.fromarray(WIDE)]
    seeds = []
    for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"):
        for picture in pictures:
            try:
                seeds.append(encoded(picture, kind))
            except OSError:
                continue
    path = tmp_path / "damaged"
    refused = 0
    for number in range(500):
        data = bytearray(seeds[number % len(seeds)])
        for _ in range(generator.choice([1, 1, 2, 5])):
            data[generator.integers(min(len(data), generator.choice([60, 10_000])))] = generator.choice(
                [0, 1, 128, 255]
            )
        path.write_bytes(data)
        try:
            read(path)
        except InputError:
            refused += 1
    assert 100 < refused < 450
