"""The figures of an equivalence: all differences in one chart, and each map of both models with their difference."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from interpretkit import Figure, figures

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from PIL.Image import Image

    from interpretkit import Map, Result, Table


def summary(table: Table) -> Figure:
    """Draw the relative differences as dots on a logarithmic scale, with the resolution of the dtype as a line."""
    pairs = zip(table["map"], table["first"], table["second"], strict=True)
    labels = [f"{name} ({first}, {second})" for name, first, second in pairs]
    values, count = table["relative_difference"], len(labels)
    figure = figures.chart(8.5, 1.6 + 0.3 * count, title="Largest relative difference of each map")
    axes = figure.subplots()
    epsilon = float(table["epsilon"].max())
    _dots(axes, values, epsilon or 1e-16)
    if epsilon:
        label = f"resolution of the maps' dtype, {figures.number(epsilon)}"
        axes.axvline(epsilon, color="#57606a", lw=1, ls="--", label=label)
    axes.set_yticks(np.arange(count), labels)
    axes.invert_yaxis()
    axes.set_xlabel("max |second − first| / max |first|")
    figure.legend(loc="outside lower right", ncols=4, frameon=False, fontsize=8)
    worst = int(values.argmax())
    words = f"The largest is {figures.number(values[worst])}, in {labels[worst]}."
    caption = f"Relative difference of {count} maps, each the largest over its cells and channels. {words}"
    return Figure(name="summary", picture=figures.picture(figure), caption=caption, alt=f"Chart of dots. {words}")


def comparison(about: Mapping[str, Any], result: Result) -> Figure:
    """Draw a map of the first step, the same of the second, and their difference.

    Args:
        about: The map's row of the table `equivalence`.
        result: Of one image.
    """
    name, first, second = about["map"], about["first"], about["second"]
    pair = f"{name}, {first} and {second}"
    maps = {end: result.maps[f"{pair}, {end}"] for end in ("first", "second", "difference")}
    labels = _channels(about, result) if "channel" in maps["first"].dims else None
    # A layer may return any sign; where it did not, the scale shall not say so.
    if labels is not None and about["least"] >= 0:
        maps["first"] = replace(maps["first"], polarity="unsigned")
        maps["second"] = replace(maps["second"], polarity="unsigned")
    scale = (about["least"], about["greatest"])
    own = (about["least_difference"], about["greatest_difference"])
    title = "difference, on a scale of its own"
    pictures = [
        _picture(maps["first"], labels, title=first, limits=scale),
        _picture(maps["second"], labels, title=second, limits=scale),
        _picture(maps["difference"], labels, title=title, limits=own if np.isfinite(own).all() else None),
    ]
    which = f"the {len(labels)} channels that differ most" if labels else "the whole map"
    words = _found(about) + _targets(about)
    return Figure(
        name=f"{name}--{first}--{second}".replace("/", "-"),
        picture=figures.panels(pictures, title=f"{name}: {first} against {second}"),
        caption=f"{name} of {first} and of {second}, {which}; the first two on one scale. {words}",
        alt=f"{name} of {first}, of {second}, and their difference. {words}",
    )


def _channels(about: Mapping[str, Any], result: Result) -> list[str]:
    """Return the numbers of the channels that are shown of a map."""
    rows = result.tables["channels"].where("map", about["map"])
    rows = rows.where("first", about["first"]).where("second", about["second"])
    return [str(channel) for channel in rows["channel"]]


def _picture(shown: Map, labels: list[str] | None, *, title: str, limits: tuple[float, float] | None) -> Image:
    values, polarity = shown.values[0], shown.polarity
    if labels is None:
        return figures.heatmap(values, title=title, polarity=polarity, limits=limits)
    return figures.grid(values, title=title, labels=labels, scope="layer", polarity=polarity, limits=limits)


def _found(about: Mapping[str, Any]) -> str:
    if about["relative_difference"] == 0:
        return "No cell differs."
    relative = figures.number(about["relative_difference"])
    largest = figures.number(max(abs(about["least_difference"]), about["greatest_difference"]))
    reference = figures.number(about["max_first"])
    return f"Largest relative difference {relative} ({largest} of {reference})."


def _targets(about: Mapping[str, Any]) -> str:
    first, second = about["first_target"], about["second_target"]
    return "" if first == second else f" NOT THE SAME TARGET: {first!r} and {second!r}."


def _dots(axes: Axes, values: np.ndarray, epsilon: float) -> None:
    """Draw values as dots on a logarithmic scale; what has no place on it stands at its ends."""
    positive = np.isfinite(values) & (values > 0)
    drawn = values[positive]
    low = min(epsilon / 100, float(drawn.min(initial=1.0)) / 10)
    high = max(10.0, float(drawn.max(initial=0.0)) * 10)
    places = np.where(values == 0, low, np.minimum(values, high))
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    kinds = {"map": positive, "equal": values == 0, "infinite": np.isinf(values)}
    for (label, chosen), marker in zip(kinds.items(), "o<>", strict=True):
        if chosen.any():
            axes.plot(places[chosen], np.flatnonzero(chosen), marker, ms=7, label=label, clip_on=False)
