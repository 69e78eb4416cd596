"""Methods that read the gradient for the input, which all steps share: they make no pass of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from interpretkit import Needs, Result
from interpretkit_captum.attribution import INPUT, Attribution

if TYPE_CHECKING:
    import torch

    from interpretkit import Captured


class Saliency(Attribution):
    r"""Saliency: how much the score reacts to a small change of each pixel, whatever the direction.

    $$M(y, x) = \max_c \left| \frac{\partial s}{\partial I_c(y, x)} \right|$$

    for the score $s$ (a logit, or a difference of two) and the image $I$ as the network is fed. The greatest of the
    colour channels is taken, as in the paper: a sum of gradients could cancel. The map `input`, `(image, y, x)`, is
    unsigned, in units of the score per unit of the normalised image. It says where the score is sensitive, not what
    made it so high; it promises no completeness, and has no baseline.
    """

    name = "saliency"
    title = "Saliency"
    joined = "the greatest |gradient| of the colour channels"
    citations = {"simonyan2014deep": ""}
    cost = "one backward pass for each target, shared with the other steps"
    polarity = "unsigned"

    def needs(self) -> Needs:
        """Ask for the gradient of the target's score for the input."""
        return Needs(input_gradient=True, target=self.options.target)

    def compute(self, captured: Captured) -> Result:
        """Return the map `input`, `(image, y, x)`."""
        gradient = cast("torch.Tensor", captured.input_gradient)
        return Result(maps={INPUT: captured.map(INPUT, gradient.abs().amax(1), polarity="unsigned")})


class InputXGradient(Attribution):
    r"""Input × gradient: each pixel's value times the slope of the score there.

    $$M(y, x) = \sum_c I_c(y, x)\, \frac{\partial s}{\partial I_c(y, x)}$$

    for the score $s$ and the image $I$ as the network is fed. The map `input`, `(image, y, x)`, is signed, in units of
    the score, and summed over the colour channels. The baseline is implied: 0 as the network is fed, mostly the mean
    colour of the training; a pixel of that colour gets 0. The sum is the score only where the network is
    piecewise linear and has no biases, so completeness is not promised.
    """

    name = "input_x_gradient"
    title = "Input × gradient"
    citations = {"shrikumar2016not": ""}
    cost = "one backward pass for each target, shared with the other steps"

    def needs(self) -> Needs:
        """Ask for the gradient of the target's score for the input."""
        return Needs(input_gradient=True, target=self.options.target)

    def compute(self, captured: Captured) -> Result:
        """Return the map `input`, `(image, y, x)`."""
        gradient = cast("torch.Tensor", captured.input_gradient)
        return Result(maps={INPUT: captured.map(INPUT, (captured.inputs * gradient).sum(1), polarity="signed")})
