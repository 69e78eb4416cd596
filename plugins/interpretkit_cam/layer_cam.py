"""LayerCAM: positive gradients as weights, cell by cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit_cam.base import GradientMaps

if TYPE_CHECKING:
    import torch


class LayerCAM(GradientMaps):
    r"""LayerCAM: each cell weighted by its own gradient where that is positive; fit for early layers too.

    $$L(y, x) = \sum_k \max\left(\frac{\partial y}{\partial A_k(y, x)}, 0\right) A_k(y, x)$$

    Where activations are not negative, nothing in the map is; before a ReLU they may be, and the sign of the map is
    theirs. The paper's $\tanh$ scaling is for fusing layers, and is no part of the map. One map per layer,
    `(image, y, x)`, in units of the score.
    """

    name = "layer_cam"
    title = "LayerCAM"
    citations = {"jiang2021layercam": ""}

    def maps(self, activation: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """Return the products of activation and positive gradient summed over channels, `(image, y, x)`."""
        return (gradient.clamp(min=0) * activation).sum(1)
