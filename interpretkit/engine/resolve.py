"""Recipe and registry → Resolved: every name looked up, every option parsed. No model is built."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from interpretkit.contracts.kinds import CHECK, MODEL, VISUALIZER
from interpretkit.contracts.needs import Needs
from interpretkit.engine.class_names import class_names
from interpretkit.engine.expect import check_expectations
from interpretkit.engine.offered import checks_of, readers_of
from interpretkit.errors import Faults, RecipeError, ToldError, did_you_mean, nearest, together
from interpretkit.recipe.recipe import faults_of_options
from interpretkit.recipe.refusal import explain, keys_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from interpretkit.contracts.builder import ModelBuilder
    from interpretkit.contracts.check import Check
    from interpretkit.contracts.kinds import Base, Kind
    from interpretkit.contracts.offer import Offer
    from interpretkit.contracts.options import Options
    from interpretkit.contracts.reader import Reader
    from interpretkit.contracts.registry import Plugin, Registered, Registry
    from interpretkit.contracts.visualizer import Visualizer
    from interpretkit.errors import InterpretkitError
    from interpretkit.model.layers import Layer
    from interpretkit.model.model import Model
    from interpretkit.model.outputs.wanted import Wanted
    from interpretkit.recipe.entries import CheckEntry, ModelEntry, StepEntry
    from interpretkit.recipe.recipe import Recipe

_SUCH = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedModel:
    """A model of the recipe: its builder with parsed options, and the plugin that it comes from."""

    key: str
    builder: ModelBuilder
    plugin: Plugin
    given: Model | None = None
    """The model itself, where somebody handed it over in Python."""
    classes: tuple[str, ...] = ()
    """The names that the recipe gives its classes, by index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step of a recipe: its visualizer has its options once it is resolved, its layers are known once it is planned.

    Attributes:
        id: What it is called.
        visualizer: What it does, with parsed options.
        plugin: Where the visualizer comes from.
        model: The model that it looks at, by key.
        of: The steps that it reads.
        figures: Whether its figures are drawn.
        needs: What its visualizer asks for; like the attributes below, it is known once the step is planned.
        activations: The layers whose outputs it gets, those with gradients included.
        gradients: The layers for whose outputs it gets gradients.
        targets: The targets that it explains, each one score of an image; only a step on the top classes has several.
    """

    id: str
    visualizer: Visualizer
    plugin: Plugin
    model: str
    of: tuple[str, ...] = ()
    figures: bool = True
    needs: Needs = field(default_factory=Needs)
    activations: tuple[Layer, ...] = ()
    gradients: tuple[Layer, ...] = ()
    targets: tuple[Wanted, ...] = ()

    @property
    def per_set(self) -> bool:
        """Whether its result is about the whole set of images."""
        return self.visualizer.per_set


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A recipe whose every name and option is known to be good; no model has been built.

    Attributes:
        recipe: The recipe.
        models: Its models by key.
        steps: Its steps, each after those that it reads.
        readers: What reads files that Pillow does not, by suffix; no recipe names them.
        checks: What judges the results of its steps.
    """

    recipe: Recipe
    models: Mapping[str, ResolvedModel]
    steps: tuple[Step, ...]
    readers: Mapping[str, Reader] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()

    @property
    def thorough(self) -> bool:
        """Whether methods make passes of their own once more, for checks that compare with what comes of that."""
        return self.recipe.checks != "default"

    def as_data(self) -> dict[str, Any]:
        """Return the recipe as plain data with every default written out."""
        recipe = self.recipe
        return {
            "schema": recipe.schema_,
            "name": recipe.name,
            "models": {key: self._model_data(key) for key in recipe.models},
            "inputs": [each if isinstance(each, str) else each.model_dump() for each in recipe.inputs],
            "steps": [_step_data(step) for step in self.steps],
            "checks": self._checks_data(),
            "expect": [{each.of: each.wanted} for each in recipe.expect],
            "numerics": recipe.numerics.model_dump(),
        }

    def _checks_data(self) -> Any:
        if isinstance(self.recipe.checks, str):
            return self.recipe.checks
        return [{"uses": each.name, "with": each.options.model_dump(by_alias=True)} for each in self.checks]

    def _model_data(self, key: str) -> dict[str, Any]:
        entry = self.recipe.models[key]
        model = self.models[key]
        return {
            "uses": entry.uses,
            "with": model.builder.options.model_dump(by_alias=True),
            "weights": "given" if model.given else _weights_data(entry.weights),
            "preprocessing": entry.preprocessing.model_dump(exclude_unset=True) if entry.preprocessing else None,
            "classes": list(model.classes) or None,
        }


