"""Attribution maps against each other, pair by pair, all on one grid."""

from __future__ import annotations

from itertools import combinations, combinations_with_replacement
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from interpretkit import Grid, StepError, Table, Visualizer, figures
from interpretkit_compare.measures import iou_by_chance, measures
from interpretkit_compare.shuffles import ENDS, Shuffles
from interpretkit_compare.sources import check_grid, lengths

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from interpretkit_compare.attributions import Attribution
    from interpretkit_compare.sources import Source

_PARTS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "signed": lambda values: values,
    "positive": lambda values: values.clip(0),
    "absolute": np.abs,
}


class PairOptions(Visualizer.Options):
    """How attribution maps are compared with each other."""

    grid: list[Annotated[int, Field(ge=1)]] | None = Field(
        default=None,
        min_length=1,
        max_length=3,
        description="cells [y, x] that attribution maps meet on, [x] of signals, [z, y, x] of volumes; by default the "
        "coarsest of all along each axis",
    )
    values: Literal["signed", "positive", "absolute"] = Field(
        default="signed",
        description="what of attribution maps is compared: values with their sign, the positive part, or magnitudes",
    )
    share: float = Field(default=0.2, gt=0, lt=1, description="share of the cells that count as top ones, for the IoU")
    shuffles: int = Field(
        default=100,
        ge=20,
        le=10000,
        description="how often maps are mirrored and shifted around at random, for what they have in common by chance",
    )
    seed: int = Field(default=0, ge=0, description="of the shuffles")


def on_one_grid(sources: Sequence[Source], position: int, options: PairOptions) -> np.ndarray:
    """Return the maps of the image at `position` on one grid, `(source, y, x)` float64.

    The part that is compared is taken cell by cell of the native grid, then averaged by area.

    Raises:
        StepError: If the grid that is asked for is finer than a map.
    """
    _check_axes(sources)
    grid = Grid.common(*(source.grid for source in sources))
    if options.grid is not None:
        _check_not_finer(options.grid, sources)
        grid = Grid.even(options.grid, grid.pixels)
    part = _PARTS[options.values]
    return np.stack([source.grid.averaged(part(source.map.values[position]), grid) for source in sources])


def _check_axes(sources: Sequence[Source]) -> None:
    first = sources[0]
    for source in sources[1:]:
        if source.map.dims != first.map.dims:
            one, other = (", ".join(each.map.dims) for each in (first, source))
            raise StepError(
                f"{first.name} is a map ({one}), {source.name} one ({other})", hint="compare maps of one kind of input"
            )


def _check_not_finer(asked: Sequence[int], sources: Sequence[Source]) -> None:
    for source in sources:
        native = source.grid.cells
        check_grid(asked, source)
        if any(cells > own for cells, own in zip(asked, native, strict=True)):
            raise StepError(
                f"a grid of {figures.shape(asked)} cells is finer than {source.name}, which has "
                f"{figures.shape(native)}",
                hint="choose one that is not, or leave it out: the coarsest is taken",
            )


def compared(maps: np.ndarray, options: PairOptions) -> dict[str, np.ndarray]:
    """Return the measures of every two of `maps` `(source, y, x)`, each with itself included, `(source, source)`."""
    matrices = {}
    count = len(maps)
    for name, measure in _measures(options).items():
        matrix = np.empty((count, count))
        for first, second in combinations_with_replacement(range(count), 2):
            matrix[first, second] = matrix[second, first] = measure(maps[first], maps[second])
        matrices[name] = matrix
    return matrices


def by_chance(maps: np.ndarray, options: PairOptions, *, seed: int) -> dict[str, np.ndarray]:
    """Return the measures of every two different `maps` `(source, y, x)`, the second shuffled, `(pair, draw)`.

    Args:
        maps: The maps of one image; pairs come in the order of `numpy.triu_indices`.
        options: How they are compared, and how often they are shuffled.
        seed: Of the image.
    """
    functions = _measures(options)
    found: dict[str, list[np.ndarray]] = {name: [] for name in functions}
    for first, second in combinations(range(len(maps)), 2):
        shuffles = Shuffles.drawn(maps.shape[1:], options.shuffles, (seed, second))
        parts = [
            {name: measure(part, maps[first]) for name, measure in functions.items()}
            for part in shuffles.of(maps[second])
        ]
        for name, values in found.items():
            values.append(np.concatenate([part[name] for part in parts]))
    return {name: np.stack(values) for name, values in found.items()}


def _measures(options: PairOptions) -> Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]:
    return measures(share=options.share, signed=options.values == "signed")


def of_images(
    attributions: Sequence[Attribution], ids: Sequence[str], options: PairOptions, *, seeds: Sequence[int]
) -> Table:
    """Return the measures of every two attribution maps, each with itself included, image by image.

    Every map is once the first of each pair, so its target stands there. What chance brings is not known of a map and
    itself.
    """
    names = [attribution.name for attribution in attributions]
    count = len(names)
    parts = []
    for position, (image, seed) in enumerate(zip(ids, seeds, strict=True)):
        maps = on_one_grid(attributions, position, options)
        found = compared(maps, options) | _chance(by_chance(maps, options, seed=seed), count)
        targets = [attribution.explained(position) for attribution in attributions]
        sizes = lengths(attributions[0].map.extent, maps.shape[1:])
        independent = iou_by_chance(maps[0].size, share=options.share)
        part = Table(
            {name: matrix.reshape(-1) for name, matrix in found.items()},
            iou_independent=np.full(count**2, independent),
            image=np.full(count**2, image),
            first=np.repeat(names, count),
            second=np.tile(names, count),
            target=np.repeat(targets, count),
            **{name: np.full(count**2, cells) for name, cells in sizes.items()},
        )
        parts.append(part)
    return Table.stacked(parts)


def _chance(draws: Mapping[str, np.ndarray], count: int) -> dict[str, np.ndarray]:
    """Return the quantiles of what each measure is by chance as matrices `(source, source)`, by column."""
    pairs = np.triu_indices(count, k=1)
    columns = {}
    for name, values in draws.items():
        for end, quantile in zip(("low", "high"), np.quantile(values, ENDS, axis=1), strict=True):
            matrix = np.full((count, count), np.nan)
            matrix[pairs] = matrix.T[pairs] = quantile
            columns[f"{name}_chance_{end}"] = matrix
    return columns
