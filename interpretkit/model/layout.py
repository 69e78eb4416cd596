"""Outputs of layers brought to the axes of the input: tokens, and maps whose channels come last."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from operator import floordiv
from typing import TYPE_CHECKING, Literal, NamedTuple

from interpretkit.results.axes import CHANNEL, IMAGE, TOKEN, of_inputs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import torch
    from torch import nn

_MOST_PREFIX_TOKENS = 5
_TOKENS, _VECTOR = (IMAGE, TOKEN, CHANNEL), (IMAGE, CHANNEL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The axes of what layers return, where these are not `(image, channel, y, x)`.

    Attributes:
        kind: `tokens`, `(image, token, channel)`, row by row; or `channels_last`, `(image, y, x, channel)`.
        patch: Height and width in pixels of the patch that one token stands for; `(x,)` in a signal, `(z, y, x)` in a
            volume. Tokens need it.
        prefix: How many tokens come before those of the grid: class, distillation, registers.

    Example:
        >>> Layout(kind="tokens", patch=(16, 16), prefix=1).grid(tokens=197, size=(224, 224))
        (14, 14)
    """

    kind: Literal["tokens", "channels_last"]
    patch: tuple[int, ...] | None = None
    prefix: int = 0

    def __post_init__(self) -> None:
        if (self.kind == "tokens") != (self.patch is not None):
            raise ValueError("Layout: tokens have a patch, maps with channels last have none")

    def grid(self, *, tokens: int, size: tuple[int, ...]) -> tuple[int, ...] | None:
        """Return the number of patches along each axis of an input of `size`; None if they are not `tokens` in all.

        Args:
            tokens: How many tokens there are, those of the prefix included.
            size: Height and width of the input, or `(x,)`, or `(z, y, x)`.
        """
        if self.patch is None or len(self.patch) != len(size):
            return None
        cells = tokens - self.prefix
        # Where the patches do not divide the input, some networks cut it and others fill it up.
        cut = tuple(map(floordiv, size, self.patch))
        filled = tuple(map(_divided_up, size, self.patch))
        for grid in (cut, filled):
            if prod(grid) == cells > 0:
                return grid
        return None


class Arranged(NamedTuple):
    """The output of a layer, and its axes.

    Attributes:
        values: A view of the output.
        axes: `(image, channel, y, x)`, as the input has them, of a map; `(image, channel)` of a vector;
            `(image, token, channel)` of tokens that form no grid. Axes of which nothing is known are called `axis 0`,
            `axis 1` and so on.
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
) -> Arranged:
    """Return the output of a layer as a view `(image, channel, y, x)`; as it is, where it may be no map.

    The layout `declared` holds where it fits the shape. Otherwise two rules apply:

    - Tokens are arranged if their number is the number of patches that one patch embedding of the network (or the
      declared patch) makes, plus up to five.
    - Channels are taken to be last if only this reading tiles the input evenly, and a linear layer or a layer
      normalisation, beside the layer or in it, has that number of channels.

    Args:
        values: The output, or its gradient.
        network: The whole network.
        path: The layer's name in `named_modules()`.
        inputs: What the network was fed, `(image, channel, y, x)`.
        declared: The layout of this layer that the model's author declares.
    """
    axes = of_inputs(inputs.ndim)
    size = tuple(inputs.shape[2:])
    if len(values.shape) == 0 or len(values) != len(inputs):
        return Arranged(values, _unknown(values))
    if _are_tokens(values, axes, declared):
        tokens = _from_tokens(values, network, size, declared)
        if tokens is None:
            return Arranged(values, _TOKENS)
        return Arranged(tokens, axes)
    if values.ndim == len(axes):
        if _channels_are_last(values.shape, network, path, size, declared=declared):
            values = values.movedim(-1, 1)
        return Arranged(values, axes)
    if values.ndim == len(_VECTOR):
        return Arranged(values, _VECTOR)
    return Arranged(values, _unknown(values))


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


def _from_tokens(
    values: torch.Tensor, network: nn.Module, size: tuple[int, ...], declared: Layout | None
) -> torch.Tensor | None:
    count = values.shape[1]
    fitting = [] if declared is None else _fitting([declared], count, size)
    if not fitting:
        possible = _possible(network, declared, axes=len(size))
        fitting = _fitting(possible, count, size)
    if len(fitting) != 1:
        return None
    ((prefix, grid),) = fitting
    cells = values[:, prefix:].transpose(1, 2)
    return cells.reshape(len(values), -1, *grid)


def _fitting(layouts: Iterable[Layout], tokens: int, size: tuple[int, ...]) -> list[tuple[int, tuple[int, ...]]]:
    """Return prefix and grid of each layout that has this number of tokens."""
    fitting = []
    for layout in layouts:
        grid = layout.grid(tokens=tokens, size=size)
        if grid is not None:
            fitting.append((layout.prefix, grid))
    return fitting


def _possible(network: nn.Module, declared: Layout | None, *, axes: int) -> Iterator[Layout]:
    """Yield the layouts of tokens that the network's patch embeddings and the declared patch allow."""
    from torch import nn

    patches = set()
    for part in network.modules():
        if isinstance(part, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            stride = tuple(part.stride)
            # Patches do not overlap, and a stride of 1 makes none.
            embeds = part.kernel_size == part.stride and max(stride) > 1
            if embeds and len(stride) == axes:
                patches.add(stride)
    if declared is not None and declared.patch is not None:
        patches.add(declared.patch)
    for patch in sorted(patches):
        for prefix in range(_MOST_PREFIX_TOKENS + 1):
            yield Layout(kind="tokens", patch=patch, prefix=prefix)


def _channels_are_last(
    shape: torch.Size, network: nn.Module, path: str, size: tuple[int, ...], *, declared: Layout | None
) -> bool:
    from torch import nn
    from torch.nn.modules.batchnorm import _BatchNorm
    from torch.nn.modules.conv import _ConvNd

    layer = network.get_submodule(path)
    if isinstance(layer, _ConvNd | _BatchNorm | nn.GroupNorm):
        return False
    _, *grid, channels = shape
    if not _tiles(tuple(grid), size):
        return False
    if declared is not None and declared.kind == "channels_last":
        return True
    if _tiles(tuple(shape[2:]), size):
        return False
    parent = path.rpartition(".")[0]
    around = network.get_submodule(parent)
    return any(_mixes_last(part, channels) for part in around.modules())


def _tiles(grid: tuple[int, ...], size: tuple[int, ...]) -> bool:
    """Whether square cells of a whole number of pixels tile an input of `size`, cut or filled up."""
    sides = list(zip(size, grid, strict=True))
    strides = set()
    for side, cells in sides:
        if 0 < cells <= side:
            strides.add(side // cells)
            strides.add(_divided_up(side, cells))
    return any(_tiled(sides, stride) for stride in strides)


def _tiled(sides: list[tuple[int, int]], stride: int) -> bool:
    return all(cells in (side // stride, _divided_up(side, stride)) for side, cells in sides)


def _divided_up(dividend: int, divisor: int) -> int:
    """Return the quotient, rounded up."""
    return -(-dividend // divisor)


def _mixes_last(part: nn.Module, channels: int) -> bool:
    """Whether a module works on a last axis of this length, as a linear layer or a layer normalisation does."""
    features = getattr(part, "out_features", None)
    normalized = getattr(part, "normalized_shape", None)
    return features == channels or normalized == (channels,)
