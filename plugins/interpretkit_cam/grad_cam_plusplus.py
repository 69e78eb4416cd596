"""Grad-CAM++: pixel-wise weights of the positive gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit_cam.base import GradientMaps, grid_of, weighted_sum

if TYPE_CHECKING:
    import torch


class GradCAMPlusPlus(GradientMaps):
    r"""Grad-CAM++: only gradients that raise the score count, the less the stronger their channel already is.

    With the paper's closed form of $\alpha$ (its equation 19, for $Y = e^S$ and piecewise linear $S$):

    $$L(y, x) = \sum_k w_k A_k(y, x), \qquad
      w_k = \sum_{i, j} \alpha_{ij}^k \max\left(\frac{\partial S}{\partial A^k_{ij}}, 0\right), \qquad
      \alpha_{ij}^k = \frac{g^2}{2 g^2 + g^3 \sum_{a, b} A^k_{ab}} = \frac{1}{2 + g \sum_{a, b} A^k_{ab}}, \quad
      g = \frac{\partial S}{\partial A^k_{ij}}$$

    The right-hand form needs no guard against 0/0. The paper's weights have the factor $e^S$, the same for all
    channels of an image; it overflows for large logits and changes no picture, so it is left out: the score is the
    logit $S$. The cube stands for the gradient at $(i, j)$, as in the paper, not under the sum over $(a, b)$.

    Where activations are not negative, nothing in the map is. Before a ReLU they may be, and a channel with
    $\sum A^k$ near $-2/g$ then takes the map over: choose a layer after one. One map per layer, `(image, y, x)`.
    """

    name = "grad_cam_plusplus"
    title = "Grad-CAM++"
    citations = {"chattopadhay2018gradcampp": "equations 7 and 19"}

    def maps(self, activation: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """Return the activations weighted by the sums of alpha times positive gradient, `(image, y, x)`."""
        grid = grid_of(activation)
        positive = gradient.clamp(min=0)
        total = activation.sum(grid, keepdim=True)
        alpha = positive / (2 + positive * total)
        return weighted_sum(alpha.sum(grid), activation)
