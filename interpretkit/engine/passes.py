"""A model's one pass over a batch for all steps that look at it, and what it leaves for them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from interpretkit.capture.addresses import INPUT, Address
from interpretkit.capture.capture import Capture
from interpretkit.errors import InterpretkitError, StepError, cause

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch

    from interpretkit.engine.resolve import Step
    from interpretkit.inputs.batch import Batch
    from interpretkit.model.model import Model, Wanted
    from interpretkit.model.outputs.output import Prediction
    from interpretkit.results.image import InputImage
    from interpretkit.results.targets import Target


@dataclass(slots=True, kw_only=True)
class Pass:
    """What one model's pass over a batch has left for the steps that look at it.

    Attributes:
        model: The model.
        images: The images, as the model saw them.
        inputs: What it was fed, `(image, channel, y, x)`.
        activations: What layers returned.
        refused: Why a layer's output could not be recorded.
        attributed: What came of each target: its gradients, or why there are none.
        predictions: The most probable classes of each image; empty where the output is no logits.
        failure: Why the network gave nothing at all.
    """

    model: Model
    images: tuple[InputImage, ...]
    inputs: torch.Tensor
    activations: Mapping[Address, torch.Tensor] = field(default_factory=dict)
    refused: Mapping[Address, StepError] = field(default_factory=dict)
    attributed: dict[Wanted, Attributed | InterpretkitError] = field(default_factory=dict)
    predictions: tuple[tuple[Prediction, ...], ...] = ()
    failure: InterpretkitError | None = None


@dataclass(frozen=True, slots=True)
class Attributed:
    """A resolved target, and the gradients of its score."""

    targets: tuple[Target, ...]
    gradients: Mapping[Address, torch.Tensor]


def over_batch(key: str, model: Model, steps: Sequence[Step], batch: Batch) -> Pass:
    """Run the model of this key once over the batch for all steps that look at it."""
    like = next(model.module.parameters(), batch.inputs[key])
    inputs = batch.inputs[key].to(like.device, like.dtype)
    inputs = inputs.clone() if inputs.is_inference() else inputs
    seen = zip(batch.images, batch.pixels[key], batch.masks[key], strict=True)
    images = tuple(replace(image, pixels=pixels, mask=mask) for image, pixels, mask in seen)
    return over([planned for planned in steps if planned.model == key], model, images, inputs)


def over(steps: Sequence[Step], model: Model, images: tuple[InputImage, ...], inputs: torch.Tensor) -> Pass:
    """Make one forward pass of a model, and one backward pass for each distinct target that needs one."""
    done = Pass(model=model, images=images, inputs=inputs)
    targets = _targets(steps)
    read_at = [model.outputs[target.of].layer for target in targets]
    capture = Capture(
        model.module,
        activations=[
            *(layer.address for planned in steps for layer in planned.activations),
            *(Address(path) for path in read_at if path),
        ],
        gradients=[layer.address for planned in steps for layer in planned.gradients],
        input_gradient=any(planned.needs.input_gradient for planned in steps),
    )
    with capture:
        try:
            output = capture.forward(inputs)
        except Exception as error:  # noqa: BLE001 - a user's network may raise anything
            shape = "×".join(map(str, inputs.shape))
            done.failure = StepError(
                f"model {model.name!r} failed on images {shape}: {cause(error)}",
                hint="does it take images of this size and number of channels?",
            )
            done.failure.__cause__ = error
            return done
        done.activations, done.refused = capture.activations, capture.refused
        done.predictions = model.predictions(output)
        for target, backward in targets.items():
            done.attributed[target] = _attribute(target, done, output, capture if backward else None)
    done.activations = {address: value.detach() for address, value in capture.activations.items()}
    return done


def forget(done: Pass, later: Sequence[Step]) -> None:
    """Drop what none of the steps that are still to come gets of a pass."""
    outputs = {layer.address.path for planned in later for layer in planned.activations}
    done.activations = {address: values for address, values in done.activations.items() if address.path in outputs}
    wanted = {layer.address.path for planned in later for layer in planned.gradients}
    if any(planned.needs.input_gradient for planned in later):
        wanted.add(INPUT.path)
    for spec, attributed in done.attributed.items():
        if isinstance(attributed, Attributed):
            kept = {address: values for address, values in attributed.gradients.items() if address.path in wanted}
            done.attributed[spec] = replace(attributed, gradients=kept)


def _targets(steps: Sequence[Step]) -> dict[Wanted, bool]:
    """Return the distinct targets of some steps, and whether any needs gradients of it."""
    wanted: dict[Wanted, bool] = {}
    for planned in steps:
        for target in planned.targets:
            wanted[target] = wanted.get(target, False) or planned.needs.wants_gradients
    return wanted


def _attribute(wanted: Wanted, done: Pass, returned: Any, capture: Capture | None) -> Attributed | InterpretkitError:
    output = done.model.outputs[wanted.of]
    try:
        values = _at_layer(done, output.layer) if output.layer else returned
        targets = done.model.targets(wanted, values, done.images)
        score = output.score(output.read(values), targets)
        return Attributed(targets, capture.backward(score) if capture else {})
    except StepError as error:
        broken = [str(a) for a, value in done.activations.items() if not bool(value.isfinite().all())]
        if broken:
            return error.advised(f"the first captured layer with NaN or infinity is {broken[0]}")
        return error
    except InterpretkitError as error:
        return error
    except Exception as error:  # noqa: BLE001 - a user's network may raise anything on the way back
        failure = StepError(
            f"model {done.model.name!r} failed in the backward pass: {cause(error)}",
            hint="a method without gradients takes any network: occlusion, score_cam",
        )
        failure.__cause__ = error
        return failure


def _at_layer(done: Pass, path: str) -> torch.Tensor:
    address = Address(path)
    if address in done.refused:
        raise done.refused[address]
    return done.activations[address]
