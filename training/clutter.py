"""Handwritten digits among fragments of others: images whose label and whose place are known."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

SIDE = 128
"""Pixels of a canvas, across and down."""

TRAINING = 1400
"""So many of scikit-learn's digits, the first of a fixed order, are for training; the others are held out."""

_SIZES = (28, 32, 36, 40, 44)
_FRAGMENTS = (8, 16)
_SHARE = (0.3, 0.5)
"""How much of a digit a fragment has, along each side."""
_INK = 0.25
"""Above so much of the greatest, a pixel is part of a digit."""
_ORDER_SEED = 7


@dataclass(frozen=True)
class Cluttered:
    """Images of one digit each.

    Attributes:
        images: `(image, y, x)` uint8.
        labels: Which digit it is, `(image,)`.
        masks: Where it is, `(image, y, x)` bool.
    """

    images: np.ndarray
    labels: np.ndarray
    masks: np.ndarray


def make(count: int, *, held_out: bool, seed: int) -> Cluttered:
    """Return so many images.

    Each is a digit of a random size at a random place, whole, over fragments of other digits and noise. The digits are
    those of scikit-learn's `load_digits` (UCI, Optical Recognition of Handwritten Digits, CC BY 4.0).

    Args:
        count: How many.
        held_out: Whether digits are those that no training sees.
        seed: Of all that is random.
    """
    generator = np.random.default_rng([seed, int(held_out)])
    labels, drawings = _drawings()
    pool = _split()[int(held_out)]
    chosen = generator.choice(pool, count)
    images = np.empty((count, SIDE, SIDE), np.uint8)
    masks = np.zeros((count, SIDE, SIDE), bool)
    for number, digit in enumerate(chosen):
        canvas = np.zeros((SIDE, SIDE), np.float32)
        for _ in range(generator.integers(*_FRAGMENTS)):
            _paste(canvas, _fragment(drawings, pool, generator), generator)
        drawing = drawings[_SIZES[generator.integers(len(_SIZES))]][digit] * generator.uniform(0.7, 1.0)
        top, left = _paste(canvas, drawing, generator, over=True)
        height, width = drawing.shape
        masks[number, top : top + height, left : left + width] = drawing > _INK * drawing.max()
        noisy = canvas * 0.85 + generator.normal(0.06, 0.04, canvas.shape)
        images[number] = np.rint(noisy.clip(0, 1) * 255)
    return Cluttered(images, labels[chosen], masks)


def _paste(
    canvas: np.ndarray, drawing: np.ndarray, generator: np.random.Generator, *, over: bool = False
) -> tuple[int, int]:
    """Put a drawing at a random place, wholly inside; what is brighter stays, unless it goes over all."""
    height, width = drawing.shape
    top, left = (int(generator.integers(SIDE - side + 1)) for side in (height, width))
    place = canvas[top : top + height, left : left + width]
    if over:
        # Around its ink the digit is on empty ground, so that no fragment changes which digit it is.
        near = _grown(drawing > _INK * drawing.max() / 2)
        place[:] = np.where(near, drawing, np.maximum(place, drawing))
    else:
        np.maximum(place, drawing, out=place)
    return top, left


def _grown(ink: np.ndarray, by: int = 2) -> np.ndarray:
    grown = ink.copy()
    for down in range(-by, by + 1):
        for across in range(-by, by + 1):
            grown |= np.roll(ink, (down, across), (0, 1))
    return grown


def _fragment(drawings: dict[int, np.ndarray], pool: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return a part of a digit that is too small to be one."""
    side = _SIZES[generator.integers(len(_SIZES))]
    drawing = drawings[side][generator.choice(pool)]
    height, width = (max(6, round(side * generator.uniform(*_SHARE))) for _ in range(2))
    top, left = (int(generator.integers(side - length + 1)) for length in (height, width))
    return drawing[top : top + height, left : left + width] * np.float32(generator.uniform(0.6, 1.0))


@cache
def _drawings() -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Return the labels, and all digits in each size, `(digit, y, x)` from 0 to 1."""
    digits = load_digits()
    small = (digits.images / 16).astype(np.float32)
    sizes = {
        side: np.stack(
            [np.asarray(Image.fromarray(each).resize((side, side), Image.Resampling.BICUBIC)) for each in small]
        )
        for side in _SIZES
    }
    return digits.target, {side: each.clip(0, 1) for side, each in sizes.items()}


@cache
def _split() -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the digits for training, and of those that are held out."""
    labels, _ = _drawings()
    order = np.random.default_rng(_ORDER_SEED).permutation(len(labels))
    return order[:TRAINING], order[TRAINING:]
