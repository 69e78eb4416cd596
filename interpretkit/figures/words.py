"""Words and checks for values that are drawn: whether they are constant, and a text for those who do not see them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from interpretkit.results.axes import spatial
from interpretkit.words import count, fixed, number, percent, shape

if TYPE_CHECKING:
    from interpretkit.results.map import Polarity

__all__ = ["NEARLY_CONSTANT", "alt", "constant", "count", "fixed", "number", "percent", "polarity_of", "shape"]

_PLACES = {"z": "slice", "y": "row", "x": "column"}

# An overlay that left out so large a part of a map, and more, is drawn with the map's sign.
_MOSTLY = 2 / 3

# Below this part of the layer's range, differences within a map are rounding.
NEARLY_CONSTANT = 1e-6


def magnitude(low: float, high: float) -> float:
    """Return the greatest magnitude of values between two limits.

    Example:
        >>> magnitude(-3.0, 2.0)
        3.0
    """
    return max(abs(low), abs(high))


def constant(low: float, high: float, *, reach: float) -> str:
    """Return the words for values that are constant, or nearly so beside the magnitude `reach`.

    Example:
        >>> constant(0.0, 3e-9, reach=1.0), constant(5.0, 5.000001, reach=9.0)
        ('≈0 (max 3e−9)', '≈5')
    """
    if magnitude(low, high) <= NEARLY_CONSTANT * reach:
        return f"≈0 (max {number(high)})"
    middle = (low + high) / 2
    return f"≈{number(middle)}"


def not_finite(values: np.ndarray) -> int:
    """Return how many values are NaN or infinite.

    Example:
        >>> not_finite(np.array([0.0, np.nan, np.inf]))
        2
    """
    return int((~np.isfinite(values)).sum())


def negative_part(values: np.ndarray) -> float:
    """Return which part of the sum of all magnitudes is below 0; 0 where all is 0. Values not finite do not count.

    Example:
        >>> negative_part(np.array([3.0, -1.0, np.nan])), negative_part(np.zeros(2))
        (0.25, 0.0)
    """
    finite = values[np.isfinite(values)].astype(np.float64)
    whole = np.abs(finite).sum()
    return float(-finite.clip(max=0).sum() / whole) if whole > 0 else 0.0


def mostly_negative(values: np.ndarray) -> bool:
    """Say whether the positive part of a map shows less than a third of it.

    Example:
        >>> mostly_negative(np.array([1.0, -3.0])), mostly_negative(np.array([1.0, -1.5]))
        (True, False)
    """
    return negative_part(values) > _MOSTLY


def check_photo(pixels: np.ndarray) -> None:
    """Refuse pixels that are no photo `(y, x, 3)` uint8.

    Raises:
        ValueError: If they have another shape or type, or there is none.

    Example:
        >>> check_photo(np.zeros((224, 224, 3), np.uint8))
    """
    coloured = pixels.shape[2:] == (3,)
    if not coloured or pixels.dtype != np.uint8 or pixels.size == 0:
        raise ValueError(f"a photo is uint8 (y, x, 3), not {pixels.dtype} {shape(pixels.shape)}")


def polarity_of(values: np.ndarray) -> Polarity:
    """Return how to draw values whose layer may return any sign: `unsigned` where nothing in them is negative.

    Example:
        >>> polarity_of(np.array([0.0, 2.0])), polarity_of(np.array([-1.0, 2.0]))
        ('unsigned', 'signed')
    """
    return "signed" if bool((values < 0).any()) else "unsigned"


def alt(values: np.ndarray, *, what: str) -> str:
    """Return a sentence that tells a map `(y, x)`, of a signal or of a volume, to those who do not see it.

    Args:
        values: The map at native resolution.
        what: What it is: the method, the layer, the image, the target.

    Example:
        >>> alt(np.array([[0.0, 0.5], [2.0, 0.25]]), what="Grad-CAM of stage4")
        'Grad-CAM of stage4: 2×2 cells, the greatest value 2 at row 1, column 0 (counted from 0), the least 0.'
    """
    cells = f"{what}: {shape(values.shape)} cells"
    finite = np.isfinite(values)
    if not finite.any():
        return f"{cells}, none of them finite."
    broken = not_finite(values)
    rest = f"; {count(broken, 'cell')} not finite." if broken else "."
    low = values[finite].min()
    high = values[finite].max()
    if low == high:
        return f"{cells}, all {number(high)}{rest}"
    comparable = np.where(finite, values, low)
    where = np.unravel_index(comparable.argmax(), values.shape)
    names = [_PLACES[axis] for axis in spatial(values.ndim)]
    places = ", ".join(f"{name} {index}" for name, index in zip(names, where, strict=True))
    return f"{cells}, the greatest value {number(high)} at {places} (counted from 0), the least {number(low)}{rest}"
