"""What judges the results of steps."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from interpretkit.contracts.offer import Offer

if TYPE_CHECKING:
    from interpretkit.contracts.reads import Yield
    from interpretkit.results.result import Result
    from interpretkit.results.verdict import Verdict

Counterpart = Literal["random_weights", "runner_up", "again", "other_seed"]
"""The same step for the same image, with one thing changed: all weights of the network drawn anew, the target replaced
by the strongest other one, nothing, or the seed of the method."""

RANDOM_WEIGHTS: Counterpart = "random_weights"
RUNNER_UP: Counterpart = "runner_up"
AGAIN: Counterpart = "again"
OTHER_SEED: Counterpart = "other_seed"


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

    compares: ClassVar[tuple[Counterpart, ...]] = ()
    """The counterparts that it holds a result against; of a step that lacks one of them, it is not asked."""

    @abstractmethod
    def judge(self, result: Result, *args: Any, **counterparts: Any) -> Verdict:
        """Judge the result of one image and target, or of the whole set. Pure, and without torch.

        Args:
            result: What the step has made.
            *args: None; a check declares `judge(self, result)`.
            **counterparts: What it has made under the conditions that the check compares with, each a result, by the
                name of the condition: with `compares = ("again",)` it declares `judge(self, result, *, again)`.
        """
