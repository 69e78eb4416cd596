"""HEIC and AVIF: against the values that were written without loss, and what Pillow and other decoders find."""

from __future__ import annotations

import io
import sys

import numpy as np
import pillow_heif
import pytest
import tifffile
from PIL import Image, ImageOps, features

import interpretkit as ik
from interpretkit.inputs.decode import pages_of
from interpretkit.inputs.find import ImageFile
from interpretkit.inputs.read import read_image
from interpretkit.inputs.reading import Reading
from interpretkit.results.scaling import scaled
from interpretkit.testing import checks_of
from interpretkit_heif.heif import HeifReader

READERS = {suffix: HeifReader(HeifReader.Options()) for suffix in HeifReader.suffixes}
Y, X = np.mgrid[:64, :96]
RGB = np.stack([X * 2, Y * 3, X + Y], axis=-1).astype(np.uint8)
ALPHA = np.dstack([RGB, 255 - X]).astype(np.uint8)
TEN = np.stack([X * 8, Y * 10, (X + Y) * 4], axis=-1).astype(np.uint16)
TWELVE = TEN * 4 + 3
LOSSLESS = {"quality": -1, "chroma": 444, "matrix_coefficients": 0}


def heic(mode, values, **options):
    """Encode an image; colours as they are, without loss."""
    file = io.BytesIO()
    size = values.shape[1], values.shape[0]
    pillow_heif.encode(mode, size, np.ascontiguousarray(values).tobytes(), file, **LOSSLESS, **options)
    return file.getvalue()


def avif(values, *, bits):
    import imagecodecs

    encoded = imagecodecs.avif_encode(values, level=100, bitspersample=bits, pixelformat="444")
    return bytes(encoded)


def over_white(values, most):
    alpha = values[..., -1:] / most
    return np.rint(values[..., :-1] * alpha + most * (1 - alpha)).astype(values.dtype)


def stored_in(path, *, page=None, readers=READERS, **reading):
    file = ImageFile(id="a", source=path.name, path=path, page=page, reading=Reading(**reading))
    return read_image(file, readers=readers)[1]


