"""What a check says of a result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["pass", "warn", "fail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The verdict of a check on one image's result, or on that of the whole set.

    Attributes:
        status: `pass`, `warn` or `fail`.
        figure: The number that was judged.
        threshold: The number that it was compared with.
        text: The judgement with both numbers, in a sentence.

    Example:
        >>> print(Verdict(status="fail", figure=0.1, threshold=0.5, text="10 % of the map is in the mask, 50 % wanted"))
        fail: 10 % of the map is in the mask, 50 % wanted
    """

    status: Status
    figure: float
    threshold: float
    text: str

    def __str__(self) -> str:
        return f"{self.status}: {self.text}"
