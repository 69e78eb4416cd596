"""Whether a map depends on what the network has learned."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from interpretkit import Check, Verdict
from interpretkit_trust.limits import Limits
from interpretkit_trust.similarity import most_alike

if TYPE_CHECKING:
    from interpretkit import Result


class Randomization(Check):
    """Whether a map depends on what the network has learned.

    The map is held against that of the same network with random weights, for the same image and class. Where the two
    are alike, what is seen is the image and the architecture, not what was learned.
    """

    name = "randomization"
    citations: ClassVar = {"adebayo2018sanity": "Section 3, all layers drawn anew at once"}
    judges: ClassVar = ("attribution",)
    compares: ClassVar = ("random_weights",)

    class Options(Limits):
        """Where the verdicts begin."""

    options: Options

    def judge(self, result: Result, *, random_weights: Result) -> Verdict:
        """Judge the maps of one image for one target: the layer counts at which the two are most alike."""
        alike = most_alike(result, random_weights)
        if alike is None:
            return Verdict.not_applicable("the map, or that of random weights, is the same everywhere")
        text = f"at {alike.layer} the map has rank correlation {alike.correlation:.2f} with that of random weights"
        return self.options.verdict(alike.correlation, text, cells=alike.cells)
