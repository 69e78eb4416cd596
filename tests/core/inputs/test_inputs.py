from __future__ import annotations

import hashlib
import io
import os
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile

from interpretkit.errors import InputError
from interpretkit.inputs.batch import batches, tensor_batches
from interpretkit.inputs.find import SAMPLES, find_images
from interpretkit.inputs.read import given_images, read_image
from interpretkit.model.model import Model
from interpretkit.model.preprocessing import Preprocessing, as_picture

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
    image, picture = read_image(file)
    assert picture.mode == "RGB"
    assert picture.size == image.size
    return image, np.asarray(picture)


def refusal(function, *arguments, **options):
    with pytest.raises(InputError) as caught:
        function(*arguments, **options)
    assert caught.value.exit_code == 4
    assert "\n" not in str(caught.value)
    return caught.value


# Finding


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.PNG", "a.jpeg", ".hidden.png", "deep/c.png", "deep/x[1].png"):
        save(Path(name), format=None if name != "a.jpeg" else "JPEG")
    Path("notes.txt").write_text("no image")
    Path("folder.png").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("entries", "found"),
    [
        (["b.PNG"], ["b.PNG"]),
        (["."], ["a.jpeg", "b.PNG"]),
        (["deep", "a.jpeg"], ["deep/c.png", "deep/x[1].png", "a.jpeg"]),
        (["*"], ["a.jpeg", "b.PNG"]),
        (["?.[Pp]*"], ["b.PNG"]),
        (["**/*.png"], ["deep/c.png", "deep/x[1].png"]),
        (["**"], ["a.jpeg", "b.PNG", "deep/c.png", "deep/x[1].png"]),
        (["deep/x[1].png"], ["deep/x[1].png"]),
    ],
)
def test_files_folders_and_patterns_give_visible_images_in_order(folder, entries, found):
    files = find_images(entries)
    assert [file.source for file in files] == found
    assert [file.path for file in files] == [Path(name) for name in found]


def test_the_sample_is_matplotlibs_and_keeps_its_name():
    [file] = find_images(["sample:grace_hopper"])
    assert (file.id, file.source, file.path.name) == ("grace_hopper", "sample:grace_hopper", "grace_hopper.jpg")
    assert all(read_image(each)[1].mode == "RGB" for each in find_images([f"sample:{name}" for name in SAMPLES]))
    error = refusal(find_images, ["sample:grace_hoper"])
    assert error.hint == "did you mean 'grace_hopper'?"
    assert error.where == "sample:grace_hoper"


@pytest.mark.parametrize(
    ("entry", "message", "hint"),
    [
        ("bb.PNG", "does not exist", "did you mean 'b.PNG'"),
        ("b.PNG/inside", "does not exist", "relative"),
        ("nowhere/*.png", "the pattern matches no image", ".png"),
        ("*.txt", "the pattern matches no image", ".png"),
        ("bare", "the folder holds no image", ".png"),
        ("bare/empty", "is empty", "anew"),
        ("pipe.png", "is no regular file", "name a file"),
        ("pipes", "is no regular file", "name a file"),
        ("/dev/zero", "is no regular file", "name a file"),
        ("link-to-nothing", "does not exist", "relative"),
        ("nul\0.png", "cannot be looked at: embedded null byte", "name"),
        ("x" * 300, "cannot be looked at: File name too long", "name"),
        ("", "an empty name", "this folder"),
    ],
)
def test_what_is_no_file_is_refused_without_opening_it(folder, entry, message, hint):
    Path("bare").mkdir()
    Path("bare/empty").touch()
    Path("pipes").mkdir()
    os.mkfifo("pipe.png")
    os.mkfifo("pipes/pipe.png")
    Path("link-to-nothing").symlink_to("gone")
    error = refusal(find_images, [entry])
    assert message in error.message
    assert hint in error.hint
    assert error.where == {"pipes": "pipes/pipe.png", "nul\0.png": "nul\\x00.png"}.get(entry, entry)


def test_no_entry_at_all_is_refused():
    assert "no images" in refusal(find_images, []).message


