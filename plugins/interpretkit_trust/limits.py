"""Thresholds: from where on a figure is worth a warning, and from where on it is a failure."""

from __future__ import annotations

import math

from pydantic import Field

from interpretkit import Options, Verdict

_DEVIATIONS = 3
"""So many standard deviations of its distribution by chance lies a rank correlation above 0, to mean anything."""


def at_most(figure: float, *, warn: float, fail: float, text: str) -> Verdict:
    """Return the verdict on a figure that should be small: it fails above `fail`, and is worth a warning above `warn`.

    Example:
        >>> print(at_most(0.2, warn=0.05, fail=0.25, text="20 % are missing"))
        warn: 20 % are missing
    """
    if figure > fail:
        return Verdict(status="fail", figure=figure, threshold=fail, text=text)
    if figure > warn:
        return Verdict(status="warn", figure=figure, threshold=warn, text=text)
    return Verdict(status="pass", figure=figure, threshold=warn, text=text)


class Limits(Options):
    """Where the verdicts begin. They are conventions: papers give no such numbers."""

    warn: float = Field(default=0.5, ge=-1, le=1, description="rank correlation above which the verdict is warn")
    fail: float = Field(default=0.8, ge=-1, le=1, description="rank correlation above which the verdict is fail")

    def verdict(self, correlation: float, text: str, *, cells: int) -> Verdict:
        r"""Return the verdict on a rank correlation that should be low.

        Maps of few cells are alike by chance: where their ranks are independent, with a standard deviation of
        $1/\sqrt{n - 1}$ for $n$ cells. Below three of these there is neither a warning nor a failure.

        Args:
            correlation: The rank correlation.
            text: What is correlated.
            cells: How many cells it was computed from.

        Example:
            >>> Limits().verdict(0.7, "alike", cells=100).status, Limits().verdict(0.7, "alike", cells=16).status
            ('warn', 'pass')
        """
        chance = _DEVIATIONS / math.sqrt(max(cells - 1, 1))
        if chance >= 1:
            return Verdict.not_applicable(f"{text}, which says nothing of {cells} cells")
        return at_most(correlation, warn=max(self.warn, chance), fail=max(self.fail, chance), text=text)