def _step_data(step: Step) -> dict[str, Any]:
    return {
        "id": step.id,
        "uses": step.visualizer.name,
        "model": step.model,
        "of": list(step.of),
        "with": step.visualizer.options.model_dump(by_alias=True),
        "figures": step.figures,
    }


def _weights_data(weights: Any) -> Any:
    return weights if isinstance(weights, str) else weights.model_dump()


def resolve(recipe: Recipe, registry: Registry) -> Resolved:
    """Look up every id of a recipe and parse every plugin's options.

    All faults are told, also those that `read_leniently` found: whatever is wrong with one entry, the others are
    checked. A fault that only follows from another one is not told.

    Raises:
        RecipeError: If an id or an option is not known or does not fit.
        PluginError: If an id is claimed twice, or its plugin is broken.
    """
    faults = Faults(_advised(recipe, registry))
    models: dict[str, ResolvedModel] = {}
    for key, entry in recipe.models.items():
        with faults.collect():
            model = _looked_up(entry, registry, MODEL)
            builder = _with_options(entry, model)
            names = class_names(entry, builder.options)
            models[key] = ResolvedModel(key=key, builder=builder, plugin=model.plugin, classes=names)
    with faults.collect():
        checks = _checks(recipe, registry)
    first = {step.id: step for step in reversed(recipe.steps)}
    registered: dict[str, Registered[Visualizer]] = {}
    visualizers: dict[str, Visualizer] = {}
    for step in recipe.steps:
        with faults.collect():
            visualizer = _looked_up(step, registry, VISUALIZER)
            # Of an id that is given twice, the first step has it.
            if first[step.id] is step:
                registered[step.id] = visualizer
            visualizers[step.id] = _with_options(step, visualizer)
    _check_steps(recipe, registered, faults)
    with faults.collect():
        check_expectations(recipe)
    faults.tell()
    plugins = {name: visualizer.plugin for name, visualizer in registered.items()}
    steps = _in_order(recipe, visualizers, plugins)
    return Resolved(
        recipe=recipe,
        models=models,
        steps=steps,
        readers=readers_of(registry),
        checks=checks,
    )


def _checks(recipe: Recipe, registry: Registry) -> tuple[Check, ...]:
    """Return the checks that a recipe asks for, with their options; raises as `resolve` does."""
    if recipe.checks == "none":
        return ()
    if isinstance(recipe.checks, str):
        return checks_of(registry)
    faults = Faults()
    found: dict[str, Check] = {}
    for entry in recipe.checks:
        with faults.collect():
            made = _with_options(entry, _looked_up(entry, registry, CHECK))
            if made.name in found:
                raise RecipeError(f"check {made.name!r} stands twice", where=entry.place("uses"))
            found[made.name] = made
    faults.tell()
    return tuple(found.values())


def _check_steps(recipe: Recipe, registered: Mapping[str, Registered[Visualizer]], faults: Faults) -> None:
    """Check what steps read and which model they look at; collect all faults."""
    per_set = {name for name, visualizer in registered.items() if visualizer.offer.per_set}
    for step in recipe.steps:
        if step.id in registered:
            with faults.collect():
                _check_reads(step, registered, recipe)
        with faults.collect():
            _check_readable(step, per_set)
        with faults.collect():
            _check_model(step, recipe)


