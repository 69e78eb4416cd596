"""Passes of a visualizer's own: an image with what a layer returns replaced, and gradients at layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit import words
from interpretkit.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from interpretkit.model.model import Model
    from interpretkit.results.targets import Target


def scores_with(
    model: Model, image: torch.Tensor, target: Target, *, layer: str, variants: torch.Tensor
) -> torch.Tensor:
    """Return the score of one image with what a layer returns replaced by each of `variants`: `Model.scores_with`."""
    import torch

    count = len(variants)
    try:
        scores = _scores(model, image, target, layer=layer, variants=variants, rows=count + 1)
    except Exception:  # noqa: BLE001 - a network may notice in any way that the number of images has changed
        scores = torch.empty(0)
    expected = torch.full((1,), target.score, dtype=scores.dtype, device=scores.device)
    complete = len(scores) == count + 1
    if complete and torch.allclose(scores[-1:], expected, rtol=1e-3, atol=1e-5):
        return scores[:-1]
    images = image.expand(count, *image.shape[1:])
    return _scores(model, images, target, layer=layer, variants=variants, rows=count)


def _scores(
    model: Model, inputs: torch.Tensor, target: Target, *, layer: str, variants: torch.Tensor, rows: int
) -> torch.Tensor:
    """Return `rows` scores: of the variants, then of the layer's own output."""
    from interpretkit.capture.capture import Substitution

    (asked,) = model.find([layer])

    def replaced(values: torch.Tensor) -> torch.Tensor:
        changed = values.expand(rows, *values.shape[1:]).clone()
        images = inputs[:1].expand(rows, *inputs.shape[1:])
        view = model.arranged(asked, changed, inputs=images).values
        if view.shape[1:] != variants.shape[1:]:
            returned, given = words.shape(view.shape[1:]), words.shape(variants.shape[1:])
            raise StepError(f"layer {layer} returns {returned}, which {given} cannot replace")
        view[: len(variants)] = variants
        return changed

    substitution = Substitution(model.module, asked.address, replaced)
    return model.score(substitution.forward(inputs), [target])


def gradients_at(
    model: Model, inputs: torch.Tensor, targets: Sequence[Target], *, layers: Sequence[str]
) -> dict[str, torch.Tensor]:
    """Return the gradient of each input's score at what layers return, by layer: `Model.gradients`."""
    from interpretkit.capture.capture import Capture

    asked = model.find(layers)
    with Capture(model.module, gradients=[layer.address for layer in asked]) as capture:
        score = model.score(capture.forward(inputs), targets)
        gradients = capture.backward(score)
    arranged = {}
    for layer in asked:
        for call in layer.calls(capture.activations):
            address = call.address
            # Of every call there is, those count that lead to the score.
            if address not in gradients and call is not layer:
                continue
            if address in capture.refused:
                raise capture.refused[address]
            if address not in gradients:
                raise StepError(f"the score does not depend on layer {call.name}")
            arranged[call.name] = model.arranged(call, gradients[address], inputs=inputs).values
    return arranged
