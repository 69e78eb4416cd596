"""Put feature maps and attribution maps of earlier steps side by side, and say in numbers how they agree."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from interpretkit import Figure, Reads, Result, StepError, Table, Visualizer
from interpretkit_compare import alignment, alignment_figure, attributions, pairs, pairs_figure, sources
from interpretkit_compare.pairs import PairOptions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from interpretkit import Captured, Map
    from interpretkit_compare.attributions import Attribution
    from interpretkit_compare.sources import Source


class Compare(Visualizer):
    """How feature maps and attribution maps agree.

    Feature maps are those with channels, `(image, channel, y, x)`; attribution maps those without, `(image, y, x)`.

    - Feature maps against an attribution map: Spearman's rank correlation of every channel with the map. Table
      `channels`, ranked from most to least aligned within each layer; a channel that is the same everywhere has no
      correlation (NaN) and comes last. Table `layers` sums it up. A layer and a map are compared on the coarser of
      their two native grids, with their signs. Each layer has one figure for each step with attribution maps, with the
      channels at both ends: by the step's map at the same layer, else by that at its last layer. The tables hold all.
    - Attribution maps against each other: five measures of every pair, all on one grid. Table `pairs`, with what
      the first of each pair explains as `target`, and a matrix for each measure.

    Maps of different size meet by area averaging: nothing is interpolated.

    Every number stands beside what chance brings. Smooth maps of few blobs are often alike, though their places have
    nothing to do with each other; so the attribution map, the second of a pair, is mirrored and shifted around as a
    whole, at random and `shuffles` times, which keeps its values and how smooth it is. `chance_low` and `chance_high`
    are 5 % and 95 % of the measure over these. In `layers`, `chance_highest` is what the best of all channels stays
    below in 95 %, and `chance_lowest` what the worst stays above: of many channels some are aligned with any map.
    `iou_independent` is the mean IoU of independent top cells, in closed form.
    """

    name = "compare"
    requires = "steps with feature maps (image, channel, y, x), or with attribution maps (image, y, x), or both"
    citations = {
        "spearman1904proof": "rank correlation",
        "wang2004image": "structural similarity",
        "lotwick1982methods": "chance by shifts around a torus",
        "nichols2002nonparametric": "the best of many channels beside the best by chance",
    }
    cost = "no pass: it reads results of earlier steps"
    yields = "comparison"
    reads = Reads("features", "attribution")

    class Options(PairOptions):
        """Options of the comparison."""

        top: int = Field(default=8, ge=1, le=64, description="how many of the most and least aligned channels to show")

    options: Options

    def compute(self, captured: Captured) -> Result:
        """Return the tables of what there is to compare, and the maps to show.

        Raises:
            StepError: If there is nothing to compare.
        """
        features = sources.features(captured.results)
        explaining: list[Attribution] = []
        if sources.explaining(captured.results):
            explaining = attributions.attributions(captured)
        ids = [image.id for image in captured.images]
        maps: dict[str, Map] = {}
        tables: dict[str, list[Table]] = {}
        shuffles, seeds = self.options.shuffles, [captured.seed(k, self.options.seed) for k in range(len(ids))]
        for feature, attribution in product(features, explaining):
            ranked, summary = alignment.aligned(feature, attribution, ids, shuffles=shuffles, seeds=seeds)
            tables.setdefault("channels", []).append(ranked)
            tables.setdefault("layers", []).append(summary)
            if attribution.name in alignment.shown_by(feature, explaining):
                maps |= self._shown(feature, attribution, ranked, ids)
        if len(explaining) > 1:
            tables["pairs"] = [pairs.of_images(explaining, ids, self.options, seeds=seeds)]
        if not tables:
            raise StepError(
                f"nothing to compare in {', '.join(captured.results)}",
                hint="read a step with feature maps and one with attribution maps, or two with attribution maps",
            )
        return Result(maps=maps, tables={name: Table.stacked(parts) for name, parts in tables.items()})

    def draw(self, result: Result) -> Iterator[Figure]:
        """Draw one figure per layer and step with attribution maps, and the matrices of attribution maps."""
        if "channels" in result.tables:
            table = result.tables["channels"]
            compared = dict.fromkeys(zip(table["features"].tolist(), table["attribution"].tolist(), strict=True))
            for features, attribution in compared:
                if f"{features} by {attribution}, most" in result.maps:
                    ranked = table.where("features", features).where("attribution", attribution)
                    yield alignment_figure.draw(features, attribution, ranked, result)
        if "pairs" in result.tables:
            yield pairs_figure.draw(result.tables["pairs"], self.options)

    def _shown(self, feature: Source, attribution: Attribution, ranked: Table, ids: Sequence[str]) -> Mapping[str, Map]:
        """Return the attribution map and the maps of the channels at both ends of the ranking."""
        maps = {attribution.name: attribution.map}
        for end in ("most", "least"):
            shown = []
            for position, image in enumerate(ids):
                rows = ranked.where("image", image)
                chosen = alignment.end_of(rows["rank_correlation"], end, self.options.top)
                channels = rows["channel"][chosen]
                shown.append(feature.map.values[position][channels])
            name = f"{feature.name} by {attribution.name}, {end}"
            maps[name] = replace(feature.map, values=np.stack(shown))
        return maps
