"""Passes of a visualizer's own: an image with what a layer returns replaced, and gradients at layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit import words
from interpretkit.errors import StepError
from interpretkit.model.cuts import no_gradient

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch
    from torch import nn

    from interpretkit.model.layers import Layer
    from interpretkit.model.layout import Arranged

    Arrange = Callable[..., Arranged]
    Score = Callable[[object], torch.Tensor]


def scores_with(
    module: nn.Module,
    image: torch.Tensor,
    *,
    layer: Layer,
    variants: torch.Tensor,
    expected: float,
    arrange: Arrange,
    score: Score,
    apart: bool,
) -> torch.Tensor:
    """Return the score of one image with what a layer returns replaced by each of `variants`, `(variant,)`.

    Args:
        module: The network.
        image: `(1, channel, y, x)`.
        layer: The layer.
        variants: `(variant, channel, y, x)`.
        expected: The score of the image as it is: what comes of the unchanged output if a pass is to be trusted.
        arrange: Gives a view `(image, channel, y, x)` of what the layer returned: `Model.arranged`.
        score: Makes scores of what the network returned.
        apart: Whether each variant must go alone.

    Raises:
        StepError: If the layer returns no map of the variants' shape.
    """
    import torch

    def run(inputs: torch.Tensor, chosen: torch.Tensor, rows: int) -> torch.Tensor:
        return score(_returned(module, inputs, layer=layer, variants=chosen, rows=rows, arrange=arrange))

    if apart:
        return torch.cat([run(image, variant, 1) for variant in torch.split(variants, 1)])
    count = len(variants)
    try:
        scores = run(image, variants, count + 1)
    except Exception:  # noqa: BLE001 - a network may notice in any way that the number of images has changed
        scores = torch.empty(0)
    if len(scores) == count + 1:
        unchanged = scores[-1:]
        as_it_was = torch.full_like(unchanged, expected)
        if torch.allclose(unchanged, as_it_was, rtol=1e-3, atol=1e-5):
            return scores[:-1]
    return run(image.expand(count, *image.shape[1:]), variants, count)


def _returned(
    module: nn.Module, inputs: torch.Tensor, *, layer: Layer, variants: torch.Tensor, rows: int, arrange: Arrange
) -> object:
    """Return what the network makes of `rows` outputs of a layer: of the variants, then of its own output."""
    from interpretkit.capture.capture import Substitution

    def replaced(values: torch.Tensor) -> torch.Tensor:
        changed = values.expand(rows, *values.shape[1:]).clone()
        images = inputs[:1].expand(rows, *inputs.shape[1:])
        view = arrange(layer, changed, inputs=images).values
        if view.shape[1:] != variants.shape[1:]:
            returned, given = words.shape(view.shape[1:]), words.shape(variants.shape[1:])
            raise StepError(f"layer {layer.name} returns {returned}, which {given} cannot replace")
        view[: len(variants)] = variants
        return changed

    returned: object = Substitution(module, layer.address, replaced).forward(inputs)
    return returned


def gradients_at(
    module: nn.Module,
    inputs: torch.Tensor,
    *,
    layers: Sequence[Layer],
    arrange: Arrange,
    score: Score,
    depends: Callable[[Layer], bool],
) -> dict[str, torch.Tensor]:
    """Return the gradient of each input's score at what layers return, by layer, `(image, channel, y, x)`.

    Args:
        module: The network.
        inputs: `(image, channel, y, x)`.
        layers: The layers.
        arrange: Gives a view of what a layer returned, or of its gradient: `Model.arranged`.
        score: Makes scores of what the network returned.
        depends: Tells whether the score changes with what a layer returns.

    Raises:
        StepError: If a layer cannot be recorded, or the score gives no gradient for it.
    """
    from interpretkit.capture.capture import Capture

    with Capture(module, gradients=[layer.address for layer in layers]) as capture:
        scores = score(capture.forward(inputs))
        gradients = capture.backward(scores)
    arranged = {}
    for layer in layers:
        for call in layer.calls(capture.activations):
            address = call.address
            # Of every call there is, those count that lead to the score.
            if address not in gradients and call is not layer:
                continue
            if address in capture.refused:
                raise capture.refused[address]
            if address not in gradients:
                raise no_gradient(f"layer {call.name}", depends=depends(call))
            arranged[call.name] = arrange(call, gradients[address], inputs=inputs).values
    return arranged
