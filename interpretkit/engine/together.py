"""Several steps on one live model, in one pass: what the Python call computes without a run."""

from __future__ import annotations

import graphlib
import warnings
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from interpretkit.contracts.kinds import VISUALIZER
from interpretkit.contracts.registry import Plugin
from interpretkit.engine import numerics
from interpretkit.engine.alerts import Heard, alerts_about
from interpretkit.engine.apart import where_mixed
from interpretkit.engine.batch import compute
from interpretkit.engine.gather import Gather
from interpretkit.engine.plan import Plan, check_counts, plan_step
from interpretkit.engine.references import with_references
from interpretkit.engine.resolve import Step, check_reads, parse_options
from interpretkit.errors import InputError, InterpretkitWarning, RecipeError, did_you_mean
from interpretkit.inputs.decode import told_pages
from interpretkit.inputs.find import find
from interpretkit.inputs.source import Files, Given, named_in
from interpretkit.recipe.entries import InputEntry, Numerics

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from interpretkit.contracts.reader import Reader
    from interpretkit.contracts.registry import Registry
    from interpretkit.contracts.visualizer import Visualizer
    from interpretkit.inputs.source import Source
    from interpretkit.model.model import Model
    from interpretkit.results.image import InputImage
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
    order = _ordered(asked, given)
    steps = [_step(name, asked[name], registry) for name in order]
    kinds = {step.id: step.visualizer for step in steps}
    for name, result in given.items():
        if result.origin is not None:
            kinds[name] = result.origin.visualizer
    for step in steps:
        check_reads(step.id, step.visualizer, step.of, kinds)
    return steps


def _ordered(asked: Mapping[str, StepOf], given: Mapping[str, Result]) -> list[str]:
    """Return the ids of the steps in an order in which each comes after those it reads."""
    for name, step in asked.items():
        for read in step.of:
            if read not in asked and read not in given:
                known = [other for other in (*asked, *given) if other != name]
                listed = ", ".join(known)
                hint = did_you_mean(read, known, otherwise=f"there are {listed}")
                raise RecipeError(f"step {name!r} reads {read!r}, which there is not", hint=hint)
    reads = {name: step.of for name, step in asked.items()}
    sorter = graphlib.TopologicalSorter(reads)
    try:
        order = list(sorter.static_order())
    except graphlib.CycleError as error:
        circle = " → ".join(error.args[1])
        raise RecipeError(f"steps read each other in a circle: {circle}") from error
    return [name for name in order if name in asked]


def _step(name: str, asked: StepOf, registry: Registry) -> Step:
    visualizer = asked.visualizer
    if isinstance(visualizer, str):
        registered = registry.find(VISUALIZER, visualizer)
        offer = registered.offer
        plugin = registered.plugin
    else:
        try:
            offer = VISUALIZER.admit(visualizer)
        except TypeError as error:
            raise RecipeError(f"this is no visualizer: {error}", hint="give an id, a class, or step(…)") from error
        plugin = Plugin(getattr(visualizer, "__module__", "given in Python"))
    options = parse_options(offer, asked.options)
    made = offer(options)
    return Step(id=name, visualizer=made, plugin=plugin, model="model", of=asked.of)


def source_of(images: Any, readers: Mapping[str, Reader]) -> Source:
    """Return where images come from that somebody gives in Python; what is left out of folders is a warning.

    Raises:
        InterpretkitError: If they are named, and what they name is not there.
    """
    names, images = named_in(images)
    if names is None:
        return Given(images)
    entries = [InputEntry.parse(name) if isinstance(name, dict) else name for name in names]
    found = find(entries, pages=partial(told_pages, readers=readers), suffixes=readers)
    for remark in found.remarks:
        warnings.warn(remark, InterpretkitWarning, stacklevel=3)
    return Files(found, readers)


def together(
    model: Model,
    source: Source,
    steps: Sequence[Step],
    *,
    given: Mapping[str, Result],
    batch_size: int,
    readers: Mapping[str, Reader],
) -> dict[str, Result]:
    """Compute some steps together and return their results by id; what cannot be read is raised."""
    planned = [plan_step(step, model) for step in steps]
    plan = with_references(Plan(models={"model": model}, steps=tuple(planned)), readers)
    check_counts(plan, source.total(plan.models))
    gathered = {step.id: Gather(step) for step in steps}
    heard = {step.id: Heard() for step in steps}
    setting = Numerics.parse({"batch_size": batch_size})
    with numerics.in_force(setting):
        batches = source.batches(plan.models, batch_size=1 if model.mixes else setting.batch_size, leave_out=_raised)
        for batch in where_mixed(batches, plan.models):
            ids = [image.id for image in batch.images]
            selected = {name: result.select(*ids) for name, result in given.items()}
            for name, result in selected.items():
                _check_images(name, result, batch.images)
            outcome = compute(plan, batch, given=selected, listener=lambda step, _images: heard[step])
            for failure in outcome.failures.values():
                raise failure
            for name, result in outcome.results.items():
                gathered[name].add(result)
    shown = model.settled or model
    results = {}
    for step in plan.steps:
        result = gathered[step.id].whole()
        alerts = alerts_about(step, shown, heard[step.id], result.images)
        results[step.id] = replace(result, alerts=alerts)
    return results


def _check_images(name: str, result: Result, images: Sequence[InputImage]) -> None:
    """Check that a result is about these images, not about others that go by the same ids."""
    for about, image in zip(result.images, images, strict=True):
        # Of a result that was put together by hand nobody knows what its images were.
        if about.sha256 and about.sha256 != image.sha256:
            what = f"result {name!r} is about another image than the {image.id} that is given"
            raise InputError(what, hint="compute it for the same images")


def _raised(error: InputError) -> None:
    raise error
