"""The figures of slices: the numbers in which they differ most, and the mean maps of each."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from interpretkit import Figure, figures

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.axes import Axes

    from interpretkit import Array, Result, Table
    from interpretkit_compare.slices import Slices

BEYOND_CHANCE = 0.05
"""Below this p, slices differ beyond chance."""

_COLUMNS = 2
_WIDTH, _ROW, _HEAD = 4.6, 0.3, 0.9  # inches
_DOT, _BEYOND, _ALL = "#0072b2", "#d55e00", "#57606a"
_NAMED = 3


def numbers(slices: Table, options: Slices.Options) -> Iterator[Figure]:
    """Draw for each column the numbers in which slices differ most: means with intervals, beside that of all images."""
    for by in dict.fromkeys(slices["by"].tolist()):
        rows = slices.where("by", by)
        shown = _most_different(rows)[: options.show]
        titles = figures.count(len(shown), "number")
        title = f"By {by}: mean of each slice, {100 * options.level:g} % interval; the {titles} of least p"
        columns = min(_COLUMNS, len(shown))
        lines = math.ceil(len(shown) / columns)
        count = len(set(rows["slice"].tolist()))
        figure = figures.chart(_WIDTH * columns, lines * (_HEAD + _ROW * count) + 0.5, title=title)
        panels = np.atleast_1d(figure.subplots(lines, columns)).ravel()
        for panel, name in zip(panels, shown, strict=False):
            _draw(panel, rows.where("number", name), name)
        for panel in panels[len(shown) :]:
            panel.set_visible(False)
        said = _said(rows, slices, options)
        yield Figure(
            name=f"numbers by {by}".replace("/", " "),
            picture=figures.picture(figure),
            caption="Means of the images of each slice with their intervals by bootstrap; the dotted line is the mean "
            f"of all images. {said}",
            alt=f"Means of slices by {by}. {said}",
        )


def maps(result: Result) -> Iterator[Figure]:
    """Draw the mean maps of the slices of each column, all of one step and layer on one scale."""
    members = result.tables["slices"]
    for name, array in result.arrays.items():
        by, _, source = name.partition(": ")
        values = dict.fromkeys(members.where("by", by)["slice"].tolist())
        polarity = figures.polarity_of(array.values)
        yield Figure(
            name=f"maps of {source} by {by}".replace("/", " "),
            picture=figures.grid(
                array.values,
                title=f"{source}: mean map by {by}",
                labels=list(values),
                scope="layer",
                polarity=polarity,
                noun="map",
            ),
            caption=f"Mean of the maps of {source} over the images of each slice by {by}, all on one scale. Each map "
            "was divided by the sum of its magnitudes, so that every image counts the same.",
            alt=f"Mean maps of {source} by {by}: {_greatest(array, list(values))}.",
        )


def _draw(panel: Axes, rows: Table, name: str) -> None:
    """Draw the means of one number, a line for each slice."""
    places = np.arange(len(rows))
    overall = float(np.nansum(rows["mean"] * rows["images"]) / max(rows["images"].sum(), 1))
    panel.axvline(overall, color=_ALL, lw=0.9, ls=":")
    for place, mean, low, high, p in zip(places, *(rows[each] for each in ("mean", "low", "high", "p")), strict=True):
        colour = _BEYOND if p < BEYOND_CHANCE else _DOT
        panel.plot([low, high], [place, place], color=colour, lw=1.4)
        panel.plot([mean], [place], "o", color=colour, ms=4.5)
    labels = [f"{value} ({count})" for value, count in zip(rows["slice"], rows["images"].tolist(), strict=True)]
    panel.set(yticks=places, yticklabels=labels, ylim=(len(rows) - 0.5, -0.5))
    least = np.nanmin(rows["p"]) if not np.isnan(rows["p"]).all() else np.nan
    panel.set_title(f"{name}\n{_chance(least)}", loc="left", fontsize=9)


def _most_different(rows: Table) -> list[str]:
    """Return the numbers, those with the least p first."""
    names = list(dict.fromkeys(rows["number"].tolist()))
    least = {}
    for name in names:
        of_number = rows.where("number", name)
        p = of_number["p"][~np.isnan(of_number["p"])]
        least[name] = float(p.min()) if len(p) else math.inf
    return sorted(names, key=lambda name: least[name])


def _said(rows: Table, slices: Table, options: Slices.Options) -> str:
    """Say which slices differ beyond chance, and of how many comparisons."""
    tested = int((~np.isnan(slices["p"])).sum())
    if not tested:
        return f"No slice has {options.least} images that have a number, so nothing is known of chance."
    slices_of = list(dict.fromkeys(rows["slice"].tolist()))
    # Of two slices, each differs from the other as the other does from it.
    told = rows["slice"] == slices_of[0] if len(slices_of) == len(("one", "other")) else np.ones(len(rows), np.bool_)
    beyond = np.flatnonzero((rows["p"] < BEYOND_CHANCE) & told)
    order = beyond[np.argsort(rows["p"][beyond], kind="stable")]
    found = [_difference(rows, row) for row in order[:_NAMED].tolist()]
    more = f"; and {len(order) - _NAMED} more" if len(order) > _NAMED else ""
    differing = f"{'; '.join(found)}{more}" if found else "none"
    return (
        f"Beyond chance (p < {BEYOND_CHANCE}, corrected for {figures.count(tested, 'comparison')} by shuffling the "
        f"images among the slices), orange: {differing}. A slice of fewer than {options.least} images has no interval."
    )


def _difference(rows: Table, row: int) -> str:
    mean, rest = (figures.number(float(rows[column][row])) for column in ("mean", "rest"))
    return f"{rows['number'][row]} of {rows['slice'][row]} is {mean}, of the others {rest} ({_chance(rows['p'][row])})"


def _chance(p: float) -> str:
    return "too few images for p" if np.isnan(p) else f"p = {p:.3f}"


def _greatest(array: Array, names: Sequence[str]) -> str:
    """Return where each map has its greatest value, in words."""
    said = []
    for name, values in zip(names, array.values, strict=True):
        place = np.unravel_index(int(np.nanargmax(values)), values.shape) if not np.isnan(values).all() else ()
        said.append(f"{name} greatest at {', '.join(map(str, place))}" if place else f"{name} undefined")
    return "; ".join(said)
