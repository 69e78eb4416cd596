"""How tokens lie whose places could not be followed: patches of an image are changed, and the tokens tell which."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, NamedTuple

from interpretkit.model.layout import Layout, guessed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    import torch
    from torch import nn

    from interpretkit.capture.addresses import Address
    from interpretkit.model.layout import Sizes

_CLEAR = 1.5
"""So many times as much as in any other order must those tokens change that lie where the changed patches do."""
_LOUD = 3.0
"""So many standard deviations of the image has the noise that takes the place of a patch."""


class Doubt(NamedTuple):
    """Tokens of which it is not known how they lie.

    Attributes:
        patch: The patch of the network by which so many tokens are those of a grid.
        grid: How many cells the grid has along each axis.
        others: How many tokens stand for no place.
    """

    patch: Sizes
    grid: Sizes
    others: int


def look(
    module: nn.Module, inputs: torch.Tensor, layers: Mapping[Address, tuple[int, Layout | None]]
) -> tuple[dict[Address, Layout | None], set[Address]]:
    """Return how the tokens of some layers lie, and which of the layers return tokens before images.

    One pass of an image shows whether a layer returns a row for it, where there are as many tokens as images. Some
    passes more show in which order tokens lie that may be those of patches: what comes of a few patches changes
    most where they do. So tokens by rows are told from tokens by columns, and from those that stand behind or before
    others without a place.

    Args:
        module: The network.
        inputs: What it was fed, `(image, channel, y, x)`.
        layers: Each with the number of its tokens, and what is declared of it.

    Returns:
        The layout of each layer that may be tokens of patches, None where no order stands out; and the others.
    """
    image, size = inputs[:1], tuple(inputs.shape[2:])
    alike = [layer for layer, (tokens, _) in layers.items() if tokens == len(inputs) > 1]
    first = {layer for layer, values in _seen(module, image, alike).items() if len(values) != 1}
    doubts = {}
    for layer, (tokens, declared) in layers.items():
        guess = guessed(tokens, module, size, declared)
        if guess is not None and len(size) > 1 and layer not in first:
            layout, grid = guess
            doubts[layer] = Doubt(layout.patch or (), grid, layout.prefix)
    return _told(module, image, doubts), first


def _told(module: nn.Module, image: torch.Tensor, doubts: Mapping[Address, Doubt]) -> dict[Address, Layout | None]:
    """Return the layout of each layer; None where no order stands out."""
    before = _seen(module, image, doubts)
    found: dict[Address, Layout | None] = dict.fromkeys(doubts)
    for patch, grid in dict.fromkeys((doubt.patch, doubt.grid) for doubt in doubts.values()):
        cells = _cells(grid)
        layers = [layer for layer, doubt in doubts.items() if (doubt.patch, doubt.grid) == (patch, grid)]
        after = [_seen(module, _changed(image, cell, patch), layers) for cell in cells]
        for layer in layers:
            if not all(layer in each for each in (before, *after)):
                continue
            changes = [(each[layer] - before[layer])[0].float().norm(dim=-1).tolist() for each in after]
            found[layer] = _likeliest(changes, cells, doubts[layer])
    return found


def _seen(module: nn.Module, image: torch.Tensor, layers: Collection[Address]) -> Mapping[Address, torch.Tensor]:
    if not layers:
        return {}
    from interpretkit.capture.capture import Capture

    with Capture(module, activations=layers) as capture:
        try:
            capture.forward(image)
        except Exception:  # noqa: BLE001 - a network may take no single image: then nothing is shown
            return {}
    return capture.activations


def _cells(grid: Sizes) -> list[Sizes]:
    """Return cells of a grid by whose places orders are told apart, backwards ones too.

    These are two of its corners, not the first and the last where it has others, and the neighbours of the first cell:
    read backwards, the other two corners of a square lie where they do column by column, and these neighbours do not.
    """
    corners = list(product(*(sorted({0, length - 1}) for length in grid)))
    between = corners[1:-1] or corners
    neighbours = []
    for axis, length in enumerate(grid):
        if length > 1:
            neighbours.append(tuple(int(other == axis) for other in range(len(grid))))
    return list(dict.fromkeys([between[0], between[-1], *neighbours]))


def _changed(image: torch.Tensor, cell: Sizes, patch: Sizes) -> torch.Tensor:
    """Return an image with noise in place of one patch."""
    import torch

    changed = image.clone()
    part = changed
    for axis, (at, side) in enumerate(zip(cell, patch, strict=True), start=2):
        part = part.narrow(axis, at * side, side)
    noise = torch.randn(part.shape, generator=torch.Generator().manual_seed(0))
    spread = float(image.std()) or 1.0
    part.copy_(image.mean() + _LOUD * spread * noise.to(image))
    return changed


def _likeliest(changes: Sequence[Sequence[float]], cells: Sequence[Sizes], doubt: Doubt) -> Layout | None:
    """Return the layout in which the token of each changed patch has changed most of all; None where none does.

    So tokens that lie in another order than by rows or columns, or in another one at each pass, have no layout.
    """
    totals: dict[tuple[int, ...], tuple[float, Layout]] = {}
    for layout in _layouts(doubt):
        places = tuple(layout.position(cell, doubt.grid) for cell in cells)
        if any(each[place] < max(each) for each, place in zip(changes, places, strict=True)):
            continue
        total = sum(each[place] for each, place in zip(changes, places, strict=True))
        # A grid of one row has its tokens at the same places by rows and by columns.
        totals.setdefault(places, (total, layout))
    if not totals:
        return None
    (best, layout), *rest = sorted(totals.values(), key=lambda pair: -pair[0])
    clear = not rest or best > _CLEAR * rest[0][0]
    return layout if clear else None


def _layouts(doubt: Doubt) -> Iterator[Layout]:
    for prefix in reversed(range(doubt.others + 1)):
        for by_columns in (False, True):
            suffix = doubt.others - prefix
            yield Layout(kind="tokens", patch=doubt.patch, prefix=prefix, suffix=suffix, by_columns=by_columns)
