"""Put feature maps and attribution maps of earlier steps side by side, and say in numbers how they agree."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

import interpretkit_compare.attributions as attribution_maps
from interpretkit import Figure, Reads, Result, StepError, Table, Visualizer, figures, rank_correlation
from interpretkit_compare.measures import MEASURES
from interpretkit_compare.pairs import PairOptions, compared, extents, how, matrices, on_one_grid
from interpretkit_compare.sources import ATTRIBUTION, FEATURES, sources

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
    """

    name = "compare"
    requires = "steps with feature maps (image, channel, y, x), or with attribution maps (image, y, x), or both"
    citations = {"spearman1904proof": "rank correlation", "wang2004image": "structural similarity"}
    cost = "no pass: it reads results of earlier steps"
    yields = "comparison"
    reads = Reads("features", "attribution")

    class Options(PairOptions):
        """Options of the comparison."""

        top: int = Field(default=8, ge=1, le=64, description="how many of the most and least aligned channels to show")

    options: Options

    def compute(self, captured: Captured) -> Result:
        """Return the tables `channels` and `pairs` as far as there is something to compare, and the maps to show."""
        features = sources(captured.results, FEATURES)
        attributions = sources(captured.results, ATTRIBUTION)
        maps: dict[str, Map] = {}
        tables: dict[str, Table] = {}
        ids = [image.id for image in captured.images]
        explained = {each.name: each for each in attribution_maps.attributions(captured)} if attributions else {}
        if features and attributions:
            pairs = [(feature, attribution) for feature in features for attribution in attributions]
            aligned = [_aligned(feature, attribution, ids) for feature, attribution in pairs]
            tables["channels"] = Table.stacked(aligned)
            tables["layers"] = Table.stacked(
                [
                    _summary(*pair, ids, each, about=explained[pair[1].name])
                    for pair, each in zip(pairs, aligned, strict=True)
                ]
            )
            for (feature, attribution), table in zip(pairs, aligned, strict=True):
                if attribution in _shown_by(feature, attributions):
                    maps |= self._shown(feature, attribution, table, ids)
        if len(attributions) > 1:
            tables["pairs"] = _pairs(attributions, explained, ids, self.options)
        if not tables:
            raise StepError(
                f"nothing to compare in {', '.join(captured.results)}",
                hint="read a step with feature maps and one with attribution maps, or two with attribution maps",
            )
        return Result(maps=maps, tables=tables)

    def draw(self, result: Result) -> Iterator[Figure]:
        """Draw one figure per layer and step with attribution maps, and the matrices of attribution maps."""
        if "channels" in result.tables:
            table = result.tables["channels"]
            for features, attribution in dict.fromkeys(zip(table["features"], table["attribution"], strict=True)):
                if f"{features} by {attribution}, most" not in result.maps:
                    continue
                rows = table.where("features", features).where("attribution", attribution)
                yield _ends(str(features), str(attribution), rows, result)
        if "pairs" in result.tables:
            yield _matrices(result.tables["pairs"], self.options)

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


def _shown_by(feature: Source, attributions: list[Source]) -> list[Source]:
    """Return one map of each step to show a layer's channels by: that of the same layer, else of the step's last."""
    shown = []
    for step in dict.fromkeys(source.step for source in attributions):
        of_step = [source for source in attributions if source.step == step]
        layers = [source.map.layer for source in of_step]
        layer = feature.map.layer if feature.map.layer in layers else layers[-1]
        shown.append(of_step[layers.index(layer)])
    return shown


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
    return Table.stacked(parts)


def _summary(feature: Source, attribution: Source, ids: list[str], aligned: Table, *, about: Attribution) -> Table:
    """Return how a whole layer agrees with an attribution map, and the range of its values, image by image."""
    rows = []
    for position, image in enumerate(ids):
        found = aligned.where("image", image)["rank_correlation"]
        defined = found[~np.isnan(found)]
        values = feature.map.values[position]
        finite = values[np.isfinite(values)]
        rows.append(
            {
                "image": image,
                "features": feature.name,
                "attribution": attribution.name,
                "target": about.explained(position),
                "channels": len(found),
                "undefined": len(found) - len(defined),
                "highest": float(defined.max(initial=-1.0)) if len(defined) else np.nan,
                "median": float(np.median(defined)) if len(defined) else np.nan,
                "lowest": float(defined.min(initial=1.0)) if len(defined) else np.nan,
                "min": float(finite.min(initial=np.inf)) if len(finite) else np.nan,
                "max": float(finite.max(initial=-np.inf)) if len(finite) else np.nan,
            }
        )
    return Table.of_rows(rows)


