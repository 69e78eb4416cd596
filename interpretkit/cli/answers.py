"""Answers in plain text to `plan`, `layers`, `plugins` and `show`."""

from __future__ import annotations

import inspect
import json
import re
import sys
from abc import ABC
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

from interpretkit import words
from interpretkit.contracts.check import AGAIN, OTHER_SEED, RANDOM_WEIGHTS, RUNNER_UP, Check
from interpretkit.contracts.citations import Citation, citations_of
from interpretkit.contracts.kinds import KINDS
from interpretkit.contracts.reader import Reader
from interpretkit.contracts.visualizer import Visualizer
from interpretkit.errors import RecipeError, StepError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from interpretkit.contracts.offer import Offer
    from interpretkit.contracts.options import Options
    from interpretkit.contracts.registry import Registry
    from interpretkit.engine.plan import Plan
    from interpretkit.engine.resolve import Resolved, Step
    from interpretkit.model.model import Model

LayersForm = Literal["table", "tree", "json"]

_CONDITIONS = {
    RANDOM_WEIGHTS: "with random weights",
    RUNNER_UP: "of the strongest other target",
    AGAIN: "with nothing changed",
    OTHER_SEED: "with another seed",
}
"""What a condition is under which checks have steps computed once more, in words."""
_LISTED = 20
_SIZE = re.compile(r"[1-9][0-9]{0,4}(?:x[1-9][0-9]{0,4}){0,2}", re.ASCII)


def plan_text(resolved: Resolved) -> str:
    """Say what a recipe would do and cost: images, passes, layers with their shapes."""
    from interpretkit.engine.carry_out import blank_plan

    recipe = resolved.recipe
    planned, found = blank_plan(resolved)
    models, images = planned.models, len(found.files)
    size = recipe.numerics.batch_size
    lines = [f"{recipe.name}: {words.count(images, 'image')} in batches of up to {size}"]
    lines += [f"not in it: {fault}" for fault in found.faults]
    lines += found.remarks
    for key, model in models.items():
        passes = _passes_text(*planned.passes(key))
        lines.append(f"model {key}: {model.name}, {passes} per batch")
        own = [step for step in planned.steps if step.needs.own_passes and step.model == key]
        lines += [f"  passes of its own, step {step.id}: {_cost(step.visualizer)}" for step in own]
        lines += _check_lines(resolved, planned, key)
    shapes = {}
    for key, model in models.items():
        # The size of what it will be fed is not always known before.
        with suppress(StepError):
            shapes[key] = {row.name: row.shape for row in model.layers()}
    for each in planned.steps:
        lines += _step_lines(each, shapes.get(each.model, {}))
    return "\n".join(lines)


def layers_text(
    models: Mapping[str, Model], patterns: Sequence[str], *, size: tuple[int, ...] | None, form: LayersForm
) -> str:
    """List the layers of each model, headed by its name where there are several.

    Args:
        models: By name; their weights are not looked at.
        patterns: Which layers, as in `Model.find`; all without any.
        size: Height and width of the image in pixels, or one number for each axis of what the model is fed; by default
            what each model's preprocessing makes.
        form: As a table, as a tree, or as a JSON array; there each row names its model.
    """
    tables = {}
    for name, model in models.items():
        tables[name] = model.layers(*patterns, size=size and model.size_of(size))
    if form == "json":
        rows = [{"model": name, **row.json()} for name, table in tables.items() for row in table]
        return json.dumps(rows, indent=2, ensure_ascii=False)
    texts = {name: table.tree() if form == "tree" else str(table) for name, table in tables.items()}
    if len(texts) == 1:
        return next(iter(texts.values()))
    return "\n\n".join(f"{name}\n{text}" for name, text in texts.items())


def read_size(text: str) -> tuple[int, ...]:
    """Read `HEIGHTxWIDTH`, `DEPTHxHEIGHTxWIDTH`, or one number for each axis, in pixels.

    Raises:
        RecipeError: If it is neither.

    Example:
        >>> read_size("64x96"), read_size("64")
        ((64, 96), (64,))
    """
    text = text.replace("×", "x")
    if _SIZE.fullmatch(text) is None:
        hint = "HEIGHTxWIDTH in pixels, DEPTHxHEIGHTxWIDTH of volumes, or one number for each axis"
        raise RecipeError(f"{text!r} is no size", where="--size", hint=hint)
    return tuple(map(int, text.split("x")))


def plugins_text(registry: Registry) -> str:
    """List plugins with what they offer; a broken one with its cause."""
    lines = []
    for plugin in registry.plugins:
        lines.append(f"{plugin.package} ({plugin})" if plugin.distribution else plugin.package)
        if plugin.error:
            lines.append(f"  broken: {plugin.error}")
        for kind in KINDS:
            for name, found in registry.of(kind).items():
                if found.plugin == plugin:
                    lines.append(f"  {kind.name} {name}: {_summary(found.offer)}")
    return "\n".join(lines)


def cite_text(resolved: Resolved, *, bibtex: bool) -> str:
    """List what to cite for a recipe: for each paper what in the recipe it stands for; or all as BibTeX.

    Raises:
        PluginError: If a plugin has no entry for what it cites.
    """
    users: dict[Citation, list[str]] = {}
    for model in resolved.models.values():
        for citation in citations_of(type(model.builder)):
            users.setdefault(citation, []).append(f"model {model.key}")
    for step in resolved.steps:
        for citation in citations_of(type(step.visualizer)):
            users.setdefault(citation, []).append(f"step {step.id}")
    if bibtex:
        # Papers cited for several of their parts have one entry.
        entries = {citation.key: citation.bibtex for citation in users}
        return "\n\n".join(entries.values())
    return "\n".join(f"{', '.join(names)}: {citation}" for citation, names in users.items())


