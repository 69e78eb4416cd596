"""Resolved recipe and models → Plan: layers found, needs merged, targets checked. Nothing is run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from interpretkit import words
from interpretkit.contracts.needs import Needs
from interpretkit.errors import (
    Faults,
    InputError,
    InterpretkitError,
    PluginError,
    RecipeError,
    ToldError,
    located,
    together,
)
from interpretkit.model.outputs.names import LABEL
from interpretkit.model.outputs.wanted import Each

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from interpretkit.contracts.reads import Reads
    from interpretkit.engine.resolve import Resolved, Step
    from interpretkit.inputs.find import ImageFile
    from interpretkit.model.layers import Layer
    from interpretkit.model.model import Model
    from interpretkit.model.outputs.wanted import Wanted
    from interpretkit.recipe.entries import StepEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run will do: models, and steps in an order in which each follows what it reads."""

    models: Mapping[str, Model]
    steps: tuple[Step, ...]

    def passes(self, model: str) -> tuple[int, int]:
        """Return how many forward and backward passes the steps of a model cost per batch, own passes aside."""
        return 1, backward_passes([step for step in self.steps if step.model == model])


def backward_passes(steps: Iterable[Step]) -> int:
    """Return how many backward passes some steps share: one for each distinct target that they differentiate."""
    targets: set[Wanted] = set()
    for step in steps:
        if step.needs.wants_gradients:
            targets.update(step.targets)
    return len(targets)


def plan(resolved: Resolved, models: Mapping[str, Model]) -> Plan:
    """Resolve the layers that the steps of a resolved recipe need in its models.

    All faults are told. Steps of a model that is not among `models`, since it cannot be built, are left out.

    Raises:
        RecipeError: If a model has no such layer.
        InputError: If a model has no such class.
    """
    entries = {entry.id: entry for entry in resolved.recipe.steps}
    faults = Faults()
    steps: dict[str, Step] = {}
    for resolved_step in resolved.steps:
        with faults.collect():
            entry = entries[resolved_step.id]
            step = _plan_entry(resolved_step, models, entry)
            steps[step.id] = step
            _check_read(step, steps, entry)
    faults.tell()
    return Plan(models=models, steps=tuple(steps.values()))


def _plan_entry(step: Step, models: Mapping[str, Model], entry: StepEntry) -> Step:
    """Plan a step; an error names the place in the recipe of the option that is at fault."""
    if step.model not in models:
        raise ToldError(f"there is no model {step.model!r}")
    try:
        return plan_step(step, models[step.model])
    except InterpretkitError as error:
        placed = [fault.at(_place_in(entry, fault)) for fault in error.faults]
        raise together(placed) from error.__cause__


def _place_in(entry: StepEntry, error: InterpretkitError) -> str:
    # A number may stand in several options; that of a class stands in that of the target.
    option = "target" if isinstance(error, InputError) else ""
    return entry.place_of_word(error.subject, option=option)


def plan_step(step: Step, model: Model) -> Step:
    """Resolve what one step needs in its model; raises as `plan` does."""
    needs = _needs(step, model)
    faults = Faults()
    gradients: tuple[Layer, ...] = ()
    activations: tuple[Layer, ...] = ()
    targets: tuple[Wanted, ...] = ()
    with faults.collect():
        if needs.gradients:
            gradients = model.find(needs.gradients)
    with faults.collect():
        if needs.activations:
            activations = model.find(needs.activations)
    with faults.collect():
        if needs.target is not None:
            targets = model.wanted(needs.target)
        _check_targets(step, targets, model)
    faults.tell()
    activations = tuple(dict.fromkeys([*activations, *gradients]))
    return replace(step, needs=needs, activations=activations, gradients=gradients, targets=targets)


def _needs(step: Step, model: Model) -> Needs:
    call = f"{step.plugin}: step {step.id!r}: needs()"
    with located(doing=call, kind=PluginError):
        needs = step.visualizer.needs_of(model)
    if not isinstance(needs, Needs):
        raise PluginError(f"{call} returned a {type(needs).__name__}, not Needs")
    return needs


def check_labels(plan: Plan, files: Sequence[ImageFile]) -> None:
    """Check that every image has a label that its model knows, where a step explains the label.

    Raises:
        InputError: If one has not.
    """
    for step in plan.steps:
        for target in step.targets:
            if target.spec != LABEL:
                continue
            output = plan.models[step.model].reading(target.of)
            for file in files:
                try:
                    output.check_label(file.label)
                except InputError as error:
                    where = f"step {step.id!r}, {file.source}"
                    raise error.at(where) from error.__cause__


def check_counts(plan: Plan, images: int) -> None:
    """Check that a list of targets has one for each image.

    Raises:
        InputError: If it has more or fewer, or nobody knows how many images there are: 0.
    """
    for step in plan.steps:
        for target in step.targets:
            if isinstance(target.spec, Each) and len(target.spec.specs) != images:
                count = words.count(len(target.spec.specs), "target")
                these = words.count(images, "image") if images else "images whose number shows only as they come"
                raise InputError(
                    f"step {step.id!r} has {count} for {these}",
                    hint="give one for each image, or one for all; with the images, as the target `label`",
                )


def _check_targets(step: Step, targets: Sequence[Wanted], model: Model) -> None:
    if step.per_set and len(targets) > 1:
        raise RecipeError(
            f"step {step.id!r} is about the whole set of images, so it explains one class of each",
            hint="give it a target other than {top: …}",
            subject={"top": len(targets)},
        )
    for target in targets:
        model.check(target)


def _check_read(step: Step, earlier: Mapping[str, Step], entry: StepEntry) -> None:
    """Check that what a step reads fits it: the same target, and a map of each of its layers."""
    reads = step.visualizer.reads
    if reads is None:
        return
    faults = Faults()
    for position, name in enumerate(step.of):
        if name in earlier:
            with faults.collect():
                _check_fit(step, earlier[name], reads, entry.place("of", position))
    faults.tell()


def _check_fit(step: Step, read: Step, reads: Reads, where: str) -> None:
    if reads.same_target and read.targets and read.targets != step.targets:
        raise RecipeError(
            f"step {step.id!r} explains {step.needs.target}, and {read.id!r}, which it reads, explains "
            f"{read.needs.target}",
            where=where,
            hint="give both the same target",
        )
    layers = [layer.name for layer in read.activations]
    missing = [layer.name for layer in step.activations if layer.name not in layers]
    # Its only map serves every layer.
    if reads.same_layers and len(layers) > 1 and missing:
        raise RecipeError(
            f"step {step.id!r} looks at {missing[0]}, of which {read.id!r} has no map",
            where=where,
            hint=f"{read.id!r} explains at {', '.join(layers)}",
        )
