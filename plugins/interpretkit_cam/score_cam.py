"""Score-CAM: what the network makes of the image seen through each channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from interpretkit_cam.base import ScoredMaps, grid_of, interpolated

if TYPE_CHECKING:
    import torch

    from interpretkit import Captured, Grid


class ScoreCAM(ScoredMaps):
    r"""Score-CAM: each channel as a mask over the image, weighted by the score that is left; without gradients.

    $$L(y, x) = \sum_k \alpha_k A_k(y, x), \qquad
      \alpha = \operatorname{softmax}_k f(X \circ s(\operatorname{Up}(A_k))),
      \qquad s(M) = \frac{M - \min M}{\max M - \min M}$$

    $f$ is the score, a logit, and $\operatorname{Up}$ bilinear interpolation to the pixels of the input between the
    middles of the cells' receptive fields (linear along each axis, where there are not two). The paper's
    baseline $f(X_b)$ is the same for all channels, so the softmax takes it away. A channel that is the same
    everywhere is no mask, and has the weight 0. One map per layer, `(image, y, x)`, in units of the activation.
    """

    name = "score_cam"
    title = "Score-CAM"
    citations = {"wang2020scorecam": ""}
    cost = "as many forward passes as the layer has channels, or `channels`, for each image and layer"

    class Options(ScoredMaps.Options):
        """Options of Score-CAM."""

        channels: int | None = Field(
            default=None,
            ge=1,
            description="use only so many channels, those of greatest variance over the cells; all, as in the paper, "
            "unless given",
        )

    options: Options

    def weights(self, captured: Captured, layer: str, position: int) -> torch.Tensor:
        """Return the softmax of the masked images' scores over the channels used, `(channel,)`; 0 for the others."""
        import torch

        model, targets = captured.model, captured.targets[position : position + 1]
        activation, image = captured.activations[layer][position], captured.inputs[position]
        weights = activation.new_zeros(len(activation))
        used = self._used(activation)
        if not len(used):
            return weights
        grid = captured.grid(layer)
        scores: list[torch.Tensor] = []
        for chosen in torch.split(used, self.options.internal_batch_size):
            scores.append(model.scores(image * _masks(activation[chosen], grid), targets))
            done = position * len(used) + sum(map(len, scores))
            captured.progress(done, len(captured.images) * len(used))
        weights[used] = torch.cat(scores).softmax(0)
        return weights

    def _used(self, activation: torch.Tensor) -> torch.Tensor:
        """Return which channels of `activation` `(channel, y, x)` are used: none that is the same everywhere."""
        cells = activation.flatten(1)
        order = cells.double().var(1, correction=0).argsort(descending=True, stable=True)
        varied = cells.amax(1) > cells.amin(1)
        return order[varied[order]][: self.options.channels]


def _masks(channels: torch.Tensor, grid: Grid) -> torch.Tensor:
    """Return `channels` `(channel, y, x)`, interpolated and each stretched from 0 to 1, `(channel, 1, y, x)`."""
    import torch

    masks = interpolated(channels[:, None], grid)
    dims = grid_of(masks)
    low, high = masks.amin(dims, keepdim=True), masks.amax(dims, keepdim=True)
    return (masks - low) / (high - low).clamp(min=torch.finfo(masks.dtype).tiny)
