"""A model's one pass over a batch for all steps that look at it, and what it leaves for them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from interpretkit import words
from interpretkit.capture.addresses import INPUT, Address
from interpretkit.capture.capture import Capture
from interpretkit.capture.ending import Endings
from interpretkit.errors import InterpretkitError, StepError, cause
from interpretkit.model.advice import advice
from interpretkit.model.expected import misfit
from interpretkit.model.outputs.names import MisnamedError
from interpretkit.model.outputs.parts import check_rows
from interpretkit.model.preprocessing import shown_channels

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import torch

    from interpretkit.capture.receptive import Field
    from interpretkit.engine.resolve import Step
    from interpretkit.inputs.batch import Batch
    from interpretkit.model.layers import Layer
    from interpretkit.model.model import Model
    from interpretkit.model.outputs.output import Prediction
    from interpretkit.model.outputs.wanted import Wanted
    from interpretkit.results.image import InputImage
    from interpretkit.results.targets import Target


@dataclass(slots=True, kw_only=True)
class Pass:
    """What one pass of a model over a batch leaves for the steps that look at the model.

    Attributes:
        key: What the steps call the model.
        model: The model.
        images: The images, as the model saw them.
        inputs: What it was fed, `(image, channel, y, x)`.
        activations: What layers returned.
        fields: Where the cells of these outputs lie; empty unless the pass was followed to find that out.
        refused: Why a layer's output could not be recorded.
        attributed: What came of each target: its gradients, or why there are none.
        predictions: What is found in each image; empty where the output cannot be read.
        failure: Why the network gave nothing at all.
    """

    key: str
    model: Model
    images: tuple[InputImage, ...]
    inputs: torch.Tensor
    activations: Mapping[Address, torch.Tensor] = field(default_factory=dict)
    fields: Mapping[Address, Field] = field(default_factory=dict)
    refused: Mapping[Address, StepError] = field(default_factory=dict)
    attributed: dict[Wanted, Attributed | InterpretkitError] = field(default_factory=dict)
    predictions: tuple[tuple[Prediction, ...], ...] = ()
    failure: InterpretkitError | None = None

    @property
    def shown(self) -> str:
        """Which channels of the inputs pictures show, in words; empty where all."""
        return shown_channels(self.inputs.shape[1])


@dataclass(frozen=True, slots=True)
class Attributed:
    """A resolved target, and the gradients of its score."""

    targets: tuple[Target, ...]
    gradients: Mapping[Address, torch.Tensor]


def over_batch(key: str, model: Model, steps: Sequence[Step], batch: Batch) -> Pass:
    """Run the model of this key once over the batch for all steps that look at it."""
    inputs = model.fed(batch.inputs[key])
    if inputs.is_inference():
        inputs = inputs.clone()
    images = []
    seen = zip(batch.images, batch.pixels[key], batch.masks[key], strict=True)
    for image, pixels, mask in seen:
        images.append(replace(image, pixels=pixels, mask=mask))
    looking = [step for step in steps if step.model == key]
    return over(key, looking, model.settled or model, images=tuple(images), inputs=inputs)


def over(
    key: str, steps: Sequence[Step], model: Model, *, images: tuple[InputImage, ...], inputs: torch.Tensor
) -> Pass:
    """Make one forward pass of a model, and one backward pass for each distinct target that needs one.

    Args:
        key: What the steps call the model.
        steps: What is to be computed from the pass.
        model: The model; for checks it may be another one than they mean, of the same layers.
        images: The images.
        inputs: What the model is fed.
    """
    misread = model.misread(inputs)
    if misread is not None:
        return Pass(key=key, model=model, images=images, inputs=inputs, failure=misread)
    size = tuple(inputs.shape[1:])
    layers = _addresses(step.activations for step in steps)
    if not model.spacings.lack(size, layers):
        return _over(key, steps, model, images=images, inputs=inputs)
    done = _over(key, steps, model, images=images, inputs=inputs, follow=True)
    if done.failure is not None:
        # A network may have operations that cannot be followed.
        model.spacings.keep(size, layers, {})
        done = _over(key, steps, model, images=images, inputs=inputs)
    else:
        model.spacings.keep(size, layers, done.fields)
    if done.failure is None:
        model.probe_tokens(done.activations, inputs)
    return done


def _over(
    key: str,
    steps: Sequence[Step],
    model: Model,
    *,
    images: tuple[InputImage, ...],
    inputs: torch.Tensor,
    follow: bool = False,
) -> Pass:
    done = Pass(key=key, model=model, images=images, inputs=inputs)
    targets = _targets(steps)
    capture = _capture(steps, model, targets, follow=follow)
    with capture:
        try:
            output, settled = _settled(model, capture, inputs)
        except Exception as error:  # noqa: BLE001 - a user's network may raise anything
            what = f"model {model.name!r} failed on images {words.shape(inputs.shape)}: {cause(error)}"
            done.failure = StepError(what, hint=misfit(model.module, inputs.ndim - 2) or advice(error))
            done.failure.__cause__ = error
            return done
        if any(target.of not in model.outputs and target.of in settled.outputs for target in targets):
            # Of the logits, nobody knew before this pass at which layer they are read.
            return _over(key, steps, settled, images=images, inputs=inputs, follow=follow)
        done.model = settled
        done.fields = capture.fields
        done.activations = capture.activations
        done.refused = capture.refused
        try:
            done.predictions = settled.predictions(output, images=len(images))
        except MisnamedError as error:
            done.failure = error
            return done
        for target, backward in targets.items():
            differentiated = capture if backward else None
            done.attributed[target] = _attribute(target, done, output, differentiated)
    if capture.drew:
        # It may draw numbers that change nothing: passes of one image show it, and it is kept. Those are passes of
        # their own, which no hook of this one may see.
        settled.batching(inputs)
    done.activations = {address: value.detach() for address, value in capture.activations.items()}
    return done


def _settled(model: Model, capture: Capture, inputs: torch.Tensor) -> tuple[Any, Model]:
    """Make the pass; return what the network returned, and the model with what was left open of it settled."""
    if not model.open:
        return capture.forward(inputs), model
    with Endings(model.module) as endings:
        returned = capture.forward(inputs)
    return returned, model.settle(inputs, returned, endings.of)


def _capture(steps: Sequence[Step], model: Model, targets: Iterable[Wanted], *, follow: bool) -> Capture:
    """Return a capture of all that the steps need, and of the layers that their targets are read at."""
    activations = _addresses(step.activations for step in steps)
    for target in targets:
        output = model.outputs.get(target.of)
        if output is not None and output.layer:
            activations.append(Address(output.layer))
    return Capture(
        model.module,
        activations=activations,
        gradients=_addresses(step.gradients for step in steps),
        input_gradient=any(step.needs.input_gradient for step in steps),
        follow=follow,
    )


def forget(done: Pass, later: Sequence[Step]) -> None:
    """Drop from a pass what none of the steps that are still to come gets."""
    activations = _addresses(step.activations for step in later)
    gradients = _addresses(step.gradients for step in later)
    if any(step.needs.input_gradient for step in later):
        gradients.append(INPUT)
    done.activations = _of_modules(activations, done.activations)
    for wanted, attributed in done.attributed.items():
        if isinstance(attributed, Attributed):
            kept = _of_modules(gradients, attributed.gradients)
            done.attributed[wanted] = replace(attributed, gradients=kept)


def _addresses(layers_of_steps: Iterable[Iterable[Layer]]) -> list[Address]:
    layers = chain.from_iterable(layers_of_steps)
    return [layer.address for layer in layers]


def _of_modules(addresses: Iterable[Address], values: Mapping[Address, torch.Tensor]) -> dict[Address, torch.Tensor]:
    """Return the values of every call of the modules that are called at these addresses."""
    paths = {address.path for address in addresses}
    return {address: value for address, value in values.items() if address.path in paths}


def _targets(steps: Sequence[Step]) -> dict[Wanted, bool]:
    """Return the distinct targets of some steps, and of each whether a step needs its gradients."""
    targets: dict[Wanted, bool] = {}
    for step in steps:
        for target in step.targets:
            backward = targets.get(target, False)
            targets[target] = backward or step.needs.wants_gradients
    return targets


def _attribute(wanted: Wanted, done: Pass, returned: Any, capture: Capture | None) -> Attributed | InterpretkitError:
    try:
        output = done.model.reading(wanted.of)
        values = _at_layer(done, output.layer) if output.layer else returned
        check_rows(output.read(values), images=len(done.images))
        targets = done.model.targets(wanted, values, done.images)
        score = output.score(output.read(values), targets)
        gradients = capture.backward(score) if capture else {}
        return Attributed(targets, gradients)
    except StepError as error:
        broken = _first_broken(done.activations)
        if broken is None:
            return error
        return error.advised(f"the first captured layer with NaN or infinity is {broken}")
    except InterpretkitError as error:
        return error
    except Exception as error:  # noqa: BLE001 - a user's network may raise anything on the way back
        hint = advice(error, backward=True)
        failure = StepError(f"model {done.model.name!r} failed in the backward pass: {cause(error)}", hint=hint)
        failure.__cause__ = error
        return failure


def _first_broken(activations: Mapping[Address, torch.Tensor]) -> Address | None:
    """Return the first address whose values are not all finite; None if all are."""
    for address, values in activations.items():
        if not bool(values.isfinite().all()):
            return address
    return None


def _at_layer(done: Pass, path: str) -> torch.Tensor:
    address = Address(path)
    if address in done.refused:
        raise done.refused[address]
    return done.activations[address]
