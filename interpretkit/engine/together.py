"""Several steps on one live model, in one pass: what the Python call computes without a run."""

from __future__ import annotations

import graphlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from interpretkit.contracts.kinds import VISUALIZER
from interpretkit.contracts.registry import Plugin
from interpretkit.engine import numerics
from interpretkit.engine.batch import compute
from interpretkit.engine.gather import Gather
from interpretkit.engine.plan import Plan, plan_step
from interpretkit.engine.resolve import Step, check_reads, parse_options
from interpretkit.errors import InputError, RecipeError, did_you_mean
from interpretkit.recipe.entries import Numerics

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from interpretkit.contracts.registry import Registry
    from interpretkit.contracts.visualizer import Visualizer
    from interpretkit.inputs.source import Source
    from interpretkit.model.model import Model
    from interpretkit.results.result import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOf:
    """A step as somebody asks for it in Python; `step` makes it.

    Attributes:
        visualizer: Its id, or the class.
        of: Ids of the steps that it reads.
        options: The visualizer's own options.
    """

    visualizer: str | type[Visualizer]
    of: tuple[str, ...] = ()
    options: Mapping[str, Any]


def resolved(asked: Mapping[str, StepOf], given: Mapping[str, Result], registry: Registry) -> list[Step]:
    """Return the steps so that each comes after those it reads."""
    for name, each in asked.items():
        for read in each.of:
            if read not in asked and read not in given:
                known = [other for other in (*asked, *given) if other != name]
                hint = did_you_mean(read, known, otherwise=f"there are {', '.join(known)}")
                raise RecipeError(f"step {name!r} reads {read!r}, which there is not", hint=hint)
    try:
        order = [*graphlib.TopologicalSorter({name: each.of for name, each in asked.items()}).static_order()]
    except graphlib.CycleError as error:
        raise RecipeError(f"steps read each other in a circle: {' → '.join(error.args[1])}") from error
    steps = {name: _step(name, asked[name], registry) for name in order if name in asked}
    kinds = {name: each.visualizer for name, each in steps.items()}
    kinds |= {name: each.origin.visualizer for name, each in given.items() if each.origin is not None}
    for ready in steps.values():
        check_reads(ready.id, ready.visualizer, ready.of, kinds)
    return list(steps.values())


def _step(name: str, asked: StepOf, registry: Registry) -> Step:
    visualizer = asked.visualizer
    if isinstance(visualizer, str):
        found = registry.find(VISUALIZER, visualizer)
        offer, plugin = found.offer, found.plugin
    else:
        try:
            offer, plugin = VISUALIZER.admit(visualizer), Plugin(getattr(visualizer, "__module__", "given in Python"))
        except TypeError as error:
            raise RecipeError(f"this is no visualizer: {error}", hint="give an id, a class, or step(…)") from error
    parsed = offer(parse_options(offer, asked.options))
    return Step(id=name, visualizer=parsed, plugin=plugin, model="model", of=asked.of)


def together(
    model: Model, source: Source, steps: Sequence[Step], *, given: Mapping[str, Result], batch_size: int
) -> dict[str, Result]:
    """Compute some steps together and return their results by id."""
    plan = Plan(models={"model": model}, steps=tuple(plan_step(each, model) for each in steps))
    gathered = {each.id: Gather(each) for each in steps}
    setting = Numerics.parse({"batch_size": batch_size})
    with numerics.in_force(setting):
        for batch in source.batches(plan.models, batch_size=setting.batch_size, leave_out=_raised):
            ids = [image.id for image in batch.images]
            outcome = compute(plan, batch, given={name: each.select(*ids) for name, each in given.items()})
            for failure in outcome.failures.values():
                raise failure
            for name, result in outcome.results.items():
                gathered[name].add(result)
    return {name: each.whole() for name, each in gathered.items()}


def _raised(error: InputError) -> None:
    raise error
