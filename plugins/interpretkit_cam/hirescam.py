"""HiResCAM: gradient times activation, cell by cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit import Citation
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
    citations = (
        Citation(
            key="draelos2020hirescam",
            authors="Draelos, Rachel Lea and Carin, Lawrence",
            title="Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural networks",
            venue="",
            year=2020,
            kind="misc",
            arxiv="2011.08891",
        ),
    )

    def maps(self, activation: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """Return the products of activation and gradient summed over channels, `(image, y, x)`."""
        return (gradient * activation).sum(1)
