from __future__ import annotations

import re
import subprocess
import sys
from io import BytesIO

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from interpretkit import StepError, figures
from interpretkit.figures import grids, maps, sheet
from interpretkit.figures.colour import CROSS, DEAD, FLAT, INK, LEVELS, NOT_FINITE, PAPER, palette
from interpretkit.figures.text import paragraph, width_of, wrap

MARKS = {DEAD, CROSS, FLAT, NOT_FINITE}
LONG = "Grad-CAM of stage4 for ‘military uniform’ against ‘suit of clothes’, averaged " * 3


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


def draw_grid(values: np.ndarray, **options) -> Image.Image:
    given = {"title": "stage4", "labels": [str(k) for k in range(len(values))], "scope": "layer", **options}
    return figures.grid(np.asarray(values), **{"polarity": "unsigned", **given})


def entries(picture: Image.Image) -> np.ndarray:
    """Decode what was encoded: palette entries of a paletted picture, colours of another."""
    return np.asarray(Image.open(BytesIO(figures.png(picture))))


def slow_level(value: float, low: float, high: float) -> int:
    """Return the entry that a matplotlib colour map of so many levels takes for one value, clipped to its limits."""
    share = min(max((float(value) - low) / (high - low), 0.0), 1.0)
    return min(int(share * LEVELS), LEVELS - 1)


def slow_tile(channel: np.ndarray, low: float, high: float, zoom: int) -> np.ndarray:
    cells = [[slow_level(value, low, high) for value in row] for row in channel]
    return np.kron(np.array(cells, np.uint8), np.ones((zoom, zoom), np.uint8))


def places(picture: np.ndarray, tile: np.ndarray) -> list[tuple[int, int]]:
    """Return where `tile` stands in `picture`."""
    height, width = tile.shape
    down, across = picture.shape[0] - height + 1, picture.shape[1] - width + 1
    fits = np.ones((down, across), bool)
    for y, x in np.random.default_rng(0).integers(0, tile.shape, (20, 2)):
        fits &= picture[y : y + down, x : x + across] == tile[y, x]
    corners = np.argwhere(fits).tolist()
    return [(y, x) for y, x in corners if np.array_equal(picture[y : y + height, x : x + width], tile)]


def body_of(picture: np.ndarray, *, above: int = 12) -> tuple[slice, slice]:
    """Return the largest rectangle of the picture that is nowhere paper, found from its rows and columns."""
    blank = (picture == 255).all(-1) if picture.ndim == 3 else picture == PAPER
    filled = (~blank).mean(1) > 0.4
    edges = np.flatnonzero(np.diff(np.concatenate([[0], filled.astype(int), [0]])))
    top, bottom = max(zip(edges[::2], edges[1::2], strict=True), key=lambda run: run[1] - run[0])
    columns = np.flatnonzero((~blank[top:bottom]).all(0))
    return slice(int(top), int(bottom)), slice(int(columns[0]), int(columns[-1]) + 1)


@pytest.mark.parametrize("colours", ["viridis", "inferno", "coolwarm"])
def test_the_palette_holds_matplotlibs_own_colours_at_every_level(colours):
    expected = mpl.colormaps[colours].resampled(LEVELS)(np.arange(LEVELS) / (LEVELS - 1), bytes=True)[:, :3]
    assert np.array_equal(palette(colours)[:LEVELS], expected)
    assert len({tuple(entry) for entry in palette(colours)[[PAPER, INK, *MARKS]].tolist()}) == 6


@pytest.mark.parametrize("polarity", ["signed", "unsigned"])
@pytest.mark.parametrize("scope", ["channel", "layer"])
def test_every_tile_of_a_decoded_grid_holds_the_levels_of_its_channel(random, scope, polarity):
    values = random.standard_normal((6, 3, 4)).astype(np.float32) * np.arange(1, 7)[:, None, None]
    values = np.abs(values) if polarity == "unsigned" else values
    found = entries(draw_grid(values, scope=scope, polarity=polarity))
    corners = []
    for channel in values:
        of = values if scope == "layer" else channel
        low, high = float(of.min()), float(of.max())
        if polarity == "signed":
            low, high = -max(-low, high), max(-low, high)
        (corner,) = places(found, slow_tile(channel, low, high, zoom=56))
        corners.append(corner)
    assert corners == sorted(corners)
    assert len({y for y, _ in corners}) == 3
    assert len({x for _, x in corners}) == 2


