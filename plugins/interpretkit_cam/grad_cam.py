"""Grad-CAM at native resolution, with its sign."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from interpretkit import Citation, Figure, Needs, Result, StepError, TargetSpec, Visualizer, figures

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import torch

    from interpretkit import Captured, Map, Model


class GradCAM(Visualizer):
    r"""Grad-CAM: where a layer's activations speak for the target, and where against it.

    Each channel is weighted by the mean gradient of the score $y$ (a logit, or a difference of two):

    $$L(y, x) = \sum_k \alpha_k A_k(y, x), \qquad
      \alpha_k = \frac{1}{HW} \sum_{y, x} \frac{\partial y}{\partial A_k(y, x)}$$

    The paper takes $\max(L, 0)$; the sign is kept here, and only the overlay shows the positive part. One map per
    layer, `(image, y, x)`, in units of the score per cell, at the layer's own resolution.
    """

    name = "grad_cam"
    citations = (
        Citation(
            key="selvaraju2017gradcam",
            authors="Selvaraju, Ramprasaath R. and Cogswell, Michael and Das, Abhishek and Vedantam, Ramakrishna and "
            "Parikh, Devi and Batra, Dhruv",
            title="Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization",
            venue="ICCV",
            year=2017,
            arxiv="1610.02391",
        ),
    )
    cost = "one backward pass for each target, shared with the other steps"
    polarity = "signed"

    class Options(Visualizer.Options):
        """Options of Grad-CAM."""

        layers: list[str] = Field(min_length=1, description="layers to explain at; the last with a grid is usual")
        target: TargetSpec = Field(
            default="predicted",
            description="what to explain: predicted, label, a class index or name, {for: …, against: …}, or {top: 3}",
        )

    options: Options

    def needs(self, model: Model) -> Needs:  # noqa: ARG002 - the same for every model
        """Ask for the layers' outputs and the gradients of the target's score there."""
        return Needs(gradients=self.options.layers, target=self.options.target)

    def compute(self, captured: Captured) -> Result:
        """Return one map per layer, `(image, y, x)`."""
        maps = {}
        for layer, gradient in captured.gradients.items():
            values = weighted_sum(layer, captured.activations[layer], gradient)
            maps[layer] = captured.map(layer, values, polarity="signed")
        return Result(maps=maps)

    def draw(self, result: Result) -> Iterator[Figure]:
        """Draw, for each layer, the photo, the positive part over it, and the signed map on its own grid."""
        (image,), (target,) = result.images, result.targets
        for layer, each in result.maps.items():
            yield _figure(layer, each, image.pixels, str(target))


def weighted_sum(layer: str, activation: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Return the sum over channels `(image, y, x)`, each weighted by its mean gradient.

    Raises:
        StepError: If the layer returns anything but `(image, channel, y, x)`.
    """
    if activation.ndim != 4:  # noqa: PLR2004 - image, channel, y, x
        shape = "×".join(map(str, activation.shape))
        raise StepError(
            f"Grad-CAM needs a layer with a grid (image, channel, y, x); {layer} returns {shape}",
            hint="choose a convolutional layer before the pooling",
        )
    weights = gradient.mean((2, 3), keepdim=True)
    return (weights * activation).sum(1)


def _figure(layer: str, each: Map, pixels: np.ndarray, target: str) -> Figure:
    values = each.values[0]
    height, width = values.shape
    title = f"Grad-CAM at {layer}: {target}"
    picture = figures.attribution(values, pixels, title=title, polarity="signed")
    caption = (
        f"Grad-CAM at {layer}. Middle: its positive part over the grey photo, bilinear from {height}×{width}; "
        f"right: the signed map on its native grid, limits symmetric about 0."
    )
    alt = figures.alt(values, what=f"Grad-CAM at {layer} for {target}")
    return Figure(name=layer, picture=picture, caption=caption, alt=alt)
