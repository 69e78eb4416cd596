"""The same maps of two models side by side, with their difference in numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from interpretkit import Figure, Reads, Result, StepError, Table, Visualizer, figures

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from matplotlib.axes import Axes
    from PIL.Image import Image

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

    @property
    def values(self) -> tuple[np.ndarray, np.ndarray]:
        """The values of both in float64."""
        return self.maps[0].values.astype(np.float64), self.maps[1].values.astype(np.float64)

    @property
    def epsilon(self) -> float:
        """The relative resolution of the coarser of the two dtypes; 0 of integers."""
        dtypes = (each.values.dtype for each in self.maps)
        return max(float(np.finfo(dtype).eps) if dtype.kind == "f" else 0.0 for dtype in dtypes)


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
        ids = [image.id for image in captured.images]
        rows: list[dict[str, Any]] = []
        channels: list[dict[str, Any]] = []
        maps: dict[str, Map] = {}
        for pair in _pairs(captured):
            difference = _difference(*pair.values)
            rows += _rows(pair, difference, captured)
            order = self._order(difference)
            maps |= _shown(pair, difference, order)
            if order is not None:
                channels += _labels(pair, difference, order, ids)
        tables = {"equivalence": _table(rows)}
        return Result(maps=maps, tables=tables | ({"channels": _table(channels)} if channels else {}))

    def draw(self, result: Result) -> Iterator[Figure]:
        """Draw all relative differences in one chart, and one figure per map."""
        table = result.tables["equivalence"]
        yield _chart(table)
        for row in table.rows():
            yield _figure(dict(zip(table.columns, row, strict=True)), result)

    def _order(self, difference: np.ndarray) -> np.ndarray | None:
        """Return the channels that differ most `(image, channel)`, these first; None of a map without channels."""
        if difference.ndim != 4:  # noqa: PLR2004 - image, channel, y, x
            return None
        return np.argsort(-np.abs(difference).max((2, 3)), axis=1, kind="stable")[:, : self.options.top]


def _rows(pair: Pair, difference: np.ndarray, captured: Captured) -> list[dict[str, Any]]:
    """Return how two maps differ, image by image."""
    first, second = pair.values
    targets = [captured.results[step].targets for step in pair.steps]
    return [
        {
            "image": image.id,
            "first": pair.steps[0],
            "second": pair.steps[1],
            "map": pair.name,
            **_measures(first[position], second[position], difference[position]),
            "epsilon": pair.epsilon,
            "first_target": targets[0][position].label if targets[0] else "",
            "second_target": targets[1][position].label if targets[1] else "",
        }
        for position, image in enumerate(captured.images)
    ]


def _labels(pair: Pair, difference: np.ndarray, order: np.ndarray, ids: list[str]) -> list[dict[str, Any]]:
    """Return which channels are shown, and how much they differ."""
    return [
        {
            "image": image,
            "first": pair.steps[0],
            "second": pair.steps[1],
            "map": pair.name,
            "channel": channel,
            "max_difference": float(np.abs(difference[position, channel]).max()),
        }
        for position, image in enumerate(ids)
        for channel in order[position].tolist()
    ]


def _shown(pair: Pair, difference: np.ndarray, order: np.ndarray | None) -> dict[str, Map]:
    """Return both maps and their difference, of maps with channels those in `order`."""
    first, second = pair.maps
    ends = {
        "first": first,
        "second": second,
        "difference": replace(first, values=difference, polarity="signed"),
    }
    if order is not None:
        ends = {
            end: replace(each, values=np.take_along_axis(each.values, order[:, :, None, None], 1))
            for end, each in ends.items()
        }
    return {f"{pair.title}, {end}": each for end, each in ends.items()}


def _table(rows: list[dict[str, Any]]) -> Table:
    return Table.of_rows(rows)


def _pairs(captured: Captured) -> Iterator[Pair]:
    """Yield the maps of each two steps by name, in the order of the first."""
    steps = list(captured.results)
    if len(steps) % 2:
        raise StepError(f"{len(steps)} steps do not pair up: {', '.join(steps)}", hint="name them as first, second, …")
    for one, other in zip(steps[::2], steps[1::2], strict=True):
        first, second = (captured.results[step].maps for step in (one, other))
        if not first or first.keys() != second.keys():
            lone = ", ".join(sorted(first.keys() ^ second.keys())) or "there are none"
            raise StepError(
                f"steps {one} and {other} do not have the same maps: {lone}", hint="give both steps the same options"
            )
        for name, each in first.items():
            shapes = [figures.shape(map_.values.shape[1:]) for map_ in (each, second[name])]
            if shapes[0] != shapes[1]:
                raise StepError(f"map {name} is {shapes[0]} in step {one} and {shapes[1]} in step {other}")
            yield Pair((one, other), name, (each, second[name]))


def _difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return `second - first`: 0 where both are NaN or the same infinity, infinite where only one is finite."""
    with np.errstate(invalid="ignore"):
        difference: np.ndarray = second - first
    difference[~np.isfinite(difference)] = np.inf
    difference[(first == second) | (np.isnan(first) & np.isnan(second))] = 0
    return difference


