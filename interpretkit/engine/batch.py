"""One batch: captured once for each model, then every step computes its result. Pure: no files, no drawing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from interpretkit import words
from interpretkit.capture.addresses import INPUT
from interpretkit.capture.capture import left_as_found
from interpretkit.capture.count import counted
from interpretkit.contracts.captured import Captured, Listener
from interpretkit.engine import passes
from interpretkit.errors import InterpretkitError, StepError, located
from interpretkit.results import ranks
from interpretkit.results.axes import Array
from interpretkit.results.map import Map
from interpretkit.results.origin import Origin
from interpretkit.results.result import Result
from interpretkit.results.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    import numpy as np
    import torch

    from interpretkit.capture.addresses import Address
    from interpretkit.contracts.needs import Needs
    from interpretkit.engine.passes import Pass
    from interpretkit.engine.plan import Plan
    from interpretkit.engine.resolve import Step
    from interpretkit.inputs.batch import Batch
    from interpretkit.model.model import Model, Wanted
    from interpretkit.model.outputs.output import Prediction
    from interpretkit.results.image import InputImage


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutcome:
    """What came of one step for one batch.

    Attributes:
        step: Its id.
        result: What it has computed; None if it failed.
        failure: Why it failed; None if it has not.
        seconds: How long it has computed.
    """

    step: str
    result: Result | None
    failure: InterpretkitError | None
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A batch that has gone through every model, and what the steps make of it.

    Attributes:
        images: The images of the batch.
        pixels: What each model was fed, by model and image, `(y, x, 3)` uint8.
        masks: The masks over that, by model and image, `(y, x)` bool or None.
        predictions: The most probable classes by model and image; empty where the output is no logits.
        outcomes: Step by step, in the order of the plan; each is computed when it is asked for.
    """

    images: tuple[InputImage, ...]
    pixels: Mapping[str, tuple[Any, ...]]
    masks: Mapping[str, tuple[Any, ...]]
    predictions: Mapping[str, tuple[tuple[Prediction, ...], ...]]
    outcomes: Iterator[StepOutcome]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one batch.

    Attributes:
        results: Results by step.
        failures: Why a step has no result, by step.
        predictions: The most probable classes by model and image; empty where the output is no logits.
    """

    results: Mapping[str, Result]
    failures: Mapping[str, InterpretkitError]
    predictions: Mapping[str, tuple[tuple[Prediction, ...], ...]]


def _unheard(_step: str, _about: str) -> Listener:
    return Listener()


def compute(plan: Plan, batch: Batch, *, given: Mapping[str, Result] | None = None) -> Outcome:
    """Run every model of the plan once on the batch and compute every step.

    A step that fails takes along only the steps that read it.

    Args:
        plan: What to do.
        batch: Images, and what each model is fed of them.
        given: Results for the same images that steps may read besides those of earlier steps.
    """
    work = begin(plan, batch, given=given)
    outcomes = [*work.outcomes]
    return Outcome(
        results={each.step: each.result for each in outcomes if each.result is not None},
        failures={each.step: each.failure for each in outcomes if each.failure is not None},
        predictions=work.predictions,
    )


def begin(
    plan: Plan,
    batch: Batch,
    *,
    given: Mapping[str, Result] | None = None,
    listener: Callable[[str, str], Listener] = _unheard,
) -> Work:
    """Run every model of the plan once on the batch; the steps are computed one by one, as they are asked for.

    Args:
        plan: What to do.
        batch: Images, and what each model is fed of them.
        given: As in `compute`.
        listener: Called with the id of a step that begins, and the images in words; returns what hears the step.
    """
    with _gradients_possible():
        done = {key: passes.over_batch(key, model, plan.steps, batch) for key, model in plan.models.items()}
    steps = _Steps(plan=plan, done=done, results=dict(given or {}), listener=listener)
    return Work(
        images=batch.images,
        pixels=batch.pixels,
        masks=batch.masks,
        predictions={key: each.predictions for key, each in done.items()},
        outcomes=steps.outcomes(),
    )


def _gradients_possible() -> AbstractContextManager[object]:
    """Leave the inference mode that whoever calls may be in, and in which there are no gradients."""
    import torch

    return torch.inference_mode(mode=False)


@dataclass(slots=True, kw_only=True)
class _Steps:
    """The steps of a plan for one batch, and what those that are still to come need.

    Attributes:
        plan: What to do.
        done: What the passes of the models have left, by model.
        results: Of earlier steps, as far as later ones read them, and those given.
        listener: As in `begin`.
        failed: The steps that have no result.
    """

    plan: Plan
    done: Mapping[str, Pass]
    results: dict[str, Result]
    listener: Callable[[str, str], Listener]
    failed: set[str] = field(default_factory=set)

    def outcomes(self) -> Iterator[StepOutcome]:
        """Yield what comes of each step."""
        for position, planned in enumerate(self.plan.steps):
            yield self._outcome(planned)
            self._forget(position)

    def _outcome(self, planned: Step) -> StepOutcome:
        step, result, failure = planned.id, None, None
        began = time.perf_counter()
        try:
            self._check_reads(planned)
            with _gradients_possible():
                result = self.results[step] = self._result(planned)
        except InterpretkitError as error:
            failure = error.at(place(planned))
            self.failed.add(step)
        return StepOutcome(step=step, result=result, failure=failure, seconds=time.perf_counter() - began)

    def _result(self, planned: Step) -> Result:
        done = self.done[planned.model]
        listener = self.listener(planned.id, _in_words([image.id for image in done.images]))
        again = _Again(self.plan, done, self.results)
        return _computed(planned, done, self.results, again, listener=listener)

    def _check_reads(self, step: Step) -> None:
        for each in step.of:
            if each in self.failed:
                raise SkippedError(f"not computed, since step {each!r}, which it reads, failed")

    def _forget(self, position: int) -> None:
        """Drop what no step after this position gets, be it to read or to repeat."""
        past, later = self.plan.steps[: position + 1], self.plan.steps[position + 1 :]
        needed = self._read_by(later)
        for planned in past:
            if planned.id not in needed:
                self.results.pop(planned.id, None)
        model = past[-1].model
        passes.forget(self.done[model], [each for each in later if each.model == model])

    def _read_by(self, later: Sequence[Step]) -> set[str]:
        """Return the steps that some steps read, and those that these read: whoever repeats one, repeats them too."""
        reads = {planned.id: planned.of for planned in self.plan.steps}
        waiting = [read for planned in later for read in planned.of]
        found: set[str] = set()
        while waiting:
            read = waiting.pop()
            if read not in found:
                found.add(read)
                waiting += reads.get(read, ())
        return found


def _in_words(images: Sequence[str]) -> str:
    return images[0] if len(images) == 1 else f"{len(images)} images from {images[0]} to {images[-1]}"


class SkippedError(StepError):
    """A step that was not tried, since one that it reads has failed."""


def _computed(planned: Step, done: Pass, results: Mapping[str, Result], again: _Again, *, listener: Listener) -> Result:
    """Compute a step: once, or once for each of the top classes."""
    parts = []
    for wanted in planned.targets or (None,):
        captured = _captured(planned, done, results, wanted=wanted, again=again)
        parts.append(_compute(planned, replace(captured, listener=listener), origin_of(planned, done.model)))
    return ranks.joined(parts) if len(parts) > 1 else parts[0]


def _captured(
    planned: Step, done: Pass, results: Mapping[str, Result], *, wanted: Wanted | None, again: _Again
) -> Captured:
    # Copies: steps may share what went wrong, but each is at a place of its own.
    if done.failure is not None:
        raise done.failure.at(place(planned))
    attributed = done.attributed.get(wanted) if wanted is not None else None
    if isinstance(attributed, InterpretkitError):
        raise attributed.at(place(planned))
    for layer in planned.activations:
        if layer.address in done.refused:
            raise done.refused[layer.address].at(place(planned))
    found = {} if attributed is None else attributed.gradients
    needs, arranged = planned.needs, partial(done.model.arranged, inputs=done.inputs)
    activations = [each for layer in planned.activations for each in layer.calls(done.activations)]
    gradients = [
        each
        for layer in planned.gradients
        for each in layer.calls(done.activations)
        # Of every call there is, those count that lead to the score.
        if each is layer or each.address in found
    ]
    views = {layer.name: arranged(layer, done.activations[layer.address]) for layer in activations}
    return Captured(
        images=done.images,
        inputs=done.inputs,
        activations={name: view.values for name, view in views.items()},
        axes={name: view.axes for name, view in views.items()},
        gradients={layer.name: arranged(layer, _gradient(found, layer.address)).values for layer in gradients},
        input_gradient=_gradient(found, INPUT) if needs.input_gradient else None,
        targets=attributed.targets if attributed is not None else (),
        results={each: _read_only(results[each]) for each in planned.of},
        _model=done.model if needs.wants_model else None,
        _repeat=again if needs.own_passes else None,
    )


def _gradient(gradients: Mapping[Address, torch.Tensor], address: Address) -> torch.Tensor:
    if address in gradients:
        return gradients[address]
    if address == INPUT:
        raise StepError("the score does not depend on the input")
    raise StepError(f"the score does not depend on layer {address}", hint="choose a layer on the way to the output")


@dataclass(frozen=True, slots=True)
class _Again:
    """Computes a step that was computed before once more, for variants of one image and the target that it had."""

    plan: Plan
    done: Pass
    results: Mapping[str, Result]

    def __call__(self, step: str, inputs: torch.Tensor, position: int) -> Result:
        planned = next((each for each in self.plan.steps if each.id == step), None)
        if planned is None or self.done.model is not self.plan.models[planned.model]:
            raise StepError(
                f"step {step!r} cannot be computed once more: it is no step of this run and model",
                hint="read a step that looks at the same model, and stands in the same recipe",
            )
        image = self.done.images[position]
        images = tuple(replace(image, id=f"{image.id}-{variant}") for variant in range(len(inputs)))
        if planned.needs.target is not None:
            (target, *others) = self.results[step].targets_of(image.id)
            if others:
                raise StepError(f"step {step!r} explains several classes of each image", hint="give it one target")
            planned = replace(planned, targets=self.done.model.wanted(target.spec))
        variants = passes.over([planned], self.done.model, images, inputs)
        earlier = {each: self(each, inputs, position) for each in planned.of}
        # What is repeated is a part of the step that asks for it, and that is what is heard.
        return _computed(planned, variants, earlier, _Again(self.plan, variants, earlier), listener=Listener())


def _read_only(result: Result) -> Result:
    """Return a view of a result that cannot be written into: it is stored only after other steps have read it."""

    def locked(values: np.ndarray) -> np.ndarray:
        view = values.view()
        view.flags.writeable = False
        return view

    return replace(
        result,
        maps={name: replace(each, values=locked(each.values)) for name, each in result.maps.items()},
        arrays={name: replace(each, values=locked(each.values)) for name, each in result.arrays.items()},
        tables={
            name: Table({column: locked(values) for column, values in table.columns.items()})
            for name, table in result.tables.items()
        },
    )


def _compute(step: Step, captured: Captured, origin: Origin) -> Result:
    tensors = {"the model's input": captured.inputs, **captured.activations}
    tensors |= {f"the gradient of {name}": gradient for name, gradient in captured.gradients.items()}
    if captured.input_gradient is not None:
        tensors["the gradient of the model's input"] = captured.input_gradient
    module = captured.model.module if step.needs.wants_model else None
    if module is not None:
        tensors |= {f"the model's {name}": t for name, t in (*module.named_parameters(), *module.named_buffers())}
    versions = {name: tensor._version for name, tensor in tensors.items()}  # noqa: SLF001
    with located(place(step)):
        with _at_work(step.needs, captured):
            result = step.visualizer.compute(captured)
        check_result(result, "compute()")
        if not step.per_set:
            _check_per_image(result, [image.id for image in captured.images])
    for name, version in versions.items():
        if tensors[name]._version != version:  # noqa: SLF001 - torch counts in-place changes nowhere else
            raise StepError(f"compute() changed {name} in place", where=place(step), hint="work on a copy")
    return replace(result, images=captured.images, targets=captured.targets, origin=origin)


@contextmanager
def _at_work(needs: Needs, captured: Captured) -> Iterator[None]:
    """Let a step work on its model, if it gets that: its passes are counted, and what it leaves on it is put back."""
    if not needs.wants_model:
        yield
        return
    module = captured.model.module
    # Also where parameters alone are read: in train mode, to read some (spectral norms) is to change them.
    with left_as_found(module), counted(module, captured.listener.passed):
        yield


def check_result(result: object, origin: str) -> None:
    """Check that what a plugin returned from its method `origin` is a Result, of maps and tables by name.

    Raises:
        StepError: If it is not.
    """
    if not isinstance(result, Result):
        raise StepError(f"{origin} returned a {type(result).__name__}, not a Result")
    kinds: tuple[tuple[str, type, Any], ...] = (
        ("maps", Map, result.maps),
        ("arrays", Array, result.arrays),
        ("tables", Table, result.tables),
    )
    for noun, kind, parts in kinds:
        if not isinstance(parts, Mapping):
            raise StepError(f"{origin} returned {noun} in a {type(parts).__name__}, not in a mapping")
        for name, each in parts.items():
            if not (isinstance(name, str) and isinstance(each, kind)):
                found = f"a {type(each).__name__} under {name!r}"
                raise StepError(f"{origin} returned among its {noun} {found}, not a {kind.__name__} under a name")
    if both := sorted(result.maps.keys() & result.arrays.keys()):
        raise StepError(f"{origin} returned a map and an array named {both[0]!r}", hint="give them different names")


def _check_per_image(result: Result, images: Sequence[str]) -> None:
    count = len(images)
    for name, each in (*result.maps.items(), *result.arrays.items()):
        if each.dims[:1] != ("image",) or each.values.shape[0] != count:
            shape = words.shape(each.values.shape)
            noun = "map" if isinstance(each, Map) else "array"
            raise StepError(f"{noun} {name!r} has dims {each.dims} and shape {shape} for {count} images")
    for name, table in result.tables.items():
        if "image" not in table.columns:
            raise StepError(f"table {name!r} has no column 'image', so its rows belong to no image")
        if strangers := set(table["image"].tolist()) - set(images):
            raise StepError(
                f"table {name!r} has rows about {min(map(str, strangers))!r}, which is no image of this batch"
            )


def origin_of(step: Step, model: Model) -> Origin:
    """Return what the results of a step are made by."""
    return Origin(
        step=step.id,
        uses=step.visualizer.name,
        plugin=str(step.plugin),
        options=step.visualizer.options.model_dump(by_alias=True),
        model=model.name,
        weights=str(model.weights),
        alert=model.alert,
        visualizer=step.visualizer,
    )


def place(step: Step) -> str:
    """Say where a step's error happened: step, visualizer, plugin and version."""
    return f"step {step.id!r} ({step.visualizer.name}, {step.plugin})"
