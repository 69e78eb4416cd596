"""Linear CKA between layers: how far two layers tell the same examples apart in the same way."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations_with_replacement, product
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from interpretkit import (
    Array,
    Figure,
    Map,
    Reads,
    Reduction,
    Result,
    StepError,
    Table,
    area_averaged,
    common_grid,
    figures,
)
from interpretkit_compare import cka_sums
from interpretkit_compare.sources import FEATURES, sources

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from interpretkit import Captured

# From 0 to 1 in viridis: what a debiased estimate has below 0 gets the first colour, and its number says how much.
_LIMITS = (0.0, 1.0)
_SIDE_BY_SIDE = 8


class CKA(Reduction):
    r"""Linear CKA between the layers of one step, or between those of two, of one model or of two.

    For features $X$, $Y$ `(example, channel)` of the same examples, centred by channel,

    $$\mathrm{CKA} = \frac{\lVert X^T Y \rVert_F^2}{\lVert X^T X \rVert_F\; \lVert Y^T Y \rVert_F}$$

    is 1 where one layer is the other turned, mirrored, scaled or shifted, and 0 where no direction of the one
    covaries with any of the other. Few examples inflate it: those of two unrelated layers of $p$ and $q$ channels
    tend to 1 where $p, q \gg n$. `debiased` has the unbiased estimate of HSIC, as Nguyen et al. use it, in the place
    of each of the three norms: it is about 0 for unrelated layers however few the examples are, and may fall below 0.

    An example is an image, its features averaged over the cells (`examples: images`): images are independent, as
    both estimators take examples to be. Or it is a cell of an image, on the coarsest grid of all layers
    (`examples: cells`): that sees where things are, but cells of an image are alike, so that there are fewer examples
    than are counted and `debiased` has not lost all of its bias. Neither is the flattening of an image's cells into
    channels, which asks for far more images.

    Nothing is approximated, and no matrix over examples is formed: sums of one batch after the other are merged in
    float64. They take 8 · C₁ · C₂ bytes for each pair of layers with C₁ and C₂ channels. Table `cka`: one row
    for each pair; NaN where a layer is the same for all examples, and for `debiased` with less than four.

    Example:
        >>> import torch
        >>> import interpretkit as ik
        >>> net = ik.wrap(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU()))
        >>> images = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
        >>> features = ik.visualize(net, images, "feature_grid", layers=["0", "1"])
        >>> table = ik.visualize(net, images, "cka", of={"features": features}).tables["cka"]
        >>> table["row"].tolist(), table["column"].tolist()
        (['0', '0', '1', '1'], ['0', '1', '0', '1'])
    """

    name = "cka"
    requires = "steps with feature maps; several images, or `examples: cells`"
    citations = {
        "kornblith2019similarity": "",
        "nguyen2021wide": "the debiased estimate",
        "song2012feature": "the unbiased estimate of HSIC",
    }
    cost = "no pass: it reads results of earlier steps"
    yields = "comparison"
    reads = Reads("features", most=2)

    class Options(Reduction.Options):
        """Options of CKA."""

        examples: Literal["images", "cells"] = Field(
            default="images",
            description="what is an example: each image, its features averaged over the cells; or each cell of each "
            "image, on the coarsest grid of all layers, by area averaging",
        )

    options: Options

    def compute(self, captured: Captured) -> Result:
        """Return the sums of a batch: of each layer an array with the origin, of each pair one with the moments.

        Raises:
            StepError: If there are no feature maps, or they are not finite.
        """
        layers = _layers(captured.results)
        rows, columns = list(layers[0]), list(layers[-1])
        found = self._examples(captured, {**layers[0], **layers[-1]})
        origins = {name: values.mean(0) for name, values in found.items()}
        arrays = {name: Array(values=origin, dims=("channel",)) for name, origin in origins.items()}
        for first, second in _pairs(rows, columns):
            sums = cka_sums.about(found[first], found[second], (origins[first], origins[second]))
            arrays[_key(first, second)] = Array(values=sums, dims=("first", "second"))
        return Result(arrays=arrays, tables={"rows": Table(layer=rows), "columns": Table(layer=columns)})

    def merge(self, first: Result, second: Result) -> Result:
        """Return the sums of two parts of the set together: both are moved to the common mean and added."""
        pairs = _pairs(*_names(first))
        counts = [_count(part) for part in (first, second)]
        arrays = {}
        steps: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for name in dict.fromkeys(name for pair in pairs for name in pair):
            before, other = first.arrays[name].values, second.arrays[name].values
            step = (other - before) * (counts[1] / sum(counts))
            steps[name] = (step, step - (other - before))
            arrays[name] = replace(first.arrays[name], values=before + step)
        for one, two in pairs:
            key = _key(one, two)
            parts = (first.arrays[key].values, second.arrays[key].values)
            sums = sum(cka_sums.moved(part, (steps[one][k], steps[two][k])) for k, part in enumerate(parts))
            arrays[key] = replace(first.arrays[key], values=np.asarray(sums))
        return Result(arrays=arrays, tables=first.tables)

    def finish(self, result: Result) -> Result:
        """Return the table `cka`, which follows from the sums; they themselves are not kept.

        Raises:
            StepError: If there are less than two examples.
        """
        rows, columns = _names(result)
        count = _count(result)
        if count < cka_sums.FEWEST:
            raise StepError(
                f"CKA compares how layers tell examples apart, and there is {count} {self._noun(count)}",
                hint="look at more images, or set `examples: cells`",
            )
        own = {name: _numbers(result, name, name) for name in dict.fromkeys([*rows, *columns])}
        found = []
        for row, column in product(rows, columns):
            biased, debiased = _ratios(_numbers(result, row, column), own[row], own[column])
            sizes = {
                "row_channels": len(result.arrays[row].values),
                "column_channels": len(result.arrays[column].values),
            }
            found.append({"row": row, "column": column, "cka": biased, "debiased": debiased, "n": count, **sizes})
        return Result(tables={"cka": Table.of_rows(found)})

    def draw(self, result: Result) -> Iterator[Figure]:
        """Draw both estimates as matrices, rows and columns being layers."""
        table = result.tables["cka"]
        rows, columns = (list(dict.fromkeys(table[side].tolist())) for side in ("row", "column"))
        titles = {"cka": "biased: inflated by few examples", "debiased": "debiased"}
        matrices = [
            figures.matrix(
                table[estimate].reshape(len(rows), len(columns)),
                rows=rows,
                columns=columns,
                title=title,
                limits=_LIMITS,
            )
            for estimate, title in titles.items()
        ]
        count = int(table["n"][0])
        title = f"Linear CKA of layers over {count} {self._noun(count)}: 1 means alike, 0 unrelated"
        picture = figures.panels(matrices, title=title, columns=2 if len(columns) <= _SIDE_BY_SIDE else 1)
        extents = {estimate: _extent(table, estimate) for estimate in titles}
        caption = (
            f"Linear CKA between layers over {count} {self._noun(count)}, {self._how()}. The biased estimate of "
            f"Kornblith et al. ({extents['cka']}) is inflated where examples are few beside channels"
            f"{_warning(table)}. The debiased one ({extents['debiased']}) is about 0 for unrelated layers and may fall "
            f"below 0, which has the colour of 0.{_undefined(table)}"
        )
        alt = (
            f"Two matrices of linear CKA, {len(rows)} by {len(columns)} layers: biased {extents['cka']}, "
            f"debiased {extents['debiased']}."
        )
        yield Figure(name="cka", picture=picture, caption=caption, alt=alt)

    def _examples(self, captured: Captured, layers: Mapping[str, Map]) -> dict[str, np.ndarray]:
        """Return the features by layer, `(example, channel)`, float64."""
        grid = common_grid(*(layer.values.shape[2:] for layer in layers.values()))
        found = {}
        for name, each in layers.items():
            broken = ~np.isfinite(each.values).all(axis=(1, 2, 3))
            if broken.any():
                image = captured.images[int(broken.argmax())].id
                raise StepError(f"CKA: layer {name} has NaN or infinity in image {image!r}", hint="leave it out")
            if self.options.examples == "images":
                found[name] = each.values.mean((2, 3), dtype=np.float64)
            else:
                cells = area_averaged(each.values, grid)
                found[name] = cells.transpose(0, 2, 3, 1).reshape(-1, cells.shape[1])
        return found

    def _noun(self, count: int) -> str:
        return self.options.examples.removesuffix("s" if count == 1 else "")

    def _how(self) -> str:
        if self.options.examples == "images":
            return "features averaged over the cells"
        return "on the coarsest grid of all layers by area averaging (cells of one image are not independent)"


def _layers(results: Mapping[str, Result]) -> list[dict[str, Map]]:
    """Return the feature maps by name, step by step.

    Raises:
        StepError: If there are more steps than two, or one has no feature maps.
    """
    if len(results) > 2:  # noqa: PLR2004 - rows and columns
        raise StepError(f"CKA compares the layers of one step, or of two, not of {', '.join(results)}")
    found = []
    for step, result in results.items():
        prefix = f"{step}/" if len(results) > 1 else ""
        layers = {prefix + source.key: source.map for source in sources({step: result}, FEATURES)}
        if not layers:
            raise StepError(
                f"CKA: step {step!r} has no feature maps (image, channel, y, x)", hint="read a `feature_grid` step"
            )
        found.append(layers)
    return found


def _pairs(rows: Sequence[str], columns: Sequence[str]) -> list[tuple[str, str]]:
    """Return the pairs of layers whose moments are needed: those of the matrix, and each layer with itself."""
    if rows == columns:
        return list(combinations_with_replacement(rows, 2))
    return [*((name, name) for name in (*rows, *columns)), *product(rows, columns)]


def _key(first: str, second: str) -> str:
    return f"{first} × {second}"


def _names(result: Result) -> tuple[list[str], list[str]]:
    return result.tables["rows"]["layer"].tolist(), result.tables["columns"]["layer"].tolist()


def _count(result: Result) -> int:
    name = _names(result)[0][0]
    return int(result.arrays[_key(name, name)].values[0, 0])


def _numbers(result: Result, first: str, second: str) -> tuple[float, float]:
    """Return HSIC of two layers, biased and debiased, but for factors that cancel; NaN where it is not defined."""
    key = _key(first, second)
    sums = (result.arrays[key] if key in result.arrays else result.arrays[_key(second, first)]).values
    if first == second and not cka_sums.varies(sums, result.arrays[first].values):
        return np.nan, np.nan
    enough = sums[0, 0] >= cka_sums.FEWEST_DEBIASED
    return cka_sums.hsic(sums), cka_sums.hsic_debiased(sums) if enough else np.nan


def _ratios(both: tuple[float, float], first: tuple[float, float], second: tuple[float, float]) -> tuple[float, float]:
    """Return CKA, biased and debiased, of HSIC between two layers and of each with itself."""
    biased = both[0] / np.sqrt(first[0] * second[0])
    # Where no two examples are nearer to each other than any other two, the debiased HSIC is rounding about 0.
    some = min(first[1] / first[0], second[1] / second[0]) > cka_sums.NO_STRUCTURE
    return float(biased), float(both[1] / np.sqrt(first[1] * second[1])) if some else np.nan


def _extent(table: Table, estimate: str) -> str:
    """Say between which values an estimate lies for different layers; for all pairs where it compares two steps."""
    values = table[estimate][table["row"] != table["column"]]
    known = values[~np.isnan(values)]
    if not len(known):
        return "undefined" if len(values) else "one layer only"
    missing = f", {len(values) - len(known)} undefined" if len(known) < len(values) else ""
    return f"{figures.fixed(known.min())} to {figures.fixed(known.max())} between different layers{missing}"


def _undefined(table: Table) -> str:
    if not np.isnan(table["debiased"]).any():
        return ""
    return " Undefined: of a layer that tells no examples apart, and debiased with less than four examples."


def _warning(table: Table) -> str:
    count = int(table["n"][0])
    channels = np.concatenate([table["row_channels"], table["column_channels"]])
    low, high = int(channels.min()), int(channels.max())
    here = f"{count} for {low} channels" if low == high else f"{count} for {low} to {high} channels"
    if count == cka_sums.FEWEST:
        return f"; of two examples it is 1 whatever the layers ({here})"
    return f", as here: {here}" if count < high else f" (here {here})"
