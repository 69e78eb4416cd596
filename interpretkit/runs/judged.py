"""What the verdicts of a run come to, and whether its models predict what its images are labelled."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from interpretkit import words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from interpretkit.results.verdict import Status
    from interpretkit.runs.records import ImageRecord, ModelRecord, RunRecord, StepRecord

ORDER: tuple[Status, ...] = ("fail", "warn", "pass", "not applicable")
"""The statuses of verdicts, the worst first."""

_NAMED = 3
"""So many images are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The verdicts of one check on the results of one step.

    Attributes:
        step: The step.
        check: The check.
        counts: How many verdicts there are of each status, the worst first; none of 0.
        images: Whose they are, by status; those of the whole set are nobody's.
    """

    step: str
    check: str
    counts: Mapping[Status, int]
    images: Mapping[Status, tuple[str, ...]]


def tallies(run: RunRecord) -> list[Tally]:
    """Return what the verdicts come to, step by step and check by check."""
    found = []
    for step in run.steps:
        checks = dict.fromkeys(verdict.check for verdict in step.verdicts)
        found += [_tally(step, check) for check in checks]
    return found


def _tally(step: StepRecord, check: str) -> Tally:
    verdicts = [verdict for verdict in step.verdicts if verdict.check == check]
    counted = Counter(verdict.status for verdict in verdicts)
    counts = {status: counted[status] for status in ORDER if counted[status]}
    images: dict[Status, dict[str, None]] = {status: {} for status in counts}
    for verdict in verdicts:
        if verdict.image is not None:
            images[verdict.status][verdict.image] = None
    named = {status: tuple(found) for status, found in images.items()}
    return Tally(step=step.id, check=check, counts=counts, images=named)


def failing(run: RunRecord) -> bool:
    """Return whether some verdict is `fail`."""
    return any(verdict.status == "fail" for step in run.steps for verdict in step.verdicts)


def checks_in_a_line(run: RunRecord) -> str:
    """Return in one line what the verdicts come to; empty where there are none.

    Example:
        >>> import tempfile
        >>> from interpretkit.testing import tiny_run
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     checks_in_a_line(tiny_run(folder).record)
        'checks: 2 failed (brightness: degenerate of bright, dark), 2 passed'
    """
    found = tallies(run)
    total: Counter[Status] = Counter()
    for tally in found:
        total.update(tally.counts)
    said: dict[Status, str] = {"fail": "failed", "warn": "warned"}
    parts = []
    for status, word in said.items():
        if total[status]:
            about = [_about(tally, status) for tally in found if status in tally.counts]
            parts.append(f"{total[status]} {word} ({'; '.join(about)})")
    parts.append(f"{total['pass']} passed")
    return f"checks: {', '.join(parts)}" if total else ""


def _about(tally: Tally, status: Status) -> str:
    name = f"{tally.step}: {tally.check}"
    images = tally.images[status]
    return f"{name} of {words.listed(images, most=_NAMED)}" if images else name


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How many images a model predicts as they are labelled.

    Attributes:
        model: Its name.
        labelled: How many images have a label that is one of its classes.
        others: Those of which it predicts something else: id, label, and what is predicted.
    """

    model: str
    labelled: int
    others: tuple[tuple[str, str, str], ...]

    def __str__(self) -> str:
        agreeing = self.labelled - len(self.others)
        of = f"{agreeing} of {words.count(self.labelled, 'image')}"
        text = f"{self.model} predicts the label of {of}"
        if not self.others:
            return text
        named = [f"{image} (labelled {label}, predicted {found})" for image, label, found in self.others]
        return f"{text}; not of {words.listed(named, most=_NAMED)}"


def agreements(run: RunRecord) -> list[Agreement]:
    """Return for each model of classes how its predictions agree with the labels of the images; none without labels."""
    found = []
    for key, model in run.models.items():
        compared = [each for image in run.inputs if (each := _compared(image, key, model)) is not None]
        if compared:
            others = tuple(each for each in compared if each[1] != each[2])
            found.append(Agreement(model=model.name, labelled=len(compared), others=others))
    return found


def _compared(image: ImageRecord, key: str, model: ModelRecord) -> tuple[str, str, str] | None:
    """Return id, label and prediction of an image; None where the two cannot be compared."""
    predictions = image.predictions.get(key, ())
    first_output = next(iter(model.outputs.values()), "")
    if image.label is None or len(predictions) < len(("two", "classes")) or not first_output.startswith("classes"):
        return None
    first = predictions[0]
    if image.label == str(first.index):
        return image.id, first.label, first.label
    return image.id, image.label, first.label
