"""Steps once more under another condition, for checks: which are wanted, and what comes of them batch by batch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from interpretkit.contracts.check import AGAIN, OTHER_SEED, RANDOM_WEIGHTS, RUNNER_UP
from interpretkit.engine import passes
from interpretkit.engine.numerics import as_if_not_drawn
from interpretkit.engine.passes import Attributed
from interpretkit.engine.plan import backward_passes
from interpretkit.errors import InterpretkitError, StepError
from interpretkit.model.outputs.wanted import Held, RunnersUp, Wanted
from interpretkit.model.randomized import randomized

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from interpretkit.contracts.check import Check, Counterpart
    from interpretkit.engine.passes import Pass
    from interpretkit.engine.resolve import Step
    from interpretkit.model.model import Model
    from interpretkit.results.result import Result

    Compute = Callable[[Step, Pass, Mapping[str, Result]], Result]
    """Computes a step from a pass, and from the results that it reads."""

_SEED = "seed"
_OWN_PASSES = "the method would make its own passes once more, which `checks: all` lets it do"


class NotTriedError(StepError):
    """A counterpart that a step has none of, or that nobody asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which counterparts of a step checks want.

    Attributes:
        wanted: Those that are computed.
        refused: Why the others are not.
    """

    wanted: tuple[Counterpart, ...] = ()
    refused: Mapping[Counterpart, NotTriedError] = field(default_factory=dict)


def asked_of(steps: Sequence[Step], checks: Sequence[Check], *, thorough: bool) -> dict[str, Asked]:
    """Return which counterparts the checks want of the steps that they judge, by step.

    Args:
        steps: The steps of a plan.
        checks: The checks that are to judge.
        thorough: Whether steps that make passes of their own make them once more for each counterpart.
    """
    found = {}
    for step in steps:
        judging = [check for check in checks if step.visualizer.yields in check.judges]
        kinds = dict.fromkeys(kind for check in judging for kind in check.compares)
        reasons = {kind: _reason(kind, step, steps, thorough=thorough) for kind in kinds}
        if reasons:
            wanted = tuple(kind for kind, reason in reasons.items() if not reason)
            refused = {kind: NotTriedError(reason) for kind, reason in reasons.items() if reason}
            found[step.id] = Asked(wanted=wanted, refused=refused)
    return found


def _reason(kind: Counterpart, step: Step, steps: Sequence[Step], *, thorough: bool) -> str:
    """Return why there is no such counterpart of a step; empty where there is one."""
    if step.per_set:
        return "the result is about the whole set of images"
    if kind == RUNNER_UP and not step.targets:
        return "the method has no target"
    if kind == OTHER_SEED and _SEED not in type(step.visualizer.options).model_fields:
        return "the method has no seed"
    if any(each.needs.own_passes for each in _with_read(step, steps)) and not thorough:
        return _OWN_PASSES
    return ""


def _with_read(step: Step, steps: Sequence[Step]) -> list[Step]:
    """Return a step and all that it reads, directly or through others."""
    by_id = {each.id: each for each in steps}
    found = [step]
    for each in found:
        found += [by_id[name] for name in each.of if by_id[name] not in found]
    return found


@dataclass(slots=True)
class Conditions:
    """The conditions under which the steps of a run are computed once more, kept for all its batches.

    Args:
        steps: The steps of the plan.
        asked: Which counterparts are wanted, by step.
    """

    steps: Sequence[Step] = ()
    asked: Mapping[str, Asked] = field(default_factory=dict)
    _random: dict[str, Model | InterpretkitError] = field(default_factory=dict)

    def steps_of(self, kind: Counterpart, model: str) -> list[Step]:
        """Return the steps of a model that are computed under a condition, and those that they read."""
        found: list[Step] = []
        for step in self.steps:
            if step.model == model and kind in self.asked.get(step.id, Asked()).wanted:
                found += [each for each in _with_read(step, self.steps) if each not in found]
        return found

    def passes(self, kind: Counterpart, model: str) -> tuple[int, int]:
        """Return how many forward and backward passes a condition adds per batch at most, own passes aside."""
        if kind not in (RANDOM_WEIGHTS, RUNNER_UP):
            return 0, 0
        steps = self.steps_of(kind, model)
        return min(len(steps), 1), backward_passes(steps)

    def repeated(self, kind: Counterpart, model: str) -> list[Step]:
        """Return the steps of a model that make passes of their own once more under a condition."""
        steps = self.steps_of(kind, model)
        if kind not in (RANDOM_WEIGHTS, RUNNER_UP):
            # Of the same pass, what they read is as it was.
            steps = [step for step in steps if kind in self.asked.get(step.id, Asked()).wanted]
        return [step for step in steps if step.needs.own_passes]

    def random(self, key: str, model: Model) -> Model:
        """Return the model with random weights; raises as `randomized` does."""
        if key not in self._random:
            try:
                self._random[key] = randomized(model)
            except InterpretkitError as error:
                self._random[key] = error
        found = self._random[key]
        if isinstance(found, InterpretkitError):
            raise found
        return found


@dataclass(slots=True, kw_only=True)
class Counterparts:
    """Computes the counterparts of the steps of one batch: one pass for each condition, however many steps.

    Attributes:
        conditions: Those of the run.
        compute: Computes a step.
    """

    conditions: Conditions
    compute: Compute
    _passes: dict[tuple[str, Counterpart], tuple[Pass, Mapping[Wanted, Wanted]]] = field(default_factory=dict)
    _results: dict[tuple[str, Counterpart], Result | InterpretkitError] = field(default_factory=dict)

    def of(
        self, step: Step, done: Pass, results: Mapping[str, Result]
    ) -> dict[Counterpart, Result | InterpretkitError]:
        """Return the counterparts of a step that checks want, each a result or why there is none.

        Args:
            step: The step, which has just been computed.
            done: The pass that it was computed from.
            results: The results that it has read.
        """
        asked = self.conditions.asked.get(step.id)
        if asked is None:
            return {}
        found: dict[Counterpart, Result | InterpretkitError] = dict(asked.refused)
        with as_if_not_drawn():
            for kind in asked.wanted:
                found[kind] = self._of(step, kind, done, results)
        return found

    def _of(
        self, step: Step, kind: Counterpart, done: Pass, results: Mapping[str, Result]
    ) -> Result | InterpretkitError:
        key = (step.id, kind)
        if key not in self._results:
            try:
                self._results[key] = self._computed(step, kind, done, results)
            except InterpretkitError as error:
                self._results[key] = error
        return self._results[key]

    def _computed(self, step: Step, kind: Counterpart, done: Pass, results: Mapping[str, Result]) -> Result:
        if kind == AGAIN:
            return self.compute(step, done, results)
        if kind == OTHER_SEED:
            return self.compute(_reseeded(step), done, results)
        if kind == RANDOM_WEIGHTS and "untrained" in done.model.notes:
            raise NotTriedError("the network itself has random weights")
        other, targets = self._pass(step.model, kind, done)
        read = {name: self._read(name, kind, done, results) for name in step.of}
        return self.compute(_with_targets(step, targets), other, read)

    def _read(self, name: str, kind: Counterpart, done: Pass, results: Mapping[str, Result]) -> Result:
        """Return the counterpart of a step that another one reads."""
        (step,) = [each for each in self.conditions.steps if each.id == name]
        found = self._of(step, kind, done, results)
        if isinstance(found, InterpretkitError):
            raise found
        return found

    def _pass(self, key: str, kind: Counterpart, done: Pass) -> tuple[Pass, Mapping[Wanted, Wanted]]:
        """Return the pass of a model under a condition, and what is explained in place of each target."""
        if (key, kind) not in self._passes:
            model = done.model if kind == RUNNER_UP else self.conditions.random(key, done.model)
            spec = RunnersUp if kind == RUNNER_UP else Held
            targets = {
                wanted: Wanted(wanted.of, spec(attributed.targets))
                for wanted, attributed in done.attributed.items()
                if isinstance(attributed, Attributed)
            }
            asked = [step for step in self.conditions.steps_of(kind, key) if set(step.targets) <= set(targets)]
            steps = [_with_targets(step, targets) for step in asked]
            made = passes.over(key, steps, model, images=done.images, inputs=done.inputs)
            self._passes[key, kind] = made, targets
        return self._passes[key, kind]


def _with_targets(step: Step, targets: Mapping[Wanted, Wanted]) -> Step:
    return replace(step, targets=tuple(targets[wanted] for wanted in step.targets))


def _reseeded(step: Step) -> Step:
    """Return a step whose random numbers are others."""
    options = step.visualizer.options
    other = options.model_copy(update={_SEED: getattr(options, _SEED) + 1})
    return replace(step, visualizer=type(step.visualizer)(other))