def test_a_manifest_gives_paths_relative_to_itself_and_labels(folder):
    text = f'path, label ,note\r\n\r\nc.png, "tabby, tiger","a\nb"\r\n{folder / "b.PNG"},  ,\r\n'
    Path("deep/list.CSV").write_text(text, encoding="utf-8-sig", newline="")
    first, second = find_images(["deep/list.CSV"])
    assert (first.path, first.label, first.source) == (Path("deep/c.png"), "tabby, tiger", "deep/c.png")
    assert (second.path, second.label) == (folder / "b.PNG", None)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (b"file,label\na.jpeg,1\n", ":1", "one column 'path'"),
        (b"path,path\na.jpeg,1\n", ":1", "one column 'path'"),
        (b"path,mask,mask\na.jpeg,1,1\n", ":1", "at most one 'mask'"),
        (b"path,masks\na.jpeg,\n", ":1", "column 'masks' is not read"),
        (b"path,Label\na.jpeg,1\n", ":1", "column 'Label' is not read"),
        (b"path,lable,mask\na.jpeg,1,\n", ":1", "column 'lable' is not read"),
        (b"path,mask\na.jpeg,\nb.PNG,gone.png\n", ":3", "gone.png does not exist"),
        (b"path,mask\na.jpeg,deep\n", ":2", "deep is a folder, not an image"),
        (b"path,mask\na.jpeg,empty.png\n", ":2", "empty.png is empty"),
        (b"path\n", "", "lists no image"),
        (b"\n\n", ":1", "one column 'path'"),
        (b"path,label\na.jpeg,1\n\nb.PNG,1,2\n", ":4", "3 cells, but the first line names 2"),
        (b"path,label\na.jpeg,1\n,2\n", ":3", "the path is empty"),
        (b"path\na.jpeg\na.jpg\n", ":3", "a.jpg does not exist"),
        (b"path\ndeep\n", ":2", "deep is a folder, not an image"),
        (b"path\nempty.png\n", ":2", "empty.png is empty"),
        (b'path\na.jpeg\n"a"b\n', ":3", "is not CSV"),
        (b"path\na.jpeg\n\xff\xfe\n", ":3", "is not UTF-8 text"),
        (b"path\na.jpeg\na\0b\n", ":3", "embedded null byte"),
    ],
)
def test_an_error_in_a_manifest_names_its_line(folder, text, line, message):
    Path("empty.png").touch()
    Path("list.csv").write_bytes(text)
    error = refusal(find_images, ["list.csv"])
    assert error.where == f"list.csv{line}"
    assert message in error.message
    assert error.hint


# Masks


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
def test_a_mask_that_leaves_a_doubt_is_refused_by_its_name(tmp_path, mask, options, message):
    error = refusal(read_masked, tmp_path, mask, **options)
    assert message in error.message
    assert error.where == str(tmp_path / "deep" / "mask.png")


def test_a_damaged_mask_is_refused_like_a_damaged_image(tmp_path):
    save(tmp_path / "image.png")
    (tmp_path / "mask.png").write_bytes(encoded(Image.fromarray(GREY), "PNG")[:-30])
    (tmp_path / "list.csv").write_text("path,mask\nimage.png,mask.png\n")
    [file] = find_images([str(tmp_path / "list.csv")])
    assert refusal(read_image, file).where == str(tmp_path / "mask.png")


@pytest.mark.parametrize(
    ("size", "resize", "crop"), [((20, 31), 10, 8), ((31, 20), 45, 40), ((20, 31), None, 12), ((9, 7), None, 11)]
)
def test_a_mask_goes_where_the_pixels_of_its_image_go(tmp_path, size, resize, crop):
    height, width = size
    inside = RANDOM.integers(0, 2, size).astype(bool)
    save(tmp_path / "image.png", Image.fromarray(np.zeros(size, np.uint8)))
    save(tmp_path / "mask.png", Image.fromarray(inside))
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


# Ids


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("plain-1.2_3", "plain-1.2_3"),
        ("two words", "two_words"),
        ("line\nbreak", "line_break"),
        ("Grüße", "Gru_e"),
        ("Gru\u0308ße", "Gru_e"),
        ("猫🐈", "_"),
        ("..-dots", "dots"),
        ("---", "image"),
        ("dots..", "dots"),
        ("CON", "_CON"),
        ("nul.tar", "_nul.tar"),
        ("com1", "_com1"),
        ("console", "console"),
        ("C:\\x", "C_x"),
        ("y" * 80, "y" * 80),
        ("y" * 81, "y" * 80),
        ("y" * 79 + ".z", "y" * 79),
    ],
)
def test_ids_are_fit_for_file_names(tmp_path, stem, expected):
    path = tmp_path / f"{stem}.png"
    path.write_bytes(b"x")
    assert [file.id for file in find_images([str(path)])] == [expected]


