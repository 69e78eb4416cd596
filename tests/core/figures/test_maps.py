from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest

from interpretkit import figures
from interpretkit.figures import maps
from interpretkit.figures.colour import INK, LEVELS, NOT_FINITE, PAPER, palette


@pytest.mark.parametrize("polarity", ["signed", "unsigned"])
def test_a_heatmap_holds_the_levels_of_its_cells_and_a_scale_without_gaps(
    random, polarity, *, entries, slow_tile, places
):
    values = random.standard_normal((7, 7)) - (0 if polarity == "signed" else 9)
    bound = np.abs(values).max()
    limits = (-bound, bound) if polarity == "signed" else (values.min(), values.max())
    found = entries(figures.heatmap(values, title="t", polarity=polarity))
    ((top, left),) = places(found, slow_tile(values, *limits, zoom=64))
    below = found[top + 7 * 64 :, left : left + 7 * 64]
    bar = below[np.flatnonzero((below < LEVELS).all(1))[0]]
    assert bar.tolist() == sorted(bar.tolist())
    assert set(bar.tolist()) == set(range(LEVELS))


def test_cells_beyond_given_limits_are_dotted_and_counted(entries, body_of):
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


@pytest.mark.parametrize("polarity", ["signed", "unsigned"])
def test_robust_limits_are_percentiles_and_cells_beyond_keep_the_last_colour(
    random, polarity, *, entries, slow_tile, places
):
    values = random.standard_cauchy((100, 90)) if polarity == "signed" else random.exponential(size=(100, 90)) ** 3
    low, high = np.percentile(values, [0.5, 99.5])
    if polarity == "signed":
        low, high = -max(-low, high), max(-low, high)
    found = entries(figures.heatmap(values, title="t", polarity=polarity, robust=True))
    assert len(places(found, slow_tile(values, low, high, zoom=4))) == 1
    plain = entries(figures.heatmap(values.clip(low, high), title="t", polarity=polarity, limits=(low, high)))
    assert found.shape[0] > plain.shape[0], "nothing says that cells are beyond the limits"


def test_robust_limits_take_the_whole_range_where_nothing_lies_beyond_or_hardly_a_cell_differs(entries):
    halves = np.arange(10_000.0).reshape(100, 100) > 5000
    single = np.zeros((100, 100))
    single[3, 4] = 2.0
    for values in (halves.astype(float), single, -single, np.full((100, 100), np.nan), np.zeros((100, 100))):
        pictures = [figures.heatmap(values, title="t", polarity="signed", robust=robust) for robust in (True, False)]
        assert np.array_equal(*map(entries, pictures))


