"""Where the cells of layers lie, on a network's input and in tensors: kept once a pass of a size has shown it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from interpretkit.results.axes import spatial

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from interpretkit.capture.addresses import Address
    from interpretkit.capture.receptive import Field, Place, Row
    from interpretkit.model.layout import Layout

    Size = tuple[int, ...]

Spacing = tuple[float, float]
"""The middle of the first cell, in pixels from the edge of the input, and the step to the next."""


class Spacings:
    """Where the cells of layers lie, by the size of the input `(channel, y, x)`."""

    def __init__(self) -> None:
        self._paths: dict[Size, set[str]] = {}
        self._fields: dict[Size, dict[Address, Field]] = {}
        self._tokens: dict[Size, dict[Address, Layout | None]] = {}

    def lack(self, size: Size, layers: Iterable[Address]) -> bool:
        """Return whether a pass of inputs of this size has still to show where the cells of some layers lie."""
        known = self._paths.get(size, set())
        return any(layer.path not in known for layer in layers)

    def keep(self, size: Size, layers: Iterable[Address], fields: Mapping[Address, Field]) -> None:
        """Keep what a pass has shown of some layers; what it has not shown is not known of them."""
        self._paths.setdefault(size, set()).update(layer.path for layer in layers)
        self._fields.setdefault(size, {}).update(fields)

    def places(self, layer: Address, size: Size) -> tuple[Place, ...]:
        """Return in which dims of a layer's output the cells of each axis lie; nothing where that is not known."""
        field = self._fields.get(size, {}).get(layer)
        return () if field is None else field.places

    def keep_tokens(self, size: Size, layouts: Mapping[Address, Layout | None]) -> None:
        """Keep how tokens of layers lie, as changed patches have shown it; None where they have not."""
        self._tokens.setdefault(size, {}).update(layouts)

    def tokens(self, size: Size) -> Mapping[Address, Layout | None]:
        """Return how tokens of layers lie, as changed patches have shown it, of layers of which they were asked."""
        return self._tokens.get(size, {})

    def of(self, layer: Address, size: Size, cells: Mapping[str, int]) -> dict[str, Spacing]:
        """Return where the cells of a layer lie, by axis; nothing where they tile it evenly, or nobody knows.

        They lie at the middles of their receptive fields. Where these reach beyond the image, since it is padded, the
        row of cells is moved by half a step at most to have its middle in that of the image: training moves what a
        cell answers to by as much, and a network that was trained with flipped images looks where a flip leaves it,
        which only a row in the middle does.

        Args:
            layer: The call.
            size: Of the input.
            cells: How many cells the map has along each axis; a row of another length is none of its.
        """
        field = self._fields.get(size, {}).get(layer)
        rows = () if field is None else field.rows
        axes = spatial(len(size) - 1)
        found = {}
        for axis, pixels, row in zip(axes, size[1:], rows, strict=False):
            if row is not None and row.cells == cells.get(axis):
                first = _first(row, pixels)
                even = math.isclose(row.cells * row.step, pixels) and math.isclose(first, row.step / 2)
                if not even:
                    found[axis] = (first, row.step)
        return found


def _first(row: Row, pixels: int) -> float:
    """Return the middle of the first cell of a row on so many pixels."""
    in_the_middle = (pixels - (row.cells - 1) * row.step) / 2
    first_seen, last_seen = row.sees
    padded = first_seen < 0 or last_seen >= pixels
    return in_the_middle if padded and abs(in_the_middle - row.first) <= row.step / 2 else row.first
