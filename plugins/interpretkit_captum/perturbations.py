"""Methods that take parts of an image away: what the score loses is theirs."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field, model_validator

from interpretkit import StepError, figures
from interpretkit_captum.attribution import INPUT, OwnPasses, total
from interpretkit_captum.completeness import Explanation
from interpretkit_captum.options import Baselined, Batched, Seeded
from interpretkit_captum.regions import RegionOptions, kept, regions_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from interpretkit_captum.network import Subject


class Occlusion(OwnPasses):
    r"""Occlusion: what the score loses when a window of the image is covered.

    $$M(y, x) = \frac{1}{|W(y, x)|} \sum_{w \in W(y, x)} s(I) - s(I \text{ covered by the baseline in } w)$$

    where $W(y, x)$ are the windows over the pixel, `stride` apart; the last ones are cut off at the border. All colour
    channels are covered together. The map `input`, `(image, y, x)`, is signed, in units of the score: each cell has the
    mean over its windows, and nothing is divided among the cells. No gradients are taken: any network will do.
    """

    name = "occlusion"
    title = "Occlusion"
    joined = "each pixel with the mean of what the score loses by the windows over it"
    citations = {"zeiler2014visualizing": "", "kokhlikyan2020captum": "the implementation"}
    cost = (
        "one forward pass of its own for each window of each image and target, (1 + ⌈(side − `window`) / `stride`⌉)², "
        "and three more"
    )

    class Options(Baselined, Batched):
        """Options of occlusion."""

        window: int = Field(default=32, ge=1, description="side of the square window in pixels")
        stride: int = Field(default=16, ge=1, description="from one window to the next in pixels; at most the window")

        @model_validator(mode="after")
        def _no_gaps(self) -> Self:
            if self.stride > self.window:
                raise ValueError(f"a stride of {self.stride} leaves pixels that no window of {self.window} covers")
            return self

    options: Options

    def explain(self, subject: Subject) -> dict[str, Explanation]:
        """Cover one window after the other."""
        import captum.attr

        options, (channels, *size) = self.options, subject.image.shape[1:]
        if options.window > min(size):
            raise StepError(
                f"a window of {options.window} pixels does not fit into an image of {figures.shape(size)}",
                hint="choose a smaller window",
            )
        window = [options.window] * len(size)
        stride = [options.stride] * len(size)
        baseline = subject.baseline(options.baseline)
        values = captum.attr.Occlusion(subject.scored).attribute(
            subject.image,
            sliding_window_shapes=(channels, *window),
            strides=(channels, *stride),
            baselines=baseline,
            perturbations_per_eval=options.internal_batch_size,
        )
        # Covered together, the channels have the same value.
        return {INPUT: Explanation(values=values[0, 0].to(subject.image), **subject.against(baseline))}


class OfRegions(OwnPasses):
    """A method that gives each region of the image one number."""

    joined = "each pixel with the value of its region"
    complete: ClassVar[bool] = False
    """Whether the values of all regions sum to what the score exceeds the baseline's by."""

    fewest: ClassVar[int] = 1
    """How many regions it needs at least."""

    class Options(RegionOptions):
        """Which regions."""

    options: RegionOptions

    def explain(self, subject: Subject) -> dict[str, Explanation]:
        """Take regions away.

        Raises:
            StepError: If there are too few regions.
            PluginError: If superpixels are wanted and scikit-image is not installed.
        """
        from interpretkit_captum.network import seeded

        baseline = subject.baseline(self.options.baseline)
        regions = regions_of(subject, self.options)
        count = int(regions.max()) + 1
        if count < self.fewest:
            raise StepError(
                f"{self.name} needs at least {self.fewest} regions, and the image has {count}",
                hint="choose a smaller patch, or more superpixels",
            )
        with seeded(subject.seed):
            values = self.attribute(kept(subject, regions, baseline), subject.image.new_ones(1, count))[0]
        shown = values.to(subject.image)[regions]
        sums = total(values) if self.complete else None
        doubt = self.doubt(count)
        return {INPUT: Explanation(values=shown, total=sums, doubt=doubt, **subject.against(baseline))}

    def doubt(self, regions: int) -> str:  # noqa: ARG002 - most look at every region
        """Say why the values of so many regions should not be relied on; by default there is no reason."""
        return ""

    @abstractmethod
    def attribute(self, score: Callable[[torch.Tensor], torch.Tensor], whole: torch.Tensor) -> torch.Tensor:
        """Return one number for each region, `(1, region)`.

        Args:
            score: From which regions are kept, `(variant, region)` of 0 and 1, to the score, `(variant,)`.
            whole: All regions kept, `(1, region)`.
        """


class FeatureAblation(OfRegions):
    r"""Feature ablation: what the score loses when one region of the image is replaced by the baseline.

    $$M(y, x) = s(I) - s(I \text{ with the baseline in } r(y, x))$$

    for the region $r$ of a pixel, all colour channels together. The map `input`, `(image, y, x)`, is signed, in units
    of the score; each cell has the whole value of its region. No gradients are taken: any network will do. It promises
    no completeness: what two regions show alike is missed in neither.
    """

    name = "feature_ablation"
    title = "Feature ablation"
    citations = {"kokhlikyan2020captum": "the implementation", "achanta2012slic": "the superpixels"}
    cost = "one forward pass of its own for each region of each image and target, and three more"

    def attribute(self, score: Callable[[torch.Tensor], torch.Tensor], whole: torch.Tensor) -> torch.Tensor:
        """Take away one region after the other."""
        import captum.attr

        values: torch.Tensor = captum.attr.FeatureAblation(score).attribute(
            whole, perturbations_per_eval=self.options.internal_batch_size
        )
        return values


class ShapleyValueSampling(OfRegions):
    r"""Shapley value sampling: what a region adds to those before it, averaged over random orders.

    $$M(y, x) = \frac{1}{n} \sum_{\pi} s(\text{regions up to } r \text{ in } \pi) - s(\text{regions before } r
      \text{ in } \pi)$$

    for the region $r$ of a pixel and `samples` random orders $\pi$, from the baseline to the whole image; all
    colour channels of a region together. The map `input`, `(image, y, x)`, is signed, in units of the score; each cell
    has the whole value of its region. No gradients are taken: any network will do. Complete for any number of orders:
    the values of all regions sum to $s(I) - s(I')$. captum adds them up in float32.
    """

    name = "shapley_value_sampling"
    title = "Shapley values"
    complete = True
    citations = {
        "castro2009polynomial": "",
        "kokhlikyan2020captum": "the implementation",
        "achanta2012slic": "the superpixels",
    }
    cost = "`samples` forward passes of its own for each region of each image and target, and three more"

    class Options(Seeded, RegionOptions):
        """Options of Shapley value sampling."""

        samples: int = Field(default=25, ge=1, description="random orders of the regions")

    options: Options

    def attribute(self, score: Callable[[torch.Tensor], torch.Tensor], whole: torch.Tensor) -> torch.Tensor:
        """Add the regions in random orders."""
        import captum.attr

        values: torch.Tensor = captum.attr.ShapleyValueSampling(score).attribute(
            whole, n_samples=self.options.samples, perturbations_per_eval=self.options.internal_batch_size
        )
        return values
