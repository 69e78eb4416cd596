"""Put feature maps and attribution maps of earlier steps side by side, and say in numbers how they agree."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from interpretkit import Figure, Result, StepError, Table, Visualizer, figures
from interpretkit_compare.agreement import rank_correlation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from interpretkit import Captured, Map


@dataclass(frozen=True, slots=True)
class Source:
    """A map of an earlier step."""

    step: str
    layer: str
    map: Map

    @property
    def name(self) -> str:
        """Step and layer in one."""
        return f"{self.step}/{self.layer}"


class Compare(Visualizer):
    """How feature maps and attribution maps agree.

    Feature maps are those with channels, `(image, channel, y, x)`; attribution maps those without, `(image, y, x)`.

    - Feature maps against an attribution map: Spearman's rank correlation of every channel with the map. Table
      `channels`, ranked from most to least aligned within each layer; a channel that is the same everywhere has no
      correlation (NaN) and comes last. One figure per layer shows the channels at both ends.
    - Attribution maps against each other: the same correlation for every pair. Table `pairs`, and a matrix.

    Maps of different size are compared on the coarser of their two native grids, by area averaging: nothing is
    interpolated. Signed maps are compared with their sign.
    """

    name = "compare"
    citation = "Spearman, The Proof and Measurement of Association between Two Things, Am. J. Psychol. 15, 1904"
    reads = 1

    class Options(Visualizer.Options):
        """Options of the comparison."""

        top: int = Field(default=8, ge=1, le=64, description="how many of the most and least aligned channels to show")

    options: Options

    def compute(self, captured: Captured) -> Result:
        """Return the tables `channels` and `pairs` as far as there is something to compare, and the maps to show."""
        sources = [
            Source(step, layer, each)
            for step, result in captured.results.items()
            for layer, each in result.maps.items()
        ]
        features = [source for source in sources if source.map.values.ndim == 4]  # noqa: PLR2004 - with channels
        attributions = [source for source in sources if source.map.values.ndim == 3]  # noqa: PLR2004 - without
        maps: dict[str, Map] = {}
        tables: dict[str, Table] = {}
        ids = [image.id for image in captured.images]
        if features and attributions:
            pairs = [(feature, attribution) for feature in features for attribution in attributions]
            aligned = [_aligned(feature, attribution, ids) for feature, attribution in pairs]
            tables["channels"] = _stacked(aligned)
            for (feature, attribution), table in zip(pairs, aligned, strict=True):
                maps |= self._shown(feature, attribution, table, ids)
        if len(attributions) > 1:
            tables["pairs"] = _pairs(attributions, ids)
        if not tables:
            raise StepError(
                f"nothing to compare in {', '.join(captured.results)}",
                hint="read a step with feature maps and one with attribution maps, or two with attribution maps",
            )
        return Result(maps=maps, tables=tables)

    def draw(self, result: Result) -> Iterator[Figure]:
        """Draw one figure per layer and attribution map, and the matrix of attribution maps."""
        if "channels" in result.tables:
            table = result.tables["channels"]
            for features, attribution in dict.fromkeys(zip(table["features"], table["attribution"], strict=True)):
                rows = table.where("features", features).where("attribution", attribution)
                yield _ends(str(features), str(attribution), rows, result)
        if "pairs" in result.tables:
            yield _matrix(result.tables["pairs"])

    def _shown(self, feature: Source, attribution: Source, table: Table, ids: list[str]) -> Mapping[str, Map]:
        """Return the attribution map and the maps of the channels at both ends of the ranking."""
        ends: dict[str, list[np.ndarray]] = {"most": [], "least": []}
        for position, image in enumerate(ids):
            rows = table.where("image", image)
            for end, shown in ends.items():
                channels = rows["channel"][_end(rows["rank_correlation"], end, self.options.top)]
                shown.append(feature.map.values[position][channels])
        pair = f"{feature.name} by {attribution.name}"
        shown_maps = {f"{pair}, {end}": replace(feature.map, values=np.stack(shown)) for end, shown in ends.items()}
        return {attribution.name: attribution.map, **shown_maps}


def _aligned(feature: Source, attribution: Source, ids: list[str]) -> Table:
    """Return the channels of a layer, ranked by their correlation with an attribution map, image by image."""
    parts = []
    for position, image in enumerate(ids):
        found = rank_correlation(feature.map.values[position], attribution.map.values[position])
        order = _end(found, "most", len(found))
        parts.append(
            Table(
                image=np.full(len(found), image),
                features=np.full(len(found), feature.name),
                attribution=np.full(len(found), attribution.name),
                rank=np.arange(1, len(found) + 1),
                channel=order,
                rank_correlation=found[order],
            )
        )
    return _stacked(parts)


def _pairs(attributions: list[Source], ids: list[str]) -> Table:
    """Return the rank correlation of every two attribution maps, each with itself included, image by image."""
    rows = [
        (image, first.name, second.name, float(rank_correlation(first.map.values[i], second.map.values[i])))
        for i, image in enumerate(ids)
        for first in attributions
        for second in attributions
    ]
    return Table(dict(zip(("image", "first", "second", "rank_correlation"), zip(*rows, strict=True), strict=True)))


def _stacked(tables: list[Table]) -> Table:
    return Table({name: np.concatenate([table[name] for table in tables]) for name in tables[0].columns})


def _end(correlations: np.ndarray, end: str, count: int) -> np.ndarray:
    """Return the positions of the most or least aligned channels, the extreme first; undefined ones come last."""
    keys = -correlations if end == "most" else correlations
    return np.argsort(keys, kind="stable")[:count]


def _ends(features: str, attribution: str, rows: Table, result: Result) -> Figure:
    """Draw input, attribution map, the channels at both ends, and the correlations of all channels in order."""
    correlations = rows["rank_correlation"]
    undefined = int(np.isnan(correlations).sum())
    grids = []
    for end in ("most", "least"):
        shown = result.maps[f"{features} by {attribution}, {end}"]
        chosen = _end(correlations, end, shown.values.shape[1])
        labels = [f"{rows['channel'][k]}: {correlations[k]:+.2f}" for k in chosen]
        grids.append(
            figures.grid(
                shown.values[0], title=f"{end} aligned", labels=labels, scope="channel", polarity=shown.polarity
            )
        )
    reference = result.maps[attribution].values[0]
    polarity = result.maps[attribution].polarity
    layer = features.partition("/")[2]
    picture = figures.panels(
        [
            figures.photo(result.images[0].pixels, title="input"),
            figures.heatmap(reference, title=attribution, polarity=polarity),
            *grids,
        ],
        title=f"{features}: channels ranked by correlation with {attribution}",
    )
    best, worst = np.nanmax(correlations, initial=-1.0), np.nanmin(correlations, initial=1.0)
    height, width = result.maps[f"{features} by {attribution}, most"].values.shape[-2:]
    caption = (
        f"Spearman rank correlation of the {len(rows)} channels of {features} ({height}×{width}) with {attribution} "
        f"({'×'.join(map(str, reference.shape))}), on the coarser grid by area averaging: "
        f"from {worst:+.2f} to {best:+.2f}, {undefined} undefined (the same value everywhere)."
    )
    alt = f"Channel {rows['channel'][0]} of {layer} is the most aligned, with a rank correlation of {best:+.2f}."
    return Figure(name=f"{features}--{attribution}".replace("/", "-"), picture=picture, caption=caption, alt=alt)


def _matrix(pairs: Table) -> Figure:
    names = list(dict.fromkeys(pairs["first"].tolist()))
    values = pairs["rank_correlation"].reshape(len(names), len(names))
    others = values[~np.eye(len(names), dtype=bool)]
    caption = (
        "Spearman rank correlation of every two attribution maps, each pair on the coarser of its native grids by area "
        f"averaging; between different maps from {np.nanmin(others):+.2f} to {np.nanmax(others):+.2f}."
    )
    picture = figures.matrix(values, rows=names, columns=names, title="agreement of attribution maps")
    low = np.unravel_index(np.nanargmin(values), values.shape)
    alt = f"{names[low[0]]} and {names[low[1]]} agree least, with {values[low]:+.2f}."
    return Figure(name="pairs", picture=picture, caption=caption, alt=alt)
