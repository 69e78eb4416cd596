"""Whether a map says anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from interpretkit import Check, Verdict

if TYPE_CHECKING:
    from interpretkit import Map, Result

_ROUNDING = 1e-6
"""Below such a share of its largest value, differences between the values of a map are rounding."""


class Degenerate(Check):
    """Whether a map tells any place from another: not if it is 0 or the same everywhere, or of a saturated score.

    Fails where values are NaN or infinite, and where they differ by less than rounding, in shares of the largest. Warns
    where a map
    has one cell alone, where the score is saturated, so that its gradient is rounding, and where nothing in a signed
    map speaks for the target, so that its positive part is empty.
    """

    name = "degenerate"
    judges: ClassVar = ("attribution",)

    def judge(self, result: Result) -> Verdict:
        """Judge the maps of one image for one target: the worst of them counts."""
        verdicts = [_verdict(layer, each) for layer, each in result.maps.items()]
        saturated = [target for target in result.targets if target.saturated]
        worst = min(verdicts, key=lambda verdict: _ORDER[verdict.status])
        if saturated and worst.status != "fail":
            text = f"the score of {saturated[0].name!r} is saturated: of its gradient nothing but rounding is left"
            return Verdict(status="warn", figure=worst.figure, threshold=_ROUNDING, text=text)
        return worst


_ORDER = {"fail": 0, "warn": 1, "pass": 2}


def _verdict(layer: str, each: Map) -> Verdict:
    values = np.asarray(each.values, np.float64)
    if not np.isfinite(values).all():
        missing = float((~np.isfinite(values)).mean())
        text = f"at {layer} {missing:.2%} of the map are NaN or infinite"
        return Verdict(status="fail", figure=missing, threshold=0.0, text=text)
    greatest, least = float(values.max()), float(values.min())
    largest = max(abs(greatest), abs(least))
    spread = (greatest - least) / largest if largest else 0.0
    status, text = "pass", f"at {layer} the values of the map differ by {spread:.2g} of the largest"
    if largest == 0:
        status, text = "fail", f"at {layer} the map is 0 everywhere: nothing reaches the score, or its gradient is 0"
    elif values.size == 1:
        status, text = "warn", f"at {layer} the map has one cell, so it tells no place from another"
    elif spread <= _ROUNDING:
        status, text = "fail", f"at {layer} the map is the same everywhere but for rounding"
    elif each.polarity == "signed" and greatest <= 0:
        status, text = "warn", f"at {layer} nothing speaks for the target: no value of the map is above 0"
    return Verdict(status=status, figure=spread, threshold=_ROUNDING, text=text)  # type: ignore[arg-type]
