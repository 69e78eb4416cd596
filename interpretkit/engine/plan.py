"""Resolved recipe and models → Plan: layers found, needs merged, targets checked. Nothing is run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from interpretkit.contracts.needs import Needs
from interpretkit.errors import InputError, InterpretkitError, PluginError, RecipeError, cause
from interpretkit.model.outputs.classes import LABEL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from interpretkit.engine.resolve import Resolved, ResolvedStep
    from interpretkit.inputs.find import ImageFile
    from interpretkit.model.layers import Layer
    from interpretkit.model.model import Model, Wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """A resolved step whose layers are known.

    Attributes:
        step: What it was made from.
        needs: What its visualizer asks for.
        activations: The layers whose outputs it gets, those with gradients included.
        gradients: The layers for whose outputs it gets gradients.
        targets: The targets that it explains, each one score of an image: several only of the top classes.
    """

    step: ResolvedStep
    needs: Needs
    activations: tuple[Layer, ...]
    gradients: tuple[Layer, ...]
    targets: tuple[Wanted, ...] = ()


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
            if planned.step.model == model and planned.needs.wants_gradients
            for target in planned.targets
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
        needs = step.visualizer.needs_of(model)
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
    targets = () if needs.target is None else model.wanted(needs.target)
    if step.per_set and len(targets) > 1:
        raise RecipeError(
            f"step {step.id!r} is about the whole set of images, so it explains one class of each",
            hint="give it a target other than {top: …}",
        )
    for target in targets:
        _check_target(step, needs, model, target)
    activations = tuple(dict.fromkeys([*activations, *gradients]))
    return PlannedStep(step=step, needs=needs, activations=activations, gradients=gradients, targets=targets)


def check_labels(plan: Plan, files: Sequence[ImageFile]) -> None:
    """Check that every image has a label that its model knows, where a step explains the label.

    Raises:
        InputError: If one has not.
    """
    for planned in plan.steps:
        for target in planned.targets:
            if target.spec != LABEL:
                continue
            output = plan.models[planned.step.model].outputs[target.of]
            for file in files:
                try:
                    output.check_label(file.label)
                except InputError as error:
                    error.where = f"step {planned.step.id!r}, {file.source}"
                    raise


def _check_target(step: ResolvedStep, needs: Needs, model: Model, target: Wanted) -> None:
    output = model.outputs[target.of]
    if output.layer and needs.own_passes:
        raise InputError(
            f"{step.visualizer.name} runs the network itself, so it explains what that returns, not {target.of}, which "
            f"is read at layer {output.layer}",
            hint="give a class, or predicted",
        )
    output.check(target.spec)
