"""Layer-wise relevance propagation, on a copy of the network: captum changes weights on the way."""

from __future__ import annotations

from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from interpretkit import StepError, Targeted
from interpretkit_captum.attribution import INPUT, OwnPasses, over_channels, total
from interpretkit_captum.completeness import Explanation

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from torch import nn

    from interpretkit import Captured, Target
    from interpretkit_captum.network import Subject


class Lrp(OwnPasses):
    r"""Layer-wise relevance propagation: the score is shared out backward, layer by layer, in proportion.

    $$R_j = \sum_k \frac{a_j\, \rho(w_{jk})}{\epsilon\, \mathrm{sign}(z_k) + z_k}\, R_k, \qquad
      z_k = \sum_j a_j\, \rho(w_{jk}) + b_k$$

    for activations $a$ and weights $w$. `epsilon`: $\rho(w) = w$; with a tiny $\epsilon$ it is LRP-0, which is input ×
    gradient in a network of ReLUs. `gamma`: $\rho(w) = w + \gamma \max(w, 0)$ in convolutions and linear layers, which
    favours what speaks for the score. `alpha1_beta0`: $\rho(w) = \max(w, 0)$ there. All other layers follow `epsilon`.
    The map `input`, `(image, y, x)`, is signed, in units of the score, and summed over the colour channels. There is no
    baseline. Conserved: all cells sum to the score, less what biases and $\epsilon$ absorb; the table `completeness`
    says how much. A contrast is the difference of the relevances of its two classes.

    Every operation must be a module with a rule: convolutions, batch normalisations, linear layers, poolings, ReLU,
    tanh, dropout, flattening, or one that only adds up branches. Branches that meet by a `+` outside of one have none.
    """

    name = "lrp"
    requires = "modules that have a rule: convolutions, linear layers, batch normalisation, pooling, ReLUs"
    title = "LRP"
    citations = {"bach2015pixel": "", "montavon2019layer": "the rules", "kokhlikyan2020captum": "the implementation"}
    cost = (
        "two forward passes and one backward pass of its own for each image and target, twice for a contrast, and one "
        "forward pass"
    )

    class Options(Targeted):
        """Options of layer-wise relevance propagation."""

        rule: Literal["epsilon", "gamma", "alpha1_beta0"] = Field(
            default="epsilon", description="rule of convolutions and linear layers; all others follow epsilon"
        )
        epsilon: float = Field(default=1e-9, gt=0, description="ε of the rule epsilon: absorbs weak relevance")
        gamma: float = Field(default=0.25, gt=0, description="γ of the rule gamma: how much positive weights gain")

    options: Options

    @contextmanager
    def network(self, captured: Captured) -> Iterator[nn.Module]:
        """Make a copy, in which each call of an activation function is a module of its own.

        Raises:
            StepError: If an operation has no rule, or the network cannot be copied.
        """
        from interpretkit_captum.relevance import with_relevance

        try:
            network = deepcopy(captured.model.module)
        except Exception as error:
            raise StepError(
                f"LRP changes weights on its way, and the network cannot be copied for that: {error}",
                hint="let it keep neither activations nor locks; integrated_gradients and occlusion take it as it is",
            ) from error
        with with_relevance(captured, network):
            yield network

    def explain(self, subject: Subject) -> dict[str, Explanation]:
        """Share out the score, or the scores of both classes of a contrast."""
        import torch

        terms = subject.model.output_of(subject.target).terms(subject.target)
        shares = [term.weight * self._relevance(subject, term.target) for term in terms]
        values = torch.stack(shares).sum(0)
        score = float(subject.scores(subject.image))
        return {INPUT: Explanation(values=over_channels(values), score=score, total=total(values))}

    def _relevance(self, subject: Subject, target: Target) -> torch.Tensor:
        import captum.attr

        from interpretkit_captum.relevance import set_rules

        options = self.options
        set_rules(subject.network, options.rule, epsilon=options.epsilon, gamma=options.gamma)
        values: torch.Tensor = captum.attr.LRP(replace(subject, target=target).scored).attribute(subject.leaf())
        return values.detach()
