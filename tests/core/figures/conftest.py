from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from interpretkit import figures
from interpretkit.figures.colour import LEVELS, PAPER


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


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


@pytest.fixture(name="entries")
def _entries():
    return entries


@pytest.fixture(name="slow_level")
def _slow_level():
    return slow_level


@pytest.fixture(name="slow_tile")
def _slow_tile():
    return slow_tile


@pytest.fixture(name="places")
def _places():
    return places


@pytest.fixture(name="body_of")
def _body_of():
    return body_of
