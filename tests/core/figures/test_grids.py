from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image

from interpretkit import figures
from interpretkit.figures import grids, sheet
from interpretkit.figures.colour import CROSS, DEAD, FLAT, INK, LEVELS, NOT_FINITE, PAPER, palette
from interpretkit.figures.text import paragraph, width_of

MARKS = {DEAD, CROSS, FLAT, NOT_FINITE}


def draw_grid(values: np.ndarray, **options) -> Image.Image:
    given = {"title": "stage4", "labels": [str(k) for k in range(len(values))], "scope": "layer", **options}
    return figures.grid(np.asarray(values), **{"polarity": "unsigned", **given})


@pytest.mark.parametrize("polarity", ["signed", "unsigned"])
@pytest.mark.parametrize("scope", ["channel", "layer"])
def test_every_tile_of_a_decoded_grid_holds_the_levels_of_its_channel(
    random, scope, polarity, *, entries, slow_tile, places
):
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
def test_grids_are_nearly_square_and_compact(random, shape, columns, zoom, *, entries, slow_tile, places):
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


def test_zero_is_neutral_and_the_limits_are_symmetric_where_values_are_signed(entries, slow_tile, places):
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
def test_marks_stand_in_the_tile_and_in_the_legend_exactly_where_they_are_due(
    channel, marks, scope, *, entries, slow_tile, places
):
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


def test_noise_on_a_constant_layer_is_not_stretched_to_contrast(random, entries):
    values = (5 + 1e-7 * random.standard_normal((4, 6, 6))).astype(np.float64)
    for polarity in ("signed", "unsigned"):
        for scope in ("channel", "layer"):
            assert entries(draw_grid(values, polarity=polarity, scope=scope)).min() == PAPER
        assert entries(figures.heatmap(values[0], title="t", polarity=polarity)).min() == PAPER


def test_fixed_limits_of_a_grid_are_its_scale_and_cells_beyond_them_are_dotted_and_counted(
    random, entries, slow_level, places
):
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


def test_a_photo_stands_before_the_tiles_as_large_as_one(random, slow_tile, places):
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
