"""Whether a method says the same twice, and how much depends on its seed."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from interpretkit import Check, Options, Verdict
from interpretkit_trust.similarity import alike

if TYPE_CHECKING:
    from interpretkit import Result

_ROUNDING = 1e-5
"""As a part of the greatest value: so much may differ where sums are taken in another order."""


class Repeatability(Check):
    """Whether a method gives the same map once more: with the same seed it must."""

    name = "repeatability"
    judges: ClassVar = ("attribution",)
    compares: ClassVar = ("again",)

    def judge(self, result: Result, *, again: Result) -> Verdict:
        """Judge the maps of one image for one target: the layer counts at which they differ most."""
        found = {layer: _difference(each.values, again.maps[layer].values) for layer, each in result.maps.items()}
        layer = max(found, key=found.__getitem__)
        largest = found[layer]
        if largest <= _ROUNDING:
            text = "computed once more, the map is the same"
            return Verdict(status="pass", figure=largest, threshold=_ROUNDING, text=text)
        text = f"computed once more, the map at {layer} differs by {largest:.2g} of its greatest value: it is random"
        return Verdict(status="fail", figure=largest, threshold=_ROUNDING, text=text)


class Seed(Check):
    """How much a map depends on the seed of a method that draws random numbers: whether there are samples enough."""

    name = "seed"
    judges: ClassVar = ("attribution",)
    compares: ClassVar = ("other_seed",)

    class Options(Options):
        """Where the verdicts begin. They are conventions."""

        warn: float = Field(default=0.9, ge=-1, le=1, description="rank correlation below which the verdict is warn")
        fail: float = Field(default=0.5, ge=-1, le=1, description="rank correlation below which the verdict is fail")

    options: Options

    def judge(self, result: Result, *, other_seed: Result) -> Verdict:
        """Judge the maps of one image for one target: the layer counts at which they are least alike."""
        least = min(alike(result, other_seed), key=lambda each: each.correlation, default=None)
        if least is None:
            return Verdict.not_applicable("each map is the same everywhere")
        figure = least.correlation
        text = f"at {least.layer} the maps of two seeds have rank correlation {figure:.2f}"
        if figure < self.options.fail:
            return Verdict(status="fail", figure=figure, threshold=self.options.fail, text=f"{text}: take more samples")
        if figure < self.options.warn:
            return Verdict(status="warn", figure=figure, threshold=self.options.warn, text=f"{text}: take more samples")
        return Verdict(status="pass", figure=figure, threshold=self.options.warn, text=text)


def _difference(first: np.ndarray, second: np.ndarray) -> float:
    """Return how far two maps differ at most, as a part of the greatest magnitude; infinite if one alone is finite."""
    if first.shape != second.shape:
        return float("inf")
    same = (first == second) | (np.isnan(first) & np.isnan(second))
    if same.all():
        return 0.0
    difference = np.abs(np.subtract(first, second, dtype=np.float64))[~same]
    largest = max(float(np.abs(first).max()), float(np.abs(second).max()))
    greatest = float(difference.max()) / largest
    return greatest if np.isfinite(greatest) else float("inf")
