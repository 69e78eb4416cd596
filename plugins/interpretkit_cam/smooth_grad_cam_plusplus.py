"""Smooth Grad-CAM++: Grad-CAM++ with derivatives averaged over noisy copies of the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from interpretkit import Needs
from interpretkit_cam.base import TargetMaps, grid_of, weighted_sum

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from interpretkit import Captured


class SmoothGradCAMPlusPlus(TargetMaps):
    r"""Smooth Grad-CAM++: the weights of Grad-CAM++ from derivatives averaged over noisy copies of the image.

    With $g_m$ the gradient of the score at the layer for the copy $x + \mathcal{N}(0, \sigma^2)$ numbered $m$ of $n$,
    and $D_p = \frac{1}{n} \sum_m g_m^p$:

    $$L(y, x) = \sum_k w_k A_k(y, x), \qquad w_k = \sum_{i, j} \alpha_{ij}^k \max(D_1, 0), \qquad
      \alpha_{ij}^k = \frac{D_2}{2 D_2 + D_3 \sum_{a, b} A^k_{ab}}$$

    $A$ is the activation of the image itself. As in Grad-CAM++ the score is the logit: the factor $e^S$ that each copy
    would have is left out, so that all copies count alike. $\sigma$ is a share of the image's range, as in SmoothGrad.
    Without noise the map is that of Grad-CAM++. One map per layer, `(image, y, x)`.
    """

    name = "smooth_grad_cam_plusplus"
    title = "Smooth Grad-CAM++"
    citations = {"omeiza2019smooth": "", "smilkov2017smoothgrad": "the scale of the noise"}
    cost = "`samples` forward and backward passes for each image"

    class Options(TargetMaps.Options):
        """Options of Smooth Grad-CAM++."""

        samples: int = Field(default=16, ge=1, description="how many noisy copies of an image to average over")
        noise: float = Field(
            default=0.15,
            ge=0,
            description="standard deviation of the noise, as a share of the image's range after preprocessing",
        )
        seed: int = Field(default=0, description="seed of the noise; each image has its own noise under any seed")
        internal_batch_size: int = Field(default=16, ge=1, description="how many copies to run at once")

    options: Options

    def needs(self) -> Needs:
        """Ask for the layers' outputs, the target, and the model."""
        return Needs(activations=self.options.layers, target=self.options.target, own_passes=True)

    def layer_maps(self, captured: Captured) -> dict[str, torch.Tensor]:
        """Return the maps of each layer, `(image, y, x)`; the copies run once for all of them."""
        import torch

        moments = [self._moments(captured, position) for position in range(len(captured.images))]
        maps = {}
        for layer, activation in captured.activations.items():
            each = torch.stack([of_image[layer] for of_image in moments], dim=1)
            maps[layer] = weighted_sum(_weights(activation, each), activation)
        return maps

    def _moments(self, captured: Captured, position: int) -> dict[str, torch.Tensor]:
        """Return the mean first, second and third power of each layer's gradient `(power, channel, y, x)`, float64."""
        import torch

        model, targets = captured.model, captured.targets[position : position + 1]
        sums: dict[str, torch.Tensor] = {}
        for copies in self._copies(captured, position):
            for layer, gradient in model.gradients(copies, targets, layers=list(captured.activations)).items():
                powers = torch.stack([gradient.double().pow(power).sum(0) for power in (1, 2, 3)])
                sums[layer] = sums.get(layer, 0) + powers
        return {layer: each / self.options.samples for layer, each in sums.items()}

    def _copies(self, captured: Captured, position: int) -> Iterator[torch.Tensor]:
        """Yield noisy copies of an image `(copy, channel, y, x)`, the same whatever is run at once."""
        import torch

        image = captured.inputs[position]
        scale = self.options.noise * (image.max() - image.min())
        generator = torch.Generator().manual_seed(captured.seed(position, self.options.seed))
        left = self.options.samples
        while left > 0:
            count = min(left, self.options.internal_batch_size)
            drawn = [torch.randn(image.shape, generator=generator) for _ in range(count)]
            noise = torch.stack(drawn).to(image)
            yield image + scale * noise
            left -= count


def _weights(activation: torch.Tensor, moments: torch.Tensor) -> torch.Tensor:
    """Return the weights `(image, channel)` from `moments` `(power, image, channel, y, x)` of the gradients."""
    import torch

    grid = grid_of(activation)
    first, second, third = moments
    total = activation.double().sum(grid, keepdim=True)
    alpha = second / (2 * second + third * total)
    # Where all gradients are 0, alpha is 0/0 and what it is to weight is 0.
    weighted = torch.where(second == 0, 0, alpha * first.clamp(min=0))
    return weighted.sum(grid).to(activation.dtype)
