"""The same maps of two models side by side, with their difference in numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from interpretkit import Figure, Reads, Result, StepError, Table, Visualizer, figures
from interpretkit_repvgg import equivalence_figure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interpretkit import Captured, Map


@dataclass(frozen=True, slots=True)
class Pair:
    """A map of one step and the map of the same name of another."""

    steps: tuple[str, str]
    name: str
    maps: tuple[Map, Map]

    @property
    def title(self) -> str:
        """Steps and map in one, fit for the name of a map."""
        return f"{self.name}, {self.steps[0]} and {self.steps[1]}"

    def about(self, image: str) -> dict[str, str]:
        """Return the columns that say which image, steps and map the row of a table is about."""
        return {"image": image, "first": self.steps[0], "second": self.steps[1], "map": self.name}

    @property
    def values(self) -> tuple[np.ndarray, np.ndarray]:
        """The values of both in float64."""
        return self.maps[0].values.astype(np.float64), self.maps[1].values.astype(np.float64)

    @property
    def epsilon(self) -> float:
        """The relative resolution of the coarser of the two dtypes; 0 of integers."""
        dtypes = [each.values.dtype for each in self.maps]
        resolutions = [float(np.finfo(dtype).eps) for dtype in dtypes if dtype.kind == "f"]
        return max(resolutions, default=0.0)


class Equivalence(Visualizer):
    r"""Whether two models compute the same: every map of one step beside the map of the same name of another.

    The steps come in pairs, `of: [features_train, features_deploy, gradcam_train, gradcam_deploy]`, the first of each
    pair being the reference. Table `equivalence`, one row for each image and map, with the relative difference

    $$\max |\mathrm{second} - \mathrm{first}| \; / \; \max |\mathrm{first}|$$

    Values that are NaN or infinite are the same where both are so alike; where they are not, and where a reference that
    is zero everywhere meets anything else, the difference is infinite. Maps with channels `(image, channel, y, x)` are
    compared in full; the result keeps those channels that differ most, and table `channels` says which.

    The two forms of a RepVGG are one function, so that what is left is rounding: about 1e-6 in float32. In a run in
    float64 it is about 1e-7, since the fused weights were rounded to the float32 of the checkpoint.
    """

    name = "repvgg_equivalence"
    requires = "steps in pairs, with maps of the same names and shapes"
    citations = {"ding2021repvgg": ""}
    cost = "no pass: it reads results of earlier steps"
    yields = "comparison"
    reads = Reads("features", "attribution", least=2)

    class Options(Visualizer.Options):
        """Options of the comparison."""

        top: int = Field(default=4, ge=1, le=64, description="how many of the channels that differ most to show")

    options: Options

    def compute(self, captured: Captured) -> Result:
        """Return the table `equivalence`, and of each pair the maps to show, `channels` saying which these are.

        Raises:
            StepError: If steps or maps do not pair up, or two maps differ in shape.
        """
        rows: list[dict[str, Any]] = []
        channels: list[dict[str, Any]] = []
        maps: dict[str, Map] = {}
        for pair in _pairs(captured):
            difference = _difference(*pair.values)
            rows += _rows(pair, difference, captured)
            order = self._order(difference)
            maps |= _shown(pair, difference, order)
            if order is not None:
                channels += _labels(pair, difference, order, captured)
        tables = {"equivalence": Table.of_rows(rows)}
        if channels:
            tables["channels"] = Table.of_rows(channels)
        return Result(maps=maps, tables=tables)

    def draw(self, result: Result) -> Iterator[Figure]:
        """Draw all relative differences in one chart, and one figure per map."""
        table = result.tables["equivalence"]
        yield equivalence_figure.summary(table)
        for row in table.rows():
            about = dict(zip(table.columns, row, strict=True))
            yield equivalence_figure.comparison(about, result)

    def _order(self, difference: np.ndarray) -> np.ndarray | None:
        """Return the channels that differ most `(image, channel)`, these first; None of a map without channels."""
        if difference.ndim != 4:  # noqa: PLR2004 - image, channel, y, x
            return None
        greatest = np.abs(difference).max((2, 3))
        return np.argsort(-greatest, axis=1, kind="stable")[:, : self.options.top]


def _rows(pair: Pair, difference: np.ndarray, captured: Captured) -> list[dict[str, Any]]:
    """Return how two maps differ, image by image."""
    first, second = pair.values
    targets = [captured.results[step].targets for step in pair.steps]
    rows = []
    for position, image in enumerate(captured.images):
        row = {
            **pair.about(image.id),
            **_measures(first[position], second[position], difference[position]),
            "epsilon": pair.epsilon,
            "first_target": targets[0][position].label if targets[0] else "",
            "second_target": targets[1][position].label if targets[1] else "",
        }
        rows.append(row)
    return rows


def _labels(pair: Pair, difference: np.ndarray, order: np.ndarray, captured: Captured) -> list[dict[str, Any]]:
    """Return which channels are shown, and how much they differ."""
    rows = []
    for position, image in enumerate(captured.images):
        for channel in order[position].tolist():
            greatest = float(np.abs(difference[position, channel]).max())
            rows.append({**pair.about(image.id), "channel": channel, "max_difference": greatest})
    return rows


def _shown(pair: Pair, difference: np.ndarray, order: np.ndarray | None) -> dict[str, Map]:
    """Return both maps and their difference, of maps with channels those in `order`."""
    first, second = pair.maps
    ends = {"first": first, "second": second, "difference": replace(first, values=difference, polarity="signed")}
    shown = {}
    for end, whole in ends.items():
        values = whole.values
        if order is not None:
            values = np.take_along_axis(values, order[:, :, None, None], 1)
        shown[f"{pair.title}, {end}"] = replace(whole, values=values)
    return shown


def _pairs(captured: Captured) -> Iterator[Pair]:
    """Yield the maps of each two steps by name, in the order of the first."""
    steps = list(captured.results)
    if len(steps) % 2:
        raise StepError(f"{len(steps)} steps do not pair up: {', '.join(steps)}", hint="name them as first, second, …")
    for one, other in zip(steps[::2], steps[1::2], strict=True):
        first, second = captured.results[one].maps, captured.results[other].maps
        if not first or first.keys() != second.keys():
            lone = ", ".join(sorted(first.keys() ^ second.keys())) or "there are none"
            raise StepError(
                f"steps {one} and {other} do not have the same maps: {lone}", hint="give both steps the same options"
            )
        for name in first:
            maps = (first[name], second[name])
            of_one, of_other = (figures.shape(each.values.shape[1:]) for each in maps)
            if of_one != of_other:
                raise StepError(f"map {name} is {of_one} in step {one} and {of_other} in step {other}")
            yield Pair((one, other), name, maps)


def _difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return `second - first`: 0 where both are NaN or the same infinity, infinite where only one is finite."""
    with np.errstate(invalid="ignore"):
        difference: np.ndarray = second - first
    difference[~np.isfinite(difference)] = np.inf
    both_nan = np.isnan(first) & np.isnan(second)
    difference[(first == second) | both_nan] = 0
    return difference


def _measures(first: np.ndarray, second: np.ndarray, difference: np.ndarray) -> dict[str, float]:
    reference = _range(first)
    largest = float(np.abs(difference).max(initial=0.0))
    greatest = max(map(abs, reference))
    both = (*reference, *_range(second))
    relative = 0.0
    if largest:
        relative = largest / greatest if greatest else np.inf
    return {
        "relative_difference": relative,
        "least_difference": float(difference.min(initial=0.0)),
        "greatest_difference": float(difference.max(initial=0.0)),
        "max_first": greatest,
        "least": min(both),
        "greatest": max(both),
    }


def _range(values: np.ndarray) -> tuple[float, float]:
    """Return the least and greatest finite value; zeros where there is none."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 0.0
    return float(finite.min()), float(finite.max())
