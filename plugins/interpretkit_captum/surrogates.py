"""Methods that fit a linear model to the scores for random choices of regions: LIME and KernelSHAP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from interpretkit import figures
from interpretkit_captum.options import Seeded
from interpretkit_captum.perturbations import OfRegions
from interpretkit_captum.regions import RegionOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import torch


class Lime(OfRegions):
    r"""LIME: the weights of a linear model of the score, fitted where only some regions of the image are kept.

    $$\min_{\beta, b} \sum_{i=1}^{n} e^{-d(z_i)^2 / 2 \kappa^2} \left( s(z_i) - b - z_i \cdot \beta \right)^2
      + \lambda \|\beta\|^2, \qquad M(y, x) = \beta_{r(y, x)}$$

    where $z_i$ says which regions are kept, each with probability one half, and $d$ is its cosine distance from all of
    them. The fit is ridge regression, as in the authors' implementation (captum's default is the lasso, and distances
    of images). The map `input`, `(image, y, x)`, is signed, in units of the score; each cell has the weight of its
    region. No gradients are taken: any network will do. It promises no completeness.
    """

    name = "lime"
    title = "LIME"
    fewest = 2
    citations = {
        "ribeiro2016why": "",
        "kokhlikyan2020captum": "the implementation",
        "achanta2012slic": "the superpixels",
    }
    cost = "`samples` forward passes of its own for each image and target, and two more"

    class Options(Seeded, RegionOptions):
        """Options of LIME."""

        samples: int = Field(default=500, ge=2, description="random choices of regions; several for each region")
        kernel_width: float = Field(default=0.25, gt=0, description="κ: how far away a choice still counts")
        penalty: float = Field(default=1.0, ge=0, description="λ: how much large weights are held back")

    options: Options

    def doubt(self, regions: int) -> str:
        """Say that there are fewer samples than regions, if so."""
        return _too_few(self.options.samples, regions)

    def attribute(self, score: Callable[[torch.Tensor], torch.Tensor], whole: torch.Tensor) -> torch.Tensor:
        """Fit the model."""
        import captum.attr
        from captum.attr._core.lime import get_exp_kernel_similarity_function

        nearness = get_exp_kernel_similarity_function("cosine", kernel_width=self.options.kernel_width)
        method = captum.attr.Lime(score, Ridge(self.options.penalty), nearness)
        values: torch.Tensor = method.attribute(
            whole, n_samples=self.options.samples, perturbations_per_eval=self.options.internal_batch_size
        )
        return values


class KernelShap(OfRegions):
    r"""KernelSHAP: Shapley values of the regions, as the weights of a linear model fitted to the score.

    $$\min_{\beta, b} \sum_{i=1}^{n} \left( s(z_i) - b - z_i \cdot \beta \right)^2, \qquad
      M(y, x) = \beta_{r(y, x)}, \qquad
      P(|z| = k) \propto \frac{1}{k (M - k)}$$

    where $z_i$ says which of $M$ regions are kept; the choices that keep none and all are among them and have a weight
    of $10^6$. The map `input`, `(image, y, x)`, is signed, in units of the score; each cell has the whole value of
    its region. No gradients are taken: any network will do. Complete, up to that weight: the values of all regions sum
    to $s(I) - s(I')$. With fewer `samples` than regions the smallest weights that fit are taken.
    """

    name = "kernel_shap"
    title = "KernelSHAP"
    complete = True
    fewest = 2
    citations = {
        "lundberg2017unified": "",
        "kokhlikyan2020captum": "the implementation",
        "achanta2012slic": "the superpixels",
    }
    cost = "`samples` forward passes of its own for each image and target, and two more"

    class Options(Seeded, RegionOptions):
        """Options of KernelSHAP."""

        samples: int = Field(default=500, ge=3, description="random choices of regions; several for each region")

    options: Options

    def doubt(self, regions: int) -> str:
        """Say that there are fewer samples than regions, if so."""
        return _too_few(self.options.samples, regions)

    def attribute(self, score: Callable[[torch.Tensor], torch.Tensor], whole: torch.Tensor) -> torch.Tensor:
        """Fit the model."""
        import captum.attr

        method = captum.attr.KernelShap(score)
        # captum's own needs scikit-learn.
        method.interpretable_model = Ridge(0.0)
        values: torch.Tensor = method.attribute(
            whole, n_samples=self.options.samples, perturbations_per_eval=self.options.internal_batch_size
        )
        return values


def _too_few(samples: int, regions: int) -> str:
    """Say that a linear model with an intercept is fitted to fewer numbers than it has; empty if it is not."""
    if samples > regions:
        return ""
    what = f"{figures.count(samples, 'sample')} for {figures.count(regions, 'region')} leave open which of them matter"
    return f"{what}; take several for each region"


class Ridge:
    """Weighted ridge regression with an intercept, in float64, as captum wants its linear models.

    Args:
        penalty: Of the squared weights; without one, and with fewer samples than weights, the smallest that fit.
    """

    def __init__(self, penalty: float) -> None:
        self._penalty = penalty
        self._weights = np.empty(0)

    def fit(self, batches: Iterable[Any]) -> None:
        """Fit the weights to batches of inputs `(sample, weight)`, outputs `(sample,)` and weights `(sample,)`."""
        parts = [_as_numpy(batch) for batch in batches]
        inputs, outputs, weights = (np.concatenate(each) for each in zip(*parts, strict=True))
        share = weights / weights.sum()
        root = np.sqrt(weights)[:, None]
        centred = root * (inputs - share @ inputs)
        meant = root[:, 0] * (outputs - share @ outputs)
        below = np.sqrt(self._penalty) * np.eye(inputs.shape[1])
        system, wanted = np.vstack([centred, below]), np.concatenate([meant, np.zeros(len(below))])
        self._weights = np.linalg.lstsq(system, wanted, rcond=None)[0]

    def representation(self) -> torch.Tensor:
        """Return the weights, `(1, weight)`."""
        import torch

        return torch.from_numpy(self._weights)[None]


def _as_numpy(batch: Iterable[torch.Tensor]) -> list[np.ndarray]:
    return [tensor.double().numpy(force=True) for tensor in batch]
