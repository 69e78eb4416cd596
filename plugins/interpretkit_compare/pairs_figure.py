"""Matrices of how alike attribution maps are, and the words beside them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from interpretkit import Figure, figures
from interpretkit_compare.alignment_figure import of_target
from interpretkit_compare.measures import IN_WORDS, MEASURES, iou_by_chance
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
    values = {name: _square(pairs, name) for name in MEASURES}
    ranges = {name: (_square(pairs, f"{name}_chance_low"), _square(pairs, f"{name}_chance_high")) for name in MEASURES}
    view = how(options, cells_in(pairs))
    maps, extent = f"attribution maps{of_target(common)}", extents(values, ranges)
    return Figure(
        name="pairs",
        picture=matrices(values, labels, ranges=ranges, title=f"How alike the {maps} are"),
        caption=f"Every two {maps}: {view}. Between different maps: {extent}. {chance(options, cells_in(pairs))}",
        alt=f"Matrices of {maps} ({', '.join(labels)}); between different maps: {extent}.",
    )


def matrices(
    values: Mapping[str, np.ndarray],
    names: Sequence[str],
    *,
    ranges: Mapping[str, tuple[np.ndarray, np.ndarray]],
    title: str,
    more: Sequence[Image] = (),
) -> Image:
    """Draw the matrix of each measure with its ranges by chance, and `more` matrices after them."""
    panels = []
    for name in MEASURES:
        panel = figures.matrix(
            values[name],
            rows=names,
            columns=names,
            title=f"{IN_WORDS[name]}; below: by chance",
            limits=_LIMITS.get(name, (-1.0, 1.0)),
            ranges=ranges[name],
        )
        panels.append(panel)
    # As many in a row as a page takes without making their numbers too small to read.
    columns = min(max(_WIDEST // panels[0].width, 1), 3)
    return figures.panels([*panels, *more], title=title, columns=columns)


def how(options: PairOptions, grid: Sequence[int]) -> str:
    """Say how maps were compared."""
    cells, share = figures.shape(grid), figures.percent(options.share, ".0")
    part = _PARTS[options.values]
    return f"{part}, averaged by area on one grid of {cells} cells; top cells: {share} of them"


def chance(options: PairOptions, grid: Sequence[int]) -> str:
    """Say what numbers by chance are."""
    independent = iou_by_chance(math.prod(grid), share=options.share)
    return (
        f"By chance: 5 to 95 % over {options.shuffles} shuffles of the second map, mirrored and shifted around as a "
        "whole, which keeps its values and how smooth it is. The IoU of top cells that are independent is "
        f"{figures.fixed(independent)} in the mean."
    )


def extents(matrices: Mapping[str, np.ndarray], ranges: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> str:
    """Return from where to where each measure goes between different maps, and how many are beyond chance, in words."""
    words = []
    for name, matrix in matrices.items():
        pairs = np.triu_indices(len(matrix), k=1)
        _, high = ranges[name]
        known = matrix[pairs][~np.isnan(matrix[pairs])]
        reach = "undefined"
        if len(known):
            above = int((matrix[pairs] > high[pairs]).sum())
            reach = f"{figures.fixed(known.min())} to {figures.fixed(known.max())}"
            reach += f" ({above} of {figures.count(len(known), 'pair')} above chance)"
        words.append(f"{IN_WORDS[name]} {reach}")
    return "; ".join(words)


def _square(pairs: Table, column: str) -> np.ndarray:
    """Return a column of all pairs as a matrix."""
    count = math.isqrt(len(pairs))
    return np.asarray(pairs[column].reshape(count, count))


def _common(targets: Iterable[str]) -> str:
    """Return the class that all maps explain which explain one; empty where they explain several, or none."""
    explained = set(targets) - {""}
    return explained.pop() if len(explained) == 1 else ""


def _labels(targets: Mapping[str, str], *, common: str) -> list[str]:
    """Return the maps by name, each with what it explains where that is not said of all of them at once."""
    if common:
        return [name if target else f"{name}: of no class" for name, target in targets.items()]
    return [f"{name}: {target}" if target else name for name, target in targets.items()]