def _pairs(
    attributions: list[Source], explained: Mapping[str, Attribution], ids: list[str], options: PairOptions
) -> Table:
    """Return the measures of every two attribution maps, each with itself included, image by image.

    Every map is once the first of each pair, so its target stands there.
    """
    names = np.array([source.name for source in attributions])
    parts = []
    for position, image in enumerate(ids):
        maps = on_one_grid(attributions, position, options)
        found = {name: matrix.reshape(-1) for name, matrix in compared(maps, options).items()}
        count = len(names) ** 2
        parts.append(
            Table(
                image=np.full(count, image),
                first=names.repeat(len(names)),
                second=np.tile(names, len(names)),
                target=np.array([explained[name].explained(position) for name in names]).repeat(len(names)),
                height=np.full(count, maps.shape[1]),
                width=np.full(count, maps.shape[2]),
                **found,
            )
        )
    return Table.stacked(parts)


def _end(correlations: np.ndarray, end: str, count: int) -> np.ndarray:
    """Return the positions of the most or least aligned channels, the extreme first; undefined ones come last."""
    keys = -correlations if end == "most" else correlations
    return np.argsort(keys, kind="stable")[:count]


def _ends(features: str, attribution: str, rows: Table, result: Result) -> Figure:
    """Draw the input, the attribution map, and the channels at both ends of the ranking."""
    layer = result.tables["layers"].where("features", features).where("attribution", attribution)
    about = {name: column[0] for name, column in layer.columns.items()}
    correlations = rows["rank_correlation"]
    grids = []
    for end in ("most", "least"):
        shown = result.maps[f"{features} by {attribution}, {end}"]
        chosen = _end(correlations, end, shown.values.shape[1])
        grids.append(
            figures.grid(
                shown.values[0],
                title=f"{end} aligned",
                labels=[f"{rows['channel'][k]}: {figures.fixed(correlations[k], '+.2')}" for k in chosen],
                scope="channel",
                polarity="signed" if about["min"] < 0 else "unsigned",
                limits=None if np.isnan(about["min"]) else (about["min"], about["max"]),
            )
        )
    height, width = shown.values.shape[-2:]
    reference = result.maps[attribution]
    maps = [
        figures.photo(result.images[0].pixels, title="input"),
        figures.heatmap(reference.values[0], title=attribution, polarity=reference.polarity),
    ]
    picture = figures.panels(
        [figures.panels(maps), figures.panels(grids)],
        title=f"{features}: channels ranked by their correlation with {attribution}{_of(about['target'])}",
        columns=1,
    )
    explained = f"{attribution}{_of(about['target'])}"
    low, high, median = (figures.fixed(about[each], "+.2") for each in ("lowest", "highest", "median"))
    extent = f"from {low} to {high}, median {median}"
    caption = (
        f"Spearman rank correlation of the {about['channels']} channels of {features} ({height}×{width}) with "
        f"{explained} ({figures.shape(reference.values.shape[1:])}), on the coarser grid by area averaging: "
        f"{extent}; {about['undefined']} undefined (the same value everywhere)."
    )
    alt = f"Channel {rows['channel'][0]} of {features} is aligned most with {attribution}; correlations {extent}."
    return Figure(name=f"{features}--{attribution}".replace("/", "-"), picture=picture, caption=caption, alt=alt)


def _of(target: str) -> str:
    return f" of {str(target)!r}" if target else ""


def _matrices(pairs: Table, options: PairOptions) -> Figure:
    targets = dict(zip(pairs["first"].tolist(), pairs["target"].tolist(), strict=True))
    names = list(targets)
    # Where all that explain a class explain the same, it is said once.
    told = set(targets.values()) - {""}
    common = _of(told.pop()) if len(told) == 1 else ""
    labels = [
        f"{name}: {target if target and not common else 'of no class'}" if bool(target) != bool(common) else name
        for name, target in targets.items()
    ]
    found = {name: pairs[name].reshape(len(names), len(names)) for name in MEASURES}
    view = how(options, (pairs["height"][0], pairs["width"][0]))
    extent = extents(found)
    return Figure(
        name="pairs",
        picture=matrices(found, labels, title=f"How alike the attribution maps{common} are"),
        caption=f"Every two attribution maps{common}: {view}. Between different maps: {extent}.",
        alt=f"Matrices of attribution maps{common} ({', '.join(labels)}); between different maps: {extent}.",
    )