def test_ids_that_would_collide_are_all_marked_with_the_hash_of_their_file(tmp_path):
    contents = {"a/cat.png": b"1", "a/dog.png": b"2", "b/Cat.jpg": b"3", "b/cat.png": b"1"}
    for name, content in contents.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    one, three = (hashlib.sha256(content).hexdigest()[:8] for content in (b"1", b"3"))
    names = [str(tmp_path / name) for name in contents]
    assert [file.id for file in find_images(names)] == [f"cat-{one}", "dog", f"Cat-{three}", f"cat-{one}-2"]
    assert {file.id for file in find_images(names[::-1])} == {f"cat-{one}", "dog", f"Cat-{three}", f"cat-{one}-2"}
    # A file that bears the marked name already keeps it.
    (tmp_path / f"CAT-{one}.png").write_bytes(b"4")
    ids = [file.id for file in find_images([*names, str(tmp_path / f"CAT-{one}.png")])]
    assert ids == [f"cat-{one}-2", "dog", f"Cat-{three}", f"cat-{one}-3", f"CAT-{one}"]


def test_ids_that_are_cut_to_the_same_are_marked_and_stay_short(tmp_path):
    for ending in ("1", "2"):
        (tmp_path / f"{'y' * 99}{ending}.png").write_text(ending)
    expected = {"y" * 71 + "-" + hashlib.sha256(ending).hexdigest()[:8] for ending in (b"1", b"2")}
    assert {file.id for file in find_images([str(tmp_path)])} == expected


def test_ids_of_any_names_are_unique_short_and_portable(tmp_path):
    generator = np.random.default_rng(1)
    alphabet = list("aAéß.-_ ~\n:\\*猫\u202e\udcff")
    for number in range(400):
        stem = "".join(generator.choice(alphabet, generator.choice([1, 2, 3, 60])))
        (tmp_path / f"{stem}.png").write_bytes(bytes([number % 7]))
    ids = [file.id for file in find_images([str(each) for each in tmp_path.iterdir()])]
    assert len({name.lower() for name in ids}) == len(ids) > 300
    assert all(re.fullmatch(r"(?![.-])[A-Za-z0-9._-]{1,80}(?<!\.)", name) for name in ids)


@pytest.mark.parametrize("stem", ["猫 🐈", "two\nlines", "é" * 125, b"no \xff text", " ", "'\"$(x);&"])
def test_odd_file_names_are_found_read_and_shown_on_one_line(tmp_path, stem):
    path = tmp_path / f"{os.fsdecode(stem)}.png"
    save(path)
    image, pixels = read(path)
    assert np.array_equal(pixels, COLOUR)
    assert image.source.isprintable()
    image.source.encode()


# Reading


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
        ("PNG", Image.fromarray(WIDE), {}, threefold(NARROWED), ("16-bit grey scaled to 8 bits", "grey to RGB")),
        ("TIFF", Image.fromarray(WIDE), {}, threefold(NARROWED), ("16-bit grey scaled to 8 bits", "grey to RGB")),
        (
            "TIFF",
            Image.fromarray(WIDE.astype(">u2")),
            {},
            threefold(NARROWED),
            ("16-bit grey scaled to 8 bits", "grey to RGB"),
        ),
        (
            "TIFF",
            Image.fromarray(WIDE.astype(np.int32)),
            {},
            threefold(NARROWED),
            ("integer grey (0 to 65535) scaled to 8 bits", "grey to RGB"),
        ),
        (
            "PPM",
            Image.fromarray(WIDE.astype(np.int32)),
            {},
            threefold(NARROWED),
            ("integer grey (0 to 65535) scaled to 8 bits", "grey to RGB"),
        ),
        (
            "TIFF",
            Image.fromarray((WIDE / 65535).astype(np.float32)),
            {},
            threefold(NARROWED),
            ("floating-point grey (0 to 1) scaled to 8 bits", "grey to RGB"),
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
    [(image, picture)] = given_images(Image.frombytes("YCbCr", (7, 5), COLOUR.tobytes()))
    assert image.conversions == ("YCbCr to RGB",)
    assert np.abs(np.asarray(picture) - expected.clip(0, 255)).max() <= 1


def test_sixteen_bit_colour_is_cut_and_says_so(tmp_path):
    wide = RANDOM.integers(0, 65536, (5, 7, 3))
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in wide)
    path = tmp_path / "wide.png"
    path.write_bytes(png((7, 5), depth=16, data=rows))
    image, pixels = read(path)
    assert image.conversions == ("16-bit colour cut to 8 bits",)
    assert np.array_equal(pixels, wide >> 8)


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
    assert not read_image(file)[1].getexif()