@pytest.mark.parametrize(
    ("shape", "columns", "zoom"),
    [((64, 112, 112), 8, 1), ((128, 28, 28), 16, 2), ((256, 14, 14), 16, 4), ((1280, 7, 7), 40, 4), ((7, 7, 7), 3, 32)],
)
def test_grids_are_nearly_square_and_compact(random, shape, columns, zoom):
    values = random.random(shape, np.float32)
    values[0] = np.linspace(0, 1, values[0].size).reshape(shape[1:])
    values[1:] *= 0.5
    picture = draw_grid(values)
    ((_, left),) = places(entries(picture), slow_tile(values[0], 0.0, 1.0, zoom=zoom))
    pitch = max(shape[2] * zoom, width_of(str(shape[0] - 1), 10)) + 6
    assert left == 12
    assert 0 <= picture.width - 24 - columns * pitch + 6 < pitch
    assert picture.width < 1400


@pytest.mark.parametrize("polarity", ["signed", "unsigned"])
@pytest.mark.parametrize("scope", ["channel", "layer"])
@pytest.mark.parametrize("constant", [False, True])
def test_a_grid_of_maps_does_not_call_them_channels_of_a_layer(monkeypatch, scope, polarity, constant):
    said = []

    def heard(text, **options):
        said.append(text)
        return paragraph(text, **options)

    for module in (grids, sheet):
        monkeypatch.setattr(module, "paragraph", heard)
    cells = np.arange(9.0).reshape(3, 3)
    broken = np.where(np.eye(3) > 0, np.nan, cells)
    values = np.ones((4, 3, 3)) if constant else np.stack([cells, np.zeros((3, 3)), np.full((3, 3), 2.0), broken])
    for noun, foreign in (("map", "channel|layer"), ("channel", "map")):
        said.clear()
        figures.grid(values, title="a", labels=list("abcd"), scope=scope, polarity=polarity, noun=noun)
        assert any(noun in text for text in said)
        assert not [text for text in said if re.search(foreign, text)]


