"""The results of a step for several batches put together: stacked, or merged and finished."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from interpretkit.engine.batch import place
from interpretkit.engine.returned import check_result
from interpretkit.errors import located
from interpretkit.results.stacking import stacked

if TYPE_CHECKING:
    from interpretkit.contracts.visualizer import Reduction
    from interpretkit.engine.resolve import Step
    from interpretkit.results.result import Result


class Gather:
    """Takes in the results of a step, batch by batch, and gives one result about all their images.

    Results about single images are stacked in the order in which they came. Results of a reduction are merged as they
    come, so that only one is held, however many images there are.

    Args:
        step: The step.

    Example:
        >>> from interpretkit.contracts.kinds import VISUALIZER
        >>> from interpretkit.contracts.registry import discover
        >>> from interpretkit.engine.resolve import Step
        >>> from interpretkit.results.result import Result
        >>> from interpretkit.results.table import Table
        >>> found = discover().find(VISUALIZER, "compare")
        >>> visualizer = found.offer(found.offer.Options())
        >>> step = Step(id="compare", visualizer=visualizer, plugin=found.plugin, model="model")
        >>> first, second = Gather(step), Gather(step)
        >>> first.add(Result(tables={"peaks": Table(image=["cat"], peak=[0.5])}))
        >>> second.add(Result(tables={"peaks": Table(image=["dog"], peak=[0.25])}))
        >>> first.merge(second)
        >>> first.whole().tables["peaks"]["peak"].tolist()
        [0.5, 0.25]
    """

    def __init__(self, step: Step) -> None:
        self._step = step
        self._parts: list[Result] = []

    def add(self, result: Result) -> None:
        """Take in the result of a batch.

        Raises:
            StepError: If it is of a reduction, and its `merge` fails.
        """
        if self._step.per_set and self._parts:
            result = self._merged(self._parts.pop(), result)
        self._parts.append(result)

    def merge(self, other: Gather) -> None:
        """Take in all results that another `Gather` of the same step has taken in; raises as `add` does."""
        for part in other._parts:
            self.add(part)

    def whole(self) -> Result:
        """Return the result about all images, of which there is at least one.

        Raises:
            StepError: If it is of a reduction, and its `finish` fails.
            InputError: If the images' maps or tables are not alike, so that they make no one array or table.
        """
        if self._step.per_set:
            return self._finished(self._parts[0])
        return stacked(self._parts)

    def _merged(self, first: Result, second: Result) -> Result:
        with located(place(self._step), doing="merge()"):
            merged = self._reduction.merge(first, second)
        with located(place(self._step)):
            check_result(merged, "merge()")
        return replace(merged, origin=first.origin)

    def _finished(self, merged: Result) -> Result:
        with located(place(self._step), doing="finish()"):
            result = self._reduction.finish(merged)
        with located(place(self._step)):
            check_result(result, "finish()")
        return replace(result, origin=merged.origin)

    @property
    def _reduction(self) -> Reduction:
        return cast("Reduction", self._step.visualizer)
