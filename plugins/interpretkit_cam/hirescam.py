"""HiResCAM: gradient times activation, cell by cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit_cam.base import GradientMaps

if TYPE_CHECKING:
    import torch


class HiResCAM(GradientMaps):
    r"""HiResCAM: each cell counts with its own gradient, so nothing is averaged that lies elsewhere.

    $$L(y, x) = \sum_k \frac{\partial y}{\partial A_k(y, x)} A_k(y, x)$$

    Where a linear function follows the layer, the cells sum to the score without its bias. Where that is global
    average pooling and one linear layer, it equals Grad-CAM. One map per layer, `(image, y, x)`, in units of the score.
    """

    name = "hirescam"
    title = "HiResCAM"
    citations = {"draelos2020hirescam": ""}

    def maps(self, activation: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """Return the products of activation and gradient summed over channels, `(image, y, x)`."""
        return (gradient * activation).sum(1)
