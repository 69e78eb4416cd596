"""Methods that follow the gradient on the way from a baseline to the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from interpretkit_captum.attribution import INPUT, OwnPasses, over_channels, total
from interpretkit_captum.baselines import around
from interpretkit_captum.completeness import Explanation
from interpretkit_captum.noise import noisy
from interpretkit_captum.options import Baselined, Batched, Seeded

if TYPE_CHECKING:
    from interpretkit_captum.network import Subject


class IntegratedGradients(OwnPasses):
    r"""Integrated gradients: the gradient along the straight way from a baseline to the image.

    $$M(y, x) = \sum_c \left( I_c - I'_c \right) \int_0^1
      \frac{\partial s}{\partial I_c} \Big|_{I' + \alpha (I - I')} d\alpha$$

    for the score $s$, the image $I$ and the baseline $I'$; the integral by Gauss–Legendre quadrature in `steps` points.
    The map `input`, `(image, y, x)`, is signed, in units of the score, and summed over the colour channels. A pixel
    that equals the baseline gets 0. Complete: all cells sum to $s(I) - s(I')$, up to the error of the quadrature, which
    the table `completeness` records.
    """

    name = "integrated_gradients"
    title = "Integrated gradients"
    citations = {"sundararajan2017axiomatic": "", "kokhlikyan2020captum": "the implementation"}
    cost = "`steps` forward and backward passes of its own for each image and target, and two forward passes"

    class Options(Baselined, Batched):
        """Options of integrated gradients."""

        steps: int = Field(default=50, ge=1, description="points of the quadrature")

    options: Options

    def explain(self, subject: Subject) -> dict[str, Explanation]:
        """Integrate from the baseline."""
        import captum.attr

        baseline, size = subject.baseline(self.options.baseline), self.options.internal_batch_size
        values = captum.attr.IntegratedGradients(subject.scored).attribute(
            subject.leaf(), baseline, n_steps=self.options.steps, internal_batch_size=size
        )
        scores = subject.against(baseline, batch_size=size)
        return {INPUT: Explanation(values=over_channels(values), total=total(values), **scores)}


class GradientShap(OwnPasses):
    r"""GradientSHAP: the expected gradient between baselines from a distribution and the image.

    $$M(y, x) = \frac{1}{n} \sum_{i=1}^{n} \sum_c \left( I_c + \epsilon_i - B_{i,c} \right)
      \frac{\partial s}{\partial I_c} \Big|_{B_i + \alpha_i (I + \epsilon_i - B_i)}, \qquad
      \alpha_i \sim \mathcal{U}(0, 1)$$

    The baselines $B_i$ are Gaussian noise of standard deviation `spread` about the baseline; $\epsilon_i$ is noise on
    the image, none by default. The map `input`, `(image, y, x)`, is signed, in units of the score, and summed over the
    colour channels. Complete in expectation: the cells sum to the image's score less the mean score of the baselines,
    as far as `samples` are enough; the table `completeness` says how far. The random numbers depend on the image, the
    seed and the number of the sample only.
    """

    name = "gradient_shap"
    title = "GradientSHAP"
    about = "Gaussian noise about "
    citations = {"lundberg2017unified": "", "kokhlikyan2020captum": "the implementation"}
    cost = (
        "`samples` forward and backward passes of its own for each image and target, and `samples` + 1 forward passes"
    )

    class Options(Seeded, Baselined, Batched):
        """Options of GradientSHAP."""

        samples: int = Field(default=25, ge=1, description="baselines, and points between them and the image")
        spread: float = Field(
            default=1.0, ge=0, description="standard deviation of the baselines, in units of what the network is fed"
        )
        noise: float = Field(
            default=0.0,
            ge=0,
            description="standard deviation of the noise on the image, as a share of the range of its values",
        )

    options: Options

    def explain(self, subject: Subject) -> dict[str, Explanation]:
        """Average over baselines, points and noise."""
        import torch
        from captum.attr._core.gradient_shap import InputBaselineXGradient

        from interpretkit_captum.network import seeded

        options, scored = self.options, subject.scored
        size, samples = options.internal_batch_size, options.samples
        central = subject.baseline(options.baseline)
        # captum.attr.GradientShap takes all samples in one batch, and draws its numbers in an order that depends on
        # their number; this is what it averages over them. It draws α from numpy, one number for each sample.
        method = InputBaselineXGradient(scored)
        baselines = around(central, count=samples, spread=options.spread, seed=subject.seed ^ 1)
        copies = noisy(subject, samples=samples, noise=options.noise, size=size)
        with seeded(subject.seed):
            parts = [
                method.attribute(image.requires_grad_(), baseline).detach().sum(0, keepdim=True)
                for image, baseline in zip(copies, torch.split(baselines, size), strict=True)
            ]
        values = torch.cat(parts).sum(0, keepdim=True) / samples
        scores = subject.against(baselines, batch_size=size)
        return {INPUT: Explanation(values=over_channels(values), total=total(values), **scores)}
