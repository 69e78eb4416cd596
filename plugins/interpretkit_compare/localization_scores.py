"""Whether an attribution map lies on the object of the image, whose place is known: the pointing game and its kin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from interpretkit import Figure, Reads, Result, Table, Visualizer, figures
from interpretkit_compare.attributions import attributions, labels
from interpretkit_compare.bars import Score, bars
from interpretkit_compare.localization import energy_inside, intersection, near, overlap, pointing, rank_accuracy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interpretkit import Captured
    from interpretkit_compare.attributions import Attribution

_SCORES = ("pointing", "energy", "rank_accuracy", "iou", "intersection")
_DRAWN = ("pointing", "energy", "rank_accuracy", "intersection")  # the IoU follows from the rank accuracy


class Localization(Visualizer):
    r"""How well attribution maps lie on the object: five scores against the mask of each image.

    With $m_c$ the values of a map, $a_c$ the areas of its cells in pixels, $i_c$ the part of each that is inside of the
    mask, and $M$ the area of the mask:

    - `pointing`: 1 if the middle of the greatest cell lies in the mask, or less than `tolerance` pixels from a pixel
      that does, else 0; of cells that tie, the share that does. The pointing game is the mean over many images. By
      chance it is `pointing_chance`, the share of the pixels that would count.
    - `energy`: $\sum_c \max(m_c, 0)\, i_c / \sum_c \max(m_c, 0)$, the share of what speaks for the target that lies
      inside; the relevance mass accuracy of CLEVR-XAI, and with a box for a mask the energy of Score-CAM.
    - `rank_accuracy`: of the greatest cells that together have the area $M$, the part inside, $r$.
    - `iou`: of the same cells, the intersection with the mask over the union, $r / (2 - r)$.
    - `intersection`: of the greatest cells that together have a `share` of the image's area, the part inside.

    By chance `energy`, `rank_accuracy` and `intersection` are `inside`, the share $s$ of the mask in the image, and the
    IoU is close to $s / (2 - s)$: so much a map of random values at every pixel would have on average. Areas stand in
    for numbers of pixels: nothing is interpolated, a cell counts with the part of it that is inside, and the last of
    the greatest cells in part.

    All ask whether a map lies where the object is, and none whether the network looks there: one that decides by the
    background is explained well by a map that scores badly. Table `localization`, one row for each image and map. NaN
    without a mask; `pointing` and `energy` where nothing is positive; the others of a map that is the same everywhere.
    """

    name = "localization"
    requires = "steps with attribution maps; masks in the manifest of the images"
    citations = {
        "zhang2018topdown": "the pointing game, with a tolerance of 15 pixels",
        "wang2020scorecam": "the energy inside",
        "arras2022clevrxai": "relevance mass accuracy and relevance rank accuracy",
        "theiner2022interpretable": "the top-k intersection",
    }
    cost = "no pass: it reads results of earlier steps"
    yields = "scores"
    reads = Reads("attribution")

    class Options(Visualizer.Options):
        """Options of the scores."""

        tolerance: float = Field(
            default=0.0,
            ge=0,
            description="for `pointing`: so near to the mask, in pixels, is good enough; the paper's and TorchRay's is "
            "15; 0 is in the mask itself",
        )
        share: float = Field(
            default=0.02, gt=0, le=1, description="for `intersection`: how much of the image's area the top cells have"
        )

    options: Options

    def compute(self, captured: Captured) -> Result:
        """Return the table `localization`.

        Raises:
            StepError: If there is no attribution map, or one is not finite.
        """
        rows = []
        maps = attributions(captured)
        without = [image.id for image in captured.images if image.mask is None]
        if without:
            captured.alert(f"without a mask, nothing is known of {', '.join(without)}")
        for position in range(len(captured.images)):
            for attribution in maps:
                found = self._scores(attribution, captured, position)
                rows.append({**attribution.about(captured, position), **found})
        return Result(tables={"localization": Table.of_rows(rows)})

    def draw(self, result: Result) -> Iterator[Figure]:
        """Draw the scores of all maps as bars."""
        table = result.tables["localization"]
        names = labels(table)
        scores = [Score(name.replace("_", " "), table[name]) for name in _DRAWN]
        rows = zip(names, map(figures.number, table["energy"]), strict=True)
        numbers = ", ".join(f"{name} {value}" for name, value in rows)
        yield Figure(
            name="localization",
            picture=bars(names, scores, title="What of attribution maps lies on the object", limits=(0.0, 1.0)),
            caption=self._caption(table),
            alt=f"Bars of the energy inside of the mask: {numbers}.",
        )

    def _scores(self, attribution: Attribution, captured: Captured, position: int) -> dict[str, float]:
        """Return the scores of the map of one image, and what they are by chance."""
        values, mask = attribution.values(captured, position), captured.images[position].mask
        if mask is None:
            return dict.fromkeys((*_SCORES, "pointing_chance", "inside"), np.nan)
        tolerance, grid = self.options.tolerance, attribution.grid
        return {
            "pointing": pointing(values, mask, grid, tolerance=tolerance),
            "energy": energy_inside(values, mask, grid),
            "rank_accuracy": rank_accuracy(values, mask, grid),
            "iou": overlap(values, mask, grid),
            "intersection": intersection(values, mask, grid, share=self.options.share),
            "pointing_chance": float(near(mask, tolerance).mean()),
            "inside": float(mask.mean()),
        }

    def _caption(self, table: Table) -> str:
        tolerance = self.options.tolerance
        where = f"less than {tolerance:g} pixels from the mask" if tolerance else "in the mask"
        share = figures.percent(self.options.share, ".0")
        by_pointing, by_others = (figures.fixed(table[name][0]) for name in ("pointing_chance", "inside"))
        return (
            f"Pointing: whether the middle of the greatest cell lies {where} (by chance {by_pointing}). Energy: the "
            "share of the positive part inside. Rank accuracy: of the greatest cells that have the mask's area, the "
            f"part inside; intersection: of those that have {share} of the image (each by chance {by_others})."
        )
