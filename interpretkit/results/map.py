"""Maps: arrays that lie on the network's input, at the native resolution of their layer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from interpretkit.results.axes import SPATIAL, Array
from interpretkit.results.grid import Grid

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
        extent: The lengths in pixels of the model's input that it lies on, by axis: `{"y": 224, "x": 224}`.
        spacing: Where its cells lie, by axis: the middle of the first cell in pixels from the edge, and the step to the
            next, as receptive fields have it: `{"y": (8.5, 4.0), "x": (8.5, 4.0)}`. Along other axes they tile the
            extent evenly.
        polarity: `signed` if values below zero have a meaning, else `unsigned`.
    """

    layer: str
    extent: Mapping[str, int]
    spacing: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    polarity: Polarity

    def __post_init__(self) -> None:
        Array.__post_init__(self)
        grid = tuple(dim for dim in self.dims if dim in SPATIAL)
        if tuple(self.extent) != grid:
            extent = ", ".join(self.extent)
            dims = ", ".join(self.dims)
            raise ValueError(f"{self._noun}: its extent has {extent}, its dims {dims}")
        if not set(self.spacing) <= set(grid):
            spacing = ", ".join(self.spacing)
            raise ValueError(f"{self._noun}: its spacing has {spacing}, its dims {', '.join(self.dims)}")
        if self.polarity not in get_args(Polarity):
            known = " or ".join(get_args(Polarity))
            raise ValueError(f"{self._noun}: its polarity is {self.polarity!r}, not {known}")

    @property
    def grid(self) -> Grid:
        """Where its cells lie on the model's input."""
        return Grid.placed(self.sizes, self.extent, self.spacing)

    @property
    def _noun(self) -> str:
        return f"map of {self.layer}"
