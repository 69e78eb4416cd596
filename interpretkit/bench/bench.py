"""The bench: every method and every control on the same images, and which methods beat the controls."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from interpretkit import __version__
from interpretkit.api import load_model
from interpretkit.bench.entries import FORMS, controls, entries
from interpretkit.bench.measure import TOLERANCE, Subject, localized, measured
from interpretkit.bench.records import LOCALIZATION, Bench, Failure, Mean, Row
from interpretkit.contracts.kinds import VISUALIZER
from interpretkit.contracts.registry import discover
from interpretkit.engine.events import Event
from interpretkit.engine.offered import readers_of
from interpretkit.errors import InputError, InterpretkitError
from interpretkit.inputs.find import find_images
from interpretkit.model.randomized import randomized
from interpretkit.results.measures import bootstrap_of_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from interpretkit.bench.measure import Measured
    from interpretkit.contracts.registry import Registry

RANDOM_WEIGHTS = "random weights"
"""What the control is called that is the method itself, on the network with random weights."""


def bench(
    methods: Sequence[str] = (),
    *,
    images: int | None = None,
    plugins: Sequence[str | Path] = (),
    listen: Callable[[Event], None] = lambda _event: None,
) -> Bench:
    """Measure attribution methods on the network and the images that come along: `digits`, `sample:digits`.

    Every method explains the digit that is there, of which it is known where it is.

    Args:
        methods: Their ids, as `interpretkit plugins` lists them; by default all.
        images: How many; by default all that come along.
        plugins: Python files with hookimpls to load besides the installed plugins.
        listen: Called with every `Event`: a method begins, is done, or has failed.

    Returns:
        A row for each method at each layer that fits it, and for each control. What fails is in `failures`.

    Raises:
        RecipeError: If there is no such method.
        InputError: If there are not so many images.
        PluginError: If a plugin file cannot be loaded.
    """
    registry = discover(plugins)
    asked = entries(registry, methods)
    trained = {form: _subject(registry, images, form=form) for form in FORMS}
    random = {form: replace(subject, model=randomized(subject.model)) for form, subject in trained.items()}
    found: list[tuple[Measured, Mapping[str, np.ndarray]]] = []
    failures = []
    beside = [each for control in controls(registry) for each in measured(control, trained[control.form])]
    for number, entry in enumerate(asked):
        what = f"{entry.method} at {entry.layer}"
        listen(Event(kind="progress", text=what, step="bench", done=number, total=len(asked)))
        try:
            maps = measured(entry, trained[entry.form])
            others = list(localized(entry, random[entry.form]).values())
        except InterpretkitError as error:
            failures.append(Failure(method=entry.method, layer=entry.layer, text=str(error)))
            listen(Event(kind="step", text=f"{what}: {error}", failed=True))
            continue
        found += zip(maps, others, strict=True)
        listen(Event(kind="step", text=f"{what}: {maps[0].seconds:.2g} s for each image"))
    rows = [_row(each, registry) for each in beside]
    rows += [_row(each, registry, beside=beside, random=other) for each, other in found]
    subject = trained[FORMS[0]]
    return Bench(
        version=__version__,
        model=subject.model.name,
        weights=str(subject.model.weights),
        images=len(subject.images),
        tolerance=TOLERANCE,
        chance={name: float(values.mean()) for name, values in beside[0].chance.items()},
        rows=tuple(sorted(rows, key=_place)),
        failures=tuple(failures),
    )


def _subject(registry: Registry, count: int | None, *, form: str) -> Subject:
    """Return the trained network in a form, and so many of the images, with as many of each digit as that allows."""
    names = sorted((file.source for file in find_images(["sample:digits"])), key=lambda name: (name[-1], name))
    if count is not None and not 1 <= count <= len(names):
        raise InputError(f"{count} images are wanted, of {len(names)}", where="--images")
    model = load_model("digits", weights="builtin", device="cpu", form=form)
    return Subject(model=model, images=names[:count], registry=registry, readers=readers_of(registry))


def _row(
    found: Measured,
    registry: Registry,
    *,
    beside: Sequence[Measured] = (),
    random: Mapping[str, np.ndarray] | None = None,
) -> Row:
    """Return what is said of a map; without `beside` and `random` it is a control."""
    entry = found.entry
    rivals = {each.entry.method: each.scores for each in beside}
    if random:
        rivals[RANDOM_WEIGHTS] = random
    nowhere = np.any([np.isnan(found.scores[name]) for name in LOCALIZATION], axis=0)
    return Row(
        method=entry.method,
        layer=found.layer,
        plugin=str(registry.find(VISUALIZER, entry.method).plugin),
        options=dict(entry.options),
        control=not rivals,
        scores={name: _mean(values) for name, values in found.scores.items()},
        random_weights={name: _mean(values) for name, values in (random or {}).items()},
        nowhere=int(nowhere.sum()),
        not_beaten=tuple(name for name, scores in rivals.items() if not _beats(found.scores, scores)),
        seconds=found.seconds,
        passes=found.passes,
    )


def _mean(values: np.ndarray) -> Mean:
    """Return the mean over the images, to which a map that points nowhere gives 0."""
    known = np.nan_to_num(values)
    low, high = bootstrap_of_mean(known)
    return Mean(mean=float(known.mean()), low=low, high=high)


def _beats(scores: Mapping[str, np.ndarray], others: Mapping[str, np.ndarray]) -> bool:
    """Return whether one is clearly better in the pointing game: the interval of the differences lies above 0."""
    return _mean(np.nan_to_num(scores["pointing"]) - np.nan_to_num(others["pointing"])).low > 0


def _place(row: Row) -> tuple[float, ...]:
    """Return where a row stands: by the pointing game, and where that is the same by the energy."""
    return tuple(-row.scores[name].mean for name in LOCALIZATION)
