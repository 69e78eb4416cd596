"""Whether a map depends on what is explained."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from interpretkit import Check, Verdict
from interpretkit_trust.limits import Limits
from interpretkit_trust.similarity import most_alike

if TYPE_CHECKING:
    from interpretkit import Result


class Target(Check):
    """Whether a map depends on the class that is explained.

    The map is held against that of the strongest other class. Where the two are the same, the map shows what the
    network looks at, whichever class is asked for, and says nothing for this one.
    """

    name = "target"
    citations: ClassVar = {"sixt2020when": "Section 4, maps that are the same for any class"}
    judges: ClassVar = ("attribution",)
    compares: ClassVar = ("runner_up",)

    class Options(Limits):
        """Where the verdicts begin. Classes that resemble each other may share evidence, so only much is too much."""

        warn: float = Field(default=0.9, ge=-1, le=1, description="rank correlation above which the verdict is warn")
        fail: float = Field(default=0.99, ge=-1, le=1, description="rank correlation above which the verdict is fail")

    options: Options

    def judge(self, result: Result, *, runner_up: Result) -> Verdict:
        """Judge the maps of one image for one target: the layer counts at which the two are most alike."""
        alike = most_alike(result, runner_up)
        if alike is None:
            return Verdict.not_applicable("the map, or that of the runner-up, is the same everywhere")
        against = f"that of the runner-up, {runner_up.targets[0].name}"
        text = f"at {alike.layer} the map has rank correlation {alike.correlation:.2f} with {against}"
        return self.options.verdict(alike.correlation, text, cells=alike.cells)
