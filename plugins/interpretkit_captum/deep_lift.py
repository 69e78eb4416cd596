"""DeepLIFT: differences from a baseline, propagated backward through every operation."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from pydantic import Field

from interpretkit_captum.attribution import INPUT, OwnPasses, over_channels, total
from interpretkit_captum.baselines import around
from interpretkit_captum.completeness import Explanation
from interpretkit_captum.options import Baselined, Paired, Seeded

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from torch import nn

    from interpretkit import Captured
    from interpretkit_captum.network import Subject


class WithRules(OwnPasses):
    """A method that applies DeepLIFT's rules; a network must have what is not linear as modules that have one."""

    requires = "activations and max pooling as modules, not as functions"

    @contextmanager
    def network(self, captured: Captured) -> Iterator[nn.Module]:
        """Give each call of a module with a rule a module of its own.

        Raises:
            StepError: If there is an operation without a rule.
        """
        from interpretkit_captum.rectifiers import with_rules

        network = captured.model.module
        with with_rules(captured, network):
            yield network


class DeepLift(WithRules):
    r"""DeepLIFT with the rescale rule: slopes between the baseline and the image in place of gradients.

    $$M(y, x) = \sum_c \left( I_c - I'_c \right) m_c(y, x), \qquad
      m_{\mathrm{ReLU}} = \frac{\mathrm{ReLU}(z) - \mathrm{ReLU}(z')}{z - z'}$$

    The multipliers $m$ of all operations are chained backward as gradients are; those of linear ones are the weights.
    The map `input`, `(image, y, x)`, is signed, in units of the score, and summed over the colour channels. A pixel
    that equals the baseline gets 0. Complete: all cells sum to $s(I) - s(I')$; the table `completeness` has the gap.
    """

    name = "deep_lift"
    title = "DeepLIFT"
    citations = {"shrikumar2017learning": "", "kokhlikyan2020captum": "the implementation"}
    cost = (
        "one forward and one backward pass of its own for each image and target, on image and baseline together, and "
        "two forward passes"
    )

    class Options(Baselined):
        """Options of DeepLIFT."""

    options: Options

    def explain(self, subject: Subject) -> dict[str, Explanation]:
        """Propagate the difference from the baseline."""
        baseline = subject.baseline(self.options.baseline)
        values = _deep_lift(subject, baseline)
        return {INPUT: Explanation(values=over_channels(values), total=total(values), **subject.against(baseline))}


class DeepLiftShap(WithRules):
    r"""DeepLIFT SHAP: the mean of DeepLIFT over baselines from a distribution.

    $$M(y, x) = \frac{1}{n} \sum_{i=1}^{n} \mathrm{DeepLIFT}(I, B_i)(y, x)$$

    The baselines $B_i$ are Gaussian noise of standard deviation `spread` about the baseline, the same for an image and
    a seed. The map `input`, `(image, y, x)`, is signed, in units of the score, and summed over the colour channels.
    Complete: all cells sum to the image's score less the mean score of the baselines; the table `completeness` has the
    gap.
    """

    name = "deep_lift_shap"
    title = "DeepLIFT SHAP"
    about = "Gaussian noise about "
    citations = {"lundberg2017unified": "", "shrikumar2017learning": "", "kokhlikyan2020captum": "the implementation"}
    cost = (
        "`baselines` forward and backward passes of its own for each image and target, on image and baseline together, "
        "and `baselines` + 1 forward passes"
    )

    class Options(Seeded, Baselined, Paired):
        """Options of DeepLIFT SHAP."""

        baselines: int = Field(default=8, ge=2, description="how many baselines are drawn")
        spread: float = Field(
            default=1.0, gt=0, description="standard deviation of the baselines, in units of what the network is fed"
        )

    options: Options

    def explain(self, subject: Subject) -> dict[str, Explanation]:
        """Average over baselines."""
        import torch

        options = self.options
        central = subject.baseline(options.baseline)
        baselines = around(central, count=options.baselines, spread=options.spread, seed=subject.seed)
        # captum.attr.DeepLiftShap takes all baselines in one batch; the mean over parts of them is the same.
        parts = [
            _deep_lift(subject, chunk).sum(0, keepdim=True)
            for chunk in torch.split(baselines, options.internal_batch_size // 2)
        ]
        values = torch.cat(parts).sum(0, keepdim=True) / options.baselines
        scores = subject.against(baselines, batch_size=options.internal_batch_size)
        return {INPUT: Explanation(values=over_channels(values), total=total(values), **scores)}


def _deep_lift(subject: Subject, baselines: torch.Tensor) -> torch.Tensor:
    """Return DeepLIFT of the image against each of `baselines`, `(baseline, channel, y, x)`."""
    import captum.attr

    images = subject.image.detach().expand_as(baselines).clone().requires_grad_()
    values: torch.Tensor = captum.attr.DeepLift(subject.scored).attribute(images, baselines)
    return values.detach()
