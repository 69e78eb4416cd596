"""How much an attribution map changes when the image changes too little to see."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from interpretkit import Figure, Needs, Reads, Result, StepError, Table, Visualizer, figures
from interpretkit_compare.attributions import attributions, labels
from interpretkit_compare.bars import Score, bars

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from interpretkit import Captured
    from interpretkit_compare.attributions import Attribution


class SensitivityMax(Visualizer):
    r"""How much attribution maps change under noise too weak to see: the greatest change found.

    For a map $\Phi(x)$, noise $\delta$ uniform within $\pm r$ in every pixel and channel of the network's input, and
    the class that was explained held fixed,

    $$\mathrm{SENS_{max}} = \max_{\lVert \delta \rVert_\infty \le r}
      \frac{\lVert \Phi(x + \delta) - \Phi(x) \rVert}{\lVert \Phi(x) \rVert}$$

    is computed by `captum.metrics.sensitivity_max`: the greatest of `samples` draws, a lower bound of the maximum. The
    norm is Euclidean over the cells; the paper's has no denominator, captum's has. 0 is no change at all, 1 a change
    as large as the map, and there is no upper bound. Lower is more stable. It does not say that a map is right: one
    that does not depend on the image is perfectly stable.

    Each step is computed once more for every draw. Table `sensitivity`, one row for each image and map; NaN for a map
    that is 0 everywhere.
    """

    name = "sensitivity_max"
    requires = "steps with attribution maps of the same model, in a recipe: they are computed again"
    citations = {"yeh2019infidelity": ""}
    cost = "`samples` + 1 times what the step costs that a map is from, for each map"
    yields = "scores"
    reads = Reads("attribution")

    class Options(Visualizer.Options):
        """Options of the sensitivity."""

        radius: float = Field(
            default=0.02,
            gt=0,
            description="greatest change of a value of the network's input; 0.02 is about one of 255 grey levels where "
            "the preprocessing is ImageNet's",
        )
        samples: int = Field(default=10, ge=1, le=10000, description="how many noisy images to try")
        internal_batch_size: int = Field(default=16, ge=1, description="noisy images per pass")
        seed: int = Field(default=0, ge=0, description="of the noise")

    options: Options

    def needs(self) -> Needs:
        """Ask to have earlier steps computed once more."""
        return Needs(own_passes=True)

    def compute(self, captured: Captured) -> Result:
        """Return the table `sensitivity`.

        Raises:
            StepError: If there is no attribution map, one is not finite, or its step cannot be computed once more.
        """
        rows: list[dict[str, object]] = []
        maps = attributions(captured)
        for position in range(len(captured.images)):
            for attribution in maps:
                captured.progress(len(rows), len(captured.images) * len(maps))
                greatest = self._sensitivity(captured, attribution, position)
                rows.append({**attribution.about(captured, position), "sensitivity_max": greatest})
        return Result(tables={"sensitivity": Table.of_rows(rows)})

    def draw(self, result: Result) -> Iterator[Figure]:
        """Draw the sensitivity of all maps as bars."""
        table = result.tables["sensitivity"]
        names, values = labels(table), table["sensitivity_max"]
        scores = [Score("greatest relative change (lower is more stable)", values)]
        rows = zip(names, map(figures.number, values), strict=True)
        numbers = ", ".join(f"{name} {value}" for name, value in rows)
        yield Figure(
            name="sensitivity_max",
            picture=bars(names, scores, title="Sensitivity of attribution maps to noise"),
            caption=self._caption(),
            alt=f"Bars of sensitivity: {numbers}.",
        )

    def _caption(self) -> str:
        options = self.options
        return (
            f"Greatest change of each map, relative to its Euclidean norm, in {options.samples} draws of uniform noise "
            f"within ±{options.radius:g} in the units of the network's input; the explained class is held fixed. 0: no "
            "change; 1: a change as large as the map. Lower is more stable; stable is not the same as right."
        )

    def _sensitivity(self, captured: Captured, attribution: Attribution, position: int) -> float:
        import torch
        from captum.metrics import sensitivity_max

        if captured.repeat is None:
            raise StepError("sensitivity_max has to compute earlier steps once more")
        repeat, image = captured.repeat, captured.inputs[position : position + 1]

        def explain(variants: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
            again = repeat(attribution.step, variants[0].to(image), position)
            return (torch.from_numpy(again.maps[attribution.key].values),)

        if not attribution.values(captured, position).any():
            return np.nan
        # captum draws from torch's own generator.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(captured.seed(position, self.options.seed))
            greatest = sensitivity_max(
                explain,
                image,
                perturb_radius=self.options.radius,
                n_perturb_samples=self.options.samples,
                max_examples_per_batch=min(self.options.internal_batch_size, self.options.samples),
            )
        return float(greatest[0])
