"""How attribution maps agree over a whole set of images, and on which images they do not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from interpretkit import Array, Figure, Reads, Reduction, Result, StepError, Table, figures
from interpretkit_compare.measures import IN_WORDS, MEASURES
from interpretkit_compare.pairs import PairOptions, compared, on_one_grid
from interpretkit_compare.pairs_figure import how, matrices
from interpretkit_compare.sources import ATTRIBUTION, sources

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from interpretkit import Captured

_PLACES = ("first", "second", "measure")


class Agreement(Reduction):
    r"""How alike attribution maps are over a set of images: every two of them, by five measures, on one grid.

    - Table `pairs`: mean, spread (the standard deviation of the population) and range of every measure for every two
      maps over the images for which it is defined. Moments are merged exactly, after Chan, Golub and LeVeque.
    - Table `images`: for each image the mean of every measure over all pairs, and the pair that is least alike by the
      measure `by`. The images on which the maps disagree most come first; those without a measure come last.

    The maps of the first few images are kept as they were compared, by image and source, and drawn beside these images.
    All else is one row for each image, so the memory that it takes hardly grows.
    """

    name = "agreement"
    requires = "steps with two attribution maps or more; several images"
    citations = {
        "neely2021order": "that methods disagree, and that agreement is no measure of quality",
        "wang2004image": "structural similarity",
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
        found = sources(captured.results, ATTRIBUTION)
        if len(found) < 2:  # noqa: PLR2004 - a pair
            raise StepError(
                f"two attribution maps can agree, and {', '.join(captured.results)} has {len(found)}",
                hint="read several steps with attribution maps, or one at several layers",
            )
        ids = [image.id for image in captured.images]
        maps = [on_one_grid(found, position, self.options) for position in range(len(ids))]
        measured = [compared(each, self.options) for each in maps]
        kept = {
            f"{image}: {source.name}": Array(values=values, dims=("y", "x"))
            for image, of_image in zip(ids, maps, strict=True)
            for source, values in zip(found, of_image, strict=True)
        }
        names = [source.name for source in found]
        tables = {"pairs": _pairs(names, measured), "images": _images(ids, names, measured, by=self.options.by)}
        return self._shortened(Result(arrays=kept, tables=tables, images=captured.images))

    def merge(self, first: Result, second: Result) -> Result:
        """Return the result of two parts of the set together."""
        tables = {
            "pairs": _merged(first.tables["pairs"], second.tables["pairs"]),
            "images": Table.stacked([first.tables["images"], second.tables["images"]]),
        }
        both = Result(arrays={**first.arrays, **second.arrays}, tables=tables, images=(*first.images, *second.images))
        return self._shortened(both)

    def draw(self, result: Result) -> Iterator[Figure]:
        """Draw the matrices of means, and the images on which the maps agree least."""
        yield self._matrices(result)
        yield self._disputed(result)

    def _shortened(self, result: Result) -> Result:
        """Return a result with its images in their order, and only what is shown of the first ones kept."""
        table = result.tables["images"]
        order = np.lexsort((table["image"], table[self.options.by]))
        table = Table({name: column[order] for name, column in table.columns.items()})
        shown = table["image"][: self.options.show].tolist()
        return Result(
            arrays={name: each for name, each in result.arrays.items() if name.partition(": ")[0] in shown},
            tables={**result.tables, "images": table},
            images=tuple(image for image in result.images if image.id in shown),
        )

    def _matrices(self, result: Result) -> Figure:
        pairs, images = result.tables["pairs"], result.tables["images"]
        names = list(dict.fromkeys([*pairs["first"].tolist(), *pairs["second"].tolist()]))
        means = {name: _matrix(pairs.where("measure", name), names, "mean", own=1.0) for name in MEASURES}
        chosen, by = pairs.where("measure", self.options.by), IN_WORDS[self.options.by]
        spread = _matrix(chosen, names, "std", own=0.0)
        last = figures.matrix(spread, rows=names, columns=names, title=f"spread of the {by}", limits=(0.0, 1.0))
        grid, extent = next(iter(result.arrays.values())).values.shape, _extent(chosen)
        over = figures.count(len(images), "image")
        return Figure(
            name="pairs",
            picture=matrices(means, names, title=f"How alike the attribution maps are: means over {over}", more=[last]),
            caption=f"Every two attribution maps over {over}: {how(self.options, grid)}. "
            f"Mean {by} ± spread, from the least to the most alike pair: {extent}.",
            alt=f"Matrices of {', '.join(names)}; mean {by} from the least to the most alike pair: {extent}.",
        )

    def _disputed(self, result: Result) -> Figure:
        images, photos = result.tables["images"], {image.id: image.pixels for image in result.images}
        by, pictures, words = IN_WORDS[self.options.by], [], []
        columns = (images[name][: self.options.show].tolist() for name in ("image", self.options.by, "first", "second"))
        for image, value, first, second in zip(*columns, strict=True):
            maps = {
                name.partition(": ")[2]: each for name, each in result.arrays.items() if name.startswith(f"{image}: ")
            }
            values = np.stack([each.values for each in maps.values()])
            pictures += [
                figures.photo(photos[image], title=image),
                figures.grid(
                    values,
                    title=f"mean {by} {_value(value)}; least alike: {first} and {second}",
                    labels=list(maps),
                    scope="channel",
                    polarity=figures.polarity_of(values),
                    noun="map",
                ),
            ]
            words.append(f"{image} ({_value(value)})")
        of = figures.count(len(images), "image")
        said = f"mean {by} over all pairs of maps, least first: {', '.join(words)}; of {of}"
        return Figure(
            name="images",
            picture=figures.panels(pictures, title="Images on which the attribution maps disagree most", columns=2),
            caption=f"Images on which the maps disagree most, by the {said}. Maps as they were compared: "
            f"{how(self.options, values.shape[1:])}; each on a scale of its own.",
            alt=f"Images and their maps, by the {said}.",
        )


def _pairs(names: Sequence[str], measured: Sequence[Mapping[str, np.ndarray]]) -> Table:
    """Return the moments of every measure of every two maps over some images."""
    parts = []
    for name in MEASURES:
        first, second = np.triu_indices(len(names), k=1)
        values = np.stack([each[name][first, second] for each in measured])
        defined = ~np.isnan(values)
        count = defined.sum(0)
        mean = np.where(defined, values, 0).sum(0) / np.maximum(count, 1)
        moments = {
            "images": count,
            "mean": mean,
            "squares": np.where(defined, (values - mean) ** 2, 0).sum(0),
            "least": np.where(defined, values, np.inf).min(0),
            "greatest": np.where(defined, values, -np.inf).max(0),
        }
        places = [np.array(names)[first], np.array(names)[second], np.full(len(first), name)]
        parts.append(_with_moments(places, moments))
    return Table.stacked(parts)


def _merged(first: Table, second: Table) -> Table:
    count = first["images"] + second["images"]
    some = np.maximum(count, 1)
    before, after = (np.nan_to_num(table["mean"]) for table in (first, second))
    step = after - before
    moments = {
        "images": count,
        "mean": before + step * second["images"] / some,
        "squares": first["squares"] + second["squares"] + step**2 * (first["images"] * second["images"] / some),
        "least": np.fmin(first["least"], second["least"]),
        "greatest": np.fmax(first["greatest"], second["greatest"]),
    }
    return _with_moments([first[name] for name in _PLACES], moments)


def _with_moments(places: Sequence[np.ndarray], moments: Mapping[str, np.ndarray]) -> Table:
    """Return the table with what follows from the moments; NaN where no image has the measure."""
    count = moments["images"]
    columns = {
        **moments,
        **{name: np.where(count > 0, moments[name], np.nan) for name in ("mean", "least", "greatest")},
        "std": np.where(count > 0, np.sqrt(moments["squares"] / np.maximum(count, 1)), np.nan),
    }
    order = ("images", "mean", "std", "least", "greatest", "squares")
    return Table({**dict(zip(_PLACES, places, strict=True)), **{name: columns[name] for name in order}})


def _images(
    ids: Sequence[str], names: Sequence[str], measured: Sequence[Mapping[str, np.ndarray]], *, by: str
) -> Table:
    """Return for each image the mean of every measure over all pairs, and the pair that is least alike by one."""
    first, second = np.triu_indices(len(names), k=1)
    columns: dict[str, list[object]] = {"image": list(ids)}
    for name in MEASURES:
        columns[name] = [_mean(each[name][first, second]) for each in measured]
    values = [each[by][first, second] for each in measured]
    least = [int(np.argmin(np.where(np.isnan(each), np.inf, each))) for each in values]
    columns["lowest"] = [each[place] for each, place in zip(values, least, strict=True)]
    columns["first"] = [names[first[place]] for place in least]
    columns["second"] = [names[second[place]] for place in least]
    return Table(columns)


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _matrix(pairs: Table, names: Sequence[str], column: str, *, own: float) -> np.ndarray:
    matrix = np.full((len(names), len(names)), own)
    first, second = (np.array([names.index(name) for name in pairs[place].tolist()]) for place in ("first", "second"))
    matrix[first, second] = matrix[second, first] = pairs[column]
    return matrix


def _extent(pairs: Table) -> str:
    """Return the least and the most alike pair by one measure, in words."""
    known = np.flatnonzero(~np.isnan(pairs["mean"]))
    if not len(known):
        return "undefined"
    ends = [known[function(pairs["mean"][known])] for function in (np.argmin, np.argmax)]
    return " to ".join(
        f"{figures.number(pairs['mean'][end])} ± {figures.number(pairs['std'][end])} "
        f"({pairs['first'][end]} and {pairs['second'][end]})"
        for end in dict.fromkeys(ends)
    )


def _value(value: float) -> str:
    return "undefined" if np.isnan(value) else figures.number(value)
