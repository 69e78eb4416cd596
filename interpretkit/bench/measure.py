"""Scores of the maps of one method, image by image, and what they cost."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from interpretkit.bench.records import CURVES, LOCALIZATION
from interpretkit.capture.count import counted
from interpretkit.engine.together import StepOf, resolved, source_of, together

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from interpretkit.bench.entries import Entry
    from interpretkit.contracts.reader import Reader
    from interpretkit.contracts.registry import Registry
    from interpretkit.model.model import Model
    from interpretkit.results.result import Result

TOLERANCE = 8.0
"""So near to the digit, in pixels, is good enough in the pointing game: half a cell of `stage3`."""

_ORDERED: Mapping[str, Any] = {"grid": [8, 8], "steps": 16, "random_orders": 2, "chance_orders": 2}
"""How curves are computed: on one grid for all maps, that of `stage3`, so that their areas can be compared."""

_BATCH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A network and the images that are explained.

    Attributes:
        model: The network.
        images: Their names.
        registry: What plugins offer.
        readers: What reads files, by suffix.
    """

    model: Model
    images: Sequence[str]
    registry: Registry
    readers: Mapping[str, Reader]

    def results(
        self, steps: Mapping[str, StepOf], *, given: Mapping[str, Result] | None = None, images: int | None = None
    ) -> dict[str, Result]:
        """Compute some steps together, and return their results by id.

        Args:
            steps: By id.
            given: Results that they read.
            images: For so many images, the first; by default for all.
        """
        read = given or {}
        source = source_of(list(self.images[:images]), self.readers)
        ordered = resolved(steps, read, self.registry)
        return together(self.model, source, ordered, given=read, batch_size=_BATCH, readers=self.readers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The scores of one map of a method.

    Attributes:
        entry: The method.
        layer: The layer of the row.
        scores: By name, each `(image,)`.
        chance: What scores are by chance, by name, each `(image,)`.
        seconds: For each image.
        passes: How many images went forward through the network for each image that was explained.
    """

    entry: Entry
    layer: str
    scores: Mapping[str, np.ndarray]
    chance: Mapping[str, np.ndarray]
    seconds: float
    passes: float


def measured(entry: Entry, subject: Subject) -> list[Measured]:
    """Return the scores of each map of a method.

    Raises:
        InterpretkitError: If it cannot be computed, or a map has cells that are not finite.
    """
    steps = {entry.method: entry.step}
    # What is found out or loaded once is no cost of the method; some is found out of two images.
    subject.results(steps, images=2)
    seen: list[int] = []
    began = time.perf_counter()
    with counted(subject.model.module, seen.append):
        result = subject.results(steps)[entry.method]
    seconds = time.perf_counter() - began
    count = len(subject.images)
    scores, chance = _localized(result, entry, subject)
    curves = _curves(result, entry, subject) if result.targets else {}
    return [
        Measured(
            entry=entry,
            layer=entry.layer if len(scores) == 1 else layer,
            scores={**found, **curves.get(layer, {})},
            chance=chance,
            seconds=seconds / count,
            passes=sum(seen) / count,
        )
        for layer, found in scores.items()
    ]


def localized(entry: Entry, subject: Subject) -> dict[str, dict[str, np.ndarray]]:
    """Return where the maps of a method lie, by map and score, each `(image,)`; nothing else is measured."""
    result = subject.results({entry.method: entry.step})[entry.method]
    return _localized(result, entry, subject)[0]


_Scores = dict[str, dict[str, np.ndarray]]


def _localized(result: Result, entry: Entry, subject: Subject) -> tuple[_Scores, dict[str, np.ndarray]]:
    """Return the scores of localization by map and name, and what they are by chance by name."""
    steps = {
        step: StepOf(visualizer="localization", of=(entry.method,), options={"tolerance": tolerance})
        for step, tolerance in (("near", TOLERANCE), ("exact", 0.0))
    }
    results = subject.results(steps, given={entry.method: result})
    near, exact = (results[step].tables["localization"] for step in steps)
    found = {}
    for layer in result.maps:
        name = f"{entry.method}/{layer}"
        rows, of_exact = near.where("attribution", name), exact.where("attribution", name)["pointing"]
        found[layer] = {score: of_exact if score == "pointing_exact" else rows[score] for score in LOCALIZATION}
    inside = rows["inside"]
    chance = {**dict.fromkeys(LOCALIZATION, inside), "pointing": rows["pointing_chance"], "iou": inside / (2 - inside)}
    return found, chance


def _curves(result: Result, entry: Entry, subject: Subject) -> _Scores:
    """Return by how much deletion and insertion are better than in random order, by map and curve."""
    step = StepOf(visualizer="deletion_insertion", of=(entry.method,), options=_ORDERED)
    table = subject.results({"curves": step}, given={entry.method: result})["curves"].tables["auc"]
    found = {}
    for layer in result.maps:
        rows = table.where("attribution", f"{entry.method}/{layer}")
        found[layer] = {name: rows.where("curve", name)["gain"] for name in CURVES}
    return found
