"""Whether an attribution map predicts what the score does when the image is perturbed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from interpretkit import Needs, Reads, Result, Table, Visualizer
from interpretkit_compare import infidelity_figure
from interpretkit_compare.attributions import attributions
from interpretkit_compare.perturbed import PerturbedOptions
from interpretkit_compare.predictions import by_chance, compared, interval

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interpretkit import Captured, Figure, Grid, Target


class Infidelity(Visualizer):
    r"""How badly attribution maps predict what the score does when parts of the image are turned down or up.

    Every cell $c$ of the map's native grid is moved by a random share $a_c \sim N(0, \sigma^2)$ of the way from the
    image $x$ to the baseline $b$: $x' = x - a \odot (x - b)$, all channels and pixels of a cell alike. A map $m$ whose
    cells are what each part of the image contributes to the score predicts a drop of $\sum_c a_c m_c$. What the score
    does drop by is $f(x) - f(x')$, and

    $$\mathrm{INFD} = E_a \Big[\Big(\beta \sum_c a_c m_c - (f(x) - f(x'))\Big)^2\Big]$$

    is Yeh et al.'s infidelity with their optimal scale $\beta = E[p\,\Delta] / E[p^2]$ for predicted $p$ and actual
    $\Delta$: what `captum.metrics.infidelity(normalize=True)` computes of a map that is spread evenly over the pixels
    and channels of its cells. It is 0 at best, in squared units of the score, and lower is better. `relative` is that
    divided by $E[\Delta^2]$: 0 where the map predicts every change, 1 where it predicts none. `unscaled` has
    $\beta = 1$, for maps that are in units of the score. `scale` is $\beta$: about 1 for those; below 0, the map points
    the wrong way, which a low infidelity does not show.

    The perturbation is a share of the way to a baseline, and not noise on the pixels, since a map without channels says
    what a place contributes, not what a change of a value brings. So the number makes sense for maps that share out the
    score: input × gradient and integrated gradients with the same baseline, DeepLift, Shapley values, occlusion, and
    CAMs up to their scale. For maps of |gradient| it says only whether their large values lie where the image counts.
    Choose the `fill` that the map has as its baseline, where it has one. Maps of different grids are perturbed
    differently and are not to be compared.

    The scale is fitted to the same perturbations, so a map that predicts nothing does not have 1, but $1 - 1/n$ of $n$
    perturbations in the mean: $\cos^2$ between a random direction in $n$ dimensions and any other is $1/n$. The column
    `chance` is that mean, `chance_low` and `chance_high` are the 5 % and the 95 % quantile. `relative_low` and
    `relative_high` are those of `relative` over bootstrap samples of the perturbations, each with a scale of its own.

    Table `infidelity`, one row for each image and map.
    """

    name = "infidelity"
    requires = "steps with attribution maps of the same model"
    citations = {"yeh2019infidelity": "", "efron1993bootstrap": "the interval: percentiles of resamples"}
    cost = "`samples` + 2 forward passes for each map"
    yields = "scores"
    reads = Reads("attribution")

    class Options(PerturbedOptions):
        """Options of the infidelity."""

        sigma: float = Field(default=0.2, gt=0, description="standard deviation of the shares")
        samples: int = Field(default=64, ge=2, le=100000, description="how many perturbed images")
        seed: int = Field(default=0, ge=0, description="of the shares, and of the resamples of the interval")

    options: Options

    def needs(self) -> Needs:
        """Ask for the model, to run it on perturbed images."""
        return Needs(own_passes=True)

    def compute(self, captured: Captured) -> Result:
        """Return the table `infidelity`.

        Raises:
            StepError: If there is no attribution map, or one explains no class or another model.
        """
        rows: list[dict[str, object]] = []
        maps = attributions(captured)
        chance = by_chance(self.options.samples)._asdict()
        for position in range(len(captured.images)):
            for attribution in maps:
                captured.progress(len(rows), len(captured.images) * len(maps))
                target = attribution.target(captured, position)
                values = attribution.values(captured, position)
                shares, drops = self._drops(captured, position, target, attribution.grid)
                predicted = shares @ values.ravel()
                scores = compared(predicted, drops)
                resampling = np.random.default_rng((captured.seed(position, self.options.seed), 1))
                low, high = interval(predicted, drops, resampling)
                reach = {"relative_low": low, "relative_high": high}
                rows.append({**attribution.about(captured, position), **scores._asdict(), **reach, **chance})
        return Result(tables={"infidelity": Table.of_rows(rows)})

    def draw(self, result: Result) -> Iterator[Figure]:
        """Draw the relative infidelity of all maps as bars, beside what chance brings; a wrong sign is said."""
        yield infidelity_figure.draw(result.tables["infidelity"], self.options)

    def _drops(self, captured: Captured, position: int, target: Target, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
        """Return the shares of each perturbed image, `(sample, cell)`, and by how much its score is lower, float64."""
        import torch

        model, options = captured.model, self.options
        image = captured.inputs[position : position + 1]
        way = image - model.baseline(image, options.fill, blur=options.blur)
        cells = torch.from_numpy(grid.nearest).to(image.device)
        generator = np.random.default_rng(captured.seed(position, options.seed))
        shares = options.sigma * generator.standard_normal((options.samples, math.prod(grid.cells)))
        scores = []
        for start in range(0, options.samples, options.internal_batch_size):
            some = torch.from_numpy(shares[start : start + options.internal_batch_size]).to(image)
            of_pixels = some[:, cells][:, None]
            scores.append(model.scores(image - of_pixels * way, [target]).double().cpu())
        score = model.scores(image, [target]).double().cpu()
        return shares, (score - torch.cat(scores)).numpy()
