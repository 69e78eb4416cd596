"""One attribution method over the depth of a network: its map at every layer, and how that changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from interpretkit import Figure, Grid, Reads, Result, StepError, Table, Visualizer, rank_correlation
from interpretkit_compare import depth_sweep_figure
from interpretkit_compare.localization import energy_inside, overlap, pointing, positive_entropy
from interpretkit_compare.sources import attributions_of_one_step, lengths

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from interpretkit import Captured, InputImage
    from interpretkit_compare.sources import Source


class DepthSweep(Visualizer):
    r"""The maps of one attribution method at several layers, side by side, and in numbers what changes with depth.

    It reads one step that explains one target at two or more layers, in the order in which the step names them.

    Table `depth`, one row for each layer: `entropy` of the positive part $p$ divided by its sum,
    $-\sum p \ln p / \ln n$ over $n$ cells (0: all in one cell, 1: the same everywhere); `agreement`, the rank
    correlation with the map at the last layer, on the coarser of the two grids by area averaging. Where the manifest of
    the images has masks, also `energy` (the share of the positive part inside the mask), `pointing` (1 if the middle of
    the greatest cell is inside, else 0), `overlap` (IoU of the mask with the greatest cells that have the mask's area)
    and `inside`, the share of the mask in the image, which is what `energy` and, over many images, `pointing` would be
    by chance.
    What is not defined is NaN.
    """

    name = "depth_sweep"
    requires = "a step with attribution maps at several layers; masks in the manifest for localisation"
    citations = {"zhang2018topdown": "the pointing game", "wang2020scorecam": "energy inside of a region"}
    cost = "no pass: it reads results of an earlier step"
    yields = "comparison"
    reads = Reads("attribution")

    class Options(Visualizer.Options):
        """Options of the sweep."""

        view: Literal["overlay", "native"] = Field(
            default="overlay",
            description="how maps are drawn: their positive part over the photo, or signed on their native grid",
        )

    options: Options

    def compute(self, captured: Captured) -> Result:
        """Return the maps as they were read, and the table `depth`.

        Raises:
            StepError: If there are not maps of two layers to compare.
        """
        maps_read = attributions_of_one_step(captured.results, reader=self.name)
        step = maps_read[0].step
        if len(maps_read) < 2:  # noqa: PLR2004 - a first and a last layer
            raise StepError(
                f"step {step!r} has one map, of {maps_read[0].key}: no depth to go through",
                hint=f"give step {step!r} several layers",
            )
        rows: list[dict[str, Any]] = []
        for position, image in enumerate(captured.images):
            targets = captured.results[step].targets_of(image.id)
            rows += _rows(maps_read, position, image, explains="; ".join(map(str, targets)))
        return Result(maps={source.key: source.map for source in maps_read}, tables={"depth": Table.of_rows(rows)})

    def draw(self, result: Result) -> Iterator[Figure]:
        """Draw the input, the map at every layer, and the curves over depth."""
        yield depth_sweep_figure.draw(result, self.options.view)


def _rows(found: Sequence[Source], position: int, image: InputImage, *, explains: str) -> Iterator[dict[str, Any]]:
    """Yield what is to be said of the map of one image at each layer."""
    last = found[-1]
    for depth, source in enumerate(found):
        values = source.map.values[position]
        common = Grid.common(source.grid, last.grid)
        here, there = (each.grid.averaged(each.map.values[position], common) for each in (source, last))
        yield {
            "image": image.id,
            "step": source.step,
            "explains": explains,
            "depth": depth,
            "layer": source.key,
            **lengths(source.map.extent, values.shape),
            "entropy": positive_entropy(values),
            "agreement": float(rank_correlation(here, there)),
            **_localized(values, image.mask, source.grid),
        }


def _localized(values: np.ndarray, mask: np.ndarray | None, grid: Grid) -> dict[str, float]:
    """Return how much of a map lies inside of a mask; NaN without one."""
    if mask is None:
        return dict.fromkeys(("energy", "pointing", "overlap", "inside"), np.nan)
    return {
        "energy": energy_inside(values, mask, grid),
        "pointing": pointing(values, mask, grid),
        "overlap": overlap(values, mask, grid),
        "inside": float(mask.mean()),
    }