def _in_order(recipe: Recipe, visualizers: Mapping[str, Visualizer], plugins: Mapping[str, Plugin]) -> tuple[Step, ...]:
    steps: dict[str, Step] = {}
    for entry in recipe.ordered_steps():
        steps[entry.id] = Step(
            id=entry.id,
            visualizer=visualizers[entry.id],
            plugin=plugins[entry.id],
            model=_model_of(entry, recipe, steps),
            of=tuple(entry.of),
            figures=entry.figures,
        )
    return tuple(steps.values())


def parse_options(offer: type[Offer], given: Mapping[str, Any]) -> Options:
    """Parse the options of a visualizer or model builder given in Python.

    Raises:
        RecipeError: If they do not fit; it names all that do not.
    """
    listed = _as_in_yaml(given)
    try:
        return offer.Options.model_validate(listed)
    except ValidationError as error:
        refusals = explain(error, offer.Options, listed)
        faults = [RecipeError(refusal.message, where=offer.name, hint=refusal.hint) for refusal in refusals]
        raise together(faults) from error


def _as_in_yaml(value: Any) -> Any:
    """Return tuples, arrays and tensors as lists, and their numbers as Python's: what YAML has, whatever code has."""
    if isinstance(value, Mapping):
        return {name: _as_in_yaml(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_as_in_yaml(each) for each in value]
    # Of numpy and torch alike; of no dims, a number.
    return value.tolist() if hasattr(value, "tolist") else value


def _advised(recipe: Recipe, registry: Registry) -> Iterator[InterpretkitError]:
    """Yield the faults of a recipe, with a hint where the registry of plugins knows one."""
    hints: list[tuple[str, str, str]] = []
    for model in recipe.models.values():
        hints += _hints(model, registry.of(MODEL))
    for step in recipe.steps:
        hints += _hints(step, registry.of(VISUALIZER))
    for fault in recipe.faults:
        about = (fault.where, fault.subject)
        advice = [hint for place, word, hint in hints if (place, word) == about]
        yield fault.advised(advice[0]) if advice else fault


def _hints(entry: ModelEntry | StepEntry, offers: Mapping[str, Registered[Any]]) -> Iterator[tuple[str, str, str]]:
    """Yield the places, words and hints of an entry: for options beside `uses:`, and for what is almost an id."""
    if "uses" in entry.unread:
        word = entry.as_typed("uses")
        if not isinstance(word, str):
            return
        # What has dots or slashes was meant as code.
        is_name = re.fullmatch(r"[\w-]+", word)
        if is_name and nearest(word, offers):
            yield entry.place("uses"), word, did_you_mean(word, offers)
    elif entry.uses in offers:
        options = keys_of(offers[entry.uses].offer.Options)
        for key in entry.keys_typed():
            if key in options and key in entry.unread:
                hint = f"{key!r} is an option of {entry.uses}: it belongs under 'with:'"
                yield entry.place(key, part="key"), key, hint


def _looked_up(entry: CheckEntry | ModelEntry | StepEntry, registry: Registry, kind: Kind[Base]) -> Registered[Base]:
    if "uses" in entry.unread:
        raise ToldError("what it uses cannot be read")
    return registry.find(kind, entry.uses, where=entry.place("uses"))


def _with_options(entry: CheckEntry | ModelEntry | StepEntry, registered: Registered[Base]) -> Base:
    if "with" in entry.unread:
        raise ToldError("its options cannot be read")
    options = registered.options()
    try:
        parsed = options.model_validate(entry.options)
        return registered.offer(parsed)
    except ValidationError as error:
        faults = faults_of_options(entry, error, options)
        raise together(faults or [ToldError("they stand beside 'with:'")]) from error


def _check_reads(entry: StepEntry, registered: Mapping[str, Registered[Visualizer]], recipe: Recipe) -> None:
    """Check that a step reads as many steps as it can, and of the right kind."""
    if "of" in entry.unread:
        return
    kinds = {}
    for name, other in registered.items():
        # That a result is about the whole set, or that steps read each other in a circle, is told in any case.
        if not other.offer.per_set and not _leads_back(entry.id, name, recipe):
            kinds[name] = other.offer
    visualizer = registered[entry.id].offer
    check_reads(entry.id, visualizer, entry.of, kinds, entry=entry)


def check_reads(
    step: str,
    visualizer: Visualizer | type[Visualizer],
    of: Sequence[str],
    kinds: Mapping[str, Visualizer | type[Visualizer]],
    *,
    entry: StepEntry | None = None,
) -> None:
    """Check that a step reads as many steps as it can, and of the right kind.

    Args:
        step: Its id.
        visualizer: What it does.
        of: The steps that it is to read.
        kinds: What the steps do that could be read, by id; others are not checked.
        entry: The step's entry in a recipe, for the places of errors.

    Raises:
        RecipeError: If it does not; it tells all that it cannot read.
    """
    reads = visualizer.reads
    says = f"step {step!r}: {visualizer.name}"
    whole = entry.place("of") if entry else ""
    if reads is None:
        if of:
            raise RecipeError(f"{says} reads no earlier step", where=whole, hint="remove 'of:'")
        return
    too_many = reads.most is not None and len(of) > reads.most
    if len(of) < reads.least or too_many:
        hint = f"it names {len(of)}" if of else "name them under 'of:'"
        raise RecipeError(f"{says} reads {reads}", where=whole, hint=hint)
    wanted = " or ".join(reads.kinds)
    fitting = [name for name, kind in kinds.items() if kind.yields in reads.kinds]
    others = [name for name in fitting if name != step]
    hint = f"such as {', '.join(others[:_SUCH])}" if others else f"there is no step that yields {wanted}"
    faults = Faults()
    for position, name in enumerate(of):
        if name not in kinds or name in fitting:
            continue
        made = kinds[name].yields or "nothing to read"
        what = f"{says} reads steps that yield {wanted}, and {name!r} yields {made}"
        where = entry.place("of", position) if entry else ""
        with faults.collect():
            raise RecipeError(what, where=where, hint=hint)
    faults.tell()


def _leads_back(to: str, start: str, recipe: Recipe) -> bool:
    """Return whether the step `to` is the step `start`, or one that `start` reads, directly or through others."""
    of = {step.id: step.of for step in recipe.steps}
    seen = {start}
    waiting = [start]
    while waiting:
        read = of.get(waiting.pop(), ())
        new = set(read) - seen
        seen |= new
        waiting += new
    return to in seen


def _check_readable(entry: StepEntry, per_set: Collection[str]) -> None:
    for read in entry.of:
        if read in per_set:
            raise RecipeError(
                f"step {entry.id!r} reads {read!r}, whose result is about the whole set of images",
                where=entry.place("of"),
                hint="steps read the results that others have for the same image",
            )


def _check_model(entry: StepEntry, recipe: Recipe) -> None:
    """Check that a step says which model it looks at: it names one, reads another step, or there is only one."""
    if entry.model is not None or entry.of or entry.unread & {"model", "of"}:
        return
    if len(recipe.models) > 1 and "models" not in recipe.unread:
        raise RecipeError(
            f"step {entry.id!r} does not say which model it looks at",
            where=entry.place(),
            hint=f"add 'model:' with one of {', '.join(recipe.models)}",
        )


def _model_of(entry: StepEntry, recipe: Recipe, steps: Mapping[str, Step]) -> str:
    """Return the model that a step names, else that of the first step it reads, else the only one there is."""
    if entry.model is not None:
        return entry.model
    if entry.of:
        return steps[entry.of[0]].model
    return next(iter(recipe.models))
