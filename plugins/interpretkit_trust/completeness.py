"""Whether a map adds up to what its method promises."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from interpretkit import Check, Options, Verdict
from interpretkit_trust.limits import at_most

if TYPE_CHECKING:
    from interpretkit import Result

TABLE = "completeness"


class Completeness(Check):
    """Whether a map adds up to the score, or to its difference from a baseline's, where its method promises that.

    Judges steps with a table `completeness`, whose columns `layer` and `relative_gap` say what is missing.
    """

    name = "completeness"
    citations: ClassVar = {"sundararajan2017axiomatic": "Section 3, completeness"}
    judges: ClassVar = ("attribution",)

    class Options(Options):
        """Where the verdicts begin. They are conventions."""

        warn: float = Field(default=0.05, ge=0, description="part of the difference that is missing, for a warn")
        fail: float = Field(default=0.25, ge=0, description="part of the difference that is missing, for a fail")

    options: Options

    def judge(self, result: Result) -> Verdict:
        """Judge the maps of one image for one target: the greatest gap counts."""
        table = result.tables.get(TABLE)
        if table is None:
            return Verdict.not_applicable("the method does not promise what its map adds up to")
        pairs = zip(table["layer"], table["relative_gap"], strict=True)
        gaps = {layer: float(gap) for layer, gap in pairs if not math.isnan(gap)}
        if not gaps:
            return Verdict.not_applicable("the score does not differ from that of the baseline")
        layer = max(gaps, key=gaps.__getitem__)
        gap = gaps[layer]
        text = f"at {layer} the map misses {gap:.1%} of what it should add up to"
        return at_most(gap, warn=self.options.warn, fail=self.options.fail, text=text)
