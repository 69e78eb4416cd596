"""The figure of CKA: both estimates as matrices, and what is to be said of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from interpretkit import Figure, figures

if TYPE_CHECKING:
    from PIL.Image import Image

    from interpretkit import Table

# From 0 to 1 in viridis: what a debiased estimate has below 0 gets the first colour, and its number says how much.
_LIMITS = (0.0, 1.0)
_SIDE_BY_SIDE = 8
_TITLES = {"cka": "biased: inflated by few examples", "debiased": "debiased"}
_HOW = {
    "images": "features averaged over the cells",
    "cells": "on the coarsest grid of all layers by area averaging (cells of one image are not independent)",
}


def draw(table: Table, examples: str) -> Figure:
    """Draw both estimates as matrices, rows and columns being layers.

    Args:
        table: The table `cka`.
        examples: What an example is: images or cells.
    """
    rows = list(dict.fromkeys(table["row"].tolist()))
    columns = list(dict.fromkeys(table["column"].tolist()))
    matrices = [_matrix(table, estimate, rows, columns) for estimate in _TITLES]
    count = int(table["n"][0])
    over = f"{count} {noun(examples, count)}"
    picture = figures.panels(
        matrices,
        title=f"Linear CKA of layers over {over}: 1 means alike, 0 unrelated",
        columns=2 if len(columns) <= _SIDE_BY_SIDE else 1,
    )
    biased, debiased = _extent(table, "cka"), _extent(table, "debiased")
    caption = (
        f"Linear CKA between layers over {over}, {_HOW[examples]}. The biased estimate of "
        f"Kornblith et al. ({biased}) is inflated where there are few examples beside the number of channels"
        f"{_warning(table)}. The debiased one ({debiased}) is about 0 for unrelated layers and may fall "
        f"below 0, which has the colour of 0.{_undefined(table)}"
    )
    alt = f"Two matrices of linear CKA, {len(rows)} by {len(columns)} layers: biased {biased}, debiased {debiased}."
    return Figure(name="cka", picture=picture, caption=caption, alt=alt)


def noun(examples: str, count: int) -> str:
    """Return what so many examples are called.

    Example:
        >>> noun("images", 1), noun("cells", 3)
        ('image', 'cells')
    """
    return examples.removesuffix("s") if count == 1 else examples


def _matrix(table: Table, estimate: str, rows: list[str], columns: list[str]) -> Image:
    values = table[estimate].reshape(len(rows), len(columns))
    return figures.matrix(values, rows=rows, columns=columns, title=_TITLES[estimate], limits=_LIMITS)


def _extent(table: Table, estimate: str) -> str:
    """Say between which values an estimate lies for different layers; for all pairs where it compares two steps."""
    values = table[estimate][table["row"] != table["column"]]
    known = values[~np.isnan(values)]
    if not len(values):
        return "one layer only"
    if not len(known):
        return "undefined"
    missing = len(values) - len(known)
    rest = f", {missing} undefined" if missing else ""
    return f"{figures.fixed(known.min())} to {figures.fixed(known.max())} between different layers{rest}"


def _warning(table: Table) -> str:
    count = int(table["n"][0])
    channels = np.concatenate([table["row_channels"], table["column_channels"]])
    low, high = int(channels.min()), int(channels.max())
    reach = figures.count(low, "channel") if low == high else f"{low} to {high} channels"
    here = f"{count} for {reach}"
    if count == 2:  # noqa: PLR2004 - two examples are always told apart in one direction
        return f"; with two examples it is 1 for any layers ({here})"
    return f", as here: {here}" if count < high else f" (here {here})"


def _undefined(table: Table) -> str:
    if not np.isnan(table["debiased"]).any():
        return ""
    return (
        " An estimate is undefined for a layer that tells no examples apart, and the debiased one for fewer than four "
        "examples."
    )
