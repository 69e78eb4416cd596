"""Values as palette entries: the levels of a colour map, and reserved entries for text and marks."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from interpretkit.figures.settings import matplotlib
from interpretkit.figures.words import magnitude

if TYPE_CHECKING:
    from interpretkit.results.map import Polarity

# Odd, so that zero lies in the middle of one level of a signed scale.
LEVELS = 225


class Ramp(NamedTuple):
    """Consecutive palette entries from a ground to ink, so that text on it has smooth edges."""

    ground: int
    ink: int


ON_PAPER = Ramp(225, 240)
ON_AMBER = Ramp(241, 248)
PAPER, INK = ON_PAPER
DEAD, CROSS, FLAT, NOT_FINITE = 249, 250, 251, 252

_DARK = (31, 35, 40)
_WHITE = (255, 255, 255)
_AMBER = (255, 193, 7)
_RAMPS = ((ON_PAPER, _WHITE), (ON_AMBER, _AMBER))
_MARKS = {
    DEAD: (240, 240, 240),
    CROSS: (160, 164, 170),
    FLAT: (205, 209, 215),
    NOT_FINITE: (255, 0, 200),
}


@cache
def palette(colours: str) -> np.ndarray:
    """Return the palette `(256, 3)` uint8 of the matplotlib colour map named `colours`."""
    entries = np.empty((256, 3), np.uint8)
    gradient = matplotlib().colormaps[colours].resampled(LEVELS)
    entries[:LEVELS] = gradient(np.arange(LEVELS), bytes=True)[:, :3]
    entries[LEVELS:] = _DARK
    for ramp, ground in _RAMPS:
        steps = ramp.ink - ramp.ground + 1
        shades = np.linspace(ground, _DARK, steps)
        entries[ramp.ground : ramp.ink + 1] = shades.round()
    for entry, colour in _MARKS.items():
        entries[entry] = colour
    entries.flags.writeable = False
    return entries


def paletted(indices: np.ndarray, colours: str) -> Image.Image:
    """Return palette entries `(y, x)` uint8 as a picture of mode "P"."""
    image = Image.fromarray(np.ascontiguousarray(indices))
    image.putpalette(palette(colours).tobytes())
    return image


def colours_of(polarity: Polarity) -> str:
    """Return the colour map that a polarity decides."""
    return "coolwarm" if polarity == "signed" else "viridis"


def symmetric(low: float, high: float) -> tuple[float, float]:
    """Return the narrowest limits about 0 that hold both."""
    bound = magnitude(low, high)
    return -bound, bound


def is_light(colour: np.ndarray) -> bool:
    """Say whether ink stands out from `colour` `(3,)` uint8 more than paper does, by WCAG's contrast ratio."""
    parts = colour / 255
    steep = ((parts + 0.055) / 1.055) ** 2.4
    linear = np.where(parts <= 0.04045, parts / 12.92, steep)  # noqa: PLR2004 - sRGB
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    return bool(luminance > 0.214)  # noqa: PLR2004 - where both ratios are equal


def ink_on(entry: int, colours: str) -> int:
    """Return the entry that stands out from another one: ink or paper."""
    return INK if is_light(palette(colours)[entry]) else PAPER


def levels(values: np.ndarray, low: np.ndarray | float, high: np.ndarray | float) -> np.ndarray:
    """Return the level of each value between `low` and `high`, which broadcast; `NOT_FINITE` where it has none.

    Values beyond the limits get the first or the last level; without a span between the limits all get the first.
    """
    span = np.where(np.greater(high, low), np.subtract(high, low), 1.0)
    with np.errstate(over="ignore", invalid="ignore"):
        above = np.subtract(values, low, dtype=np.float64)
        position = np.clip(above / span * LEVELS, 0, LEVELS - 1)
        indices: np.ndarray = position.astype(np.uint8)
    indices[~np.isfinite(values)] = NOT_FINITE
    return indices


def dot(tiles: np.ndarray, where: np.ndarray, *, colours: str) -> None:
    """Dot tiles `(…, y, x)` of one level each, in place.

    Args:
        tiles: The tiles.
        where: Which of them hold a value beyond the limits `(…)`; those of the first or the last level are dotted.
        colours: The colour map that they are drawn in.
    """
    level_of = tiles[..., 0, 0]
    for level in (0, LEVELS - 1):
        dotted = where & (level_of == level)
        _middle(tiles)[dotted] = ink_on(level, colours)


def _middle(tiles: np.ndarray) -> np.ndarray:
    """Return a view of the middle of square tiles."""
    length = tiles.shape[-1]
    side = max(length // 4, 1)
    start = (length - side) // 2
    stop = start + side
    return tiles[..., start:stop, start:stop]
