"""One batch: captured once for each model, then every step computes its result. Pure: no files, no drawing."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from interpretkit import words
from interpretkit.capture.addresses import INPUT
from interpretkit.capture.capture import left_as_found
from interpretkit.capture.count import counted
from interpretkit.capture.state import changed_in_forward
from interpretkit.contracts.captured import Captured, Listener
from interpretkit.engine import passes
from interpretkit.engine.counterparts import Conditions, Counterparts
from interpretkit.engine.passes import Attributed
from interpretkit.engine.returned import check_per_image, check_result, read_only
from interpretkit.engine.saturation import saturation
from interpretkit.errors import InterpretkitError, StepError, located
from interpretkit.model.cuts import no_gradient
from interpretkit.results import ranks
from interpretkit.results.axes import has_grid
from interpretkit.results.origin import Origin
from interpretkit.results.stacking import stacked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    import torch

    from interpretkit.contracts.check import Counterpart
    from interpretkit.contracts.needs import Needs
    from interpretkit.engine.passes import Pass
    from interpretkit.engine.plan import Plan
    from interpretkit.engine.resolve import Step
    from interpretkit.inputs.batch import Batch
    from interpretkit.model.layers import Layer
    from interpretkit.model.model import Model
    from interpretkit.model.outputs.output import Prediction
    from interpretkit.model.outputs.wanted import Wanted
    from interpretkit.results.image import InputImage
    from interpretkit.results.result import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutcome:
    """The outcome of one step for one batch: a result, or why there is none.

    Attributes:
        step: The id of the step.
        result: What it computed; None if it failed.
        failure: Why it failed; None if it did not.
        seconds: How long it took, without the counterparts.
        counterparts: What came of it under other conditions, for the checks, or why nothing did.
    """

    step: str
    result: Result | None
    failure: InterpretkitError | None
    seconds: float
    counterparts: Mapping[Counterpart, Result | InterpretkitError] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A batch that has gone through every model, and the steps that are still to be computed for it.

    Attributes:
        images: The images of the batch.
        pixels: What each model was fed, by model and image, `(y, x, 3)` uint8.
        masks: The masks over these pixels, by model and image, `(y, x)` bool or None.
        predictions: What is found, by model and image; empty where the output cannot be read.
        outputs: What each output is, in words, as the pass has shown it; by model and name.
        shown: Which channels of its input the pictures of a model show, in words; by model.
        outcomes: The outcome of each step, in the order of the plan; each is computed when it is asked for.
    """

    images: tuple[InputImage, ...]
    pixels: Mapping[str, tuple[Any, ...]]
    masks: Mapping[str, tuple[Any, ...]]
    predictions: Mapping[str, tuple[tuple[Prediction, ...], ...]]
    outputs: Mapping[str, Mapping[str, str]]
    shown: Mapping[str, str]
    outcomes: Iterator[StepOutcome]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The results of one batch.

    Attributes:
        results: By step.
        failures: Why a step has no result, by step.
        predictions: What is found, by model and image; empty where the output cannot be read.
    """

    results: Mapping[str, Result]
    failures: Mapping[str, InterpretkitError]
    predictions: Mapping[str, tuple[tuple[Prediction, ...], ...]]


def _unheard(_step: str, _about: str) -> Listener:
    return Listener()


def compute(
    plan: Plan,
    batch: Batch,
    *,
    given: Mapping[str, Result] | None = None,
    listener: Callable[[str, str], Listener] = _unheard,
) -> Outcome:
    """Run every model of the plan once on the batch and compute every step.

    If a step fails, only the steps that read it have no result either.

    Args:
        plan: What to do.
        batch: Images, and what each model is fed of them.
        given: Results for the same images that steps may read besides those of earlier steps.
        listener: As in `begin`.
    """
    work = begin(plan, batch, given=given, listener=listener)
    results = {}
    failures = {}
    for outcome in work.outcomes:
        if outcome.result is not None:
            results[outcome.step] = outcome.result
        if outcome.failure is not None:
            failures[outcome.step] = outcome.failure
    return Outcome(results=results, failures=failures, predictions=work.predictions)


def begin(
    plan: Plan,
    batch: Batch,
    *,
    given: Mapping[str, Result] | None = None,
    listener: Callable[[str, str], Listener] = _unheard,
    conditions: Conditions | None = None,
) -> Work:
    """Run every model of the plan once on the batch; the steps are computed one by one, as they are asked for.

    Args:
        plan: What to do.
        batch: Images, and what each model is fed of them.
        given: As in `compute`.
        listener: Called with the id of a step that begins, and the images in words; returns what hears the step.
        conditions: Under which steps are computed once more, for checks.
    """
    passed = {}
    with _gradients_possible():
        for key, model in plan.models.items():
            passed[key] = passes.over_batch(key, model, plan.steps, batch)
    counterparts = Counterparts(conditions=conditions or Conditions(), compute=partial(_once_more, plan))
    steps = _Steps(plan=plan, done=passed, results=dict(given or {}), listener=listener, counterparts=counterparts)
    return Work(
        images=batch.images,
        pixels=batch.pixels,
        masks=batch.masks,
        predictions={key: done.predictions for key, done in passed.items()},
        outputs={key: done.model.outputs_in_words for key, done in passed.items()},
        shown={key: done.shown for key, done in passed.items()},
        outcomes=steps.outcomes(),
    )


def _gradients_possible() -> AbstractContextManager[object]:
    """Leave the inference mode, if the caller is in it: there are no gradients in it."""
    import torch

    return torch.inference_mode(mode=False)


@dataclass(slots=True, kw_only=True)
class _Steps:
    """Computes the steps of a plan for one batch, and drops what no later step needs.

    Attributes:
        plan: What to do.
        done: What the pass of each model has left, by the key of the model.
        results: Results that were given, and those of earlier steps that a later one reads.
        listener: As in `begin`.
        counterparts: Computes steps once more, for checks.
        failed: The steps that have no result.
    """

    plan: Plan
    done: Mapping[str, Pass]
    results: dict[str, Result]
    listener: Callable[[str, str], Listener]
    counterparts: Counterparts
    failed: set[str] = field(default_factory=set)

    def outcomes(self) -> Iterator[StepOutcome]:
        """Yield what comes of each step."""
        for position, step in enumerate(self.plan.steps):
            yield self._outcome(step)
            self._forget(position)

    def _outcome(self, step: Step) -> StepOutcome:
        result = None
        failure = None
        began = time.perf_counter()
        try:
            self._check_reads(step)
            with _gradients_possible():
                result = self._result(step)
            self.results[step.id] = result
        except InterpretkitError as error:
            failure = error.at(place(step))
            self.failed.add(step.id)
        seconds = time.perf_counter() - began
        others = {}
        if result is not None:
            with _gradients_possible():
                others = self.counterparts.of(step, self.done[step.model], self.results)
        return StepOutcome(step=step.id, result=result, failure=failure, seconds=seconds, counterparts=others)

    def _result(self, step: Step) -> Result:
        done = self.done[step.model]
        images = [image.id for image in done.images]
        listener = self.listener(step.id, _in_words(images))
        again = _Again(self.plan, done, self.results)
        return _computed(step, done, self.results, again, listener=listener)

    def _check_reads(self, step: Step) -> None:
        for read in step.of:
            if read in self.failed:
                raise SkippedError(f"not computed, since step {read!r}, which it reads, failed")

    def _forget(self, position: int) -> None:
        """Drop the results and the parts of passes that no step after this position reads, gets or repeats."""
        past = self.plan.steps[: position + 1]
        later = self.plan.steps[position + 1 :]
        needed = self._read_by(later)
        for step in past:
            if step.id not in needed:
                self.results.pop(step.id, None)
        model = past[-1].model
        looking = [step for step in later if step.model == model]
        passes.forget(self.done[model], looking)

    def _read_by(self, later: Sequence[Step]) -> set[str]:
        """Return the steps that some steps read, directly or through others: whoever repeats one, repeats them too."""
        of = {step.id: step.of for step in self.plan.steps}
        waiting = [read for step in later for read in step.of]
        needed: set[str] = set()
        while waiting:
            read = waiting.pop()
            if read not in needed:
                needed.add(read)
                waiting += of.get(read, ())
        return needed


def _in_words(images: Sequence[str]) -> str:
    if len(images) == 1:
        return images[0]
    first, last = images[0], images[-1]
    return f"{len(images)} images from {first} to {last}"


class SkippedError(StepError):
    """A step that was not tried, since one that it reads has failed."""


def _computed(step: Step, done: Pass, results: Mapping[str, Result], again: _Again, *, listener: Listener) -> Result:
    """Compute a step: once, or once for each of the top classes."""
    origin = origin_of(step, done)
    if step.needs.own_passes and done.failure is None:
        _check_batching(step, done)
    parts = []
    for wanted in step.targets or (None,):
        captured = _captured(step, done, results, wanted=wanted, again=again)
        heard = replace(captured, listener=listener)
        for remark in (*saturation(captured.targets, done.model), *done.model.remarks):
            heard.alert(remark)
        parts.append(_compute(step, heard, origin))
    if len(parts) == 1:
        return parts[0]
    return ranks.joined(parts)


def _once_more(plan: Plan, step: Step, done: Pass, results: Mapping[str, Result]) -> Result:
    """Compute a step, of whom nobody hears: what it says, it has said."""
    return _computed(step, done, results, _Again(plan, done, results), listener=Listener())


def _captured(
    step: Step,
    done: Pass,
    results: Mapping[str, Result],
    *,
    wanted: Wanted | None,
    again: _Again,
) -> Captured:
    attributed = _attributed(step, done, wanted)
    arranged = partial(done.model.arranged, inputs=done.inputs)
    activations = {}
    axes = {}
    spacing = {}
    for call in _calls(step.activations, done):
        view = arranged(call, done.activations[call.address])
        _check_rows(call, view.values, images=len(done.images))
        activations[call.name] = view.values
        axes[call.name] = view.axes
        if has_grid(view.axes):
            spacing[call.name] = done.model.spacing(call, view.values, inputs=done.inputs)
    scored = attributed.gradients
    gradients = {}
    for call in _calls(step.gradients, done):
        # Of every call there is, those count that lead to the score.
        if call in step.gradients or call.address in scored:
            gradient = scored.get(call.address)
            if gradient is None:
                depends = done.model.depends(attributed.targets, done.inputs, layer=call)
                raise no_gradient(f"layer {call.address}", depends=depends)
            gradients[call.name] = arranged(call, gradient).values
    needs = step.needs
    input_gradient = scored.get(INPUT) if needs.input_gradient else None
    if needs.input_gradient and input_gradient is None:
        raise no_gradient("the input", depends=done.model.depends(attributed.targets, done.inputs))
    return Captured(
        images=done.images,
        inputs=done.inputs,
        activations=activations,
        axes=axes,
        spacing=spacing,
        gradients=gradients,
        input_gradient=input_gradient,
        targets=attributed.targets,
        predictions=done.predictions,
        results={read: read_only(results[read]) for read in step.of},
        _model=done.model if needs.wants_model else None,
        _repeat=again if needs.own_passes else None,
    )


def _attributed(step: Step, done: Pass, wanted: Wanted | None) -> Attributed:
    """Return what the pass has left of a target, nothing without one; raise whatever keeps the step from its needs."""
    # Copies: steps may share what went wrong, but each is at a place of its own.
    if done.failure is not None:
        raise done.failure.at(place(step))
    attributed = Attributed((), {}) if wanted is None else done.attributed[wanted]
    if isinstance(attributed, InterpretkitError):
        raise attributed.at(place(step))
    for layer in step.activations:
        if layer.address in done.refused:
            raise done.refused[layer.address].at(place(step))
    return attributed


def _calls(layers: Sequence[Layer], done: Pass) -> list[Layer]:
    """Return layers with, in place of one that stands for all its calls, each call that the pass has seen."""
    return [call for layer in layers for call in layer.calls(done.activations)]


_FEWER = "look at one image at a time, by batch_size=1"
_MORE = (
    "choose a layer at which the parts of an image (clips, crops, tiles) are together again; methods at the input take "
    "the network: saliency, occlusion"
)
"""What to do about a layer with fewer or more rows than there are images."""


def _check_rows(layer: Layer, values: torch.Tensor, *, images: int) -> None:
    """Check that a layer returns numbers, a row for each image: of clips, crops, tiles nobody knows whose they are."""
    if not values.numel():
        raise StepError(f"layer {layer.name} returns {words.shape(values.shape)}, no number at all")
    rows = len(values) if values.ndim else 0
    if rows != images:
        what = f"layer {layer.name} returns {words.count(rows, 'row')} for {words.count(images, 'image')}"
        raise StepError(f"{what}, so it is not known which belongs to which", hint=_FEWER if rows < images else _MORE)


@dataclass(frozen=True, slots=True)
class _Again:
    """Computes an earlier step once more, for variants of one image, with the target that the image had.

    Another model may stand in for the one of the pass; it has the same layers.
    """

    plan: Plan
    done: Pass
    results: Mapping[str, Result]

    def __call__(self, name: str, inputs: torch.Tensor, position: int, other: Model | None = None) -> Result:
        import torch

        step = self._step(name)
        model = other or self.done.model
        image = self.done.images[position]
        names = [f"{image.id}-{variant}" for variant in range(len(inputs))]
        images = tuple(replace(image, id=variant) for variant in names)
        if step.needs.target is not None:
            (target, *others) = self.results[name].targets_of(image.id)
            if others:
                raise StepError(f"step {name!r} explains several classes of each image", hint="give it one target")
            step = replace(step, targets=(model.held(target),))
        apart = model.batching(inputs).apart
        rows = torch.split(inputs, 1 if apart else len(inputs))
        groups = [(image,) for image in images] if apart else [images]
        parts = []
        for group, row in zip(groups, rows, strict=True):
            variants = passes.over(self.done.key, [step], model, images=group, inputs=row)
            parts.append(self._of_variants(step, variants, position))
        return stacked(parts)

    def _of_variants(self, step: Step, variants: Pass, position: int) -> Result:
        earlier = {read: self(read, variants.inputs, position, variants.model) for read in step.of}
        again = _Again(self.plan, variants, earlier)
        # What is repeated is a part of the step that asks for it, and that is what is heard.
        return _computed(step, variants, earlier, again, listener=Listener())

    def _step(self, name: str) -> Step:
        """Return the step of this id, if it looks at the model of this pass."""
        for step in self.plan.steps:
            if step.id == name and self.done.key == step.model:
                return step
        raise StepError(
            f"step {name!r} cannot be computed once more: it is no step of this run and model",
            hint="read a step that looks at the same model, and stands in the same recipe",
        )


def _compute(step: Step, captured: Captured, origin: Origin) -> Result:
    tensors = _not_to_be_changed(step, captured)
    versions = {name: tensor._version for name, tensor in tensors.items()}  # noqa: SLF001
    where = place(step)
    with located(where):
        with _at_work(step.needs, captured):
            result = step.visualizer.compute(captured)
        check_result(result, "compute()")
        if not step.per_set:
            ids = [image.id for image in captured.images]
            check_per_image(result, ids)
    for name, tensor in tensors.items():
        if tensor._version != versions[name]:  # noqa: SLF001 - torch counts in-place changes nowhere else
            raise StepError(f"compute() changed {name} in place", where=where, hint="work on a copy")
    return replace(result, images=captured.images, targets=captured.targets, origin=origin)


def _check_batching(step: Step, done: Pass) -> None:
    """Find out how passes of the step's own may go, once for a model.

    Raises:
        StepError: If the network gives one image other numbers in each pass.
    """
    batching = done.model.batching(done.inputs)
    if batching.state:
        hint = "let it begin anew in each forward; what it gave in the shared pass can be explained by grad_cam"
        raise StepError(batching.state, where=place(step), hint=hint)


def _not_to_be_changed(step: Step, captured: Captured) -> dict[str, torch.Tensor]:
    """Return the tensors that a step gets and that others get too, by what errors call them."""
    tensors = {"the model's input": captured.inputs, **captured.activations}
    for name, gradient in captured.gradients.items():
        tensors[f"the gradient of {name}"] = gradient
    if captured.input_gradient is not None:
        tensors["the gradient of the model's input"] = captured.input_gradient
    if step.needs.wants_model:
        module = captured.model.module
        # Not what passes themselves make of buffers and parameters, which is put back.
        for name, tensor in module.named_parameters():
            if name not in changed_in_forward(module):
                tensors[f"the model's {name}"] = tensor
    return tensors


@contextmanager
def _at_work(needs: Needs, captured: Captured) -> Iterator[None]:
    """Count the passes of a step that gets its model, and leave the model as it was; do nothing for other steps."""
    if not needs.wants_model:
        yield
        return
    module = captured.model.module
    # Also where parameters alone are read: in train mode, to read some (spectral norms) is to change them.
    with left_as_found(module), counted(module, lambda _images: captured.listener.passed()):
        yield


def origin_of(step: Step, done: Pass) -> Origin:
    """Return the origin of a step's results."""
    model = done.model
    return Origin(
        step=step.id,
        uses=step.visualizer.name,
        plugin=str(step.plugin),
        options=step.visualizer.options.model_dump(by_alias=True),
        model=model.name,
        weights=str(model.weights),
        alert=model.alert,
        shown=done.shown,
        visualizer=step.visualizer,
    )


def place(step: Step) -> str:
    """Say where a step's error happened: step, visualizer, plugin and version."""
    return f"step {step.id!r} ({step.visualizer.name}, {step.plugin})"
