"""Results split by what is said of the images: their label, their site, their scanner."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from interpretkit import Array, Options, Reads, Reduction, Result, StepError, Table, did_you_mean, figures
from interpretkit_compare import slices_figure
from interpretkit_compare.slices_numbers import MOST_ROWS, numbers_of
from interpretkit_compare.slices_tests import Resampling, compared
from interpretkit_compare.sources import explaining

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from interpretkit import Captured, Figure, InputImage
    from interpretkit_compare.sources import Source

LABEL = "label"
"""The column that images have from folders and from Python too."""
NONE = "(none)"
"""The slice of images of which a column says nothing."""

_MEMBERS = "members"
_BETWEEN = ": "


class Slices(Reduction):
    r"""The numbers and the mean map of each group of images that a column of the manifest makes, beside all others.

    A network that looks somewhere else in the images of one hospital, or errs more often there, has found a shortcut:
    it shows as a difference between slices. A slice is all images with one value in a column under `by`.

    - Table `slices`: a row for each column (`by`), `slice` and `number`. The numbers are those that the tables of the
      steps under `of:` have for each image, called as `expect:` calls them, such as `where.energy[layer=stage3]`; and
      of the model `prediction.probability` (of what it predicts first) and `prediction.right` (1 where that is the
      label). `images` have such a number; `mean` is theirs, from `low` to `high` by bootstrap; `rest` is the mean of
      the images of all other slices; `difference` is `mean` less `rest`, again with its interval (Efron and Tibshirani
      1993: quantiles of `resamples` bootstrap samples of the images of each side).
    - `p` is the share of `shuffles` of the images among the slices by which *some* slice differs as much in *some*
      number, in standard errors: it is corrected for their count (Westfall and Young 1993). A difference whose `p` is
      below 0.05 is hardly chance.
    - Arrays, one for each column and map, `(slice, y, x)`: the mean of the maps of a slice, each divided by the sum of
      its magnitudes before, so that every image counts the same.

    A slice of fewer than `least` images has a mean, but no interval and no `p`: so few images show nothing.
    """

    name = "slices"
    requires = "steps with numbers or maps for each image; images with a label, or a manifest with such a column"
    citations = {
        "efron1993bootstrap": "intervals by bootstrap",
        "westfall1993resampling": "chance levels over many comparisons by shuffling",
        "oakdenrayner2020hidden": "why results are split by groups of images",
    }
    cost = "no pass: it reads results of earlier steps"
    yields = "comparison"
    reads = Reads("attribution", "scores", "comparison")

    class Options(Options):
        """Options of the slices."""

        by: list[str] = Field(
            default=[LABEL], min_length=1, description="columns of the manifest; label is the label of each image"
        )
        least: int = Field(default=5, ge=2, description="images that a slice needs for an interval")
        level: float = Field(default=0.9, gt=0, lt=1, description="share of bootstrap samples that an interval holds")
        resamples: int = Field(default=2000, ge=100, le=100000, description="bootstrap samples")
        shuffles: int = Field(default=1000, ge=100, le=100000, description="shuffles that p is taken from")
        seed: int = Field(default=0, ge=0, description="of both")
        show: int = Field(default=12, ge=1, le=60, description="how many numbers to draw, those of least p first")

    options: Options

    def compute(self, captured: Captured) -> Result:
        """Return the rows of a batch, and the sums of its maps.

        Raises:
            StepError: If no image of the batch has such a column.
        """
        members = [_said_of(image, self.options.by) for image in captured.images]
        tables = {_MEMBERS: Table.of_rows(members), "predictions": _predictions(captured)}
        count = len(captured.images)
        for step, result in captured.results.items():
            for name, table in result.tables.items():
                if "image" in table and len(table) <= MOST_ROWS * count:
                    tables[f"{step}{_BETWEEN}{name}"] = table
        arrays: dict[str, Array] = {}
        for source in explaining(captured.results):
            arrays |= _sums(source, members, self.options.by)
        return Result(arrays=arrays, tables=tables)

    def merge(self, first: Result, second: Result) -> Result:
        """Return the rows and sums of two parts of the set together.

        Raises:
            StepError: If their maps have different numbers of cells, so that they have no mean.
        """
        tables = {
            name: Table.stacked([each.tables[name] for each in (first, second) if name in each.tables])
            for name in {**first.tables, **second.tables}
        }
        arrays = {**first.arrays}
        for name, array in second.arrays.items():
            known = arrays.get(name, array)
            if known.values.shape != array.values.shape:
                sizes = " and ".join(figures.shape(each.values.shape) for each in (known, array))
                what = f"maps of {sizes} cells have no mean: {name.split(_BETWEEN, 1)[1]}"
                raise StepError(what, hint="bring all images to one size, by the preprocessing of the model")
            sum_ = known.values + array.values if name in first.arrays else array.values
            arrays[name] = Array(values=sum_, dims=array.dims)
        return Result(arrays=arrays, tables=tables)

    def finish(self, result: Result) -> Result:
        """Return the table of slices, and their mean maps.

        Raises:
            StepError: If a column makes no groups of images.
        """
        members = result.tables[_MEMBERS]
        for column in self.options.by:
            _check_groups(members, column)
        images = members["image"].tolist()
        by_step = {name: table for name, table in result.tables.items() if name != _MEMBERS}
        numbers = numbers_of(by_step, images, between=_BETWEEN)
        how = Resampling(
            least=self.options.least,
            level=self.options.level,
            resamples=self.options.resamples,
            shuffles=self.options.shuffles,
            seed=self.options.seed,
        )
        slices = {column: members[column] for column in self.options.by}
        return Result(arrays=_means(result.arrays, slices), tables={"slices": compared(numbers, slices, how)})

    def draw(self, result: Result) -> Iterator[Figure]:
        """Draw the numbers in which slices differ most, and the mean maps."""
        yield from slices_figure.numbers(result.tables["slices"], self.options)
        yield from slices_figure.maps(result)


def _said_of(image: InputImage, by: Sequence[str]) -> dict[str, str]:
    """Return what the columns say of an image.

    Raises:
        StepError: If its manifest has no such column.
    """
    said = {"image": image.id}
    for column in by:
        label = "" if image.label is None else str(image.label)
        value = label if column == LABEL else image.columns.get(column)
        if value is None:
            known = [LABEL, *image.columns]
            raise StepError(f"{image.id} has no column {column!r}", hint=did_you_mean(column, known))
        said[column] = value or NONE
    return said


def _check_groups(members: Table, column: str) -> None:
    """Check that a column makes groups of images: that several have one value, and that there are two values."""
    values, count = set(members[column].tolist()), len(members)
    if len(values) == count > 1:
        what = f"column {column!r} has another value for each of {figures.count(count, 'image')}"
        raise StepError(what, hint="choose a column by which images fall into groups")
    if len(values) == 1:
        (value,) = values
        what = f"column {column!r} says {value!r} of every image, so there is nothing to compare"
        raise StepError(what, hint="choose a column by which images fall into groups")


def _predictions(captured: Captured) -> Table:
    """Return how likely a model finds what it predicts, and whether that is the label; NaN where it is not known."""
    rows = []
    for position, image in enumerate(captured.images):
        found = captured.predictions[position] if captured.predictions else ()
        probability = found[0].probability if found else np.nan
        comparable = len(found) > 1 and image.label is not None
        right = str(image.label) in (found[0].label, str(found[0].index)) if comparable else np.nan
        rows.append({"image": image.id, "probability": float(probability), "right": float(right)})
    return Table.of_rows(rows)


def _sums(source: Source, members: Sequence[Mapping[str, str]], by: Sequence[str]) -> dict[str, Array]:
    """Return the sum of the maps of each slice, each map divided by the sum of its magnitudes."""
    maps = source.map.values.astype(np.float64)
    magnitudes = np.abs(maps).reshape(len(maps), -1).sum(1)
    magnitudes = np.where(magnitudes == 0, 1, magnitudes).reshape(-1, *[1] * (maps.ndim - 1))
    shares = maps / magnitudes
    sums = {}
    for column in by:
        for value in dict.fromkeys(each[column] for each in members):
            inside = np.array([each[column] == value for each in members])
            name = f"{column}={value}{_BETWEEN}{source.name}"
            sums[name] = Array(values=shares[inside].sum(0), dims=source.map.dims[1:])
    return sums


def _means(sums: Mapping[str, Array], slices: Mapping[str, np.ndarray]) -> dict[str, Array]:
    """Return the mean maps of the slices of each column, stacked in the order of the slices."""
    stacked = {}
    for column, values in slices.items():
        names, counts = np.unique(values, return_counts=True)
        start = f"{column}={names[0]}{_BETWEEN}"
        for source in [name.removeprefix(start) for name in sums if name.startswith(start)]:
            found = [sums[f"{column}={name}{_BETWEEN}{source}"] for name in names]
            means = [each.values / count for each, count in zip(found, counts.tolist(), strict=True)]
            stacked[f"{column}{_BETWEEN}{source}"] = Array(values=np.stack(means), dims=("slice", *found[0].dims))
    return stacked
