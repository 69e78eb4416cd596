"""The figures of agreement over a set: means of every pair, and the images on which the maps disagree most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from interpretkit import Figure, figures
from interpretkit_compare.measures import IN_WORDS, MEASURES
from interpretkit_compare.pairs_figure import chance, how, matrices

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from PIL.Image import Image

    from interpretkit import Result, Table
    from interpretkit_compare.pairs import PairOptions


def means(result: Result, options: PairOptions, *, by: str) -> Figure:
    """Draw the matrices of means over all images, and the spread of the measure `by` that images are sorted by."""
    pairs = result.tables["pairs"]
    names = list(dict.fromkeys([*pairs["first"].tolist(), *pairs["second"].tolist()]))
    of_measures = {name: _matrix(pairs.where("measure", name), names, "mean", own=1.0) for name in MEASURES}
    chosen, measure = pairs.where("measure", by), IN_WORDS[by]
    spread = _matrix(chosen, names, "std", own=0.0)
    last = figures.matrix(spread, rows=names, columns=names, title=f"spread of the {measure}", limits=(0.0, 1.0))
    ranges = {name: _ranges(pairs.where("measure", name), names) for name in MEASURES}
    grid = _grid_of(result)
    over = figures.count(len(result.tables["images"]), "image")
    title = f"How alike the attribution maps are: means over {over}"
    extent = _extent(chosen)
    return Figure(
        name="pairs",
        picture=matrices(of_measures, names, ranges=ranges, title=title, more=[last]),
        caption=f"Every two attribution maps over {over}: {how(options, grid)}. "
        f"Mean {measure} ± spread, from the least to the most alike pair: {extent}. {_above(chosen)} "
        f"{chance(options, grid)} Means over as many images, each shuffled anew.",
        alt=f"Matrices of {', '.join(names)}; mean {measure} from the least to the most alike pair: {extent}.",
    )


def disputed(result: Result, options: PairOptions, *, by: str, show: int) -> Figure:
    """Draw so many images on which the maps agree least by a measure, each beside its maps as they were compared."""
    table, measure = result.tables["images"], IN_WORDS[by]
    photos = {image.id: image.pixels for image in result.images}
    pictures, words = [], []
    for values in list(table.rows())[:show]:
        row = dict(zip(table.columns, values, strict=True))
        image, mean = row["image"], _value(row[by])
        maps = _maps_of(result, image)
        title = f"mean {measure} {mean}; least alike: {row['first']} and {row['second']}"
        pictures += [figures.photo(photos[image], title=image), _grid(maps, title)]
        words.append(f"{image} ({mean})")
    grid = _grid_of(result)
    over = figures.count(len(table), "image")
    said = f"mean {measure} over all pairs of maps, least first: {', '.join(words)}; of {over}"
    return Figure(
        name="images",
        picture=figures.panels(pictures, title="Images on which the attribution maps disagree most", columns=2),
        caption=f"Images on which the maps disagree most, by the {said}. Maps as they were compared: "
        f"{how(options, grid)}; each on a scale of its own.",
        alt=f"Images and their maps, by the {said}.",
    )


def _grid_of(result: Result) -> tuple[int, ...]:
    """Return how many cells the maps have that a result keeps as they were compared."""
    return next(array.values.shape for name, array in result.arrays.items() if name != "shuffled")


def _above(pairs: Table) -> str:
    """Say how many pairs are alike beyond chance."""
    known = int((~np.isnan(pairs["mean"])).sum())
    above = int((pairs["mean"] > pairs["chance_high"]).sum())
    return f"Above chance: {above} of {figures.count(known, 'pair')}."


def _maps_of(result: Result, image: str) -> dict[str, np.ndarray]:
    """Return the maps of an image that a result keeps, by source."""
    start = f"{image}: "
    kept = {name: array for name, array in result.arrays.items() if name.startswith(start)}
    return {name.removeprefix(start): array.values for name, array in kept.items()}


def _grid(maps: Mapping[str, np.ndarray], title: str) -> Image:
    values = np.stack(list(maps.values()))
    polarity = figures.polarity_of(values)
    return figures.grid(values, title=title, labels=list(maps), scope="channel", polarity=polarity, noun="map")


def _matrix(pairs: Table, names: Sequence[str], column: str, *, own: float) -> np.ndarray:
    """Return a symmetric matrix of a column of pairs, with `own` on its diagonal."""
    matrix = np.full((len(names), len(names)), own)
    first = [names.index(name) for name in pairs["first"].tolist()]
    second = [names.index(name) for name in pairs["second"].tolist()]
    matrix[first, second] = matrix[second, first] = pairs[column]
    return matrix


def _ranges(pairs: Table, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return from where to where a measure of every pair lies by chance."""
    low, high = (_matrix(pairs, names, column, own=np.nan) for column in ("chance_low", "chance_high"))
    return low, high


def _extent(pairs: Table) -> str:
    """Return the least and the most alike pair by one measure, in words."""
    known = np.flatnonzero(~np.isnan(pairs["mean"]))
    if not len(known):
        return "undefined"
    means = pairs["mean"][known]
    ends = dict.fromkeys([known[means.argmin()], known[means.argmax()]])
    return " to ".join(_pair(pairs, end) for end in ends)


def _pair(pairs: Table, row: Any) -> str:
    first, second = pairs["first"][row], pairs["second"][row]
    mean, spread = figures.number(pairs["mean"][row]), figures.number(pairs["std"][row])
    return f"{mean} ± {spread} ({first} and {second})"


def _value(value: float) -> str:
    return "undefined" if np.isnan(value) else figures.number(value)
