"""XGrad-CAM: gradients averaged with the activations as weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit_cam.base import GradientMaps, grid_of, weighted_sum

if TYPE_CHECKING:
    import torch


class XGradCAM(GradientMaps):
    r"""XGrad-CAM: Grad-CAM with gradients averaged where a channel is active, so that the map keeps its sum.

    $$L(y, x) = \sum_k \alpha_k A_k(y, x), \qquad
      \alpha_k = \sum_{y, x} \frac{A_k(y, x)}{\sum_{y', x'} A_k(y', x')} \frac{\partial y}{\partial A_k(y, x)}$$

    The cells of the map sum to $\sum_{k, y, x} A_k\, \partial y / \partial A_k$, as those of HiResCAM do. A channel
    whose activations sum to exactly 0, such as a dead one, has no $\alpha_k$ and is left out. Before a ReLU sums may
    come near 0, and such a channel then takes the map over: choose a layer after one. One map per layer,
    `(image, y, x)`, in units of the score.
    """

    name = "xgrad_cam"
    title = "XGrad-CAM"
    citations = {"fu2020axiom": ""}

    def maps(self, activation: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """Return the activations weighted by their channels' activation-weighted mean gradients, `(image, y, x)`."""
        import torch

        total = activation.sum(grid_of(activation))
        cells = "zyx"[-len(grid_of(activation)) :]
        products = torch.einsum(f"nk{cells},nk{cells}->nk", activation, gradient)
        weights = products / torch.where(total == 0, torch.inf, total)
        return weighted_sum(weights, activation)