def refusal(path, **options):
    with pytest.raises(ik.InputError) as caught:
        stored_in(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "image.heic"


WITH_ALPHA = np.dstack([TEN, 1023 - TEN[..., 0]])
WRITTEN = {
    "grey": (heic("L", RGB[..., 0]), RGB[..., 0], 8),
    "rgb": (heic("RGB", RGB), RGB, 8),
    "rgb and alpha": (heic("RGBA", ALPHA), over_white(ALPHA, 255), 8),
    "rgb of 10 bits": (heic("RGB;10", TEN), TEN, 10),
    "rgb of 12 bits": (heic("RGB;12", TWELVE), TWELVE, 12),
    "grey of 10 bits": (heic("L;10", TEN[..., 0]), TEN[..., 0], 10),
    "rgb and alpha of 10 bits": (heic("RGBA;10", WITH_ALPHA), over_white(WITH_ALPHA, 1023), 10),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_every_value_is_the_one_that_was_written(path, name):
    data, expected, bits = WRITTEN[name]
    path.write_bytes(data)
    stored = stored_in(path)
    assert stored.values.dtype == expected.dtype
    np.testing.assert_array_equal(stored.values, expected)
    known = ((0, 2**bits - 1), f"{bits} bits stored") if bits > 8 else (None, "")
    assert ((stored.range, stored.said_by), stored.alerts) == (known, ())
    assert stored.conversions == (("alpha composited over white",) if "alpha" in name else ())


def test_ten_bits_are_scaled_by_all_that_they_hold(path):
    path.write_bytes(WRITTEN["rgb of 10 bits"][0])
    np.testing.assert_array_equal(scaled(stored_in(path)).values, (TEN / 1023).astype(np.float32))


def test_a_lossy_photo_is_close_to_its_source_and_the_same_as_by_pillow(path):
    pillow_heif.from_pillow(Image.fromarray(RGB)).save(path, quality=90)
    found = stored_in(path).values
    assert np.abs(found.astype(int) - RGB).mean() < 2
    assert np.abs(found.astype(int) - RGB).max() < 16
    np.testing.assert_array_equal(found, np.asarray(pillow_heif.read_heif(path).to_pillow()))


def test_an_avif_is_what_opencv_and_pillow_find(path):
    import cv2

    path = path.with_suffix(".avif")
    Image.fromarray(RGB).save(path, quality=95, subsampling="4:4:4")
    found = stored_in(path).values
    np.testing.assert_array_equal(found, np.asarray(Image.open(io.BytesIO(path.read_bytes()))))
    assert np.abs(found.astype(int) - RGB).max() < 8
    by_opencv = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert by_opencv is None or np.abs(found.astype(int) - by_opencv[..., ::-1]).max() <= 2


def test_alpha_of_an_avif_lies_over_white(path):
    path = path.with_suffix(".avif")
    Image.fromarray(ALPHA).save(path, quality=100, subsampling="4:4:4")
    stored = stored_in(path)
    ground = Image.new("RGBA", (96, 64), "white")
    expected = Image.alpha_composite(ground, Image.open(io.BytesIO(path.read_bytes()))).convert("RGB")
    assert np.abs(stored.values.astype(int) - np.asarray(expected)).max() <= 1
    assert stored.conversions == ("alpha composited over white",)


@pytest.mark.parametrize("bits", [10, 12])
def test_an_avif_of_more_bits_than_pillow_keeps_is_cut_and_said(path, bits, monkeypatch):
    path = path.with_suffix(".avif")
    values = TEN if bits == 10 else TWELVE
    path.write_bytes(avif(values, bits=bits))
    monkeypatch.setattr(pillow_heif.HeifImage, "__array_interface__", property(no_decoder))
    stored = stored_in(path)
    assert np.abs(stored.values - values / (2**bits - 1) * 255).max() < 1
    said = f"{bits} bits cut to 8 by Pillow"
    assert (stored.conversions, stored.alerts) == ((said,), (said,))


def no_decoder(image):
    raise RuntimeError("Support for this compression format has not been built in: AV1")


def test_an_avif_of_ten_bits_keeps_them_where_libheif_decodes_it(path, monkeypatch):
    path = path.with_suffix(".avif")
    path.write_bytes(avif(TEN, bits=10))
    interface = property(lambda image: np.ascontiguousarray(TEN).__array_interface__)
    monkeypatch.setattr(pillow_heif.HeifImage, "__array_interface__", interface)
    stored = stored_in(path)
    np.testing.assert_array_equal(stored.values, TEN)
    assert (stored.range, stored.said_by, stored.alerts) == ((0, 1023), "10 bits stored", ())


@pytest.mark.parametrize("suffix", [".heic", ".avif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_upright(path, suffix, orientation):
    path = path.with_suffix(suffix)
    exif = Image.Exif()
    exif[274] = orientation
    if suffix == ".avif":
        Image.fromarray(RGB).save(path, exif=exif, quality=100, subsampling="4:4:4")
    else:
        path.write_bytes(heic("RGB", RGB, exif=exif.tobytes()))
    turned = Image.fromarray(RGB)
    turned.getexif()[274] = orientation
    expected = np.asarray(ImageOps.exif_transpose(turned)).astype(int)
    found = stored_in(path).values
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= (4 if suffix == ".avif" else 0)


def test_images_are_pages_the_primary_one_first(path):
    levels = (40, 120, 200)
    several = pillow_heif.from_pillow(Image.new("L", (64, 48), levels[0]))
    for level in levels[1:]:
        several.add_from_pillow(Image.new("L", (64, 48), level))
    several.save(path, primary_index=1, quality=-1)
    assert pages_of(path, Reading(), readers=READERS) == 3
    found = [stored_in(path, page=page).values for page in range(3)]
    assert [round(float(values.mean())) for values in found] == [120, 40, 200]
    assert stored_in(path).alerts == ("page 1 of 3: choose by `#3` or `pages:`",)
    assert stored_in(path, pages="volume").values.shape[0] == 3


def test_thumbnails_are_no_pages(path):
    one = pillow_heif.from_pillow(Image.fromarray(np.tile(RGB, (8, 8, 1))))
    one[0].info["thumbnails"] = [128]
    one.save(path, quality=90)
    assert pages_of(path, Reading(), readers=READERS) == 1
    assert stored_in(path).size == (768, 512)


def test_frames_of_an_avif_are_pages(path):
    path = path.with_suffix(".avif")
    frames = [Image.new("RGB", (96, 64), (level, level, level)) for level in (10, 120, 240)]
    frames[0].save(path, save_all=True, append_images=frames[1:], quality=100)
    assert pages_of(path, Reading(), readers=READERS) == 3
    assert [round(stored_in(path, page=page).values.mean()) for page in range(3)] == [10, 120, 240]


def test_a_jpeg_of_such_a_name_is_read_by_the_core(path):
    Image.fromarray(RGB).save(path, "JPEG")
    np.testing.assert_array_equal(stored_in(path).values, np.asarray(Image.open(io.BytesIO(path.read_bytes()))))


@pytest.mark.parametrize("suffix", [".heic", ".avif"])
def test_a_damaged_file_is_refused(path, suffix):
    path = path.with_suffix(suffix)
    if suffix == ".avif":
        Image.fromarray(RGB).save(path)
    else:
        path.write_bytes(WRITTEN["rgb"][0])
    data = path.read_bytes()
    for share in (0.2, 0.6, 0.95):
        path.write_bytes(data[: int(share * len(data))])
        assert "image" + suffix + ": " in refusal(path)


@pytest.mark.parametrize("suffix", [".heic", ".avif"])
@pytest.mark.parametrize("limit", [64 * 96 - 1, 64 * 96 // 2 - 1])
def test_more_pixels_than_pillow_would_decode_are_refused(path, suffix, limit, monkeypatch):
    path = path.with_suffix(suffix)
    if suffix == ".avif":
        Image.fromarray(RGB).save(path)
    else:
        path.write_bytes(WRITTEN["rgb"][0])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    assert refusal(path).endswith(f"has more than {limit:,} pixels (make it smaller)")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 96)
    assert stored_in(path).size == (96, 64)


NEEDS = "and what that needs is not installed (pip install 'interpretkit[heif]')"


def test_without_the_package_the_error_says_what_to_install(path, monkeypatch):
    path.write_bytes(WRITTEN["rgb"][0])
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    assert refusal(path).endswith(NEEDS)


def test_with_a_pillow_that_knows_no_avif_the_error_says_what_to_install(path, monkeypatch):
    path = path.with_suffix(".avif")
    Image.fromarray(RGB).save(path)
    monkeypatch.setattr(features, "check", lambda feature: False)
    assert refusal(path).endswith(NEEDS)


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    (folder / "a.heic").write_bytes(WRITTEN["rgb of 10 bits"][0])
    (folder / "b.hif").write_bytes(WRITTEN["grey"][0])
    Image.fromarray(RGB).save(folder / "c.avif")
    return {str(check): check for check in checks_of(HeifReader, files=sorted(folder.iterdir()))}


@pytest.mark.parametrize("name", ["suffixes", "reads", "same_twice", "garbage"])
def test_it_is_a_reader_as_readers_should_be(subject, name):
    subject[name]()


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
name: mixed
model: {uses: free}
inputs:
  - photos
  - {path: scene.tif, bands: [4, 3, 2]}
steps:
  - {id: features, uses: feature_grid, with: {layers: ["1"]}}
"""


def test_a_run_over_photos_and_a_scene_of_thirteen_bands(tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "phone.HEIC").write_bytes(WRITTEN["rgb"][0])
    (tmp_path / "photos" / "camera.hif").write_bytes(WRITTEN["rgb of 10 bits"][0])
    scene = np.random.default_rng(0).integers(0, 65536, (64, 96, 13)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "scene.tif", scene, photometric="minisblack", planarconfig="contig", compression="lzw")
    (tmp_path / "plugin.py").write_text(PLUGIN)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    run = ik.run("recipe.yaml", plugins=["plugin.py"])
    assert run.status == "complete"
    images = {each["id"]: each for each in run.manifest["inputs"]}
    assert list(images) == ["camera", "phone", "scene"]
    assert images["camera"]["conversions"][0] == "scaled from 0 … 1023 (10 bits stored)"
    pixels = {name: run.result("features", image=name).images[0].pixels for name in images}
    np.testing.assert_array_equal(pixels["phone"], RGB)
    assert np.abs(pixels["camera"] - TEN / 1023 * 255).max() <= 0.51
    assert np.abs(pixels["scene"] - scene[..., [3, 2, 1]] / 65535 * 255).max() <= 0.51
