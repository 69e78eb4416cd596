"""Arrays with named dims, at the native resolution of their layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Polarity = Literal["signed", "unsigned"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Map:
    """An array with named dims, at the native resolution of its layer, signed and unnormalised.

    Attributes:
        values: The array.
        dims: `(image, channel, y, x)` or `(image, y, x)`; without `image` in a reduction.
        layer: The layer that it belongs to.
        input_size: Its geometry: height and width in pixels of the model input that the `(y, x)` cells tile evenly.
        polarity: `signed` if values below zero have a meaning, else `unsigned`.
    """

    values: np.ndarray
    dims: tuple[str, ...]
    layer: str
    input_size: tuple[int, int]
    polarity: Polarity

    def __post_init__(self) -> None:
        if not isinstance(self.values, np.ndarray):
            raise TypeError(f"map of {self.layer}: values are a {type(self.values).__name__}, not a numpy array")
        if self.values.ndim != len(self.dims):
            raise ValueError(f"map of {self.layer}: dims {self.dims} do not fit shape {self.values.shape}")