@pytest.mark.parametrize("side", [8, 7])
def test_an_averaged_overlay_is_that_of_the_means_of_squares(random, side, entries, body_of):
    values = random.standard_normal((56, 112))
    pixels = random.integers(0, 256, (56, 112, 3), dtype=np.uint8)
    means = values.reshape(56 // side, side, 112 // side, side).mean((1, 3))
    found = entries(figures.overlay(values, pixels, title="t", averaged=side))
    expected = entries(figures.overlay(means, pixels, title="t"))
    rows, columns = body_of(expected)
    assert np.abs(found[rows, columns].astype(int) - expected[rows, columns]).max() <= 2
    unlike = entries(figures.overlay(values, pixels, title="t"))
    assert np.abs(found[rows, columns].astype(int) - unlike[rows, columns]).max() > 20


def test_an_averaged_overlay_marks_the_squares_of_cells_that_are_not_finite(random, entries, body_of):
    values = random.random((32, 32))
    values[9, 20] = np.nan
    found = entries(figures.overlay(values, np.full((32, 32, 3), 90, np.uint8), title="t", averaged=8))
    rows, columns = body_of(found)
    marked = (found[rows, columns] == palette("inferno")[NOT_FINITE]).all(-1)
    square = np.zeros((4, 4), bool)
    square[1, 2] = True
    assert np.array_equal(marked, square.repeat(8 * 14, 0).repeat(8 * 14, 1))


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


def test_an_overlay_is_half_the_grey_photo_and_half_the_map(random, entries, body_of):
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


def test_an_overlay_without_positive_values_is_the_grey_photo_without_a_scale(random, entries, body_of):
    pixels = random.integers(0, 256, (24, 32, 3), dtype=np.uint8)
    with_scale = figures.overlay(np.ones((2, 2)), pixels, title="t")
    picture = figures.overlay(np.zeros((2, 2)), pixels, title="t")
    found = entries(picture)
    rows, columns = body_of(found)
    grey = np.round(pixels.astype(float) @ [0.299, 0.587, 0.114])
    assert np.abs(found[rows, columns] - grey.repeat(14, 0).repeat(14, 1)[..., None]).max() <= 1
    assert picture.height < with_scale.height


@pytest.mark.parametrize("negative", [0.5, 0.6, 0.7, 1.0])
def test_an_overlay_that_would_leave_out_two_thirds_of_a_map_shows_its_sign(negative, random, entries, body_of):
    values = random.random((3, 4)) * np.where(np.arange(12).reshape(3, 4) % 2, 1, -1)
    below, above = values < 0, values > 0
    values[below] *= negative / np.abs(values[below]).sum()
    values[above] *= (1 - negative) / values[above].sum()
    pixels = random.integers(0, 256, (24, 32, 3), dtype=np.uint8)
    found = entries(figures.overlay(values, pixels, title="t"))
    rows, columns = body_of(found)
    grey = np.round(pixels.astype(float) @ [0.299, 0.587, 0.114])[..., None]
    if negative > 2 / 3:
        share = (slow_bilinear(values, 24, 32) / np.abs(values).max() + 1) / 2
        colour = mpl.colormaps["coolwarm"](share)[..., :3] * 255
    else:
        share = slow_bilinear(values.clip(0), 24, 32) / values.max()
        colour = mpl.colormaps["inferno"](share)[..., :3] * 255
    expected = (0.5 * grey + 0.5 * colour).repeat(14, 0).repeat(14, 1)
    assert np.abs(found[rows, columns].astype(float) - expected).max() <= 3


def test_an_overlay_says_how_much_of_the_map_it_shows(monkeypatch):
    said = []
    whole = maps.heading
    monkeypatch.setattr(maps, "heading", lambda title, view, **given: said.append(view) or whole(title, view, **given))
    photo = np.zeros((16, 16, 3), np.uint8)
    for values in ([[3.0, -1.0]], [[3.0, 1.0]], [[1.0, -3.0]]):
        figures.overlay(np.array(values), photo, title="t")
    assert said[0].startswith("positive 75 %, bilinear ×16 and ×8")
    assert said[1].startswith("bilinear ×16 and ×8")
    assert said[2].startswith("with its sign, bilinear ×16 and ×8")
    mostly = figures.described(np.array([[1.0, -3.0]]), polarity="signed")
    assert "Middle: the map with its sign over the grey photo, since 75 % of it is negative, bilinear" in mostly
    assert "Middle: its positive part over" in figures.described(np.array([[3.0, -1.0]]), polarity="signed")


def test_slices_of_a_mostly_negative_volume_are_all_drawn_with_their_sign_on_one_scale(monkeypatch):
    values = np.zeros((4, 2, 2))
    values[1, 0, 0], values[2, 1, 1], values[3, 0, 0] = 1.0, -7.0, -2.0
    given = []
    whole = maps.overlay
    monkeypatch.setattr(maps, "overlay", lambda *args, **more: given.append(more) or whole(*args, **more))
    pixels = np.zeros((16, 8, 8, 3), np.uint8)
    figures.overlay(values, pixels, title="t")
    figures.attribution(values, pixels, title="t", polarity="signed")
    assert {(more["greatest"], more["signed"]) for more in given} == {(7.0, True)}
    assert len(given) == 6


def test_an_overlay_marks_cells_that_are_not_finite(entries, body_of):
    values = np.array([[1.0, np.nan], [np.inf, 0.5]])
    found = entries(figures.overlay(values, np.full((20, 20, 3), 90, np.uint8), title="t"))
    rows, columns = body_of(found)
    marked = (found[rows, columns] == palette("inferno")[NOT_FINITE]).all(-1)
    size = marked.shape[0]
    assert np.array_equal(marked, (~np.isfinite(values)).repeat(size // 2, 0).repeat(size // 2, 1))


def test_a_photo_is_shown_as_it_is_and_panels_stand_side_by_side(random, entries, body_of):
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


def test_an_overlay_of_means_that_are_not_positive_does_not_say_that_nothing_is(monkeypatch):
    said = []
    whole = maps.heading
    monkeypatch.setattr(maps, "heading", lambda title, view, **given: said.append(view) or whole(title, view, **given))
    values, photo = np.tile([[1.0, -2.0], [-2.0, 1.0]], (8, 8)), np.zeros((16, 16, 3), np.uint8)
    figures.overlay(values, photo, title="t", averaged=8)
    figures.overlay(0 * values, photo, title="t")
    assert said[0].startswith("no mean of 8×8 cells is positive: the plain photo, in grey")
    assert said[1].startswith("nothing is positive: the plain photo, in grey")
