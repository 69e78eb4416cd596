"""What the score does when an image is taken away, or put back, in the order of an attribution map."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from pydantic import Field

from interpretkit import Figure, Grid, Needs, Reads, Result, StepError, Table, Visualizer, figures
from interpretkit_compare import deletion_insertion_figure
from interpretkit_compare.attributions import attributions
from interpretkit_compare.curves import Band, CurveOptions, Curves, Watched
from interpretkit_compare.sources import check_grid, lengths

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from interpretkit import Captured
    from interpretkit_compare.attributions import Attribution
    from interpretkit_compare.curves import Curve


class Orders(NamedTuple):
    """When each cell of a grid is replaced, counted from 0, `(y, x)`: in the order of a map, and at random."""

    map: np.ndarray
    random: list[np.ndarray]

    @property
    def reverse(self) -> np.ndarray:
        """The reverse of the map's order."""
        return np.asarray(self.map.size - 1 - self.map)


class DeletionInsertion(Visualizer):
    r"""Deletion and insertion curves of attribution maps, and the area under them.

    Deletion takes the image away cell by cell, the cell with the greatest value of the map first, and watches the score
    of the class that the map explains; insertion always starts from the blurred image and puts the image back in the
    same order. With $s(q)$ the score when the share $q$ of the pixels is replaced,

    $$\mathrm{AUC} = \int_0^1 s(q)\, dq$$

    by trapezoids: the mean score along the way. Deletion is better when it is lower, insertion when it is higher. An
    AUC says nothing by itself, since it depends on the image, the class and the grid. So the same is done in the
    reverse order of the map and in random orders of the same cells. `chance` is the mean of their areas over
    `chance_orders` of them, `chance_low` and `chance_high` the least and the greatest, and `beats` is how many of these
    `orders` the map is better than: a random map beats all $k$ of them with probability $1 / (k + 1)$. `auc_random` is
    the mean of the first `random_orders`, and `gain` by how much the map beats that: above 0 is better than random in
    both curves, and higher is better.

    A cell of the map's native grid goes as a whole, with every pixel that is nearest to the middle of its receptive
    field: a 7×7 map says nothing about the order within a cell, and interpolating it would make one up. Maps of one
    grid can be compared by AUC; those of different grids only each with its own random orders, since pixels taken away
    one by one leave other pictures than whole blocks. `grid` brings all maps to one grid first, by exact area: a fine
    map is averaged over each cell, a coarse one gives all cells inside one of its own the same value. Signed maps are
    ordered with their sign. Equal cells come in a random order that the seed decides, which favours no side of the
    image.

    The score is the probability of the class (softmax over all classes, unless the network ends in one), or its logit.
    What has no probability is watched by its score: a contrast by the difference of its logits. Tables `auc` (one row
    for each image, map and curve), `curves` (all points; `random` is the mean of the first `random_orders`), and
    `chance` (at each point the mean, the least and the greatest score of the random orders).

    It cannot tell a map that finds what the network uses from one that finds where strange images fool it: images
    with parts replaced may be unlike any that the network was trained on.
    """

    name = "deletion_insertion"
    requires = "steps with attribution maps of the same model"
    citations = {"petsiuk2018rise": "section 4.2, deletion and insertion"}
    cost = "about 4 · `steps` forward passes for each map, and 2 · `chance_orders` · `steps` for each class and grid"
    yields = "scores"
    reads = Reads("attribution")

    class Options(CurveOptions):
        """Options of deletion and insertion."""

        random_orders: int = Field(
            default=2, ge=1, le=1000, description="random orders that `auc_random` and `gain` are means over"
        )
        chance_orders: int = Field(
            default=9,
            ge=1,
            le=1000,
            description="random orders that `chance` is the mean over, those of `random_orders` first, and never fewer",
        )
        seed: int = Field(default=0, ge=0, description="of the random orders, and of the order of equal cells")

    options: Options

    def needs(self) -> Needs:
        """Ask for the model, to run it on images with parts replaced."""
        return Needs(own_passes=True)

    def compute(self, captured: Captured) -> Result:
        """Return the tables `auc`, `curves` and `chance`.

        Raises:
            StepError: If there is no attribution map, one explains no class or another model, or the grid that is asked
                for is none of the image.
        """
        areas: list[dict[str, object]] = []
        points: list[Table] = []
        by_chance: list[Table] = []
        maps = attributions(captured)
        for position in range(len(captured.images)):
            # Maps of one grid that explain the same class share their random orders.
            shared: dict[tuple[object, ...], list[Curves]] = {}
            for number, attribution in enumerate(maps):
                captured.progress(position * len(maps) + number, len(captured.images) * len(maps))
                target = attribution.target(captured, position)
                watched = Watched(captured, position, target, self.options)
                grid = self._grid(attribution)
                orders = self._orders(captured, attribution, position, grid)
                same = (grid, str(target.spec))
                if same not in shared:
                    shared[same] = [watched.curves(ranks, grid) for ranks in orders.random]
                of_map, of_reverse = (watched.curves(ranks, grid) for ranks in (orders.map, orders.reverse))
                about = attribution.about(captured, position)
                sizes = lengths(attribution.map.extent, grid.cells)
                for curve in Curves._fields:
                    band = Band(tuple(getattr(each, curve) for each in shared[same]))
                    first = Band(band.curves[: self.options.random_orders])
                    lines = {
                        "map": getattr(of_map, curve),
                        "reverse": getattr(of_reverse, curve),
                        "random": first.mean,
                    }
                    found = {**_areas(curve, lines), **_by_chance(curve, lines["map"], band)}
                    areas.append({**about, "score": watched.scored, "curve": curve, **found, **sizes})
                    points += [_points(about, curve, order, line) for order, line in lines.items()]
                    by_chance.append(_band(about, curve, band))
        tables = {"auc": Table.of_rows(areas), "curves": Table.stacked(points), "chance": Table.stacked(by_chance)}
        return Result(tables=tables)

    def draw(self, result: Result) -> Iterator[Figure]:
        """Draw one row for each map: its deletion curve and its insertion curve, beside random and reverse order."""
        yield deletion_insertion_figure.draw(result, self.options)

    def _grid(self, attribution: Attribution) -> Grid:
        """Return the grid that a map is ordered on."""
        asked, pixels = self.options.grid, attribution.grid.pixels
        if asked is None:
            return attribution.grid
        if asked == "pixels":
            return Grid.even(pixels, pixels)
        check_grid(asked, attribution)
        if any(cells > length for cells, length in zip(asked, pixels, strict=True)):
            raise StepError(
                f"a grid of {figures.shape(asked)} cells is finer than the input, which has {figures.shape(pixels)}",
                hint="choose one that is not; `pixels` is the finest",
            )
        return Grid.even(asked, pixels)

    def _orders(self, captured: Captured, attribution: Attribution, position: int, grid: Grid) -> Orders:
        """Return the order of the map's cells on a grid, and random ones."""
        values = attribution.grid.averaged(attribution.values(captured, position), grid)
        count, shape = values.size, values.shape
        seed, first = captured.seed(position, self.options.seed), self.options.random_orders
        generator, more = np.random.default_rng(seed), np.random.default_rng((seed, 1))
        random = [generator.permutation(count).reshape(shape) for _ in range(first)]
        random += [more.permutation(count).reshape(shape) for _ in range(first, self.options.chance_orders)]
        # Cells of equal value stay in a random order, since sorting is stable.
        shuffled = generator.permutation(count)
        descending = np.argsort(-values.ravel()[shuffled], kind="stable")
        ranks = np.empty(count, np.int64)
        ranks[shuffled[descending]] = np.arange(count)
        return Orders(map=ranks.reshape(shape), random=random)


