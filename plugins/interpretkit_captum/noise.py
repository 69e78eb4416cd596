"""Gradients of noisy copies of an image: their mean and their variance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

from pydantic import Field

from interpretkit_captum.attribution import INPUT, OwnPasses, over_channels
from interpretkit_captum.completeness import Explanation
from interpretkit_captum.options import Batched, Seeded

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from interpretkit_captum.network import Subject


class NoiseOptions(Seeded, Batched):
    """How much noise, how often, and what is computed of the noisy copies."""

    attribution: Literal["gradient", "input_x_gradient"] = Field(
        default="gradient", description="what is computed of each noisy copy: the gradient, or the copy times it"
    )
    samples: int = Field(default=25, ge=2, description="noisy copies of each image")
    noise: float = Field(
        default=0.15,
        gt=0,
        description="standard deviation of the Gaussian noise, as a share of the range of the image's values",
    )


class OfNoise(OwnPasses):
    """A method that reads the attributions of noisy copies."""

    cost = "`samples` forward and backward passes of its own for each image and target"

    class Options(NoiseOptions):
        """How much noise, and how often."""

    options: NoiseOptions

    def attributions(self, subject: Subject) -> Iterator[torch.Tensor]:
        """Yield the attributions of noisy copies, `(sample, channel, y, x)`, `internal_batch_size` at a time."""
        import captum.attr

        scored = subject.scored
        if self.options.attribution == "gradient":
            method = captum.attr.Saliency(scored)
            more = {"abs": False}
        else:
            method, more = captum.attr.InputXGradient(scored), {}
        for copies in noisy(
            subject, samples=self.options.samples, noise=self.options.noise, size=self.options.internal_batch_size
        ):
            yield method.attribute(copies.requires_grad_(), **more).detach()


class SmoothGrad(OfNoise):
    r"""SmoothGrad: the mean gradient over noisy copies of the image.

    $$M(y, x) = \frac{1}{n} \sum_{i=1}^{n} \sum_c \frac{\partial s}{\partial I_c(y, x)} \Big|_{I + \epsilon_i},
      \qquad \epsilon_i \sim \mathcal{N}(0, \sigma^2), \quad \sigma = \text{noise} \cdot (\max I - \min I)$$

    or, with `attribution: input_x_gradient`, the mean of the noisy copy times its gradient. The map `input`,
    `(image, y, x)`, is signed and summed over the colour channels. There is no baseline and no completeness. The noise
    of a sample depends on the image, the seed and the number of the sample only.
    """

    name = "smooth_grad"
    title = "SmoothGrad"
    citations = {"smilkov2017smoothgrad": "", "kokhlikyan2020captum": "the implementation"}

    def explain(self, subject: Subject) -> dict[str, Explanation]:
        """Return the mean of the attributions."""
        summed = sum(each.sum(0, keepdim=True) for each in self.attributions(subject))
        mean = cast("torch.Tensor", summed) / self.options.samples
        return {INPUT: Explanation(values=over_channels(mean))}


class VarGrad(OfNoise):
    r"""VarGrad: how much the gradient varies over noisy copies of the image.

    $$M(y, x) = \sum_c \frac{1}{n} \sum_{i=1}^{n} \left( g_{i,c}(y, x) - \bar g_c(y, x) \right)^2, \qquad
      g_i = \frac{\partial s}{\partial I} \Big|_{I + \epsilon_i}$$

    with the noise of SmoothGrad. The map `input`, `(image, y, x)`, is unsigned, a variance: large where the slope of
    the score changes near the image. The variances of the colour channels are summed. There is no baseline and no
    completeness.
    """

    name = "var_grad"
    title = "VarGrad"
    joined = "variances summed over the colour channels"
    citations = {"adebayo2018local": "", "kokhlikyan2020captum": "the implementation"}
    polarity = "unsigned"

    def explain(self, subject: Subject) -> dict[str, Explanation]:
        """Return the variance of the attributions."""
        import torch

        count, mean, squares = 0, torch.zeros_like(subject.image), torch.zeros_like(subject.image)
        # The mean of squares less the square of the mean would cancel in float32.
        for each in (sample for chunk in self.attributions(subject) for sample in chunk):
            count += 1
            step = each - mean
            mean = mean + step / count
            squares = squares + step * (each - mean)
        return {INPUT: Explanation(values=over_channels(squares / count))}


def noisy(subject: Subject, *, samples: int, noise: float, size: int) -> Iterator[torch.Tensor]:
    """Yield noisy copies of an image, `(sample, channel, y, x)`, up to `size` at a time.

    The samples are drawn one by one: drawn together, their numbers would depend on how many there are. The numbers are
    those that captum draws after `torch.manual_seed(subject.seed)`, if it is told to draw one sample at a time.

    Args:
        subject: The image, and the seed.
        samples: How many.
        noise: Standard deviation as a share of the range of the image's values.
        size: How many at a time.
    """
    import torch

    image = subject.image.detach()
    generator = torch.Generator().manual_seed(subject.seed)
    deviation = torch.full(image.shape, noise * float(image.max() - image.min()))
    for start in range(0, samples, size):
        count = min(size, samples - start)
        drawn = torch.cat([torch.normal(0.0, deviation, generator=generator) for _ in range(count)])
        yield image + drawn.to(image)
