"""Maps: arrays that lie on the network's input, at the native resolution of their layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from interpretkit.results.axes import SPATIAL, Array

if TYPE_CHECKING:
    from collections.abc import Mapping

Polarity = Literal["signed", "unsigned"]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Map(Array):
    """An array with a geometry, at the native resolution of its layer, signed and unnormalised.

    Attributes:
        values: The array.
        dims: `(image, channel, y, x)` or `(image, y, x)`; without `image` in a reduction; `z` before `y` in volumes.
        layer: The layer that it belongs to.
        extent: How many pixels of the model's input its cells tile evenly, by axis: `{"y": 224, "x": 224}`.
        polarity: `signed` if values below zero have a meaning, else `unsigned`.
    """

    layer: str
    extent: Mapping[str, int]
    polarity: Polarity

    def __post_init__(self) -> None:
        Array.__post_init__(self)
        grid = tuple(dim for dim in self.dims if dim in SPATIAL)
        if tuple(self.extent) != grid:
            extent = ", ".join(self.extent)
            dims = ", ".join(self.dims)
            raise ValueError(f"{self._noun}: its extent has {extent}, its dims {dims}")
        if self.polarity not in get_args(Polarity):
            known = " or ".join(get_args(Polarity))
            raise ValueError(f"{self._noun}: its polarity is {self.polarity!r}, not {known}")

    @property
    def _noun(self) -> str:
        return f"map of {self.layer}"
