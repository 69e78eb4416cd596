"""How concentrated an attribution map is, without a pass of the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from interpretkit import Figure, Reads, Result, Table, Visualizer, figures
from interpretkit_compare.attributions import attributions, labels
from interpretkit_compare.bars import Score, bars

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interpretkit import Captured


class Sparseness(Visualizer):
    r"""How concentrated attribution maps are: Gini index and entropy of their magnitudes.

    For the magnitudes $v_1 \le \dots \le v_n$ of a map's cells, and their shares $p_i = v_i / \sum_j v_j$,

    $$G = \frac{\sum_i (2i - n - 1)\, v_i}{n \sum_i v_i} \qquad H = -\frac{1}{\ln n} \sum_i p_i \ln p_i$$

    `gini` is 0 where all cells are alike and $1 - 1/n$ where one cell has everything: higher is sparser. `entropy` is
    1 where all are alike and 0 where one has everything: lower is sparser. Both have no unit. Sparser is easier to
    read, not more faithful: a map of one wrong cell is as sparse as can be.

    The native grid is taken as it is. A coarse map is smooth within its cells by its nature, so maps of different
    grids are not to be compared. Table `sparseness`, one row for each image and map; NaN for a map that is 0
    everywhere, and the entropy of a single cell.
    """

    name = "sparseness"
    requires = "steps with attribution maps"
    citations = {"chalasani2020concise": "the Gini index as a score of attributions", "hurley2009comparing": ""}
    cost = "no pass: it reads results of earlier steps"
    yields = "scores"
    reads = Reads("attribution")

    class Options(Visualizer.Options):
        """No options."""

    def compute(self, captured: Captured) -> Result:
        """Return the table `sparseness`.

        Raises:
            StepError: If there is no attribution map, or one is not finite.
        """
        rows = []
        for position in range(len(captured.images)):
            for attribution in attributions(captured):
                magnitudes = np.abs(attribution.values(captured, position)).ravel()
                scores = {"gini": gini(magnitudes), "entropy": entropy(magnitudes), "cells": magnitudes.size}
                rows.append({**attribution.about(captured, position), **scores})
        return Result(tables={"sparseness": Table.of_rows(rows)})

    def draw(self, result: Result) -> Iterator[Figure]:
        """Draw both scores of all maps as bars."""
        table = result.tables["sparseness"]
        names = labels(table)
        scores = [
            Score("Gini index (higher is sparser)", table["gini"]),
            Score("entropy (lower is sparser)", table["entropy"]),
        ]
        rows = zip(names, map(figures.number, table["gini"]), strict=True)
        numbers = ", ".join(f"{name} {value}" for name, value in rows)
        yield Figure(
            name="sparseness",
            picture=bars(names, scores, title="Sparseness of attribution maps", limits=(0.0, 1.0)),
            caption=_caption(table),
            alt=f"Bars of the Gini index: {numbers}.",
        )


def _caption(table: Table) -> str:
    rows = zip(table["attribution"], table["cells"], strict=True)
    cells = ", ".join(f"{name} {count}" for name, count in rows)
    return (
        "How concentrated the magnitudes of each map are on its native grid. Gini index: 0 if all cells are alike, 1 − "
        "1/cells if one has everything. Entropy as a part of the greatest possible: 1 if all cells are alike, 0 if one "
        f"has everything. Maps of different grids are not to be compared (cells: {cells}). Sparser is not more "
        "faithful."
    )


def gini(magnitudes: np.ndarray) -> float:
    """Return the Gini index of magnitudes `(cell,)`; NaN where all are 0.

    Example:
        >>> gini(np.array([0.0, 0.0, 0.0, 2.0])), gini(np.ones(4))
        (0.75, 0.0)
    """
    total = magnitudes.sum()
    if total == 0:
        return np.nan
    count = magnitudes.size
    weights = 2 * np.arange(1, count + 1) - count - 1
    ascending = np.sort(magnitudes)
    return float(weights @ ascending / (count * total))


def entropy(magnitudes: np.ndarray) -> float:
    """Return the entropy of the shares of magnitudes `(cell,)`, as a part of that of equal ones; NaN where all are 0.

    Example:
        >>> entropy(np.array([0.0, 0.0, 0.0, 2.0])), entropy(np.ones(4))
        (0.0, 1.0)
    """
    total = magnitudes.sum()
    if total == 0 or magnitudes.size == 1:
        return np.nan
    shares = magnitudes[magnitudes > 0] / total
    surprise = np.log(1 / shares)
    return float(shares @ surprise / np.log(magnitudes.size))
