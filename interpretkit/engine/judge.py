"""What checks say of a step's result: every check judges what it can, and one that fails costs nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from interpretkit.errors import InterpretkitError, StepError, located
from interpretkit.results import ranks
from interpretkit.results.verdict import Status, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from interpretkit.contracts.check import Check, Counterpart
    from interpretkit.engine.resolve import Step
    from interpretkit.results.result import Result

Judged = tuple[str | None, str, Verdict]
"""The id of an image, or None for the whole set; the name of a check; its verdict."""


def judge(
    checks: Sequence[Check],
    step: Step,
    result: Result,
    counterparts: Mapping[Counterpart, Result | InterpretkitError],
    *,
    tell: Callable[[InterpretkitError], None],
) -> list[Judged]:
    """Return the verdicts of all checks that judge what a step yields, check by check and image by image.

    As with figures, a check gets the result of one image and one target; of the top classes each has a verdict, in
    their order. Of a reduction it gets the result of the whole set.

    Args:
        checks: The checks.
        step: The step.
        result: What it has made of some images, or of the whole set.
        counterparts: What it has made of them under the conditions that checks compare with, or why it has not.
        tell: Told why a check has failed: once for each check, about the first image that it failed at.
    """
    fitting = [check for check in checks if step.visualizer.yields in check.judges]
    judged: list[Judged] = []
    for check in fitting:
        failures: list[InterpretkitError] = []
        others = {kind: counterparts[kind] for kind in check.compares}
        lacking = [f"{kind}: {other.message}" for kind, other in others.items() if isinstance(other, InterpretkitError)]
        made = {kind: other for kind, other in others.items() if not isinstance(other, InterpretkitError)}
        split = {kind: _parts(step, other) for kind, other in made.items()}
        for position, (image, part) in enumerate(_parts(step, result)):
            if lacking:
                judged.append((image, check.name, Verdict.not_applicable(lacking[0])))
                continue
            held: dict[str, Result] = {kind: parts[position][1] for kind, parts in split.items()}
            try:
                judged.append((image, check.name, _verdict(check, part, held)))
            except InterpretkitError as error:
                failures.append(error.at(_place(step, check, image)))
        if failures:
            tell(failures[0])
    return judged


def _parts(step: Step, result: Result) -> list[tuple[str | None, Result]]:
    """Return the results of each image and target, each with the image's id; of a reduction that of the whole set."""
    if step.per_set:
        return [(None, result)]
    return [(image.id, part) for image in result.images for part in ranks.split(result.select(image.id))]


def _verdict(check: Check, part: Result, counterparts: Mapping[str, Result]) -> Verdict:
    with located(doing="judge()"):
        verdict: object = check.judge(part, **counterparts)
    if not isinstance(verdict, Verdict):
        raise StepError(f"judge() returns a {type(verdict).__name__}, not a Verdict")
    if verdict.status not in get_args(Status):
        raise StepError(f"judge() says {verdict.status!r}", hint=f"a verdict is {' or '.join(get_args(Status))}")
    return verdict


def _place(step: Step, check: Check, image: str | None) -> str:
    about = "the whole set" if image is None else f"image {image}"
    return f"check {check.name}, step {step.id}, {about}"
