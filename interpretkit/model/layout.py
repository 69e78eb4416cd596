"""Outputs of layers brought to the axes of the input: tokens, and maps whose channels come last."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Literal, NamedTuple

from interpretkit.capture.receptive import Part
from interpretkit.results.axes import CHANNEL, IMAGE, TOKEN, of_inputs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import torch
    from torch import nn

    from interpretkit.capture.receptive import Place

    Sizes = tuple[int, ...]

_MOST_PREFIX_TOKENS = 5
_TOKENS, _VECTOR = (IMAGE, TOKEN, CHANNEL), (IMAGE, CHANNEL)
_SIGNAL = of_inputs(len((IMAGE, CHANNEL, "x")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How layers lay out what they return, where that is not `(image, channel, y, x)`.

    Attributes:
        kind: `tokens`, `(image, token, channel)`; or `channels_last`, `(image, y, x, channel)`.
        patch: Height and width in pixels of what one token stands for, `(x,)` in a signal, `(z, y, x)` in a volume;
            tokens need it.
        prefix: How many tokens come before those of the grid: class, distillation, registers.
        suffix: How many come after them.
        by_columns: Whether the tokens of the grid come column by column; else they come row by row.

    Example:
        >>> Layout(kind="tokens", patch=(16, 16), prefix=1).grid(tokens=197, size=(224, 224))
        (14, 14)
    """

    kind: Literal["tokens", "channels_last"]
    patch: Sizes | None = None
    prefix: int = 0
    suffix: int = 0
    by_columns: bool = False

    def __post_init__(self) -> None:
        if (self.kind == "tokens") != (self.patch is not None):
            raise ValueError("Layout: tokens have a patch, maps with channels last have none")

    def grid(self, *, tokens: int, size: Sizes) -> Sizes | None:
        """Return how many of `tokens` lie along each axis of an input of `size` (height, width); None if none fit."""
        if self.patch is None or len(self.patch) != len(size):
            return None
        sides = list(zip(size, self.patch, strict=True))
        # Where the patches do not divide the input, some networks cut it and others fill it up.
        cut = tuple(side // patch for side, patch in sides)
        filled = tuple(-(-side // patch) for side, patch in sides)
        cells = tokens - self.prefix - self.suffix
        return next((grid for grid in (cut, filled) if prod(grid) == cells > 0), None)

    def position(self, cell: Sizes, grid: Sizes) -> int:
        """Return which token a cell of a grid is, `(y, x)` of `(rows, columns)`.

        Example:
            >>> Layout(kind="tokens", patch=(16, 16), prefix=1).position((1, 0), (14, 14))
            15
        """
        pairs = list(zip(cell, grid, strict=True))
        place = 0
        for at, length in reversed(pairs) if self.by_columns else pairs:
            place = place * length + at
        return self.prefix + place

    def in_grid(self, values: torch.Tensor, grid: Sizes) -> torch.Tensor:
        """Return tokens `(image, token, channel)` of a grid as a view `(image, channel, y, x)`."""
        cells = values[:, self.prefix : self.prefix + prod(grid)].transpose(1, 2)
        if not self.by_columns:
            return cells.reshape(*cells.shape[:2], *grid)
        columns_first = cells.reshape(*cells.shape[:2], *grid[::-1])
        return columns_first.permute(0, 1, *reversed(range(2, columns_first.ndim)))

    def fits(self, values: torch.Tensor, size: Sizes) -> bool:
        """Return whether values may lie so, for an input of `size`; tokens are as many as it says."""
        if self.kind != "tokens":
            return True
        return values.ndim == len(_TOKENS) and self.grid(tokens=values.shape[1], size=size) is not None


class Arranged(NamedTuple):
    """What a layer gave, and what its axes are.

    Attributes:
        values: A view of it.
        axes: Those of the input, `(image, channel, y, x)`, of a map, `(image, channel)` of a vector,
            `(image, token, channel)` of tokens in no grid; those that cannot be told are called `axis 2` and so on.
    """

    values: torch.Tensor
    axes: tuple[str, ...]


def arrange(
    values: torch.Tensor,
    *,
    network: nn.Module,
    path: str,
    inputs: torch.Tensor,
    declared: Layout | None = None,
    places: Sequence[Place] = (),
) -> Arranged:
    """Return what a layer gave as a view `(image, channel, y, x)`; as it is if that cannot be said for sure.

    What `declared` says holds where it fits the shape. Where nothing is declared that does, the `places` that a
    followed pass has shown hold, if it has. Else tokens are arranged if their number is that of the patches of one
    patch embedding of the network (or of the declared patch) plus up to five; and channels are taken to be last if only
    that reading tiles the input evenly and a linear layer or layer normalisation beside or in the layer has as many.

    Args:
        values: The output, or its gradient.
        network: The whole network.
        path: The layer's name in `named_modules()`.
        inputs: What the network was fed, `(image, channel, y, x)`.
        declared: What the model's author says of this layer.
        places: In which dims of it the cells of each axis of the input lie; nothing where that is not known.
    """
    axes, size = of_inputs(inputs.ndim), tuple(inputs.shape[2:])
    if len(values.shape) == 0 or len(values) != len(inputs):
        return Arranged(values, _unknown(values))
    if declared is None or not declared.fits(values, size):
        placed = _placed(values, places)
        if placed is not None:
            return Arranged(placed, axes)
        if _lie_in_one_dim(values, places):
            # In an order that is neither by rows nor by columns: any guess would be wrong.
            return Arranged(values, _TOKENS)
    return _by_shape(values, network=network, path=path, axes=axes, size=size, declared=declared)


def _by_shape(
    values: torch.Tensor,
    *,
    network: nn.Module,
    path: str,
    axes: tuple[str, ...],
    size: Sizes,
    declared: Layout | None,
) -> Arranged:
    """Return what a layer gave, arranged as is declared, or as its shape allows alone."""
    if _are_tokens(values, axes, declared):
        tokens = _from_tokens(values, network, size, declared)
        return Arranged(values, _TOKENS) if tokens is None else Arranged(tokens, axes)
    if values.ndim == len(axes):
        last: bool | None = _channels_are_last(values.shape, network, path, size, declared=declared)
        if declared is None and values.ndim == len(_SIGNAL):
            last = _last_in_signal(values.shape, network.get_submodule(path), size[0], otherwise=bool(last))
        if last is None:
            return Arranged(values, _unknown(values))
        return Arranged(values.movedim(-1, 1) if last else values, axes)
    if values.ndim == len(_VECTOR):
        return Arranged(values, _VECTOR)
    return Arranged(values, _unknown(values))


def _placed(values: torch.Tensor, places: Sequence[Place]) -> torch.Tensor | None:
    """Return a view of values with the cells of each axis in a dim of its own, after image and channel; None if not."""
    dims = [place.dim for place in places]
    if not dims or 0 in dims:
        return None
    if set(dims) == {dims[0]} and values.ndim == len(_TOKENS):
        return _in_grid(values, places)
    others = [dim for dim in range(1, values.ndim) if dim not in dims]
    fit = all(place.ordered and place.inner == 1 and place.size == values.shape[place.dim] for place in places)
    if len(others) != 1 or len(set(dims)) < len(dims) or not fit:
        return None
    return values.permute(0, *others, *dims)


def _lie_in_one_dim(values: torch.Tensor, places: Sequence[Place]) -> bool:
    return values.ndim == len(_TOKENS) and len(places) > 1 and {place.dim for place in places} == {1}


def _in_grid(values: torch.Tensor, places: Sequence[Place]) -> torch.Tensor | None:
    """Return tokens in a grid: those of each axis lie so many apart, row by row or column by column; None if not."""
    dim = places[0].dim
    length = values.shape[dim]
    parts = [place.part or Part(0, length, place.inner, place.size) for place in places]
    start, cells = parts[0].start, parts[0].length
    outer_first = sorted(range(len(parts)), key=lambda axis: -parts[axis].inner)
    grid = [parts[axis].size for axis in outer_first]
    # Of an axis with one cell, nothing lies apart.
    steps = [(parts[axis], prod(grid[place + 1 :])) for place, axis in enumerate(outer_first)]
    in_rows = all(part.size == 1 or part.inner == step for part, step in steps)
    whole = all(place.ordered or (place.inner == 1 and place.size == length) for place in places)
    together = all((part.start, part.length) == (start, cells) for part in parts)
    if not (in_rows and whole and together and prod(grid) == cells):
        return None
    cells_last = values.movedim(dim, -1)[..., start : start + cells]
    gridded = cells_last.view(*cells_last.shape[:2], *grid)
    return gridded.permute(0, 1, *(2 + outer_first.index(axis) for axis in range(len(parts))))


def _are_tokens(values: torch.Tensor, axes: tuple[str, ...], declared: Layout | None) -> bool:
    """Whether values are tokens; in a network of signals they have as many axes as maps, and must be declared."""
    if values.ndim != len(_TOKENS):
        return False
    if len(axes) > len(_TOKENS):
        return True
    return declared is not None and declared.kind == "tokens"


def _unknown(values: torch.Tensor) -> tuple[str, ...]:
    """Return names for axes of which nothing is known."""
    return tuple(f"axis {number}" for number in range(values.ndim))


def _from_tokens(values: torch.Tensor, network: nn.Module, size: Sizes, declared: Layout | None) -> torch.Tensor | None:
    tokens = values.shape[1]
    fitting = _fitting([] if declared is None else [declared], tokens, size)
    if not fitting:
        fitting = _fitting(_possible(network, declared), tokens, size)
    if len(fitting) != 1:
        return None
    ((layout, grid),) = fitting
    return layout.in_grid(values, grid)


def guessed(tokens: int, network: nn.Module, size: Sizes, declared: Layout | None) -> tuple[Layout, Sizes] | None:
    """Return the only layout, and its grid, by which so many tokens are those of a network's patches; else None.

    Args:
        tokens: Their number.
        network: The whole network.
        size: Of its input, `(y, x)`.
        declared: What its author says of the layer, with another number of tokens.
    """
    fitting = _fitting(_possible(network, declared), tokens, size)
    return fitting[0] if len(fitting) == 1 else None


def _fitting(layouts: Iterable[Layout], tokens: int, size: Sizes) -> list[tuple[Layout, Sizes]]:
    """Return the layouts that fit so many tokens, each with its grid."""
    grids = ((layout, layout.grid(tokens=tokens, size=size)) for layout in layouts)
    return [(layout, grid) for layout, grid in grids if grid is not None]


def _possible(network: nn.Module, declared: Layout | None) -> Iterator[Layout]:
    """Yield the layouts of tokens that the network's patch embeddings and the declared patch allow."""
    from torch import nn

    patches = set()
    for part in network.modules():
        if isinstance(part, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            stride = tuple(part.stride)
            # Patches do not overlap, and a stride of 1 makes none.
            if part.kernel_size == part.stride and max(stride) > 1:
                patches.add(stride)
    if declared is not None and declared.patch is not None:
        patches.add(declared.patch)
    for patch in sorted(patches):
        for prefix in range(_MOST_PREFIX_TOKENS + 1):
            yield Layout(kind="tokens", patch=patch, prefix=prefix)


def _channels_are_last(
    shape: torch.Size, network: nn.Module, path: str, size: Sizes, *, declared: Layout | None
) -> bool:
    from torch import nn
    from torch.nn.modules.batchnorm import _BatchNorm
    from torch.nn.modules.conv import _ConvNd

    layer = network.get_submodule(path)
    if isinstance(layer, _ConvNd | _BatchNorm | nn.GroupNorm):
        return False
    _, *grid, channels = shape
    if declared is not None and declared.kind == "channels_last":
        # Along each axis by itself: frames of a clip are strided otherwise than its pixels.
        return all(_tiles((cells,), (side,)) for cells, side in zip(grid, size, strict=True))
    if not _tiles(tuple(grid), size):
        return False
    if _tiles(tuple(shape[2:]), size):
        return False
    parent = path.rpartition(".")[0]
    around = network.get_submodule(parent)
    return any(_mixes_last(part, channels) for part in around.modules())


def _last_in_signal(shape: torch.Size, layer: nn.Module, length: int, *, otherwise: bool) -> bool | None:
    """Return whether channels are last in what a layer gave of a signal that is `length` long; None if nobody knows.

    Nearly any number of cells tiles a line, so shapes tell nothing of a layer that works on the last dim: a linear
    layer may work on channels or on the signal.
    """
    from torch import nn

    if isinstance(layer, nn.RNNBase):
        return True if layer.batch_first else None
    if not isinstance(layer, nn.Linear | nn.LayerNorm):
        return otherwise
    is_signal = [cells == length for cells in shape[1:]]
    return is_signal[0] if sum(is_signal) == 1 else None


def _tiles(grid: Sizes, size: Sizes) -> bool:
    """Whether square cells of a whole number of pixels tile an input of `size`, cut or filled up."""
    sides = list(zip(size, grid, strict=True))
    possible = [(side, cells) for side, cells in sides if 0 < cells <= side]
    strides = {side // cells for side, cells in possible}
    strides |= {-(-side // cells) for side, cells in possible}
    return any(_tiled(sides, stride) for stride in strides)


def _tiled(sides: list[tuple[int, int]], stride: int) -> bool:
    for side, cells in sides:
        cut, filled = side // stride, -(-side // stride)
        if cells not in (cut, filled):
            return False
    return True


def _mixes_last(part: nn.Module, channels: int) -> bool:
    """Whether a module works on a last dim of so many channels, as a linear layer or a layer normalisation does."""
    return getattr(part, "out_features", None) == channels or getattr(part, "normalized_shape", None) == (channels,)
