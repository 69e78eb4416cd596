"""How attribution maps agree over a whole set of images, and on which images they do not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from interpretkit import Array, Figure, Reads, Reduction, Result, StepError, Table
from interpretkit_compare import agreement_figure
from interpretkit_compare.measures import MEASURES
from interpretkit_compare.pairs import PairOptions, by_chance, compared, on_one_grid
from interpretkit_compare.shuffles import ENDS
from interpretkit_compare.sources import explaining

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from interpretkit import Captured

SHUFFLED = "shuffled"
"""The array of sums over shuffled maps."""

_PLACES = ("first", "second", "measure")


class Agreement(Reduction):
    r"""How alike attribution maps are over a set of images: every two of them, by five measures, on one grid.

    - Table `pairs`: mean, spread (the standard deviation of the population) and range of every measure for every two
      maps over the images for which it is defined. Moments are merged exactly, after Chan, Golub and LeVeque.
      `chance` is the mean of the measure where the second map of each pair is mirrored and shifted around at random,
      anew for each image; `chance_low` and `chance_high` are 5 % and 95 % over `shuffles` of such means. Shuffles keep
      a map's values and how smooth it is: two smooth maps of few blobs are often alike, though their places have
      nothing to do with each other.
    - Table `images`: for each image the mean of every measure over all pairs, and the pair that is least alike by the
      measure `by`. The images on which the maps disagree most come first; those without a measure come last.

    The array `shuffled` holds what chance is computed from, `(measure, pair, draw)`: the sums over the images. The maps
    of the first few images are kept as they were compared, by image and source, and drawn beside these images.
    All else is one row for each image, so the memory that it takes hardly grows.
    """

    name = "agreement"
    requires = "steps with two attribution maps or more; several images"
    citations = {
        "neely2021order": "that methods disagree, and that agreement is no measure of quality",
        "wang2004image": "structural similarity",
        "lotwick1982methods": "chance by shifts around a torus",
    }
    cost = "no pass: it reads results of earlier steps"
    yields = "comparison"
    reads = Reads("attribution")

    class Options(PairOptions):
        """Options of the agreement over a set."""

        by: Literal["rank_correlation", "pearson", "cosine", "iou", "ssim"] = Field(
            default="rank_correlation", description="measure by whose mean over all pairs images are sorted"
        )
        show: int = Field(default=3, ge=1, le=20, description="how many images to show, those of least agreement first")

    options: Options

    def compute(self, captured: Captured) -> Result:
        """Return the tables of a batch, and the maps of its most disputed images.

        Raises:
            StepError: If there are not two attribution maps to compare.
        """
        maps_read = explaining(captured.results)
        if len(maps_read) < 2:  # noqa: PLR2004 - a pair
            raise StepError(
                f"two attribution maps can agree, and {', '.join(captured.results)} has {len(maps_read)}",
                hint="read several steps with attribution maps, or one at several layers",
            )
        names = [source.name for source in maps_read]
        ids = [image.id for image in captured.images]
        axes = tuple(maps_read[0].map.extent)
        kept: dict[str, Array] = {}
        measured, shuffled = [], []
        for position, image in enumerate(ids):
            maps = on_one_grid(maps_read, position, self.options)
            measured.append(compared(maps, self.options))
            shuffled.append(by_chance(maps, self.options, seed=captured.seed(position, self.options.seed)))
            for name, values in zip(names, maps, strict=True):
                kept[f"{image}: {name}"] = Array(values=values, dims=axes)
        kept[SHUFFLED] = _summed(shuffled)
        tables = {"pairs": _pairs(names, measured), "images": _images(ids, names, measured, by=self.options.by)}
        return self._shortened(Result(arrays=kept, tables=tables, images=captured.images))

    def merge(self, first: Result, second: Result) -> Result:
        """Return the result of two parts of the set together."""
        tables = {
            "pairs": _merged(first.tables["pairs"], second.tables["pairs"]),
            "images": Table.stacked([first.tables["images"], second.tables["images"]]),
        }
        one, other = (each.arrays[SHUFFLED] for each in (first, second))
        arrays = {**first.arrays, **second.arrays, SHUFFLED: replace(one, values=one.values + other.values)}
        return self._shortened(Result(arrays=arrays, tables=tables, images=(*first.images, *second.images)))

    def draw(self, result: Result) -> Iterator[Figure]:
        """Draw the matrices of means, and the images on which the maps agree least."""
        options = self.options
        yield agreement_figure.means(result, options, by=options.by)
        yield agreement_figure.disputed(result, options, by=options.by, show=options.show)

    def _shortened(self, result: Result) -> Result:
        """Return a result with its images in their order, and only what is shown of the first ones kept."""
        table = result.tables["images"]
        order = np.lexsort((table["image"], table[self.options.by]))
        table = Table({name: column[order] for name, column in table.columns.items()})
        shown = table["image"][: self.options.show].tolist()
        kept = {name: array for name, array in result.arrays.items() if name.partition(": ")[0] in [*shown, SHUFFLED]}
        pairs = _with_chance(result.tables["pairs"], result.arrays[SHUFFLED])
        return Result(
            arrays=kept,
            tables={"pairs": pairs, "images": table},
            images=tuple(image for image in result.images if image.id in shown),
        )


def _summed(shuffled: Sequence[Mapping[str, np.ndarray]]) -> Array:
    """Return the sums over images of every measure of every two maps, the second shuffled, over where it is defined."""
    of_images = [np.stack([of_image[name] for name in MEASURES]) for of_image in shuffled]
    return Array(values=np.nansum(of_images, axis=0), dims=("measure", "pair", "draw"))


def _with_chance(pairs: Table, shuffled: Array) -> Table:
    """Return the table of pairs with what the mean of each measure is by chance; NaN where no image has the measure."""
    sums = shuffled.values.reshape(len(pairs), -1)
    images = pairs["images"][:, None]
    means = np.where(images > 0, sums / np.maximum(images, 1), np.nan)
    low, high = np.quantile(means, ENDS, axis=1)
    return Table({**pairs.columns, "chance": means.mean(1), "chance_low": low, "chance_high": high})


def _pairs(names: Sequence[str], measured: Sequence[Mapping[str, np.ndarray]]) -> Table:
    """Return the moments of every measure of every two maps over some images."""
    first, second = np.triu_indices(len(names), k=1)
    sources = np.array(names)
    parts = []
    for name in MEASURES:
        values = np.stack([of_image[name][first, second] for of_image in measured])
        places = [sources[first], sources[second], np.full(len(first), name)]
        parts.append(_with_moments(places, _moments(values)))
    return Table.stacked(parts)


def _moments(values: np.ndarray) -> dict[str, np.ndarray]:
    """Return the moments and the range of values `(image, pair)` that are defined, over the images."""
    defined = ~np.isnan(values)
    count = defined.sum(0)
    mean = np.where(defined, values, 0).sum(0) / np.maximum(count, 1)
    return {
        "images": count,
        "mean": mean,
        "squares": np.where(defined, (values - mean) ** 2, 0).sum(0),
        "least": np.where(defined, values, np.inf).min(0),
        "greatest": np.where(defined, values, -np.inf).max(0),
    }


def _merged(first: Table, second: Table) -> Table:
    one, other = first["images"], second["images"]
    count = one + other
    some = np.maximum(count, 1)
    before, after = np.nan_to_num(first["mean"]), np.nan_to_num(second["mean"])
    step = after - before
    apart = step**2 * (one * other / some)
    moments = {
        "images": count,
        "mean": before + step * other / some,
        "squares": first["squares"] + second["squares"] + apart,
        "least": np.fmin(first["least"], second["least"]),
        "greatest": np.fmax(first["greatest"], second["greatest"]),
    }
    return _with_moments([first[name] for name in _PLACES], moments)


def _with_moments(places: Sequence[np.ndarray], moments: Mapping[str, np.ndarray]) -> Table:
    """Return the table with what follows from the moments; NaN where no image has the measure."""
    count = moments["images"]
    variance = moments["squares"] / np.maximum(count, 1)
    known = {name: np.where(count > 0, moments[name], np.nan) for name in ("mean", "least", "greatest")}
    return Table(
        dict(zip(_PLACES, places, strict=True)),
        images=count,
        mean=known["mean"],
        std=np.where(count > 0, np.sqrt(variance), np.nan),
        least=known["least"],
        greatest=known["greatest"],
        squares=moments["squares"],
    )


def _images(
    ids: Sequence[str], names: Sequence[str], measured: Sequence[Mapping[str, np.ndarray]], *, by: str
) -> Table:
    """Return for each image the mean of every measure over all pairs, and the pair that is least alike by one."""
    first, second = np.triu_indices(len(names), k=1)
    rows = []
    for image, matrices in zip(ids, measured, strict=True):
        means = {name: _mean(matrices[name][first, second]) for name in MEASURES}
        values = matrices[by][first, second]
        least = int(np.argmin(np.where(np.isnan(values), np.inf, values)))
        pair = {"lowest": values[least], "first": names[first[least]], "second": names[second[least]]}
        rows.append({"image": image, **means, **pair})
    return Table.of_rows(rows)


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
