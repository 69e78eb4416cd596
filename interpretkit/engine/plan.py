"""Resolved recipe and models → Plan: layers found, needs merged, targets checked. Nothing is run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

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
from interpretkit.model.outputs import class_index, label_index
from interpretkit.results.targets import CLASS_TOKEN, Contrast, Ranked, single

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from interpretkit.engine.resolve import Resolved, ResolvedStep
    from interpretkit.inputs.find import ImageFile
    from interpretkit.model.layers import Layer
    from interpretkit.model.model import Model
    from interpretkit.recipe.entries import StepEntry
    from interpretkit.results.targets import TargetSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """A resolved step whose layers are known.

    Attributes:
        step: What it was made from.
        needs: What its visualizer asks for.
        activations: The layers whose outputs it gets, those with gradients included.
        gradients: The layers for whose outputs it gets gradients.
    """

    step: ResolvedStep
    needs: Needs
    activations: tuple[Layer, ...]
    gradients: tuple[Layer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run will do: models, and steps in an order in which each follows what it reads."""

    models: Mapping[str, Model]
    steps: tuple[PlannedStep, ...]

    def passes(self, model: str) -> tuple[int, int]:
        """Return how many forward and backward passes the steps of a model cost per batch, own passes aside."""
        targets = {
            target
            for planned in self.steps
            if planned.step.model == model and planned.needs.wants_gradients and planned.needs.target is not None
            for target in single(planned.needs.target)
        }
        return 1, len(targets)


def plan(resolved: Resolved, models: Mapping[str, Model]) -> Plan:
    """Resolve the layers that the steps of a resolved recipe need in its models.

    All faults are told. Steps of a model that is not among `models`, since it cannot be built, are left out.

    Raises:
        RecipeError: If a model has no such layer.
        InputError: If a model has no such class.
    """
    entries = {entry.id: entry for entry in resolved.recipe.steps}
    faults = Faults()
    planned = []
    for step in resolved.steps:
        with faults.collect():
            planned.append(_plan_entry(step, models, entries[step.id]))
    faults.tell()
    return Plan(models=models, steps=tuple(planned))


def _plan_entry(step: ResolvedStep, models: Mapping[str, Model], entry: StepEntry) -> PlannedStep:
    """Plan a step; what it needs in vain is placed where the word for it stands among its options."""
    if step.model not in models:
        raise ToldError(f"there is no model {step.model!r}")
    try:
        return plan_step(step, models[step.model])
    except InterpretkitError as error:
        placed = [each.at(_place_in(entry, each)) for each in error.faults]
        raise together(placed) from error.__cause__


def _place_in(entry: StepEntry, error: InterpretkitError) -> str:
    # A number may stand in several options; that of a class stands in that of the target.
    return entry.place_of_word(error.subject, option="target" if isinstance(error, InputError) else "")


def plan_step(step: ResolvedStep, model: Model) -> PlannedStep:
    """Resolve what one step needs in its model; raises as `plan` does."""
    with located(doing=f"{step.plugin}: step {step.id!r}: needs()", kind=PluginError):
        needs = step.visualizer.needs(model)
    if not isinstance(needs, Needs):
        raise PluginError(f"{step.plugin}: step {step.id!r}: needs() returned a {type(needs).__name__}, not Needs")
    faults = Faults()
    gradients: tuple[Layer, ...] = ()
    activations: tuple[Layer, ...] = ()
    with faults.collect():
        gradients = model.find(needs.gradients) if needs.gradients else ()
    with faults.collect():
        activations = model.find(needs.activations) if needs.activations else ()
    if needs.target is not None:
        with faults.collect():
            _check_target(step, needs, needs.target, model)
    faults.tell()
    return PlannedStep(
        step=step, needs=needs, activations=tuple(dict.fromkeys([*activations, *gradients])), gradients=gradients
    )


def check_labels(plan: Plan, files: Sequence[ImageFile]) -> None:
    """Check that every image has a label that its model knows, where a step explains the label.

    Raises:
        InputError: If one has not.
    """
    for planned in plan.steps:
        if planned.needs.target == "label":
            classes = plan.models[planned.step.model].classes
            for file in files:
                try:
                    if file.label is None or classes:
                        label_index(file.label, classes, count=len(classes))
                except InputError as error:
                    raise error.at(f"step {planned.step.id!r}, {file.source}") from error.__cause__


def _check_target(step: ResolvedStep, needs: Needs, target: TargetSpec, model: Model) -> None:
    if step.per_set and len(single(target)) > 1:
        raise RecipeError(
            f"step {step.id!r} is about the whole set of images, so it explains one class of each",
            hint="give it a target other than {top: …}",
            subject={"top": len(single(target))},
        )
    if target == CLASS_TOKEN:
        _check_class_token(step, needs, model)
    elif model.classes:
        _check_classes(target, model.classes)


def _check_class_token(step: ResolvedStep, needs: Needs, model: Model) -> None:
    what = ""
    if not model.class_token:
        what = f"model {model.name!r} is not read through a class token"
    elif needs.own_passes:
        what = f"{step.visualizer.name} runs the network itself, so it explains classes, not the class token"
    if what:
        raise InputError(what, hint="give a class, or predicted", subject=CLASS_TOKEN)


def _check_classes(target: TargetSpec, classes: Sequence[str]) -> None:
    faults = Faults()
    for spec in single(target):
        if isinstance(spec, Ranked):
            continue
        for each in [spec.for_, spec.against] if isinstance(spec, Contrast) else [spec]:
            if each != "label":
                with faults.collect():
                    class_index(each, classes, count=len(classes))
    faults.tell()
