"""From a step's result to finished figures: drawn by its visualizer, stamped with what no picture may lack."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from interpretkit import figures
from interpretkit.engine.batch import place
from interpretkit.errors import located
from interpretkit.results import ranks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interpretkit.engine.resolve import ResolvedStep
    from interpretkit.model.model import Model
    from interpretkit.results.figure import Figure
    from interpretkit.results.result import Result


def draw(step: ResolvedStep, result: Result, model: Model) -> Iterator[tuple[str | None, Figure]]:
    """Yield the figures of a result image by image with the image's id, or with None those of a reduction.

    Each says whose it is (model, weights, step, image, target), and where the weights are random that nothing in it
    was learned: in the picture, in the caption, in the alt text.

    Raises:
        StepError: If the visualizer fails.
    """
    if step.per_set:
        for figure in _finished(step, result, model, []):
            yield None, figure
        return
    for image in result.images:
        parts = ranks.split(result.select(image.id))
        for rank, part in enumerate(parts, 1):
            about = [f"image {image.id}", *(f"target {target}" for target in part.targets)]
            for figure in _finished(step, part, model, about):
                name = ranks.name(figure.name, rank) if len(parts) > 1 else figure.name
                yield image.id, replace(figure, name=name)


def _finished(step: ResolvedStep, result: Result, model: Model, about: list[str]) -> Iterator[Figure]:
    about = [f"step {step.id} ({step.visualizer.name})", *about]
    with located(place(step), doing="draw()"):
        for figure in step.visualizer.draw(result):
            yield _stamped(figure, model, about)


def _stamped(figure: Figure, model: Model, about: list[str]) -> Figure:
    alert = model.alert
    footer = " · ".join([model.name, str(model.weights), *about])
    return replace(
        figure,
        picture=figures.stamp(figure.picture, [figure.caption, footer], alert=alert),
        caption=" ".join(part for part in (alert, figure.caption) if part),
        alt=" ".join(part for part in (alert, figure.alt) if part),
    )