@pytest.mark.parametrize("values", [WIDE, WIDE.astype(">u2")], ids=["little-endian", "big-endian"])
def test_conversions_are_recorded_in_their_order(tmp_path, values):
    pages = [Image.fromarray(values), Image.fromarray(values[:2])]
    path = tmp_path / "pages.tif"
    pages[0].save(path, save_all=True, append_images=pages[1:], tiffinfo={0x0112: 6})
    image, pixels = read(path)
    assert image.conversions == (
        "first of 2 frames",
        "EXIF orientation 6 applied",
        "16-bit grey scaled to 8 bits",
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
    assert image.conversions[0] == "first of 3 frames"


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
    tmp_path, monkeypatch, *, kind, options, filling_up
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
            encoded(Image.fromarray(np.float32([[0, 1.5]])), "TIFF"),
            "floating-point grey (0 to 1) holds values from 0 to",
        ),
        (encoded(Image.fromarray(np.float32([[0, np.nan]])), "TIFF"), "holds values from nan to nan"),
        (encoded(Image.fromarray(np.int32([[0, 65536]])), "TIFF"), "(0 to 65535) holds values from 0 to 65536"),
        (encoded(Image.fromarray(np.int32([[-1, 0]])), "TIFF"), "(0 to 65535) holds values from -1 to 0"),
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
def test_what_is_no_image_or_has_no_defined_conversion_is_refused_for_what_it_is(tmp_path, content, message):
    path = tmp_path / "image.png"
    path.write_bytes(content)
    error = refusal(read, path)
    assert message in error.message
    assert error.where == str(path)
    assert error.hint


@pytest.mark.filterwarnings("ignore")
def test_a_bomb_with_its_pixels_is_refused_at_the_limit_that_pillow_has(tmp_path, monkeypatch):
    path = save(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 35)
    assert np.array_equal(read(path)[1], COLOUR)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 34)
    assert "has more than 34 pixels" in refusal(read, path).message


def test_a_file_that_vanishes_after_it_was_found_is_refused(tmp_path):
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


# Images given in Python


def test_paths_and_pil_images_are_taken_one_or_many(tmp_path):
    first, second = save(tmp_path / "a.png"), save(tmp_path / "b.png")
    assert [image.id for image, _ in given_images(str(first))] == ["a"]
    assert [image.id for image, _ in given_images(tmp_path)] == ["a", "b"]
    assert [image.id for image, _ in given_images([second, str(first)])] == ["b", "a"]
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = Image.fromarray(GREY)
    turned.info["exif"] = exif.tobytes()
    (one, _), (two, picture) = given_images(iter([Image.fromarray(COLOUR), turned]))
    assert (one.id, one.size, one.conversions) == ("image0", (7, 5), ())
    assert one.sha256 == hashlib.sha256(COLOUR.tobytes()).hexdigest()
    assert (two.id, two.size, two.conversions) == ("image1", (5, 7), ("EXIF orientation 6 applied", "grey to RGB"))
    assert np.array_equal(np.asarray(picture), UPRIGHT[6](threefold(GREY)))
    assert np.array_equal(np.asarray(turned), GREY)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "no images"),
        (3, "not int"),
        (None, "not NoneType"),
        (COLOUR, "not ndarray"),
        (torch.zeros(1, 3, 4, 4), "not Tensor"),
        (["a.png", Image.new("RGB", (2, 2))], "not Image, str"),
    ],
)
def test_other_things_are_no_images(images, message):
    assert message in refusal(given_images, images).message


