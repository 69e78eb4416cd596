"""What a check says of a result."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Status = Literal["pass", "warn", "fail", "not applicable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The verdict of a check on one image's result, or on that of the whole set.

    Attributes:
        status: `pass`, `warn`, `fail`, or `not applicable` where there is nothing to judge.
        figure: The number that was judged; NaN where there is none.
        threshold: The number that it was compared with: a convention, which options of the check set. NaN where there
            is none.
        text: The judgement with both numbers, in a sentence.

    Example:
        >>> print(Verdict(status="fail", figure=0.1, threshold=0.5, text="10 % of the map is in the mask, 50 % wanted"))
        fail: 10 % of the map is in the mask, 50 % wanted
    """

    status: Status
    figure: float
    threshold: float
    text: str

    @classmethod
    def not_applicable(cls, text: str) -> Verdict:
        """Return the verdict of a check that has nothing to judge.

        Args:
            text: Why it has not.
        """
        return cls(status="not applicable", figure=math.nan, threshold=math.nan, text=text)

    def __str__(self) -> str:
        return f"{self.status}: {self.text}"