def offer_text(registry: Registry, name: str) -> str:
    """Say what something is that a plugin offers, its options with defaults, what it reads, its citation.

    Raises:
        RecipeError: If there is nothing of this name.
        PluginError: If its plugin has no entry for what it cites.
    """
    kinds = {offer: kind for kind in KINDS for offer in registry.of(kind)}
    if name not in kinds:
        hint = did_you_mean(name, kinds, otherwise="`interpretkit plugins` lists what there is")
        raise RecipeError(f"no plugin offers {name!r}", hint=hint)
    found = registry.find(kinds[name], name)
    offer = found.offer
    lines = [f"{name} ({found.plugin})", "", _description(offer), ""]
    if issubclass(offer, Visualizer):
        lines += [f"result: {'for the whole set of images' if offer.per_set else 'for each image'}"]
        lines += [f"yields: {offer.yields}"] if offer.yields else []
        lines += [f"reads: {offer.reads}"] if offer.reads else []
        lines += [f"needs: {offer.requires}"] if offer.requires else []
        lines += [f"cost: {offer.cost}"]
        lines += [f"polarity: {offer.polarity}"] if offer.polarity else []
        lines += [f"deterministic: {'yes' if offer.deterministic else 'no'}"]
    if issubclass(offer, Check):
        lines += [f"judges: {', '.join(offer.judges)}"]
    if issubclass(offer, Reader):
        lines += [f"suffixes: {' '.join(offer.suffixes)}"]
    lines += [f"citation: {citation}" for citation in citations_of(offer)]
    lines += ["options:"] + (_option_lines(found.options()) or ["  none"])
    return "\n".join(lines)


def _option_lines(options: type[Options]) -> list[str]:
    schema, descriptions = options.model_json_schema(), options.descriptions()
    lines = []
    for name, field in options.model_fields.items():
        default = "required" if field.is_required() else f"default {field.get_default(call_default_factory=True)!r}"
        lines.append(f"  {field.alias or name}: {_type_text(schema['properties'][field.alias or name])}, {default}")
        lines.append(f"      {descriptions[name]}")
    return lines


def _type_text(schema: Mapping[str, object]) -> str:
    """Say in a few words what a JSON schema lets through."""
    if "enum" in schema:
        return " or ".join(repr(value) for value in schema["enum"])  # type: ignore[attr-defined]
    if "const" in schema:
        return repr(schema["const"])
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return " or ".join(_type_text(part) for part in schema[union])  # type: ignore[attr-defined]
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if schema.get("type") == "array":
        return f"list of {_type_text(schema.get('items', {}))}"  # type: ignore[arg-type]
    return str(schema.get("type", "anything"))


def _step_lines(planned: Step, shapes: Mapping[str, tuple[int, ...] | None]) -> list[str]:
    step = planned
    target = f", target {planned.needs.target}" if planned.needs.target is not None else ""
    reads = f", reads {', '.join(step.of)}" if step.of else ""
    lines = [f"step {step.id}: {step.visualizer.name} on {step.model}{reads}{target}"]
    gradients = set(planned.gradients)
    for layer in planned.activations[:_LISTED]:
        shape = shapes.get(layer.name.removesuffix("#*"))
        text = words.shape(shape) if shape else "shape known when it is run"
        lines.append(f"  {layer.name}: {text}{' with gradient' if layer in gradients else ''}")
    more = len(planned.activations) - _LISTED
    return [*lines, f"  and {words.count(more, 'layer')} more"] if more > 0 else lines


def _check_lines(resolved: Resolved, planned: Plan, model: str) -> list[str]:
    """Say which passes of a model the checks add, by the condition under which steps are computed once more."""
    from interpretkit.engine.counterparts import Conditions, asked_of

    asked = asked_of(planned.steps, resolved.checks, thorough=resolved.thorough)
    conditions = Conditions(planned.steps, asked)
    untrained = resolved.recipe.models[model].weights == "random"
    lines = []
    for kind, condition in _CONDITIONS.items():
        # Random weights are not held against others.
        if not (untrained and kind == RANDOM_WEIGHTS):
            passes, repeated = conditions.passes(kind, model), conditions.repeated(kind, model)
            costs = [f"up to {_passes_text(*passes)} more per batch"] if any(passes) else []
            costs += [f"passes of its own once more, step {step.id}" for step in repeated]
            names = ", ".join(check.name for check in resolved.checks if kind in check.compares)
            lines += [f"  check {names}, {condition}: {cost}" for cost in costs]
    return lines


def _passes_text(forward: int, backward: int) -> str:
    return f"{words.count(forward, 'forward pass')} and {words.count(backward, 'backward pass')}"


def _cost(visualizer: Visualizer) -> str:
    """Return what a step costs, its options given by their values."""
    values = visualizer.options.model_dump()

    def value(name: re.Match[str]) -> str:
        found = values.get(name[1])
        return name[0] if found is None else str(found)

    return re.sub(r"`(\w+)`", value, visualizer.cost)


def _summary(offer: type[Offer]) -> str:
    return _description(offer).split("\n", 1)[0]


def _description(offer: type[Offer]) -> str:
    """Return what a class says of itself; what Python's `ABC` says is of none."""
    found = inspect.getdoc(offer)
    if found in (None, inspect.getdoc(ABC)):
        return "no description (Python leaves them out with -OO)" if sys.flags.optimize > 1 else "no description"
    return str(found)
