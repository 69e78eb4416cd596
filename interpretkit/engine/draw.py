"""From a step's result to finished figures: drawn by its visualizer, stamped with what no picture may lack."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from unicodedata import normalize

from interpretkit import figures
from interpretkit.errors import InputError, located
from interpretkit.figures.settings import default_settings
from interpretkit.figures.text import legible
from interpretkit.results import ranks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interpretkit.contracts.visualizer import Visualizer
    from interpretkit.results.figure import Figure
    from interpretkit.results.origin import Origin
    from interpretkit.results.result import Result

_ESCAPES = "Characters that the font of pictures lacks stand here as escapes; the caption has them."


def draw(visualizer: Visualizer, result: Result) -> Iterator[tuple[str | None, Figure]]:
    """Yield the figures of a result image by image with the image's id, or with None those of a reduction.

    Each says in the picture, in the caption and in the alt text where it comes from: model, weights, step, image and
    target. Where the weights are random, it also says that nothing in it was learned; where pictures of the input show
    some of its channels, which.

    Raises:
        InputError: If the result does not say which step made it.
        StepError: If the visualizer fails.
    """
    origin = result.origin
    if origin is None:
        raise InputError(
            "this result does not say which step has made it, so it cannot be drawn",
            hint="draw what `visualize` or a run gives; a changed copy: dataclasses.replace(result, maps=…)",
        )
    if visualizer.per_set:
        for figure in _finished(visualizer, result, origin, []):
            yield None, figure
        return
    for image in result.images:
        parts = ranks.split(result.select(image.id))
        for rank, part in enumerate(parts, 1):
            targets = [f"target {target}" for target in part.targets]
            about = [f"image {image.id}", *targets]
            for figure in _finished(visualizer, part, origin, about):
                if len(parts) == 1:
                    yield image.id, figure
                else:
                    yield image.id, replace(figure, name=ranks.name(figure.name, rank))


def _finished(visualizer: Visualizer, result: Result, origin: Origin, about: list[str]) -> Iterator[Figure]:
    step = f"step {origin.step} ({origin.uses})"
    with located(str(origin), doing="draw()"), default_settings():
        for figure in visualizer.draw(result):
            yield _stamped(figure, origin, [step, *about])


def _stamped(figure: Figure, origin: Origin, about: list[str]) -> Figure:
    footer = " · ".join([origin.model, origin.weights, *about])
    shown = f"Pictures of the input show {origin.shown}." if origin.shown else ""
    words = " ".join(filter(None, [figure.caption, shown]))
    escapes = [_ESCAPES] if _has_escapes(words + figure.alt + footer) else []
    picture = figures.stamp(figure.picture, [words, footer, *escapes], alert=origin.alert)
    caption = _after_alert(origin, words)
    alt = _after_alert(origin, figure.alt)
    return replace(figure, picture=picture, caption=caption, alt=alt)


def _has_escapes(text: str) -> bool:
    return legible(text) != normalize("NFC", text)


def _after_alert(origin: Origin, text: str) -> str:
    parts = [origin.alert, text]
    return " ".join(part for part in parts if part)