def _points(about: Mapping[str, str], curve: str, order: str, line: Curve) -> Table:
    same = {"image": about["image"], "attribution": about["attribution"], "curve": curve, "order": order}
    columns = {name: np.full(len(line.scores), value) for name, value in same.items()}
    return Table(columns, fraction=line.fractions, score=line.scores)


def _band(about: Mapping[str, str], curve: str, band: Band) -> Table:
    """Return the mean and the reach of the random orders at each point."""
    mean, (low, high) = band.mean, band.reach
    same = {"image": about["image"], "attribution": about["attribution"], "curve": curve}
    columns = {name: np.full(len(mean.scores), value) for name, value in same.items()}
    return Table(columns, fraction=mean.fractions, score=mean.scores, low=low, high=high)


def _areas(curve: str, lines: Mapping[str, Curve]) -> dict[str, float]:
    """Return the areas under a curve in the order of the map, at random and in reverse, and the gain over random."""
    area = {order: line.area for order, line in lines.items()}
    # Deletion is better where its area is smaller.
    more, less = ("random", "map") if curve == "deletion" else ("map", "random")
    return {
        "auc": area["map"],
        "auc_random": area["random"],
        "auc_reverse": area["reverse"],
        "gain": area[more] - area[less],
    }


def _by_chance(curve: str, of_map: Curve, band: Band) -> dict[str, float]:
    """Return the mean and the reach of the areas under the curves of random orders, and how many the map beats."""
    areas = band.areas
    better = areas > of_map.area if curve == "deletion" else areas < of_map.area
    return {
        "chance": float(areas.mean()),
        "chance_low": float(areas.min()),
        "chance_high": float(areas.max()),
        "beats": int(better.sum()),
        "orders": len(areas),
    }
