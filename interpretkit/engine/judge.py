"""What checks say of a step's result: every check judges what it can, and one that fails costs nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from interpretkit.errors import InterpretkitError, StepError, located
from interpretkit.results import ranks
from interpretkit.results.verdict import Status, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from interpretkit.contracts.check import Check
    from interpretkit.engine.resolve import Step
    from interpretkit.results.result import Result

Judged = tuple[str | None, str, Verdict]
"""The id of an image, or None for the whole set; the name of a check; its verdict."""


def judge(
    checks: Sequence[Check], step: Step, result: Result, *, tell: Callable[[InterpretkitError], None]
) -> list[Judged]:
    """Return the verdicts of all checks that judge what a step yields, check by check and image by image.

    As with figures, a check gets the result of one image and one target; of the top classes each has a verdict, in
    their order. Of a reduction it gets the result of the whole set.

    Args:
        checks: The checks.
        step: The step.
        result: What it has made of some images, or of the whole set.
        tell: Told why a check has failed: once for each check, about the first image that it failed at.
    """
    fitting = [check for check in checks if step.visualizer.yields in check.judges]
    judged: list[Judged] = []
    for check in fitting:
        failures: list[InterpretkitError] = []
        for image, part in _parts(step, result):
            try:
                judged.append((image, check.name, _verdict(check, part)))
            except InterpretkitError as error:
                failures.append(error.at(_place(step, check, image)))
        if failures:
            tell(failures[0])
    return judged


def _parts(step: Step, result: Result) -> Iterator[tuple[str | None, Result]]:
    if step.per_set:
        yield None, result
        return
    for image in result.images:
        for part in ranks.split(result.select(image.id)):
            yield image.id, part


def _verdict(check: Check, part: Result) -> Verdict:
    with located(doing="judge()"):
        verdict: object = check.judge(part)
    if not isinstance(verdict, Verdict):
        raise StepError(f"judge() returns a {type(verdict).__name__}, not a Verdict")
    if verdict.status not in get_args(Status):
        raise StepError(f"judge() says {verdict.status!r}", hint=f"a verdict is {' or '.join(get_args(Status))}")
    return verdict


def _place(step: Step, check: Check, image: str | None) -> str:
    about = "the whole set" if image is None else f"image {image}"
    return f"check {check.name}, step {step.id}, {about}"
