"""Recipe and registry → Resolved: every name looked up, every option parsed. No model is built."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from pydantic import ValidationError

from interpretkit.errors import RecipeError
from interpretkit.recipe.refusal import explain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from interpretkit.contracts.builder import ModelBuilder
    from interpretkit.contracts.offer import Options
    from interpretkit.contracts.registry import Plugin, Registered, Registry
    from interpretkit.contracts.visualizer import Visualizer
    from interpretkit.recipe.entries import StepEntry
    from interpretkit.recipe.recipe import Recipe

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
        return self.visualizer.per_set


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
