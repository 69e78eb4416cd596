"""Recipe and registry → Plan: names resolved, options parsed, needs merged, steps ordered. Nothing is run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from pydantic import ValidationError

from interpretkit.contracts import Needs, Reduction
from interpretkit.errors import InputError, InterpretkitError, PluginError, RecipeError, cause
from interpretkit.refusal import explain
from interpretkit.targets import CLASS_TOKEN, Contrast, Ranked, class_index, label_index, single

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from interpretkit.contracts import ModelBuilder, Options, Visualizer
    from interpretkit.inputs import ImageFile
    from interpretkit.layernames import Layer
    from interpretkit.model import Model
    from interpretkit.recipe import Recipe, StepEntry
    from interpretkit.registry import Plugin, Registered, Registry
    from interpretkit.targets import TargetSpec

Offer = TypeVar("Offer", bound="Visualizer | ModelBuilder")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedModel:
    """A model of the recipe: its builder with parsed options, and the plugin that it comes from."""

    key: str
    builder: ModelBuilder
    plugin: Plugin


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedStep:
    """A step of the recipe: its visualizer with parsed options, the model it looks at, the steps it reads."""

    id: str
    visualizer: Visualizer
    plugin: Plugin
    model: str
    of: tuple[str, ...] = ()
    figures: bool = True

    @property
    def per_set(self) -> bool:
        """Whether its result is about the whole set of images."""
        return isinstance(self.visualizer, Reduction)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A recipe whose every name and option is known to be good; no model has been built."""

    recipe: Recipe
    models: Mapping[str, ResolvedModel]
    steps: tuple[ResolvedStep, ...]

    def as_data(self) -> dict[str, Any]:
        """Return the recipe as plain data with every default written out."""
        recipe = self.recipe
        models = {
            key: {
                "uses": entry.uses,
                "with": self.models[key].builder.options.model_dump(by_alias=True),
                "weights": entry.weights if isinstance(entry.weights, str) else entry.weights.model_dump(),
            }
            for key, entry in recipe.models.items()
        }
        steps = [
            {
                "id": step.id,
                "uses": step.visualizer.name,
                "model": step.model,
                "of": list(step.of),
                "with": step.visualizer.options.model_dump(by_alias=True),
                "figures": step.figures,
            }
            for step in self.steps
        ]
        return {
            "schema": recipe.schema_,
            "name": recipe.name,
            "models": models,
            "inputs": list(recipe.inputs),
            "steps": steps,
            "numerics": recipe.numerics.model_dump(),
        }


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


def resolve(recipe: Recipe, registry: Registry) -> Resolved:
    """Look up every id of a recipe and parse every plugin's options.

    Raises:
        RecipeError: If an id or an option is not known or does not fit.
        PluginError: If an id is claimed twice, or its plugin is broken.
    """
    models = {}
    for key, model in recipe.models.items():
        found = registry.model(model.uses, where=recipe.place(("models", key, "uses")))
        builder = _with_options(found, model.options, recipe, ("models", key, "with"))
        models[key] = ResolvedModel(key=key, builder=builder, plugin=found.plugin)
    steps: dict[str, ResolvedStep] = {}
    positions = {entry.id: position for position, entry in enumerate(recipe.steps)}
    for entry in recipe.ordered_steps():
        position = positions[entry.id]
        visualizer = registry.visualizer(entry.uses, where=recipe.place(("steps", position, "uses")))
        _check_reads(entry, visualizer.offer, recipe.place(("steps", position, "of")))
        steps[entry.id] = ResolvedStep(
            id=entry.id,
            visualizer=_with_options(visualizer, entry.options, recipe, ("steps", position, "with")),
            plugin=visualizer.plugin,
            model=_model_of(entry, recipe, steps, recipe.place(("steps", position))),
            of=tuple(entry.of),
            figures=entry.figures,
        )
        _check_readable(steps[entry.id], steps, recipe.place(("steps", position, "of")))
    return Resolved(recipe=recipe, models=models, steps=tuple(steps.values()))


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


def parse_options(offer: type[Offer], given: Mapping[str, Any]) -> Options:
    """Parse the options of a visualizer or model builder given in Python.

    Raises:
        RecipeError: If they do not fit; it names the first that does not.
    """
    listed = {name: _as_in_yaml(value) for name, value in given.items()}
    try:
        return offer.Options.model_validate(listed)
    except ValidationError as error:
        refusal = explain(error, offer.Options, listed)
        raise RecipeError(refusal.message, where=offer.name, hint=refusal.hint) from error


def _as_in_yaml(value: Any) -> Any:
    """Turn what YAML does not have, and Python code often does, into what it has: tuples and numpy's numbers."""
    if isinstance(value, tuple):
        return list(value)
    return value.item() if isinstance(value, np.generic) else value


def _with_options(
    found: Registered[Offer], given: Mapping[str, Any], recipe: Recipe, place: Sequence[str | int]
) -> Offer:
    try:
        options = found.offer.Options.model_validate(given)
    except ValidationError as error:
        raise recipe.refuse(error, place, found.offer.Options) from error
    return found.offer(options)


def _check_reads(entry: StepEntry, visualizer: type[Visualizer], where: str) -> None:
    if entry.of and not (visualizer.reads or visualizer.may_read):
        raise RecipeError(
            f"step {entry.id!r}: {visualizer.name} reads no earlier step", where=where, hint="remove 'of:'"
        )
    if len(entry.of) < visualizer.reads:
        count = f"{visualizer.reads} earlier step{'s' if visualizer.reads > 1 else ''}"
        raise RecipeError(
            f"step {entry.id!r}: {visualizer.name} reads at least {count}", where=where, hint="name them under 'of:'"
        )


def _model_of(entry: StepEntry, recipe: Recipe, steps: Mapping[str, ResolvedStep], where: str) -> str:
    """A step looks at the model it names, else at that of the first step it reads, else at the only one there is."""
    if entry.model is not None:
        return entry.model
    if entry.of:
        return steps[entry.of[0]].model
    if len(recipe.models) == 1:
        return next(iter(recipe.models))
    raise RecipeError(
        f"step {entry.id!r} does not say which model it looks at",
        where=where,
        hint=f"add 'model:' with one of {', '.join(recipe.models)}",
    )


def _check_readable(step: ResolvedStep, steps: Mapping[str, ResolvedStep], where: str) -> None:
    for each in step.of:
        if steps[each].per_set:
            raise RecipeError(
                f"step {step.id!r} reads {each!r}, whose result is about the whole set of images",
                where=where,
                hint="steps read the results that others have for the same image",
            )


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
