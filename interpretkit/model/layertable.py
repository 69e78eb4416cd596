"""The layers of a model as rows: printed as a table or as a tree, or written as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from interpretkit import words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from interpretkit.capture.receptive import Cells, Extent, Span

_HEADINGS = ("layer", "kind", "output", "stride", "receptive field", "parameters", "")
_TO_THE_RIGHT = (3, 4, 5)


@dataclass(frozen=True, slots=True)
class LayerInfo:
    """One row of `Model.layers()`.

    Attributes:
        name: What to write in a recipe.
        path: The module call: its path in `named_modules()`, with `#k` for the k-th call.
        kind: The module's class.
        shape: The shape of its output for one image, without the image dim; None where it returns no tensor.
        stride: Pixels from one cell of the output to the next, along each axis of the input's grid: `(y, x)` of an
            image, `(x,)` of a signal, `(z, y, x)` of a volume. None without cells along it, or where it is not known.
        receptive_field: How many pixels a cell of the output sees along each axis, not taking borders into account;
            `all` where it sees the whole input, None where it is not known.
        parameters: Number of parameters in it.
        alias_of: The module path that an alias stands for; empty for a module's own name.
        grid: What the cells of a map see along each axis; `window` asks it.
    """

    name: str
    path: str
    kind: str
    shape: tuple[int, ...] | None
    stride: tuple[float | None, ...]
    receptive_field: tuple[Extent, ...]
    parameters: int
    alias_of: str
    grid: tuple[Cells | None, ...] = field(repr=False)

    def window(self, *cell: int) -> tuple[Span | None, ...]:
        """Return the pixels that a cell of a map sees: the first and the last along each axis of the input's grid.

        Borders are not taken into account: where the network pads, the pixels may lie outside of the input. They are
        infinite where the cell sees the whole input, and None where it is not known which pixels it sees.

        Args:
            *cell: Where it lies: `y, x` in a map of an image, `x` of a signal, `z, y, x` of a volume.

        Example:
            >>> import torch
            >>> from interpretkit import wrap
            >>> net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, stride=2, padding=1), torch.nn.AvgPool2d(2))
            >>> (pool,) = wrap(net).layers("1", size=(32, 32))
            >>> pool.window(0, 3)
            ((-1, 3), (11, 15))
        """
        spans = []
        for cells, place in zip(self.grid, cell, strict=True):
            spans.append(None if cells is None else cells.span(place))
        return tuple(spans)

    def json(self) -> dict[str, Any]:
        """Return the row as plain data."""
        return {
            "name": self.name,
            "path": self.path,
            "kind": self.kind,
            "shape": None if self.shape is None else list(self.shape),
            "stride": list(self.stride),
            "receptive_field": list(self.receptive_field),
            "parameters": self.parameters,
            "alias_of": self.alias_of or None,
        }

    def cells(self) -> tuple[str, ...]:
        """Return the cells of its row in a table, without the name."""
        shape, stride, extent = "no tensor", "–", "–"
        if self.shape is not None:
            shape = words.shape(self.shape)
            along = zip(self.stride, self.receptive_field, strict=True)
            stride = _joined([_step(*axis) for axis in along])
            extent = _joined(["?" if pixels is None else str(pixels) for pixels in self.receptive_field])
        note = f"= {self.alias_of}" if self.alias_of else ""
        return self.kind, shape, stride, extent, f"{self.parameters:,}", note


class LayerTable(tuple[LayerInfo, ...]):
    """Layers in the order of execution; prints as a table."""

    __slots__ = ()

    def __str__(self) -> str:
        rows = [(row.name, *row.cells()) for row in self]
        return _aligned([_HEADINGS, *rows])

    def tree(self) -> str:
        """Return the table with each layer under the layers that it is part of, indented; aliases stand at the end."""
        root = _Branch()
        for row in self:
            root.grow(row)
        return _aligned([_HEADINGS, *root.lines()])


@dataclass(slots=True)
class _Branch:
    """A part of a path: the rows of its module by call, and the parts below it."""

    rows: dict[str, list[LayerInfo]] = field(default_factory=dict)
    below: dict[str, _Branch] = field(default_factory=dict)

    def grow(self, row: LayerInfo) -> None:
        path, _, _ = row.path.partition("#")
        branch = self
        for part in path.split("."):
            branch = branch.below.setdefault(part, _Branch())
        branch.rows.setdefault(row.path, []).append(row)

    def lines(self, depth: int = 0) -> Iterator[tuple[str, ...]]:
        for part, branch in self.below.items():
            name = "  " * depth + part
            if not branch.rows:
                blanks = [""] * (len(_HEADINGS) - 1)
                yield (name, *blanks)
            for path, rows in branch.rows.items():
                *cells, _ = rows[0].cells()
                _, mark, call = path.partition("#")
                aliases = ", ".join(row.name for row in rows if row.alias_of)
                note = f"alias {aliases}" if aliases else ""
                yield (name + mark + call, *cells, note)
            yield from branch.lines(depth + 1)


def _step(stride: float | None, extent: Extent) -> str:
    if stride:
        return f"{stride:g}"
    return "?" if extent is None else "–"


def _joined(along: list[str]) -> str:
    """Return the words for each axis, once where they are the same for all axes."""
    if len(set(along)) == 1:
        return along[0]
    return "×".join(along)


def _aligned(rows: Sequence[tuple[str, ...]]) -> str:
    padded = []
    for index, column in enumerate(zip(*rows, strict=True)):
        padded.append(_padded(column, to_the_right=index in _TO_THE_RIGHT))
    lines = ["  ".join(row).rstrip() for row in zip(*padded, strict=True)]
    return "\n".join(lines)


def _padded(column: tuple[str, ...], *, to_the_right: bool) -> list[str]:
    width = max(map(len, column))
    if to_the_right:
        return [cell.rjust(width) for cell in column]
    return [cell.ljust(width) for cell in column]
