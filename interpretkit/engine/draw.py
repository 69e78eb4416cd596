"""From a step's result to finished figures: drawn by its visualizer, stamped with what no picture may lack."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from interpretkit import figures
from interpretkit.errors import InputError, located
from interpretkit.results import ranks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interpretkit.contracts.visualizer import Visualizer
    from interpretkit.results.figure import Figure
    from interpretkit.results.origin import Origin
    from interpretkit.results.result import Result


def draw(visualizer: Visualizer, result: Result) -> Iterator[tuple[str | None, Figure]]:
    """Yield the figures of a result image by image with the image's id, or with None those of a reduction.

    Each says whose it is (model, weights, step, image, target), and where the weights are random that nothing in it
    was learned: in the picture, in the caption, in the alt text.

    Raises:
        InputError: If the result does not say what it was made by.
        StepError: If the visualizer fails.
    """
    if result.origin is None:
        raise InputError(
            "this result does not say which step has made it, so it cannot be drawn",
            hint="draw what `visualize` or a run gives; a changed copy: dataclasses.replace(result, maps=…)",
        )
    if visualizer.per_set:
        for figure in _finished(visualizer, result, result.origin, []):
            yield None, figure
        return
    for image in result.images:
        parts = ranks.split(result.select(image.id))
        for rank, part in enumerate(parts, 1):
            about = [f"image {image.id}", *(f"target {target}" for target in part.targets)]
            for figure in _finished(visualizer, part, result.origin, about):
                name = ranks.name(figure.name, rank) if len(parts) > 1 else figure.name
                yield image.id, replace(figure, name=name)


def _finished(visualizer: Visualizer, result: Result, origin: Origin, about: list[str]) -> Iterator[Figure]:
    about = [f"step {origin.step} ({origin.uses})", *about]
    with located(str(origin), doing="draw()"):
        for figure in visualizer.draw(result):
            yield _stamped(figure, origin, about)


def _stamped(figure: Figure, origin: Origin, about: list[str]) -> Figure:
    footer = " · ".join([origin.model, origin.weights, *about])
    return replace(
        figure,
        picture=figures.stamp(figure.picture, [figure.caption, footer], alert=origin.alert),
        caption=" ".join(part for part in (origin.alert, figure.caption) if part),
        alt=" ".join(part for part in (origin.alert, figure.alt) if part),
    )
