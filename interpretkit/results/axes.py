"""Arrays with named axes: nothing is ever guessed from how many axes there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

IMAGE, CHANNEL, TOKEN = "image", "channel", "token"
SPATIAL = ("z", "y", "x")
"""The axes of a grid, in their order: volumes have all, images the last two, signals the last."""


def spatial(count: int) -> tuple[str, ...]:
    """Return the names of the axes of a grid with `count` axes.

    Example:
        >>> spatial(2), spatial(3)
        (('y', 'x'), ('z', 'y', 'x'))
    """
    first = len(SPATIAL) - count
    return SPATIAL[first:]


def of_inputs(dims: int) -> tuple[str, ...]:
    """Return the axes of a network's input: image, channel, and the axes of a grid.

    Args:
        dims: How many axes it has.

    Example:
        >>> of_inputs(4)
        ('image', 'channel', 'y', 'x')
    """
    return (IMAGE, CHANNEL, *spatial(dims - 2))


def has_grid(axes: Sequence[str]) -> bool:
    """Return whether one of the axes is an axis of a grid."""
    return any(axis in SPATIAL for axis in axes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Array:
    """Values with named axes.

    Attributes:
        values: The array.
        dims: The name of each axis, such as `(image, channel)`; in a result for each image `image` is the first.

    Example:
        >>> Array(values=np.eye(2), dims=("first", "second")).sizes
        {'first': 2, 'second': 2}
    """

    values: np.ndarray
    dims: tuple[str, ...]

    def __post_init__(self) -> None:
        values = self.values
        if not isinstance(values, np.ndarray):
            given = type(values).__name__
            raise TypeError(f"{self._noun}: values are a {given}, not a numpy array")
        if values.ndim != len(self.dims):
            raise ValueError(f"{self._noun}: dims {self.dims} do not fit shape {values.shape}")

    def __repr__(self) -> str:
        kind = type(self).__name__
        sizes = [f"{dim} {size}" for dim, size in self.sizes.items()]
        return f"{kind}({', '.join(sizes)}; {self.values.dtype})"

    @property
    def sizes(self) -> dict[str, int]:
        """The length of each axis."""
        return dict(zip(self.dims, self.values.shape, strict=True))

    @property
    def _noun(self) -> str:
        """The noun for it in errors."""
        return "array"
