"""Where the cells of layers lie, on a network's input and in tensors: kept once a pass of a size has shown it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit.results.axes import spatial

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from interpretkit.capture.addresses import Address
    from interpretkit.capture.receptive import Place, Row

    Size = tuple[int, ...]

Spacing = tuple[float, float]
"""The middle of the first cell, in pixels from the edge of the input, and the step to the next."""


class Spacings:
    """Where the cells of layers lie, by the size of the input `(channel, y, x)`."""

    def __init__(self) -> None:
        self._paths: dict[Size, set[str]] = {}
        self._rows: dict[Size, dict[Address, tuple[Row | None, ...]]] = {}
        self._places: dict[Size, dict[Address, tuple[Place, ...]]] = {}

    def lack(self, size: Size, layers: Iterable[Address]) -> bool:
        """Return whether a pass of inputs of this size has still to show where the cells of some layers lie."""
        known = self._paths.get(size, set())
        return any(layer.path not in known for layer in layers)

    def keep(
        self,
        size: Size,
        layers: Iterable[Address],
        rows: Mapping[Address, tuple[Row | None, ...]],
        places: Mapping[Address, tuple[Place, ...]],
    ) -> None:
        """Keep what a pass has shown of some layers; what it has not shown is not known of them."""
        self._paths.setdefault(size, set()).update(layer.path for layer in layers)
        self._rows.setdefault(size, {}).update(rows)
        self._places.setdefault(size, {}).update(places)

    def places(self, layer: Address, size: Size) -> tuple[Place, ...]:
        """Return in which dims of a layer's output the cells of each axis lie; nothing where that is not known."""
        return self._places.get(size, {}).get(layer, ())

    def of(self, layer: Address, size: Size, cells: Mapping[str, int]) -> dict[str, Spacing]:
        """Return where the cells of a layer lie, by axis; nothing along an axis where that is not known.

        Args:
            layer: The call.
            size: Of the input.
            cells: How many cells the map has along each axis; a row of another length is none of its.
        """
        rows = self._rows.get(size, {}).get(layer, ())
        axes = spatial(len(size) - 1)
        found = {}
        for axis, row in zip(axes, rows, strict=False):
            if row is not None and row.cells == cells.get(axis):
                found[axis] = (row.first, row.step)
        return found
