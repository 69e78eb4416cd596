"""Attribution maps against each other, pair by pair, all on one grid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from interpretkit import StepError, Visualizer, area_averaged, common_grid, figures
from interpretkit_compare.measures import IN_WORDS, MEASURES, measures

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from PIL.Image import Image

    from interpretkit_compare.sources import Source

_PARTS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "signed": lambda values: values,
    "positive": lambda values: values.clip(0),
    "absolute": np.abs,
}
_LIMITS = {"iou": (0.0, 1.0)}
_WIDEST = 1420


class PairOptions(Visualizer.Options):
    """How attribution maps are compared with each other."""

    grid: list[Annotated[int, Field(ge=1)]] | None = Field(
        default=None,
        min_length=2,
        max_length=2,
        description="cells [y, x] that attribution maps meet on; by default the coarsest of all along each axis",
    )
    values: Literal["signed", "positive", "absolute"] = Field(
        default="signed",
        description="what of attribution maps is compared: values with their sign, the positive part, or magnitudes",
    )
    share: float = Field(default=0.2, gt=0, lt=1, description="share of the cells that count as top ones, for the IoU")


def on_one_grid(sources: Sequence[Source], position: int, options: PairOptions) -> np.ndarray:
    """Return the maps of the image at `position` on one grid, `(source, y, x)` float64.

    The part that is compared is taken cell by cell of the native grid, then averaged by area.

    Raises:
        StepError: If the grid that is asked for is finer than a map.
    """
    grid = common_grid(*(source.grid for source in sources))
    if options.grid is not None:
        wanted = (options.grid[0], options.grid[1])
        for source in sources:
            if common_grid(source.grid, wanted) != wanted:
                asked, native = (figures.shape(each) for each in (wanted, source.grid))
                raise StepError(
                    f"a grid of {asked} cells is finer than {source.name}, which has {native}",
                    hint="choose one that is not, or leave it out: the coarsest is taken",
                )
        grid = wanted
    part = _PARTS[options.values]
    return np.stack([area_averaged(part(source.map.values[position]), grid) for source in sources])


def compared(maps: np.ndarray, options: PairOptions) -> dict[str, np.ndarray]:
    """Return the measures of every two of `maps` `(source, y, x)`, each with itself included, `(source, source)`."""
    found = {}
    for name, measure in measures(share=options.share, signed=options.values == "signed").items():
        matrix = np.empty((len(maps), len(maps)))
        for first, second in zip(*np.triu_indices(len(maps)), strict=True):
            matrix[first, second] = matrix[second, first] = measure(maps[first], maps[second])
        found[name] = matrix
    return found


def matrices(found: Mapping[str, np.ndarray], names: Sequence[str], *, title: str, more: Sequence[Image] = ()) -> Image:
    """Draw the matrix of each measure, and `more` matrices after them."""
    panels = [
        figures.matrix(
            found[name], rows=names, columns=names, title=IN_WORDS[name], limits=_LIMITS.get(name, (-1.0, 1.0))
        )
        for name in MEASURES
    ]
    # As many in a row as a page takes without making their numbers too small to read.
    columns = min(max(_WIDEST // panels[0].width, 1), 3)
    return figures.panels([*panels, *more], title=title, columns=columns)


def how(options: PairOptions, grid: Sequence[int]) -> str:
    """Say how maps were compared."""
    part = {"signed": "values with their sign", "positive": "positive parts", "absolute": "magnitudes"}[options.values]
    cells = figures.shape(grid)
    share = figures.percent(options.share, ".0")
    return f"{part}, averaged by area on one grid of {cells} cells; top cells: {share} of them"


def extents(found: Mapping[str, np.ndarray]) -> str:
    """Return from where to where each measure goes between different maps, in words."""
    words = []
    for name, matrix in found.items():
        others = matrix[~np.eye(len(matrix), dtype=bool)]
        known = others[~np.isnan(others)]
        reach = f"{figures.fixed(known.min())} to {figures.fixed(known.max())}" if len(known) else "undefined"
        words.append(f"{IN_WORDS[name]} {reach}")
    return "; ".join(words)
