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
        shape: What it returns for one image, without the image dim; None where that is no tensor.
        stride: Pixels of the image from one cell of the output to the next, down and across; None without cells in
            that direction, or where it is not known.
        receptive_field: Pixels that a cell of the output sees, down and across, borders left out of account; `all`
            where that is the whole image, None where it is not known.
        parameters: Number of parameters in it.
        alias_of: The module path that an alias stands for; empty for a module's own name.
        grid: What the cells of a map see, down and across; `window` asks it.
    """

    name: str
    path: str
    kind: str
    shape: tuple[int, ...] | None
    stride: tuple[float | None, float | None]
    receptive_field: tuple[Extent, Extent]
    parameters: int
    alias_of: str = ""
    grid: tuple[Cells | None, Cells | None] = field(default=(None, None), repr=False)

    def window(self, y: int, x: int) -> tuple[Span | None, Span | None]:
        """Return the pixels of the image that the cell `(y, x)` of a map sees: the first and the last, down and across.

        Borders are left out of account: where the network pads, they may lie outside of the image. They are infinite
        where the cell sees the whole image, and None where it is not known what it sees.

        Example:
            >>> import torch
            >>> from interpretkit import wrap
            >>> net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, stride=2, padding=1), torch.nn.AvgPool2d(2))
            >>> (pool,) = wrap(net).layers("1", size=(32, 32))
            >>> pool.window(0, 3)
            ((-1, 3), (11, 15))
        """
        down, across = self.grid
        return None if down is None else down.span(y), None if across is None else across.span(x)

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
        """Return what a table says of it after its name."""
        shape = "no tensor" if self.shape is None else words.shape(self.shape)
        extent = _pair(*("?" if each is None else str(each) for each in self.receptive_field))
        seen = zip(self.stride, self.receptive_field, strict=True)
        stride = _pair(*(f"{step:g}" if step else "?" if extent is None else "–" for step, extent in seen))
        note = f"= {self.alias_of}" if self.alias_of else ""
        if self.shape is None:
            stride = extent = "–"
        return self.kind, shape, stride, extent, f"{self.parameters:,}", note


class LayerTable(tuple[LayerInfo, ...]):
    """Layers in the order of execution; prints as a table."""

    __slots__ = ()

    def __str__(self) -> str:
        return _aligned([_HEADINGS, *((row.name, *row.cells()) for row in self)])

    def tree(self) -> str:
        """Return the table with each layer under the layers that it is part of, indented; an alias is named last."""
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
                yield (name, *[""] * (len(_HEADINGS) - 1))
            for path, rows in branch.rows.items():
                *cells, _ = rows[0].cells()
                aliases = ", ".join(row.name for row in rows if row.alias_of)
                yield (name + path[len(path.partition("#")[0]) :], *cells, f"alias {aliases}" if aliases else "")
            yield from branch.lines(depth + 1)


def _pair(down: str, across: str) -> str:
    return down if down == across else f"{down}×{across}"


def _aligned(cells: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*cells, strict=True)]
    lines = (
        "  ".join(
            cell.rjust(width) if index in _TO_THE_RIGHT else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    )
    return "\n".join(line.rstrip() for line in lines)