def test_zero_is_neutral_and_the_limits_are_symmetric_where_values_are_signed():
    values = np.array([[[-1.0, 0.0, 4.0, -4.0]]])
    picture = draw_grid(values, polarity="signed")
    found = entries(picture)
    top, left = places(found, slow_tile(values[0], -4.0, 4.0, zoom=56))[0]
    seen = found[top, left : left + 4 * 56 : 56].tolist()
    assert seen == [int(0.375 * LEVELS), LEVELS // 2, LEVELS - 1, 0]
    red, green, blue = palette("coolwarm")[LEVELS // 2].astype(int)
    assert max(red, green, blue) - min(red, green, blue) < 4


NOISE = np.random.default_rng(1).random((7, 7)) * 1e-9


@pytest.mark.parametrize(
    ("channel", "marks"),
    [
        (np.zeros((7, 7)), {DEAD, CROSS}),
        (np.full((7, 7), 0.25), {FLAT}),
        (NOISE, {FLAT}),
        (0.25 + NOISE, {FLAT}),
        (np.where(np.eye(7) > 0, np.nan, 0.1 * np.arange(7)), {NOT_FINITE}),
        (np.where(np.eye(7) > 0, -np.inf, 0.0), {FLAT, NOT_FINITE}),
        (np.full((7, 7), np.inf), {NOT_FINITE}),
        (np.arange(49.0)[::-1].reshape(7, 7) * 1e-5, set()),
    ],
    ids=["dead", "constant", "noise", "noisy constant", "NaN", "infinite", "all infinite", "weak but real"],
)
@pytest.mark.parametrize("scope", ["channel", "layer"])
def test_marks_stand_in_the_tile_and_in_the_legend_exactly_where_they_are_due(channel, marks, scope):
    plain = np.linspace(0.0, 1.0, 49).reshape(7, 7)
    found = entries(draw_grid([plain, channel], scope=scope))
    zoom = 32
    ((top, left),) = places(found, slow_tile(plain, 0.0, 1.0, zoom=zoom))
    second = found[top : top + 7 * zoom, left + 7 * zoom + 6 : left + 14 * zoom + 6]
    # In the scope of the layer a nearly constant channel keeps the colour of its level.
    expected = marks - ({FLAT} if scope == "layer" else set())
    assert set(second.ravel().tolist()) & MARKS == expected
    assert set(found[:top].ravel().tolist()) & MARKS == marks
    if NOT_FINITE in marks:
        broken = ~np.isfinite(channel)
        assert np.array_equal(second[zoom // 8 :: zoom, zoom // 8 :: zoom] == NOT_FINITE, broken)


def test_a_survey_finds_what_a_loop_over_channels_finds(random):
    values = np.abs(random.standard_normal((40, 5, 6))).astype(np.float32)
    values[3] = 0
    values[7] = 2.5
    values[9, 1, 1] = np.nan
    values[11] = np.inf
    values[13] = 1e-9 * values[13]
    found = figures.survey(values)
    finite = values[np.isfinite(values)].astype(np.float64)
    assert found.limits == (finite.min(), finite.max())
    for index, channel in enumerate(values.astype(np.float64)):
        kept = channel[np.isfinite(channel)]
        assert found.dead[index] == (not channel.any())
        assert found.broken[index] == (kept.size < channel.size)
        assert found.flat[index] == (index in {7, 13})
        assert (found.low[index], found.high[index]) == ((kept.min(), kept.max()) if kept.size else (0, 0))
    assert figures.survey(values[:3], limits=(-50.0, 0.1)).limits == (-50.0, values[:3].max())


def test_noise_on_a_constant_layer_is_not_stretched_to_contrast(random):
    values = (5 + 1e-7 * random.standard_normal((4, 6, 6))).astype(np.float64)
    for polarity in ("signed", "unsigned"):
        for scope in ("channel", "layer"):
            assert entries(draw_grid(values, polarity=polarity, scope=scope)).min() == PAPER
        assert entries(figures.heatmap(values[0], title="t", polarity=polarity)).min() == PAPER


@pytest.mark.parametrize("polarity", ["signed", "unsigned"])
def test_a_heatmap_holds_the_levels_of_its_cells_and_a_scale_without_gaps(random, polarity):
    values = random.standard_normal((7, 7)) - (0 if polarity == "signed" else 9)
    bound = np.abs(values).max()
    limits = (-bound, bound) if polarity == "signed" else (values.min(), values.max())
    found = entries(figures.heatmap(values, title="t", polarity=polarity))
    ((top, left),) = places(found, slow_tile(values, *limits, zoom=64))
    below = found[top + 7 * 64 :, left : left + 7 * 64]
    bar = below[np.flatnonzero((below < LEVELS).all(1))[0]]
    assert bar.tolist() == sorted(bar.tolist())
    assert set(bar.tolist()) == set(range(LEVELS))


def test_cells_beyond_given_limits_are_dotted_and_counted():
    values = np.array([[0.0, 0.5, 1.0], [1.5, -0.5, np.nan]])
    found = entries(figures.heatmap(values, title="t", polarity="unsigned", limits=(0.0, 1.0)))
    inside = entries(figures.heatmap(values.clip(0.0, 1.0), title="t", polarity="unsigned", limits=(0.0, 1.0)))
    rows, columns = body_of(inside)
    cells = found[rows, columns].reshape(2, 64, 3, 64).swapaxes(1, 2)
    plain = inside[rows, columns].reshape(2, 64, 3, 64).swapaxes(1, 2)
    assert (cells == plain).all((2, 3)).tolist() == [[True, True, True], [False, False, True]]
    assert cells[1, 0, 32, 32] == INK
    assert cells[1, 1, 32, 32] == PAPER
    assert cells[1, 0, 2, 2] == LEVELS - 1
    assert cells[1, 1, 2, 2] == 0
    assert found.shape[0] == inside.shape[0]
    assert found[rows.stop :].tolist() != inside[rows.stop :].tolist()


def test_fixed_limits_of_a_grid_are_its_scale_and_cells_beyond_them_are_dotted_and_counted(random):
    values = random.uniform(-1, 2, (3, 4, 4))
    found = entries(draw_grid(values, scope="fixed", limits=(0.0, 1.5)))
    inside = [slow_level(value, 0.0, 1.5) for value in values.ravel() if 0 <= value <= 1.5]
    assert set(inside) <= set(found.ravel().tolist())
    zoom = 224 // 4
    beyond = np.argwhere((values[0] < 0) | (values[0] > 1.5))
    assert len(beyond)
    level = slow_level(float(values[0][tuple(beyond[0])]), 0.0, 1.5)
    cell = np.full((zoom, zoom), level)
    start = (zoom - zoom // 4) // 2
    cell[start : start + zoom // 4, start : start + zoom // 4] = PAPER if level == 0 else INK
    assert places(found, cell)
    assert not places(found, np.full((zoom, zoom), level))
    signed = entries(draw_grid(values, scope="fixed", limits=(0.0, 1.5), polarity="signed"))
    assert slow_level(0.7, -1.5, 1.5) != slow_level(0.7, 0.0, 1.5)
    assert {slow_level(value, -1.5, 1.5) for value in values.ravel() if abs(value) <= 1.5} <= set(
        signed.ravel().tolist()
    )


def test_a_photo_stands_before_the_tiles_as_large_as_one(random):
    pixels = random.integers(0, 256, (32, 64, 3), dtype=np.uint8)
    values = random.random((2, 4, 8))
    picture = draw_grid(values, pixels=pixels)
    assert picture.mode == "RGB"
    found = np.asarray(picture)
    height, width = 4 * 28, 8 * 28
    photo = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))
    tile = palette("viridis")[slow_tile(values[0], values.min(), values.max(), 28)]
    (top,), (left,) = ({place[axis] for place in places(found[..., 0], photo[..., 0])} for axis in (0, 1))
    assert np.array_equal(found[top : top + height, left : left + width], photo)
    ((row, column), *_) = places(found[..., 0], tile[..., 0])
    assert (row, column) > (top, left)
    assert np.array_equal(found[row : row + height, column : column + width], tile)


@pytest.mark.parametrize("polarity", ["signed", "unsigned"])
def test_robust_limits_are_percentiles_and_cells_beyond_keep_the_last_colour(random, polarity):
    values = random.standard_cauchy((100, 90)) if polarity == "signed" else random.exponential(size=(100, 90)) ** 3
    low, high = np.percentile(values, [0.5, 99.5])
    if polarity == "signed":
        low, high = -max(-low, high), max(-low, high)
    found = entries(figures.heatmap(values, title="t", polarity=polarity, robust=True))
    assert len(places(found, slow_tile(values, low, high, zoom=4))) == 1
    plain = entries(figures.heatmap(values.clip(low, high), title="t", polarity=polarity, limits=(low, high)))
    assert found.shape[0] > plain.shape[0], "nothing says that cells are beyond the limits"


def test_robust_limits_take_the_whole_range_where_nothing_lies_beyond_or_hardly_a_cell_differs():
    halves = np.arange(10_000.0).reshape(100, 100) > 5000
    single = np.zeros((100, 100))
    single[3, 4] = 2.0
    for values in (halves.astype(float), single, -single, np.full((100, 100), np.nan), np.zeros((100, 100))):
        pictures = [figures.heatmap(values, title="t", polarity="signed", robust=robust) for robust in (True, False)]
        assert np.array_equal(*map(entries, pictures))


@pytest.mark.parametrize("side", [8, 7])
def test_an_averaged_overlay_is_that_of_the_means_of_squares(random, side):
    values = random.standard_normal((56, 112))
    pixels = random.integers(0, 256, (56, 112, 3), dtype=np.uint8)
    means = values.reshape(56 // side, side, 112 // side, side).mean((1, 3))
    found = entries(figures.overlay(values, pixels, title="t", averaged=side))
    expected = entries(figures.overlay(means, pixels, title="t"))
    rows, columns = body_of(expected)
    assert np.abs(found[rows, columns].astype(int) - expected[rows, columns]).max() <= 2
    unlike = entries(figures.overlay(values, pixels, title="t"))
    assert np.abs(found[rows, columns].astype(int) - unlike[rows, columns]).max() > 20


def test_an_averaged_overlay_marks_the_squares_of_cells_that_are_not_finite(random):
    values = random.random((32, 32))
    values[9, 20] = np.nan
    found = entries(figures.overlay(values, np.full((32, 32, 3), 90, np.uint8), title="t", averaged=8))
    rows, columns = body_of(found)
    marked = (found[rows, columns] == palette("inferno")[NOT_FINITE]).all(-1)
    square = np.zeros((4, 4), bool)
    square[1, 2] = True
    assert np.array_equal(marked, square.repeat(8 * 14, 0).repeat(8 * 14, 1))


@pytest.mark.parametrize(("cells", "fine"), [(64, False), (65, True), (224, True)])
def test_only_a_fine_attribution_map_is_averaged_and_drawn_within_robust_limits(random, cells, fine):
    values = random.standard_cauchy((cells, cells))
    pixels = random.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
    found = entries(figures.attribution(values, pixels, title="t", polarity="signed"))
    heat = figures.heatmap(values, title=f"signed, native {cells}×{cells}", polarity="signed", robust=fine)
    expected = np.asarray(heat.convert("RGB"))
    top = found.shape[0] - expected.shape[0]
    assert np.array_equal(found[top:, -expected.shape[1] :], expected)


def slow_bilinear(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Interpolate between the middles of cells that tile the picture; beyond the outermost they hold."""
    out = np.empty((height, width))
    for y, x in np.ndindex(height, width):
        v = min(max((y + 0.5) * values.shape[0] / height - 0.5, 0), values.shape[0] - 1)
        u = min(max((x + 0.5) * values.shape[1] / width - 0.5, 0), values.shape[1] - 1)
        j, i = min(int(v), values.shape[0] - 2), min(int(u), values.shape[1] - 2)
        q, p = v - j, u - i
        upper = (1 - p) * values[j, i] + p * values[j, i + 1]
        lower = (1 - p) * values[j + 1, i] + p * values[j + 1, i + 1]
        out[y, x] = (1 - q) * upper + q * lower
    return out


def test_an_overlay_is_half_the_grey_photo_and_half_the_map(random):
    values = random.standard_normal((3, 4))
    pixels = random.integers(0, 256, (24, 32, 3), dtype=np.uint8)
    kept = values.copy(), pixels.copy()
    found = entries(figures.overlay(values, pixels, title="t"))
    rows, columns = body_of(found)
    grey = np.round(pixels.astype(float) @ [0.299, 0.587, 0.114])[..., None]
    share = slow_bilinear(values.clip(0), 24, 32) / values.max()
    colour = mpl.colormaps["inferno"](share)[..., :3] * 255
    expected = (0.5 * grey + 0.5 * colour).repeat(14, 0).repeat(14, 1)
    assert np.abs(found[rows, columns].astype(float) - expected).max() <= 3
    assert np.array_equal(values, kept[0])
    assert np.array_equal(pixels, kept[1])


def test_an_overlay_without_positive_values_is_the_grey_photo_without_a_scale(random):
    pixels = random.integers(0, 256, (24, 32, 3), dtype=np.uint8)
    with_scale = figures.overlay(np.ones((2, 2)), pixels, title="t")
    picture = figures.overlay(-np.ones((2, 2)), pixels, title="t")
    found = entries(picture)
    rows, columns = body_of(found)
    grey = np.round(pixels.astype(float) @ [0.299, 0.587, 0.114])
    assert np.abs(found[rows, columns] - grey.repeat(14, 0).repeat(14, 1)[..., None]).max() <= 1
    assert picture.height < with_scale.height


def test_an_overlay_marks_cells_that_are_not_finite():
    values = np.array([[1.0, np.nan], [np.inf, 0.5]])
    found = entries(figures.overlay(values, np.full((20, 20, 3), 90, np.uint8), title="t"))
    rows, columns = body_of(found)
    marked = (found[rows, columns] == palette("inferno")[NOT_FINITE]).all(-1)
    size = marked.shape[0]
    assert np.array_equal(marked, (~np.isfinite(values)).repeat(size // 2, 0).repeat(size // 2, 1))


def test_a_photo_is_shown_as_it_is_and_panels_stand_side_by_side(random):
    pixels = random.integers(0, 250, (224, 224, 3), dtype=np.uint8)
    photo = figures.photo(pixels, title="input")
    heat = figures.heatmap(random.random((7, 7)), title="map", polarity="unsigned")
    whole = entries(figures.panels([photo, heat], title="both"))
    rows, columns = body_of(entries(photo))
    assert np.array_equal(entries(photo)[rows, columns], pixels.repeat(2, 0).repeat(2, 1))
    top = whole.shape[0] - max(photo.height, heat.height)
    assert np.array_equal(whole[top : top + photo.height, : photo.width], np.asarray(photo))
    assert np.array_equal(whole[top : top + heat.height, -heat.width :], np.asarray(heat.convert("RGB")))
    assert (whole[top + photo.height :, : photo.width] == 255).all()
    heat_rows, _ = body_of(np.asarray(heat))
    assert heat_rows == rows, "maps and photos of one row do not align"


@pytest.mark.parametrize(("largest", "zoom"), [((7, 5), 16), ((60, 448), 0.25)])
def test_a_gallery_shows_its_photos_on_one_scale_beside_the_label_of_their_row(random, largest, zoom):
    first, second = (random.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in (largest, (4, 5)))
    nothing = np.zeros((0, 3, 3), np.uint8)
    rows = [
        [figures.Exhibit(first, "cat: 3.2"), figures.Exhibit(second, "a name as long as this does not fit below one")],
        [figures.Exhibit(nothing, "border: 0.1")],
        [],
    ]
    found = np.asarray(figures.gallery(rows, labels=["channel 12", "channel 3", "channel 4: none"], title=LONG))
    found_at = []
    for pixels in (first, second):
        height, width = (int(length * zoom) for length in pixels.shape[:2])
        how = Image.Resampling.BOX if zoom < 1 else Image.Resampling.NEAREST
        shown = np.asarray(Image.fromarray(pixels).resize((width, height), how))
        matches = [
            place
            for place in places(found[..., 0], shown[..., 0])
            if np.array_equal(found[place[0] : place[0] + height, place[1] : place[1] + width], shown)
        ]
        found_at.append((matches[0][0] + height, matches[0][1]))
    assert found_at[1] == (found_at[0][0], found_at[0][1] + 112 + 10)
    bottom, left = found_at[1]
    assert found[bottom, left].tolist() == [208, 215, 222], "a photo without a frame"
    margins = np.concatenate([found[:, :12].ravel(), found[:, -12:].ravel(), found[-12:].ravel()])
    assert (margins == 255).all()


@pytest.mark.parametrize(
    ("limits", "colours", "shown"), [((-1.0, 1.0), "coolwarm", (-1, 1)), ((-0.5, 1.0), "coolwarm", (-1, 1)),
                                     ((0.0, 1.0), "viridis", (0, 1))]
)  # fmt: skip
def test_a_matrix_colours_its_cells_by_limits_and_writes_numbers_into_them(limits, colours, shown):
    values = np.array([[1.0, -0.5, 0.25], [0.0, np.nan, 0.75]])
    names = ["integrated_gradients", "a", "b"]
    found = entries(figures.matrix(values, rows=["first", "second"], columns=names, title="t", limits=limits))
    rows, columns = body_of(found)
    height, width = (rows.stop - rows.start) // 2, (columns.stop - columns.start) // 3
    for row, column in np.ndindex(2, 3):
        cell = found[rows.start + row * height :, columns.start + column * width :][:height, :width]
        value = values[row, column]
        entry = slow_level(value, *shown) if np.isfinite(value) else NOT_FINITE
        ground = palette(colours)[max(entry, 0)]
        assert np.array_equal(cell[2, 2], ground)
        assert np.array_equal(cell[-2, -2], ground)
        text = (cell != ground).any(-1)
        assert text.sum() > 20
        assert not text[:, :4].any()
        assert not text[:, -4:].any()


STAMPED = {
    "grid": lambda: draw_grid(np.random.default_rng(0).random((64, 9, 9))),
    "photo": lambda: figures.photo(np.full((50, 60, 3), 77, np.uint8), title="t"),
    "foreign palette": lambda: Image.radial_gradient("L").convert("RGB").quantize(11),
    "narrow": lambda: Image.new("RGB", (30, 20), "navy"),
    "translucent": lambda: Image.new("RGBA", (400, 20), (0, 0, 0, 0)),
}


@pytest.mark.parametrize("what", STAMPED)
@pytest.mark.parametrize("alert", ["", LONG])
def test_a_stamp_keeps_the_body_and_its_mode_and_grows_by_as_many_lines_as_it_needs(what, alert):
    picture = STAMPED[what]()
    stamped = figures.stamp(picture, ["model repvgg", LONG + "x" * 300], alert=alert)
    assert stamped.mode == ("P" if picture.mode == "P" else "RGB")
    assert stamped.width == max(picture.width, 320)
    colours = np.asarray(stamped.convert("RGB")).astype(int)
    amber = (np.abs(colours - [255, 193, 7]).sum(-1) < (300 if what == "foreign palette" else 1))[:, 2]
    top = int(np.flatnonzero(amber)[-1]) + 1 if alert and what != "foreign palette" else None
    if top is None:
        top = figures.stamp(picture, [], alert=alert).height - picture.height
    assert (top > 0) == bool(alert)
    flat = picture.convert("RGB") if picture.mode != "RGBA" else Image.new("RGB", picture.size, "white")
    assert np.array_equal(colours[top : top + picture.height, : picture.width], np.asarray(flat))
    if picture.mode == "P":
        assert stamped.getpalette()[: 3 * 11] == picture.getpalette()[: 3 * 11]
        assert np.array_equal(np.asarray(stamped)[top : top + picture.height, : picture.width], np.asarray(picture))
    lines = wrap(LONG + "x" * 300, points=12, width=stamped.width - 24)
    assert stamped.height - top - picture.height == 12 + 15 * (1 + len(lines))


@pytest.mark.parametrize("text", [LONG, "x" * 500, "a\nb  c\n\n", "tab\tand\x07bell", "", "图像 ☃ " * 40])
def test_wrapped_text_fits_and_loses_nothing(text):
    lines = wrap(text, points=12, width=100)
    assert all(width_of(line, 12) <= 100 for line in lines)
    letters = "".join(character for character in text if character.isprintable() and character != " ")
    assert "".join(lines).replace(" ", "") == letters


@pytest.mark.parametrize(
    "picture",
    [
        lambda: draw_grid(np.zeros((1, 1, 1)), title=LONG),
        lambda: draw_grid(np.ones((1, 1, 1)), title="", labels=["a label that is longer than its tile"]),
        lambda: draw_grid(np.full((3, 2, 2), np.nan), title=LONG, scope="channel", polarity="signed"),
        lambda: draw_grid(np.eye(3)[None] * 1e-45, scope="channel"),
        lambda: draw_grid(np.linspace(-3e38, 3e38, 8, dtype=np.float32).reshape(2, 2, 2), polarity="signed"),
        lambda: draw_grid(np.array([[[True, False]]]), labels=[""]),
        lambda: draw_grid(np.arange(24, dtype=np.float16).reshape(2, 12, 1), title=LONG),
        lambda: draw_grid(np.random.default_rng(0).random((3, 1, 300)), title=LONG),
        lambda: figures.heatmap(np.zeros((1, 1)), title=LONG, polarity="signed"),
        lambda: figures.heatmap(np.full((2, 2), np.nan), title="", polarity="unsigned"),
        lambda: figures.heatmap(np.full((2, 2), 3e-9), title="", polarity="unsigned", limits=(-1.23e-5, 1.23e5)),
        lambda: figures.heatmap(np.zeros((2, 2)), title="t", polarity="unsigned", limits=(0.0, 0.0)),
        lambda: figures.heatmap(np.random.default_rng(0).random((30, 1)) * 1e-9, title=LONG, polarity="signed"),
        lambda: figures.overlay(np.full((2, 2), np.nan), np.zeros((9, 5, 3), np.uint8), title=LONG),
        lambda: figures.overlay(np.ones((1, 1)), np.zeros((1, 1, 3), np.uint8), title=LONG),
        lambda: figures.matrix(np.full((1, 1), np.nan), rows=[LONG], columns=[LONG], title=LONG),
        lambda: figures.matrix(np.full((1, 1), -1e9), rows=[""], columns=[""], title=""),
    ],
)  # fmt: skip
def test_degenerate_input_is_drawn_within_its_margins(picture):
    drawn = np.asarray(picture().convert("RGB"))
    border = np.ones(drawn.shape[:2], bool)
    border[12:-12, 12:-12] = False
    assert (drawn[border] == 255).all()
    assert (drawn[~border] != 255).any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: draw_grid(np.zeros((0, 7, 7))), r"not of shape 0×7×7"),
        (lambda: draw_grid(np.zeros((2, 7, 7, 7, 7))), r"not of shape 2×7×7×7×7"),
        (lambda: figures.gallery([], labels=[], title=""), "0 labels do not fit 0 rows"),
        (lambda: figures.gallery([[figures.Exhibit(np.eye(3), "")]], labels=["a"], title=""), "not float64 3×3"),
        (lambda: draw_grid(np.zeros((1, 7, 7)), scope="fixed"), "fixed limits None are not finite and ascending"),
        (lambda: draw_grid(np.zeros((1, 7, 7)), scope="fixed", limits=(1.0, 1.0)), "not finite and ascending"),
        (lambda: draw_grid(np.zeros((2, 7, 7)), labels=["0"]), "1 labels do not fit 2 channels"),
        (lambda: figures.heatmap(np.zeros((2, 0)), title="t", polarity="signed"), "not shape 2×0"),
        (lambda: figures.heatmap(np.eye(2), title="t", polarity="signed", limits=(1, 0)), "not finite and ascending"),
        (lambda: figures.overlay(np.eye(2), np.zeros((9, 9, 3)), title="t"), "not float64 9×9×3"),
        (lambda: figures.matrix(np.eye(2), rows=["a"], columns=["a", "b"], title="t"), "1 rows and 2 columns"),
        (lambda: figures.panels([]), "no picture"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_words(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda cells: draw_grid(np.zeros((2, *cells))),
        lambda cells: figures.heatmap(np.zeros(cells), title="t", polarity="signed"),
        lambda cells: figures.overlay(np.zeros(cells), np.zeros((9, 9, 3), np.uint8), title="t"),
        lambda cells: figures.attribution(np.zeros(cells), np.zeros((9, 9, 3), np.uint8), title="t", polarity="signed"),
    ],
    ids=["grid", "heatmap", "overlay", "attribution"],
)
@pytest.mark.parametrize(("cells", "axes"), [((7,), r"\(x\), 7 cells"), ((4, 7, 6), r"\(z, y, x\), 4×7×6 cells")])
def test_maps_of_signals_and_volumes_are_refused_with_a_way_out(call, cells, axes):
    with pytest.raises(StepError, match=rf"draw maps \(y, x\); this one is {axes} .*`figures: false`"):
        call(cells)


def test_alt_text_names_place_range_and_what_is_not_finite():
    values = np.array([[0.5, np.inf], [-2.0, 3.25]])
    text = figures.alt(values, what="CAM")
    assert text == (
        "CAM: 2×2 cells, the greatest value 3.25 at row 1, column 1 (counted from 0), the least −2; 1 cell not finite."
    )
    assert figures.alt(np.zeros((7, 7)), what="CAM") == "CAM: 7×7 cells, all 0."
    assert figures.alt(np.full((1, 2), np.nan), what="CAM") == "CAM: 1×2 cells, none of them finite."


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (-0.0, "0"), (999.6, "1000"), (-1234567, "−1.23e6"), (1e-3, "0.001"), (9.9e-4, "9.9e−4"),
     (float("nan"), "nan"), (float("-inf"), "−inf"), (1e-45, "1e−45")],
)  # fmt: skip
def test_numbers_are_short_and_exact_to_three_digits(value, text):
    assert figures.number(value) == text


def test_charts_share_a_style_wrap_their_title_and_leave_matplotlibs_settings_alone():
    settings = dict(mpl.rcParams)
    figure = figures.chart(4.0, 3.0, title=LONG)
    left, right = figure.subplots(1, 2)
    left.plot([0, 1], [1, 2], label="a")
    left.legend()
    right.set_title("right")
    drawn = np.asarray(figures.picture(figure))
    assert drawn.shape == (300, 400, 3)
    assert (drawn[:, -2:] == 255).all()
    assert (drawn[:2] == 255).all()
    assert left.get_lines()[0].get_color() == "#0072b2"
    assert right.title.get_fontsize() == 9.5
    title = figure.get_suptitle()
    assert " ".join(title.split()) == " ".join(LONG.split())
    assert title.count("\n") >= 3
    assert dict(mpl.rcParams) == settings


def test_drawing_loads_no_pyplot_and_importing_loads_no_matplotlib():
    code = """
import sys, numpy as np
from interpretkit import figures
from interpretkit.figures import grids, sheet
assert "matplotlib" not in sys.modules and "torch" not in sys.modules
pixels = np.zeros((8, 8, 3), np.uint8)
figures.grid(np.ones((2, 3, 3)), title="t", labels=["0", "1"], scope="layer", polarity="signed")
pictures = [figures.photo(pixels, title="t"), figures.overlay(np.eye(2), pixels, title="t")]
figures.png(figures.stamp(figures.panels(pictures, title="t"), ["a"], alert="b"))
figures.matrix(np.eye(2), rows=["a", "b"], columns=["a", "b"], title="t")
figure = figures.chart(3, 2, title="t")
figure.subplots().plot([0, 1])
figures.picture(figure)
assert "matplotlib.pyplot" not in sys.modules and "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)


def test_panels_in_rows_have_columns_as_wide_as_their_widest():
    colours = ["red", "lime", "blue"]
    sizes = [(30, 20), (40, 10), (50, 5)]
    pictures = [Image.new("RGB", size, colour) for size, colour in zip(sizes, colours, strict=True)]
    sheet = figures.panels(pictures, columns=2)
    assert sheet.size == (50 + 40, 20 + 5)
    assert [sheet.getpixel(place) for place in ((0, 0), (50, 0), (0, 20))] == [
        (255, 0, 0),
        (0, 255, 0),
        (0, 0, 255),
    ]
    assert sheet.getpixel((50, 20)) == (255, 255, 255)


def test_an_overlay_of_means_that_are_not_positive_does_not_say_that_nothing_is(monkeypatch):
    said = []
    whole = maps.heading
    monkeypatch.setattr(maps, "heading", lambda title, view, **given: said.append(view) or whole(title, view, **given))
    values, photo = np.tile([[1.0, -2.0], [-2.0, 1.0]], (8, 8)), np.zeros((16, 16, 3), np.uint8)
    figures.overlay(values, photo, title="t", averaged=8)
    figures.overlay(-np.abs(values), photo, title="t")
    assert said[0].startswith("no mean of 8×8 cells is positive: the plain photo, in grey")
    assert said[1].startswith("nothing is positive: the plain photo, in grey")
