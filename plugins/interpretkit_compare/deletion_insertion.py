"""What the score does when an image is taken away, or put back, in the order of an attribution map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from interpretkit import Figure, Needs, Reads, Result, Table, Visualizer
from interpretkit_compare import deletion_insertion_figure
from interpretkit_compare.attributions import attributions
from interpretkit_compare.curves import CurveOptions, Curves, Watched

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from interpretkit import Captured
    from interpretkit_compare.attributions import Attribution


class DeletionInsertion(Visualizer):
    r"""Deletion and insertion curves of attribution maps, and the area under them.

    Deletion takes the image away cell by cell, the cell with the greatest value of the map first, and watches the score
    of the class that the map explains; insertion always starts from the blurred image and puts the image back in the
    same order. With $s(q)$ the score when the share $q$ of the pixels is replaced,

    $$\mathrm{AUC} = \int_0^1 s(q)\, dq$$

    by trapezoids: the mean score along the way. Deletion is better when it is lower, insertion when it is higher. An
    AUC says nothing by itself, since it depends on the image, the class and the grid. So the same is done in random
    orders (the mean over `random_orders` of them) and in the reverse order of the map. `gain` is by how much the map
    beats random order: above 0 is better than random in both curves, and higher is better.

    A cell of the map's native grid goes as a whole, with every pixel that is nearest to the middle of its receptive
    field: a 7×7 map says nothing about the order within a cell, and interpolating it would make one up. Maps of one
    grid can be compared by AUC; those of different grids only each with its own random order, since pixels taken away
    one by one leave other pictures than whole blocks. Signed maps are ordered with their sign. Equal cells come in a
    random order that the seed decides, which favours no side of the image.

    The score is the probability of the class (softmax over all classes, unless the network ends in one), or its logit.
    What has no probability is watched by its score: a contrast by the difference of its logits. Tables `auc` (one row
    for each image, map and curve) and `curves` (all points).

    It cannot tell a map that finds what the network uses from one that finds where strange images fool it: images
    with parts replaced may be unlike any that the network was trained on.
    """

    name = "deletion_insertion"
    requires = "steps with attribution maps of the same model"
    citations = {"petsiuk2018rise": "section 4.2, deletion and insertion"}
    cost = "about 4 · `steps` forward passes for each map, and 2 · `random_orders` · `steps` for each class and grid"
    yields = "scores"
    reads = Reads("attribution")

    class Options(CurveOptions):
        """Options of deletion and insertion."""

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
            random: dict[tuple[object, ...], Curves] = {}
            for number, attribution in enumerate(maps):
                captured.progress(position * len(maps) + number, len(captured.images) * len(maps))
                target = attribution.target(captured, position)
                watched = Watched(captured, position, target, self.options)
                ranks = self._ranks(captured, attribution, position)
                same = (attribution.grid, str(target.spec))
                grid = attribution.grid
                if same not in random:
                    random[same] = watched.mean_curves(ranks["random"], grid)
                orders = {
                    "map": watched.curves(ranks["map"][0], grid),
                    "reverse": watched.curves(ranks["reverse"][0], grid),
                    "random": random[same],
                }
                about = attribution.about(captured, position)
                for curve in Curves._fields:
                    areas.append({**about, "score": watched.scored, "curve": curve, **_areas(curve, orders)})
                    points += [_points(about, curve, order, curves) for order, curves in orders.items()]
        return Result(tables={"auc": Table.of_rows(areas), "curves": Table.stacked(points)})

    def draw(self, result: Result) -> Iterator[Figure]:
        """Draw one row for each map: its deletion curve and its insertion curve, beside random and reverse order."""
        yield deletion_insertion_figure.draw(result, self.options, random_orders=self.options.random_orders)

    def _ranks(self, captured: Captured, attribution: Attribution, position: int) -> dict[str, list[np.ndarray]]:
        """Return when each cell is replaced, counted from 0, by order: of the map, its reverse, at random."""
        values = attribution.values(captured, position)
        count, shape = values.size, values.shape
        generator = np.random.default_rng(captured.seed(position, self.options.seed))
        random = [generator.permutation(count).reshape(shape) for _ in range(self.options.random_orders)]
        # Cells of equal value stay in a random order, since sorting is stable.
        shuffled = generator.permutation(count)
        descending = np.argsort(-values.ravel()[shuffled], kind="stable")
        ranks = np.empty(count, np.int64)
        ranks[shuffled[descending]] = np.arange(count)
        in_order = ranks.reshape(shape)
        return {"map": [in_order], "reverse": [count - 1 - in_order], "random": random}


def _points(about: Mapping[str, str], curve: str, order: str, curves: Curves) -> Table:
    fractions, scores = getattr(curves, curve)
    same = {"image": about["image"], "attribution": about["attribution"], "curve": curve, "order": order}
    columns = {name: np.full(len(scores), value) for name, value in same.items()}
    return Table(columns, fraction=fractions, score=scores)


def _areas(curve: str, orders: Mapping[str, Curves]) -> dict[str, float]:
    """Return the areas under a curve in the order of the map, at random and in reverse, and the gain over random."""
    area = {order: getattr(curves, curve).area for order, curves in orders.items()}
    # Deletion is better where its area is smaller.
    more, less = ("random", "map") if curve == "deletion" else ("map", "random")
    return {
        "auc": area["map"],
        "auc_random": area["random"],
        "auc_reverse": area["reverse"],
        "gain": area[more] - area[less],
    }