def _measures(first: np.ndarray, second: np.ndarray, difference: np.ndarray) -> dict[str, float]:
    reference = _range(first)
    largest = float(np.abs(difference).max(initial=0.0))
    greatest = max(map(abs, reference))
    both = (*reference, *_range(second))
    return {
        "relative_difference": largest / greatest if greatest else (np.inf if largest else 0.0),
        "least_difference": float(difference.min(initial=0.0)),
        "greatest_difference": float(difference.max(initial=0.0)),
        "max_first": greatest,
        "least": min(both),
        "greatest": max(both),
    }


def _range(values: np.ndarray) -> tuple[float, float]:
    """Return the least and greatest finite value; zeros where there is none."""
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def _figure(about: Mapping[str, Any], result: Result) -> Figure:
    """Draw a map of the first step, the same of the second, and their difference."""
    name, steps = about["map"], (about["first"], about["second"])
    titles = {"first": steps[0], "second": steps[1], "difference": "difference, on a scale of its own"}
    scale = about["least"], about["greatest"]
    own = about["least_difference"], about["greatest_difference"]
    limits = {"first": scale, "second": scale, "difference": own if np.isfinite(own).all() else None}
    shown = {end: result.maps[f"{name}, {steps[0]} and {steps[1]}, {end}"] for end in titles}
    labels = None
    if shown["first"].values.ndim == 4:  # noqa: PLR2004 - image, channel, y, x
        rows = result.tables["channels"].where("map", name).where("first", steps[0]).where("second", steps[1])
        labels = [str(channel) for channel in rows["channel"]]
    # A layer may return any sign; where it did not, the scale shall not say so.
    unsigned = labels is not None and about["least"] >= 0
    pictures = [
        _picture(
            replace(each, polarity="unsigned") if unsigned and end != "difference" else each,
            labels,
            title=titles[end],
            limits=limits[end],
        )
        for end, each in shown.items()
    ]
    found = _found(about)
    which = f"the {len(labels)} channels that differ most" if labels else "the whole map"
    same = about["first_target"] == about["second_target"]
    targets = "" if same else f" NOT THE SAME TARGET: {about['first_target']!r} and {about['second_target']!r}."
    return Figure(
        name=f"{name}--{steps[0]}--{steps[1]}".replace("/", "-"),
        picture=figures.panels(pictures, title=f"{name}: {steps[0]} against {steps[1]}"),
        caption=f"{name} of {steps[0]} and of {steps[1]}, {which}; the first two on one scale. {found}{targets}",
        alt=f"{name} of {steps[0]}, of {steps[1]}, and their difference. {found}{targets}",
    )


def _picture(each: Map, labels: list[str] | None, *, title: str, limits: tuple[float, float] | None) -> Image:
    values, polarity = each.values[0], each.polarity
    if labels is None:
        return figures.heatmap(values, title=title, polarity=polarity, limits=limits)
    return figures.grid(values, title=title, labels=labels, scope="layer", polarity=polarity, limits=limits)


def _found(about: Mapping[str, Any]) -> str:
    if about["relative_difference"] == 0:
        return "No cell differs."
    relative = figures.number(about["relative_difference"])
    largest = figures.number(max(abs(about["least_difference"]), about["greatest_difference"]))
    of = figures.number(about["max_first"])
    return f"Largest relative difference {relative} ({largest} of {of})."


def _chart(table: Table) -> Figure:
    """Draw the relative differences as dots on a logarithmic scale, with the resolution of the dtype as a line."""
    pairs = zip(table["map"], table["first"], table["second"], strict=True)
    labels = [f"{name} ({one}, {other})" for name, one, other in pairs]
    values, positions = table["relative_difference"], np.arange(len(labels))
    figure = figures.chart(8.5, 1.6 + 0.3 * len(labels), title="Largest relative difference of each map")
    axes = figure.subplots()
    epsilon = float(table["epsilon"].max())
    _dots(axes, values, epsilon or 1e-16)
    if epsilon:
        label = f"resolution of the maps' dtype, {figures.number(epsilon)}"
        axes.axvline(epsilon, color="#57606a", lw=1, ls="--", label=label)
    axes.set_yticks(positions, labels)
    axes.invert_yaxis()
    axes.set_xlabel("max |second − first| / max |first|")
    figure.legend(loc="outside lower right", ncols=4, frameon=False, fontsize=8)
    worst = int(values.argmax())
    words = f"The largest is {figures.number(values[worst])}, in {labels[worst]}."
    caption = f"Relative difference of {len(labels)} maps, each the largest over its cells and channels. {words}"
    return Figure(name="summary", picture=figures.picture(figure), caption=caption, alt=f"Chart of dots. {words}")


def _dots(axes: Axes, values: np.ndarray, epsilon: float) -> None:
    """Draw values as dots on a logarithmic scale; what has no place on it stands at its ends."""
    drawn = values[np.isfinite(values) & (values > 0)]
    low = min(epsilon / 100, float(drawn.min(initial=1.0)) / 10)
    high = max(10.0, float(drawn.max(initial=0.0)) * 10)
    places = np.where(values == 0, low, np.minimum(values, high))
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    kinds = {"map": np.isfinite(values) & (values > 0), "equal": values == 0, "infinite": np.isinf(values)}
    for (label, chosen), marker in zip(kinds.items(), "o<>", strict=True):
        if chosen.any():
            axes.plot(places[chosen], np.flatnonzero(chosen), marker, ms=7, label=label, clip_on=False)
