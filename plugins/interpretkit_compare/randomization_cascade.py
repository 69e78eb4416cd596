"""How long attribution maps stay as they were while a network forgets, layer by layer, what it has learned."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from interpretkit import Needs, Reads, Result, StepError, Table, Visualizer, randomized, rank_correlation
from interpretkit_compare import randomization_cascade_figure
from interpretkit_compare.attributions import attributions
from interpretkit_compare.cascade import stages
from interpretkit_compare.measures import ssim
from interpretkit_compare.shuffles import ENDS, Shuffles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from interpretkit import Captured, Figure, Map
    from interpretkit_compare.attributions import Attribution

    Measures = Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]


class RandomizationCascade(Visualizer):
    r"""How alike maps stay to those of the trained network while layers are drawn anew, from output to input.

    A map that depends on what was learned changes with the first layers that forget it, and ends where any other map
    would be. One that hardly changes shows the image and the architecture. At the last stage the whole network has
    random weights: there stands what the check `randomization` judges.

    Each stage keeps what was drawn before it. Layers are called in the order of one forward pass; what no layer holds
    or no call shows, such as the positions of tokens, is drawn last. The class that was explained is held fixed.

    Table `cascade`, one row for each image, stage and map: `rank_correlation`, Spearman's over the native cells with
    their signs, as the check has it, and `ssim`, the structural similarity. Beside them what a map brings by chance, as
    5 and 95 % quantiles: the trained network's own map, `shuffles` times mirrored and shifted around, which keeps its
    values and its smoothness. NaN where a map is the same everywhere, and `ssim` on fewer than 3 cells a side.
    """

    name = "randomization_cascade"
    requires = "steps with attribution maps of the same trained model, in a recipe: they are computed again"
    citations = {
        "adebayo2018sanity": "Section 3, cascading randomization",
        "wang2004image": "structural similarity",
        "lotwick1982methods": "chance by shifts around a torus",
    }
    cost = "one forward pass; for each image and layer drawn anew, what each step costs that is read"
    yields = "scores"
    reads = Reads("attribution")

    class Options(Visualizer.Options):
        """Options of the cascade."""

        layers: list[str] | None = Field(
            default=None,
            min_length=1,
            description="patterns of the layers that are drawn anew one after another, in the order of the network "
            "whatever theirs; by default its children with weights, sequences and lists taken apart",
        )
        shuffles: int = Field(
            default=100,
            ge=20,
            le=10000,
            description="how often the trained network's map is mirrored and shifted around, for what is by chance",
        )
        seed: int = Field(default=0, ge=0, description="of the weights, as in the check, and of the shuffles")

    options: Options

    def needs(self) -> Needs:
        """Ask to have earlier steps computed once more."""
        return Needs(own_passes=True)

    def compute(self, captured: Captured) -> Result:
        """Return the table `cascade`.

        Raises:
            StepError: If the network is untrained, there is no attribution map, one is not finite, or its step cannot
                be computed once more.
        """
        if "untrained" in captured.model.notes:
            raise StepError("the network itself has random weights: it has nothing to forget", hint="give it weights")
        maps = attributions(captured)
        chance = {
            (each.name, position): self._chance(captured, each, position)
            for each in maps
            for position in range(len(captured.images))
        }
        size = tuple(captured.inputs.shape[2:])
        cascade = stages(captured.model, self.options.layers, size)
        rows: list[dict[str, Any]] = []
        for depth, stage in enumerate(cascade, 1):
            # A copy keeps the hook that counts passes, so that these are counted too.
            model = randomized(captured.model, parts=stage.parts, seed=self.options.seed)
            for position in range(len(captured.images)):
                captured.progress(len(rows), len(cascade) * len(chance))
                image = captured.inputs[position : position + 1]
                steps = dict.fromkeys(each.step for each in maps)
                again = {step: captured.repeat(step, image, position, model=model) for step in steps}
                for each in maps:
                    found = again[each.step].maps[each.key].values[0]
                    alike = _alike(found, each.values(captured, position), each.map)
                    about = {**each.about(captured, position), "depth": depth, "layer": stage.name}
                    rows.append({**about, **alike, **chance[each.name, position]})
        return Result(tables={"cascade": Table.of_rows(rows)})

    def draw(self, result: Result) -> Iterator[Figure]:
        """Draw how alike each map is, stage by stage."""
        yield randomization_cascade_figure.draw(result, self.options)

    def _chance(self, captured: Captured, attribution: Attribution, position: int) -> dict[str, float]:
        """Return the quantiles of what each measure is of a map and itself, shuffled."""
        values = attribution.values(captured, position)
        seed = captured.seed(position, self.options.seed)
        shuffles = Shuffles.drawn(values.shape, self.options.shuffles, (seed,))
        columns: dict[str, float] = {}
        for name, measure in _measures(attribution.map).items():
            draws = np.concatenate([measure(part, values) for part in shuffles.of(values)])
            low, high = np.quantile(draws, ENDS)
            columns |= {f"{name}_chance_low": float(low), f"{name}_chance_high": float(high)}
        return columns


def _alike(found: np.ndarray, trained: np.ndarray, shown: Map) -> dict[str, float]:
    """Return how alike a map is to that of the trained network, by measure."""
    return {name: float(measure(found[None], trained)[0]) for name, measure in _measures(shown).items()}


def _measures(shown: Map) -> Measures:
    """Return the functions of maps `(…, y, x)` and a reference `(y, x)`, each `(…)`, by measure."""
    return {"rank_correlation": rank_correlation, "ssim": partial(ssim, signed=shown.polarity == "signed")}
