"""Resolved recipe and models → Plan: layers found, needs merged, targets checked. Nothing is run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from interpretkit.contracts.needs import Needs
from interpretkit.errors import InputError, InterpretkitError, PluginError, RecipeError, cause
from interpretkit.model.outputs import class_index, label_index
from interpretkit.results.targets import CLASS_TOKEN, Contrast, Ranked, single

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from interpretkit.engine.resolve import Resolved, ResolvedStep
    from interpretkit.inputs.find import ImageFile
    from interpretkit.model.layers import Layer
    from interpretkit.model.model import Model
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

    Raises:
        RecipeError: If a model has no such layer.
        InputError: If a model has no such class.
    """
    recipe = resolved.recipe
    positions = {entry.id: position for position, entry in enumerate(recipe.steps)}
    planned = []
    for step in resolved.steps:
        try:
            planned.append(plan_step(step, models[step.model]))
        except InterpretkitError as error:
            options = ("steps", positions[step.id], "with")
            entry = "target" if error.exit_code != RecipeError.exit_code else "layers"
            error.where = error.where or recipe.place((*options, entry))
            raise
    return Plan(models=models, steps=tuple(planned))


def plan_step(step: ResolvedStep, model: Model) -> PlannedStep:
    """Resolve what one step needs in its model; raises as `plan` does."""
    try:
        needs = step.visualizer.needs(model)
    except InterpretkitError:
        raise
    except Exception as error:
        raise PluginError(f"step {step.id!r}: needs() failed: {cause(error)}", where=str(step.plugin)) from error
    if not isinstance(needs, Needs):
        raise PluginError(
            f"step {step.id!r}: needs() returned a {type(needs).__name__}, not Needs", where=str(step.plugin)
        )
    gradients = model.find(needs.gradients) if needs.gradients else ()
    activations = model.find(needs.activations) if needs.activations else ()
    if step.per_set and needs.target is not None and len(single(needs.target)) > 1:
        raise RecipeError(
            f"step {step.id!r} is about the whole set of images, so it explains one class of each",
            hint="give it a target other than {top: …}",
        )
    if needs.target == CLASS_TOKEN:
        _check_class_token(step, needs, model)
    elif needs.target is not None and model.classes:
        _check_target(needs.target, model.classes)
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
                    error.where = f"step {planned.step.id!r}, {file.source}"
                    raise


def _check_class_token(step: ResolvedStep, needs: Needs, model: Model) -> None:
    if not model.class_token:
        raise InputError(f"model {model.name!r} is not read through a class token", hint="give a class, or predicted")
    if needs.own_passes:
        raise InputError(
            f"{step.visualizer.name} runs the network itself, so it explains classes, not the class token",
            hint="give a class, or predicted",
        )


def _check_target(target: TargetSpec, classes: Sequence[str]) -> None:
    for spec in single(target):
        if isinstance(spec, Ranked):
            continue
        for each in [spec.for_, spec.against] if isinstance(spec, Contrast) else [spec]:
            if each != "label":
                class_index(each, classes, count=len(classes))
