"""What the score does when an image is taken away, or put back, in the order of an attribution map."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from interpretkit import Figure, Needs, Reads, Result, Table, Visualizer, figures
from interpretkit_compare.attributions import attributions
from interpretkit_compare.perturbed import IN_WORDS, PerturbedOptions, cells_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import torch
    from matplotlib.axes import Axes

    from interpretkit import Captured, Target
    from interpretkit_compare.attributions import Attribution

_STYLES: dict[str, dict[str, Any]] = {
    "map": {"color": "#0072b2", "lw": 1.8},
    "random": {"color": "#57606a", "lw": 1.2, "ls": "--"},
    "reverse": {"color": "#d55e00", "lw": 1.2, "ls": ":"},
}
_LINE = 26  # characters beside a panel
_ROOM = 0.5  # of the height of the curves, for a legend
_BETTER = {"deletion": "lower", "insertion": "higher"}


class Curve(NamedTuple):
    """Scores by the share of pixels that have been replaced."""

    fractions: np.ndarray
    scores: np.ndarray

    @property
    def area(self) -> float:
        """Area under it, by trapezoids: the mean score along the way."""
        return float(np.diff(self.fractions) @ (self.scores[1:] + self.scores[:-1]) / 2)


class DeletionInsertion(Visualizer):
    r"""Deletion and insertion curves of attribution maps, and the area under them.

    Deletion takes the image away cell by cell, the cell with the greatest value of the map first, and watches the score
    of the class that the map explains; insertion always starts from the blurred image and puts the image back in the
    same order. With $s(q)$ the score when the share $q$ of the pixels is replaced,

    $$\mathrm{AUC} = \int_0^1 s(q)\, dq$$

    by trapezoids: the mean score along the way. Deletion is better when it is lower, insertion when it is higher. An
    AUC says nothing by itself, since it hangs on the image, the class and the grid. So the same is done in random
    orders (the mean over `random_orders` of them) and in the reverse order of the map. `gain` is by how much the map
    beats random order: above 0 is better than random in both curves, and higher is better.

    A cell of the map's native grid goes as a whole, with every pixel whose centre lies in it: a 7×7 map says nothing
    about the order within a cell, and interpolating it would make one up. Maps of one grid can be compared by AUC;
    those of different grids only each with its own random order, since pixels taken away one by one leave other
    pictures than whole blocks. Signed maps are ordered with their sign. Equal cells come in a random order that the
    seed decides, which favours no side of the image.

    The score is the probability of the class (softmax over all classes, unless the network ends in one), or its logit.
    What has no probability is watched by its score: a contrast by the difference of its logits. Tables `auc` (one row
    for each image, map and curve) and `curves` (all points).

    It cannot tell a map that finds what the network uses from one that finds where strange images fool it: images with
    holes are nothing the network was trained on.
    """

    name = "deletion_insertion"
    requires = "steps with attribution maps of the same model"
    citations = {"petsiuk2018rise": "section 4.2, deletion and insertion"}
    cost = "about 4 · `steps` forward passes for each map, and 2 · `random_orders` · `steps` for each class and grid"
    yields = "scores"
    reads = Reads("attribution")

    class Options(PerturbedOptions):
        """Options of deletion and insertion."""

        steps: int = Field(
            default=25, ge=1, le=10000, description="in how many steps the image is replaced; at most one for each cell"
        )
        score: Literal["probability", "logit"] = Field(
            default="probability",
            description="what is watched; what has no probability, such as a contrast, is always watched by its score",
        )
        random_orders: int = Field(default=2, ge=1, le=1000, description="random orders to take the mean over")
        seed: int = Field(default=0, ge=0, description="of the random orders, and of the order of equal cells")

    options: Options

    def needs(self) -> Needs:
        """Ask for the model, to run it on images with parts replaced."""
        return Needs(own_passes=True)

    def compute(self, captured: Captured) -> Result:
        """Return the tables `auc` and `curves`.

        Raises:
            StepError: If there is no attribution map, or one explains no class or another model.
        """
        areas: list[dict[str, object]] = []
        points: list[Table] = []
        maps = attributions(captured)
        for position in range(len(captured.images)):
            # Maps of one grid that explain the same class share their random orders.
            random: dict[tuple[object, ...], dict[str, Curve]] = {}
            for number, each in enumerate(maps):
                captured.progress(position * len(maps) + number, len(captured.images) * len(maps))
                watched = _Watched(captured, position, each.target(captured, position), self.options)
                ranks = self._ranks(captured, each, position)
                same = (each.map.values.shape[1:], str(watched.target.spec))
                if same not in random:
                    random[same] = watched.mean_curves(ranks["random"])
                orders = {order: watched.curves(ranks[order][0]) for order in ("map", "reverse")}
                orders["random"] = random[same]
                for curve in _BETTER:
                    about = each.about(captured, position)
                    areas.append({**about, "score": watched.scored, "curve": curve, **_areas(curve, orders)})
                    points += [_points(about, curve, order, found[curve]) for order, found in orders.items()]
        return Result(tables={"auc": Table.of_rows(areas), "curves": Table.stacked(points)})

    def draw(self, result: Result) -> Iterator[Figure]:
        """Draw one row for each map: its deletion curve and its insertion curve, beside random and reverse order."""
        areas, points = result.tables["auc"], result.tables["curves"]
        names = list(dict.fromkeys(areas["attribution"].tolist()))
        figure = figures.chart(8.4, 1.2 + 2.9 * len(names), title="Deletion and insertion in the order of each map")
        panels = figure.subplots(len(names), len(_BETTER), sharex=True, sharey="row", squeeze=False)
        for row, name in zip(panels, names, strict=True):
            for panel, curve in zip(row, _BETTER, strict=True):
                area = areas.where("attribution", name).where("curve", curve)
                _plot(panel, area, points.where("attribution", name).where("curve", curve))
            # The legends stand above the curves and cover none.
            low, high = row[0].get_ylim()
            # No tick where only the legend is: there is no probability above 1.
            row[0].set_yticks([tick for tick in row[0].get_yticks() if low <= tick <= high])
            row[0].set_ylim(low, high + _ROOM * (high - low))
        options = self.options
        caption = (
            "Score while the image is replaced cell by cell of each map's native grid, greatest value first. "
            f"Deletion: by {IN_WORDS[options.fill]}; lower is better. Insertion: of the blurred image (Gaussian, "
            f"standard deviation {options.blur:g} of the shorter side) by the image; higher is better. An AUC means "
            f"something only beside that of random order, here the mean of {options.random_orders}. Images with holes "
            "are none that the network was trained on."
        )
        rows = zip(areas["attribution"], areas["curve"], areas["auc"], areas["auc_random"], strict=True)
        numbers = "; ".join(
            f"{name}, {curve}: {figures.number(area)} (random {figures.number(other)})"
            for name, curve, area, other in rows
        )
        picture = figures.picture(figure)
        yield Figure(name="curves", picture=picture, caption=caption, alt=f"Areas under the curves: {numbers}.")

    def _ranks(self, captured: Captured, each: Attribution, position: int) -> dict[str, list[np.ndarray]]:
        """Return when each cell is replaced, counted from 0, by order: of the map, its reverse, at random."""
        values = each.values(captured, position).ravel()
        generator = np.random.default_rng(captured.seed(position, self.options.seed))
        random = [generator.permutation(values.size) for _ in range(self.options.random_orders)]
        # Cells of equal value stay in a random order, since sorting is stable.
        shuffled = generator.permutation(values.size)
        order = shuffled[np.argsort(-values[shuffled], kind="stable")]
        ranks = np.empty(values.size, np.int64)
        ranks[order] = np.arange(values.size)
        shape = each.map.values.shape[1:]
        found = {"map": [ranks], "reverse": [values.size - 1 - ranks], "random": random}
        return {name: [one.reshape(shape) for one in several] for name, several in found.items()}


class _Watched:
    """One image whose score for one target is watched while its pixels are replaced."""

    def __init__(self, captured: Captured, position: int, target: Target, options: DeletionInsertion.Options) -> None:
        self.target = target
        likely = not (math.isnan(target.probability) or target.against_label)
        self.scored = "probability" if likely and options.score == "probability" else target.quantity
        self._model = captured.model
        self._options = options
        image = captured.inputs[position : position + 1]
        self._image = image
        self._deleted = self._model.baseline(image, options.fill, blur=options.blur)
        self._blurred = self._model.baseline(image, "blurred", blur=options.blur)

    def curves(self, ranks: np.ndarray) -> dict[str, Curve]:
        """Return the deletion and the insertion curve of the cells of a grid `(y, x)` in the order of their ranks."""
        return {
            "deletion": self._curve(self._image, self._deleted, ranks),
            "insertion": self._curve(self._blurred, self._image, ranks),
        }

    def mean_curves(self, several: Sequence[np.ndarray]) -> dict[str, Curve]:
        """Return the means of the curves in several orders."""
        found = [self.curves(ranks) for ranks in several]
        return {
            curve: Curve(*(np.mean([getattr(each[curve], part) for each in found], axis=0) for part in Curve._fields))
            for curve in _BETTER
        }

    def _curve(self, before: torch.Tensor, after: torch.Tensor, ranks: np.ndarray) -> Curve:
        """Return the scores while the pixels of one image are replaced by those of another."""
        import torch

        cells = cells_of((ranks.shape[0], ranks.shape[1]), (before.shape[-2], before.shape[-1]))
        when = torch.from_numpy(ranks.ravel())[cells].to(before.device)
        counts = np.unique(np.linspace(0, ranks.size, min(self._options.steps, ranks.size) + 1).round().astype(int))
        fractions, scores = [], []
        for start in range(0, len(counts), self._options.internal_batch_size):
            limits = torch.from_numpy(counts[start : start + self._options.internal_batch_size]).to(before.device)
            replaced = when < limits[:, None, None]
            scores.append(self._scores(torch.where(replaced[:, None], after, before)))
            fractions.append(replaced.double().mean((1, 2)).cpu().numpy())
        return Curve(np.concatenate(fractions), np.concatenate(scores))

    def _scores(self, variants: torch.Tensor) -> np.ndarray:
        """Return the watched score of each image, `(variant,)`, float64."""
        if self.scored == "probability" and (found := self._model.probability(variants, self.target)) is not None:
            return np.asarray(found.cpu().numpy())
        return np.asarray(self._model.scores(variants, [self.target]).double().cpu().numpy())


def _points(about: Mapping[str, str], curve: str, order: str, found: Curve) -> Table:
    same = {"image": about["image"], "attribution": about["attribution"], "curve": curve, "order": order}
    columns = {name: np.full(len(found.scores), value) for name, value in same.items()}
    return Table(columns, fraction=found.fractions, score=found.scores)


def _areas(curve: str, orders: Mapping[str, Mapping[str, Curve]]) -> dict[str, float]:
    """Return the areas under a curve in the order of the map, at random and in reverse, and the gain over random."""
    of_map, random, reverse = (orders[order][curve].area for order in ("map", "random", "reverse"))
    gain = of_map - random if _BETTER[curve] == "higher" else random - of_map
    return {"auc": of_map, "auc_random": random, "auc_reverse": reverse, "gain": gain}


def _plot(panel: Axes, area: Table, points: Table) -> None:
    (curve,), (scored,), (target,) = area["curve"], area["score"], area["target"]
    areas = {"map": area["auc"][0], "random": area["auc_random"][0], "reverse": area["auc_reverse"][0]}
    for order, style in _STYLES.items():
        line = points.where("order", order)
        label = f"{order}: AUC {figures.number(float(areas[order]))}"
        if order == "map":
            # Areas may be alike in all digits that are shown; by how much they differ is what counts.
            gain = float(area["gain"][0])
            label += f", gain {'+' if gain > 0 else ''}{figures.number(gain)}"
        panel.plot(line["fraction"], line["score"], label=label, **style)
    panel.set(title=f"{area['attribution'][0]}: {curve} ({_BETTER[curve]} is better)", xlim=(0, 1))
    panel.set(xlabel="share of pixels replaced", ylabel=textwrap.fill(f"{scored} of {target}", _LINE))
    panel.label_outer()
    panel.legend(loc="upper right")
