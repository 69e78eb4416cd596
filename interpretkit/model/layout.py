"""Outputs of layers brought to the axes of the input: tokens, and maps whose channels come last."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Literal, NamedTuple

from interpretkit.results.axes import CHANNEL, IMAGE, TOKEN, of_inputs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import torch
    from torch import nn

    from interpretkit.capture.receptive import Place

    Sizes = tuple[int, ...]

_MOST_PREFIX_TOKENS = 5
_TOKENS, _VECTOR = (IMAGE, TOKEN, CHANNEL), (IMAGE, CHANNEL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How layers lay out what they return, where that is not `(image, channel, y, x)`.

    Attributes:
        kind: `tokens`, `(image, token, channel)`, row by row; or `channels_last`, `(image, y, x, channel)`.
        patch: Height and width in pixels of what one token stands for, `(x,)` in a signal, `(z, y, x)` in a volume;
            tokens need it.
        prefix: How many tokens come before those of the grid: class, distillation, registers.

    Example:
        >>> Layout(kind="tokens", patch=(16, 16), prefix=1).grid(tokens=197, size=(224, 224))
        (14, 14)
    """

    kind: Literal["tokens", "channels_last"]
    patch: Sizes | None = None
    prefix: int = 0

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
        cells = tokens - self.prefix
        return next((grid for grid in (cut, filled) if prod(grid) == cells > 0), None)


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

    What `declared` says holds where it fits the shape. Where nothing is declared, the `places` that a followed pass has
    shown hold, if it has. Else tokens are arranged if their number is that of the patches of one patch embedding of the
    network (or of the declared patch) plus up to five; and channels are taken to be last if only that reading tiles the
    input evenly and a linear layer or layer normalisation beside or in the layer has as many.

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
    placed = None if declared is not None else _placed(values, places)
    if placed is not None:
        return Arranged(placed, axes)
    if _are_tokens(values, axes, declared):
        tokens = _from_tokens(values, network, size, declared)
        return Arranged(values, _TOKENS) if tokens is None else Arranged(tokens, axes)
    if values.ndim == len(axes):
        last = _channels_are_last(values.shape, network, path, size, declared=declared)
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
        grid = [place.size for place in places]
        in_rows = all(place.inner == prod(grid[axis + 1 :]) for axis, place in enumerate(places))
        fits = prod(grid) == values.shape[dims[0]]
        cells_last = values.movedim(dims[0], -1)
        return cells_last.view(*cells_last.shape[:2], *grid) if in_rows and fits else None
    others = [dim for dim in range(1, values.ndim) if dim not in dims]
    fit = all(place.inner == 1 and place.size == values.shape[place.dim] for place in places)
    if len(others) != 1 or len(set(dims)) < len(dims) or not fit:
        return None
    return values.permute(0, *others, *dims)


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
    said = [] if declared is None else [declared]
    fitting = _fitting(said, tokens, size)
    if not fitting:
        fitting = _fitting(_possible(network, declared), tokens, size)
    if len(fitting) != 1:
        return None
    ((prefix, grid),) = fitting
    channels_first = values[:, prefix:].transpose(1, 2)
    return channels_first.reshape(len(values), -1, *grid)


def _fitting(layouts: Iterable[Layout], tokens: int, size: Sizes) -> list[tuple[int, Sizes]]:
    """Return prefix and grid of the layouts that fit so many tokens."""
    grids = ((layout.prefix, layout.grid(tokens=tokens, size=size)) for layout in layouts)
    return [(prefix, grid) for prefix, grid in grids if grid is not None]


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
