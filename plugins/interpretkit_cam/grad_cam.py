"""Grad-CAM at native resolution, with its sign."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit_cam.base import GradientMaps, grid_of, weighted_sum

if TYPE_CHECKING:
    import torch


class GradCAM(GradientMaps):
    r"""Grad-CAM: where a layer's activations speak for the target, and where against it.

    Each channel is weighted by the mean gradient of the score $y$ (a logit, or a difference of two):

    $$L(y, x) = \sum_k \alpha_k A_k(y, x), \qquad
      \alpha_k = \frac{1}{HW} \sum_{y, x} \frac{\partial y}{\partial A_k(y, x)}$$

    The paper takes $\max(L, 0)$; the sign is kept here, and only the overlay shows the positive part. One map per
    layer, `(image, y, x)`, in units of the score per cell, at the layer's own resolution.
    """

    name = "grad_cam"
    title = "Grad-CAM"
    citations = {"selvaraju2017gradcam": ""}

    def maps(self, activation: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """Return the activations weighted by their channels' mean gradients, `(image, y, x)`."""
        return weighted_sum(gradient.mean(grid_of(gradient)), activation)