def test_a_pil_image_that_cannot_be_decoded_is_named():
    lazy = Image.open(io.BytesIO(encoded(Image.fromarray(COLOUR), "PNG")[:-60]))
    for broken in (lazy, Image.new("RGB", (0, 5)), Image.new("F", (2, 2), 7.0)):
        assert refusal(list, given_images([broken])).where == "image0"


# Batches


def scaled(picture):
    return torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1).float() / 255


def plain_model(preprocessing=scaled):
    return Model(module=torch.nn.Identity(), preprocessing=preprocessing)


def images_of(sizes):
    for number, size in enumerate(sizes):
        values = np.full((size, 4, 3), number, np.uint8)
        values[0, 0], values[0, 1] = 0, 255
        [pair] = given_images(Image.fromarray(values))
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
def test_a_preprocessing_that_fails_is_named_with_image_and_model(preprocessing, message):
    error = refusal(list, batches(images_of([4]), {"mine": plain_model(preprocessing)}, batch_size=1))
    assert message in error.message
    assert "model 'mine'" in error.message
    assert error.where == "PIL image 0"


def test_an_image_too_narrow_to_be_resized_is_refused_and_a_single_pixel_is_not(tmp_path):
    usual = {"usual": Model(module=torch.nn.Identity())}
    for size in ((1, 50_000), (50_000, 1)):
        narrow = given_images(Image.new("RGB", size))
        error = refusal(list, batches(narrow, usual, batch_size=1))
        assert "would be resized to" in error.message
        assert "12800000" in error.message
    [batch] = batches(given_images(Image.new("RGB", (1, 1), (9, 99, 199))), usual, batch_size=1)
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
        torch.zeros(0, 3, 4, 4),
        torch.full((1, 3, 4, 4), torch.inf),
        COLOUR,
    ],
    ids=["two dims", "six dims", "integers", "empty", "infinite", "array"],
)
def test_what_cannot_be_fed_as_it_is_is_refused(tensor):
    assert "(image, channel, y, x)" in refusal(list, tensor_batches(tensor, {}, batch_size=1)).message


@pytest.mark.parametrize(
    ("shape", "size", "shown"),
    [
        ((2, 3, 7), (7, 1), lambda values: np.repeat(values[:, None], 16, axis=1)),
        ((2, 3, 5, 4, 6), (6, 4), lambda values: values[:, 2]),
        ((2, 3, 4, 4, 6), (6, 4), lambda values: values[:, 2]),
    ],
    ids=["signals", "volumes", "volumes of even depth"],
)
def test_signals_and_volumes_are_fed_as_they_are_and_have_a_picture(shape, size, shown):
    tensor = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    scaled = Preprocessing(resize=None, crop=None, mean=(0.5, 0.4, 0.3), std=(0.9, 0.8, 0.7))
    models = {"own": plain_model(), "known": plain_model(scaled)}
    [batch] = tensor_batches(tensor, models, batch_size=4)
    assert [image.size for image in batch.images] == [size, size]
    assert torch.equal(batch.inputs["own"], tensor)
    for position, values in enumerate(tensor.double().numpy()):
        slice_ = shown(values)
        stretched = (slice_ - slice_.min()) / (slice_.max() - slice_.min())
        assert np.array_equal(batch.pixels["own"][position], as_picture(stretched))
        undone = slice_ * np.reshape((0.9, 0.8, 0.7), (3, 1, 1)) + np.reshape((0.5, 0.4, 0.3), (3, 1, 1))
        assert np.array_equal(batch.pixels["known"][position], as_picture(undone))


@pytest.mark.parametrize(
    ("kind", "image"), [(torch.nn.Conv1d, (3, 8)), (torch.nn.Conv2d, (3, 8, 6)), (torch.nn.Conv3d, (3, 4, 8, 6))]
)
def test_one_image_without_the_axis_image_is_refused_by_what_the_network_takes(kind, image):
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


def test_a_preprocessing_that_makes_a_batch_of_one_is_refused_by_what_the_network_takes():
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1))
    models = {"mine": Model(module=net, preprocessing=lambda picture: scaled(picture)[None])}
    error = refusal(list, batches(images_of([4]), models, batch_size=1))
    assert "model 'mine' made torch.float32 of shape (1, 3, 4, 4), a batch of one image" in error.message
