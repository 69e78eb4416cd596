"""What judges the results of steps."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from interpretkit.contracts.offer import Offer

if TYPE_CHECKING:
    from interpretkit.contracts.reads import Yield
    from interpretkit.results.result import Result
    from interpretkit.results.verdict import Verdict


class Check(Offer):
    """Judges the result of every step that yields what it judges. Derive from it, give it a `name` and `judge`.

    Example:
        >>> import numpy as np
        >>> class NotEmpty(Check):
        ...     '''Whether a map says anything at all.'''
        ...     name = "not_empty"
        ...     judges = ("attribution",)
        ...     def judge(self, result):
        ...         greatest = max(float(np.abs(each.values).max()) for each in result.maps.values())
        ...         status = "pass" if greatest > 0 else "fail"
        ...         text = f"the greatest value is {greatest:g}"
        ...         return Verdict(status=status, figure=greatest, threshold=0.0, text=text)
        >>> NotEmpty(NotEmpty.Options()).name
        'not_empty'
    """

    judges: ClassVar[tuple[Yield, ...]]
    """What the steps yield that it judges."""

    @abstractmethod
    def judge(self, result: Result) -> Verdict:
        """Judge the result of one image, or of the whole set. Pure, and without torch."""
