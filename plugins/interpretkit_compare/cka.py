"""Linear CKA between layers: how far two layers tell the same examples apart in the same way."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from interpretkit import Array, Figure, Grid, Map, Reads, Reduction, Result, StepError, Table
from interpretkit_compare import cka_estimates, cka_figure, cka_sums
from interpretkit_compare.sources import features as features_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from interpretkit import Captured

_FEWEST = 2  # examples


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
        rows, columns = layers[0], layers[-1]
        features = self._examples(captured, {**rows, **columns})
        origins = {name: values.mean(0) for name, values in features.items()}
        arrays = {name: Array(values=origin, dims=("channel",)) for name, origin in origins.items()}
        for first, second in cka_estimates.pairs(list(rows), list(columns)):
            sums = cka_sums.about(features[first], features[second], (origins[first], origins[second]))
            arrays[cka_estimates.key(first, second)] = Array(values=sums, dims=("first", "second"))
        return Result(arrays=arrays, tables={"rows": Table(layer=list(rows)), "columns": Table(layer=list(columns))})

    def merge(self, first: Result, second: Result) -> Result:
        """Return the sums of two parts of the set together: both are moved to the common mean and added."""
        pairs = cka_estimates.pairs(*cka_estimates.sides(first))
        one, other = cka_estimates.count_of(first), cka_estimates.count_of(second)
        arrays = {}
        # By how far the origin of either part has to move, for each layer.
        steps: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for name in dict.fromkeys(name for pair in pairs for name in pair):
            origin = first.arrays[name].values
            apart = second.arrays[name].values - origin
            step = apart * (other / (one + other))
            steps[name] = (step, step - apart)
            arrays[name] = replace(first.arrays[name], values=origin + step)
        for row, column in pairs:
            key = cka_estimates.key(row, column)
            before, after = zip(steps[row], steps[column], strict=True)
            sums = cka_sums.moved(first.arrays[key].values, before)
            sums = sums + cka_sums.moved(second.arrays[key].values, after)
            arrays[key] = replace(first.arrays[key], values=sums)
        return Result(arrays=arrays, tables=first.tables)

    def finish(self, result: Result) -> Result:
        """Return the table `cka`, which follows from the sums; they themselves are not kept.

        Raises:
            StepError: If there are less than two examples.
        """
        count = cka_estimates.count_of(result)
        if count < _FEWEST:
            noun = cka_figure.noun(self.options.examples, count)
            raise StepError(
                f"CKA compares how layers tell examples apart, and there is {count} {noun}",
                hint="look at more images, or set `examples: cells`",
            )
        return Result(tables={"cka": cka_estimates.table_of(result)})

    def draw(self, result: Result) -> Iterator[Figure]:
        """Draw both estimates as matrices, rows and columns being layers."""
        yield cka_figure.draw(result.tables["cka"], self.options.examples)

    def _examples(self, captured: Captured, layers: Mapping[str, Map]) -> dict[str, np.ndarray]:
        """Return the features by layer, `(example, channel)`, float64."""
        grid = Grid.common(*(layer.grid for layer in layers.values()))
        examples = {}
        for name, layer in layers.items():
            values = layer.values
            flat = values.reshape(*values.shape[:2], -1)
            finite = np.isfinite(flat).all(axis=(1, 2))
            if not finite.all():
                image = captured.images[int(finite.argmin())].id
                raise StepError(f"CKA: layer {name} has NaN or infinity in image {image!r}", hint="leave it out")
            if self.options.examples == "images":
                examples[name] = flat.mean(2, dtype=np.float64)
            else:
                cells = np.moveaxis(layer.grid.averaged(values, grid), 1, -1)
                examples[name] = cells.reshape(-1, cells.shape[-1])
        return examples


def _layers(results: Mapping[str, Result]) -> list[dict[str, Map]]:
    """Return the feature maps by name, step by step.

    Raises:
        StepError: If there are more steps than two, or one has no feature maps.
    """
    if len(results) > 2:  # noqa: PLR2004 - rows and columns
        raise StepError(f"CKA compares the layers of one step, or of two, not of {', '.join(results)}")
    steps = []
    for step, result in results.items():
        prefix = f"{step}/" if len(results) > 1 else ""
        layers = {prefix + source.key: source.map for source in features_of({step: result})}
        if not layers:
            raise StepError(
                f"CKA: step {step!r} has no feature maps (image, channel, y, x)", hint="read a `feature_grid` step"
            )
        steps.append(layers)
    return steps
