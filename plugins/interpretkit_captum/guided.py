"""Methods that change the gradient at every ReLU: guided backpropagation, deconvolution, guided Grad-CAM."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import Field

from interpretkit import Needs, Result, StepError, Targeted
from interpretkit_captum.attribution import INPUT, OwnPasses, over_channels
from interpretkit_captum.completeness import Explanation

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from torch import nn

    from interpretkit import Captured
    from interpretkit_captum.network import Subject


class Rectified(OwnPasses):
    """A method that changes the gradient at every ReLU; a network must have them as modules `nn.ReLU`."""

    requires = "ReLUs as modules, not as functions"

    cost = "one forward and one backward pass of its own for each image and target"

    @contextmanager
    def network(self, captured: Captured) -> Iterator[nn.Module]:
        """Give each call of a ReLU a module of its own.

        Raises:
            StepError: If a ReLU is no module, or there is none.
        """
        from interpretkit_captum.rectifiers import with_rectifiers

        network = captured.model.module
        with with_rectifiers(captured, network, method=self.name):
            yield network


class GuidedBackprop(Rectified):
    r"""Guided backpropagation: the gradient, of which every ReLU lets only positive parts through.

    $$R^l = \mathbb{1}[z^l > 0]\; \mathbb{1}[R^{l+1} > 0]\; R^{l+1}$$

    backward through each ReLU with the input $z^l$; else as the gradient. The map `input`, `(image, y, x)`, is signed
    and summed over the colour channels. It has no baseline and promises no completeness. It shows edges that
    activate the network, and depends little on the class (Adebayo et al. 2018): do not read it as the reason for one.
    """

    name = "guided_backprop"
    title = "Guided backpropagation"
    citations = {"springenberg2015striving": "", "kokhlikyan2020captum": "the implementation"}

    def explain(self, subject: Subject) -> dict[str, Explanation]:
        """Propagate the score backward."""
        import captum.attr

        values = captum.attr.GuidedBackprop(subject.scored).attribute(subject.leaf())
        return {INPUT: Explanation(values=over_channels(values))}


class Deconvolution(Rectified):
    r"""Deconvolution: the gradient, with a ReLU applied to what goes backward in place of the forward ReLU's slope.

    $$R^l = \max(R^{l+1}, 0)$$

    backward through each ReLU; else as the gradient. The map `input`, `(image, y, x)`, is signed and summed over the
    colour channels. It has no baseline and promises no completeness, and like guided backpropagation depends little on
    the class.
    """

    name = "deconvolution"
    title = "Deconvolution"
    citations = {"zeiler2014visualizing": "", "kokhlikyan2020captum": "the implementation"}

    def explain(self, subject: Subject) -> dict[str, Explanation]:
        """Propagate the score backward."""
        import captum.attr

        values = captum.attr.Deconvolution(subject.scored).attribute(subject.leaf())
        return {INPUT: Explanation(values=over_channels(values))}


class GuidedGradCam(Rectified):
    r"""Guided Grad-CAM: guided backpropagation where Grad-CAM is positive.

    $$M(y, x) = \sum_c R_c(y, x) \cdot \mathrm{up}\Big( \max\Big(\sum_k \alpha_k A_k, 0\Big) \Big)(y, x)$$

    with guided backpropagation $R$, and Grad-CAM at `layer`, interpolated to the image bilinearly, as in the paper
    (linearly along each axis, where there are not two; captum's default is nearest). The layer may have its channels
    last, or be tokens. The map `input`, `(image, y, x)`, is signed and summed over the colour channels. It has no
    baseline and promises no completeness.
    """

    name = "guided_grad_cam"
    title = "Guided Grad-CAM"
    citations = {
        "selvaraju2017gradcam": "",
        "springenberg2015striving": "",
        "kokhlikyan2020captum": "the implementation",
    }
    cost = (
        "one forward and one backward pass of its own for each image and target, and one backward pass for each "
        "target, shared with the other steps"
    )

    class Options(Targeted):
        """Options of guided Grad-CAM."""

        layer: str = Field(description="layer of Grad-CAM: one with a grid; the last is usual")

    options: Options

    def needs(self) -> Needs:
        """Ask for the layer's output and the gradient of the target's score there, and for passes of its own."""
        return Needs(own_passes=True, target=self.options.target, gradients=[self.options.layer])

    def compute(self, captured: Captured) -> Result:
        """Return the map `input`, `(image, y, x)`.

        Raises:
            StepError: If the layer has no grid, or there are several of that name.
        """
        raised = _grad_cam(captured, self.options.layer)
        guided = super().compute(captured).maps[INPUT]
        # Grad-CAM is the same for all colour channels: it may be multiplied by their sum.
        return Result(maps={INPUT: replace(guided, values=(guided.values * raised).astype(guided.values.dtype))})

    def explain(self, subject: Subject) -> dict[str, Explanation]:
        """Propagate the score backward, as guided backpropagation does."""
        import captum.attr

        values = captum.attr.GuidedBackprop(subject.scored).attribute(subject.leaf())
        return {INPUT: Explanation(values=over_channels(values))}


def _grad_cam(captured: Captured, layer: str) -> np.ndarray:
    """Return the positive part of Grad-CAM at a layer on the grid of the input, `(image, y, x)`, float64."""
    import torch

    if len(captured.gradients) != 1:
        found = ", ".join(captured.gradients) or "no call of it"
        raise StepError(f"guided_grad_cam needs one layer; {layer} stands for {found}", hint="name one")
    ((name, gradient),) = captured.gradients.items()
    activation = captured.features(name)
    cells = tuple(range(2, gradient.ndim))
    weights = gradient.double().mean(cells)
    cam = torch.einsum("nk,nk...->n...", weights, activation.double())
    positive = cam.clamp(min=0)
    return captured.grid(name).raised(positive.cpu().numpy())
