"""Ablation-CAM: how far the score drops without a channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit_cam.base import ScoredMaps

if TYPE_CHECKING:
    import torch

    from interpretkit import Captured


class AblationCAM(ScoredMaps):
    r"""Ablation-CAM: each channel weighted by the drop of the score when it is set to 0; without gradients.

    $$L(y, x) = \sum_k (y - y_k) A_k(y, x)$$

    where $y_k$ is the score with channel $k$ of the layer set to 0. The paper divides the weights by $y$: a factor
    that all channels of an image share, which would turn the map over where $y$ is negative; it is left out. Channels
    that are 0 everywhere cost no pass, since nothing changes without them. One map per layer, `(image, y, x)`.
    """

    name = "ablation_cam"
    title = "Ablation-CAM"
    citations = {"desai2020ablation": ""}
    cost = "as many passes from the layer on as it has channels that are not 0, for each image and layer"

    def weights(self, captured: Captured, layer: str, position: int) -> torch.Tensor:
        """Return the drop of the score without each channel, `(channel,)`."""
        import torch

        activation, target = captured.activations[layer][position], captured.targets[position]
        drops = activation.new_zeros(len(activation))
        image = captured.inputs[position : position + 1]
        alive = activation.flatten(1).any(1).nonzero()[:, 0]
        if not len(alive):
            return drops
        done = position * len(alive)
        for chosen in torch.split(alive, self.options.internal_batch_size):
            variants = activation.expand(len(chosen), *activation.shape).clone()
            variants[range(len(chosen)), chosen] = 0
            scores = captured.model.scores_with(image, target, layer=layer, variants=variants)
            drops[chosen] = (target.score - scores.double()).to(drops.dtype)
            done += len(chosen)
            captured.progress(done, len(captured.images) * len(alive))
        return drops
