"""Matrices of how alike attribution maps are, and the words beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from interpretkit import Figure, figures
from interpretkit_compare.alignment_figure import of_target
from interpretkit_compare.measures import IN_WORDS, MEASURES
from interpretkit_compare.sources import cells_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from PIL.Image import Image

    from interpretkit import Table
    from interpretkit_compare.pairs import PairOptions

_LIMITS = {"iou": (0.0, 1.0)}
_WIDEST = 1420  # pixels of a row of matrices
_PARTS = {"signed": "values with their sign", "positive": "positive parts", "absolute": "magnitudes"}


def draw(pairs: Table, options: PairOptions) -> Figure:
    """Draw how alike the attribution maps of one image are, from the table `pairs`."""
    targets = dict(zip(pairs["first"].tolist(), pairs["target"].tolist(), strict=True))
    common = _common(targets.values())
    labels = _labels(targets, common=common)
    count = len(labels)
    values = {name: pairs[name].reshape(count, count) for name in MEASURES}
    view = how(options, cells_in(pairs))
    maps, extent = f"attribution maps{of_target(common)}", extents(values)
    return Figure(
        name="pairs",
        picture=matrices(values, labels, title=f"How alike the {maps} are"),
        caption=f"Every two {maps}: {view}. Between different maps: {extent}.",
        alt=f"Matrices of {maps} ({', '.join(labels)}); between different maps: {extent}.",
    )


def matrices(
    values: Mapping[str, np.ndarray], names: Sequence[str], *, title: str, more: Sequence[Image] = ()
) -> Image:
    """Draw the matrix of each measure, and `more` matrices after them."""
    panels = []
    for name in MEASURES:
        limits = _LIMITS.get(name, (-1.0, 1.0))
        panel = figures.matrix(values[name], rows=names, columns=names, title=IN_WORDS[name], limits=limits)
        panels.append(panel)
    # As many in a row as a page takes without making their numbers too small to read.
    columns = min(max(_WIDEST // panels[0].width, 1), 3)
    return figures.panels([*panels, *more], title=title, columns=columns)


def how(options: PairOptions, grid: Sequence[int]) -> str:
    """Say how maps were compared."""
    cells, share = figures.shape(grid), figures.percent(options.share, ".0")
    part = _PARTS[options.values]
    return f"{part}, averaged by area on one grid of {cells} cells; top cells: {share} of them"


def extents(matrices: Mapping[str, np.ndarray]) -> str:
    """Return from where to where each measure goes between different maps, in words."""
    words = []
    for name, matrix in matrices.items():
        different = ~np.eye(len(matrix), dtype=bool)
        known = matrix[different & ~np.isnan(matrix)]
        reach = "undefined"
        if len(known):
            reach = f"{figures.fixed(known.min())} to {figures.fixed(known.max())}"
        words.append(f"{IN_WORDS[name]} {reach}")
    return "; ".join(words)


def _common(targets: Iterable[str]) -> str:
    """Return the class that all maps explain which explain one; empty where they explain several, or none."""
    explained = set(targets) - {""}
    return explained.pop() if len(explained) == 1 else ""


def _labels(targets: Mapping[str, str], *, common: str) -> list[str]:
    """Return the maps by name, each with what it explains where that is not said of all of them at once."""
    if common:
        return [name if target else f"{name}: of no class" for name, target in targets.items()]
    return [f"{name}: {target}" if target else name for name, target in targets.items()]
