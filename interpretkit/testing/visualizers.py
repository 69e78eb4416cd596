"""What every visualizer should pass."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from interpretkit.contracts.kinds import VISUALIZER, Kind
from interpretkit.contracts.registry import Plugin
from interpretkit.contracts.visualizer import Visualizer
from interpretkit.digests import state_digest
from interpretkit.engine.batch import compute
from interpretkit.engine.gather import Gather
from interpretkit.engine.plan import Plan, plan_step
from interpretkit.engine.resolve import Step
from interpretkit.figures.settings import default_settings
from interpretkit.inputs.batch import tensor_batches
from interpretkit.results import ranks
from interpretkit.results.figure import Figure
from interpretkit.results.result import Result
from interpretkit.testing.named import Subject, require
from interpretkit.testing.same import copied, require_same
from interpretkit.testing.tiny import tiny_images, tiny_model

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from interpretkit.model.model import Model
    from interpretkit.results.map import Map

_GROUPING = 1e-5
"""Batches of other sizes add up in another order; so large a part of the greatest value may differ."""

_BELOW_ZERO = 1e-6
"""Rounding may leave so large a part of the greatest value below zero."""

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@dataclass(frozen=True, slots=True)
class _State:
    """What a visualizer must leave as it found it."""

    weights: str
    modes: tuple[bool, ...]
    hooks: int

    @classmethod
    def of(cls, model: Model) -> _State:
        parts = [*model.module.modules()]
        hooks = sum(len(getattr(part, kind)) for part in parts for kind in _HOOKS)
        return cls(state_digest(model.module.state_dict()), tuple(part.training for part in parts), hooks)


class VisualizerSubject(Subject[Visualizer]):
    """A visualizer about to be checked.

    Args:
        offer: Its class.
        of: Results that it reads, for the same images; or visualizers, as steps that it can have computed once more.
        model: What to look into; by default `tiny_model()`.
        images: `(image, channel, y, x)`; by default `tiny_images()`.
        options: Its options.
    """

    kind: ClassVar[Kind[Any]] = VISUALIZER
    names = (
        *Subject.names,
        "same_twice",
        "any_batches",
        "model_left_as_found",
        "hooks",
        "finite",
        "polarity",
        "figures",
        "drawing_changes_nothing",
    )

    def __init__(
        self,
        offer: type[Visualizer],
        *,
        of: Mapping[str, Result | Visualizer] | None = None,
        model: Model | None = None,
        images: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(offer, **options)
        self._of = of or {}
        self._given_model = model
        self._given_images = images

    def same_twice(self) -> None:
        """Computed twice, the result is the same, bit for bit."""
        again = self._compute(batch_size=len(self._images))
        require_same(self._whole, again, "computed twice, the result differs", tolerance=0.0)

    def any_batches(self) -> None:
        """The result is the same whatever the grouping into batches."""
        single = self._compute(batch_size=1)
        message = "the result depends on the grouping into batches"
        require_same(self._whole, single, message, tolerance=_GROUPING)

    def model_left_as_found(self) -> None:
        """Weights and modes of the model are as before."""
        before, after = self._states
        require(after.weights == before.weights, "the model's weights were changed")
        require(after.modes == before.modes, "parts of the model were put into another mode, training or eval")

    def hooks(self) -> None:
        """No hook is left on the model."""
        before, after = self._states
        left = after.hooks - before.hooks
        require(left == 0, f"{left} hooks were left on the model")

    def finite(self) -> None:
        """No array is NaN or infinite all over."""
        for result in self._whole:
            for name, each in (*result.maps.items(), *result.arrays.items()):
                numbers = each.values.dtype.kind == "f" and each.values.size > 0
                lost = numbers and not np.isfinite(each.values).any()
                require(not lost, f"{name!r} is NaN or infinite everywhere")

    def polarity(self) -> None:
        """Maps that are called unsigned have no values below zero, and all are what the class says."""
        said = self.offer.polarity
        for result in self._whole:
            for name, each in result.maps.items():
                as_said = said in (None, each.polarity)
                require(as_said, f"map {name!r} is {each.polarity}, but the class says {said}")
                least = _least(each) if each.polarity == "unsigned" else 0.0
                require(least == 0.0, f"map {name!r} is called unsigned and has values down to {least:g}")

    def figures(self) -> None:
        """Figures are pictures of Pillow with a name of their own, a caption and alt text."""
        for drawn in self._drawing[1]:
            require(drawn is not None, "draw() returns None, not figures: yield them, or return ()")
            _check_figures(drawn or [])

    def drawing_changes_nothing(self) -> None:
        """Drawing leaves the result as it was."""
        require_same(self._whole, self._drawing[0], "draw() changed the result", tolerance=0.0)

    @cached_property
    def _model(self) -> Model:
        return self._given_model or tiny_model()

    @cached_property
    def _images(self) -> Any:
        return tiny_images() if self._given_images is None else self._given_images

    @cached_property
    def _first(self) -> tuple[list[Result], _State, _State]:
        """The results of one batch, and the model before and after."""
        before = _State.of(self._model)
        results = self._compute(batch_size=len(self._images))
        return results, before, _State.of(self._model)

    @property
    def _whole(self) -> list[Result]:
        return self._first[0]

    @property
    def _states(self) -> tuple[_State, _State]:
        return self._first[1:]

    @cached_property
    def _drawing(self) -> tuple[list[Result], list[list[Figure] | None]]:
        """Copies of the results, and what each call of `draw` made of them; None where it returned that."""
        results = [copied(result) for result in self._whole]
        drawn: list[list[Figure] | None] = []
        for part in (part for result in results for part in self._parts(result)):
            with default_settings():
                found: Any = self.made.draw(part)
                drawn.append(None if found is None else [*found])
        return results, drawn

    def _parts(self, result: Result) -> list[Result]:
        """As in a run, what is of the top classes is drawn class by class."""
        return [result] if self.offer.per_set else ranks.split(result)

    def _compute(self, *, batch_size: int) -> list[Result]:
        """Return the results image by image, or the one of a reduction."""
        earlier = [_step(name, each) for name, each in self._of.items() if isinstance(each, Visualizer)]
        step = _step("checked", self.made, of=tuple(self._of))
        steps = tuple(plan_step(each, self._model) for each in (*earlier, step))
        gathered = Gather(step)
        for result in self._of_batches(Plan(models={"model": self._model}, steps=steps), batch_size):
            gathered.add(result)
        whole = gathered.whole()
        return [whole] if self.offer.per_set else [whole.select(image.id) for image in whole.images]

    def _of_batches(self, plan: Plan, batch_size: int) -> Iterator[Result]:
        for batch in tensor_batches(self._images, plan.models, batch_size=batch_size):
            ids = [image.id for image in batch.images]
            given = {name: each.select(*ids) for name, each in self._of.items() if isinstance(each, Result)}
            outcome = compute(plan, batch, given=given)
            for failure in outcome.failures.values():
                raise failure
            yield outcome.results["checked"]


def _step(name: str, visualizer: Visualizer, *, of: tuple[str, ...] = ()) -> Step:
    return Step(id=name, visualizer=visualizer, plugin=Plugin("checked"), model="model", of=of)


def _least(each: Map) -> float:
    """Return the least value of a map if it is below zero by more than rounding, else 0."""
    finite = each.values[np.isfinite(each.values)].astype(np.float64)
    least = float(finite.min(initial=0.0))
    return least if least < -_BELOW_ZERO * float(np.abs(finite).max(initial=0.0)) else 0.0


def _check_figures(drawn: list[Figure]) -> None:
    from PIL.Image import Image

    names = []
    for figure in drawn:
        require(isinstance(figure, Figure), f"draw() yields a {type(figure).__name__}, not a Figure")
        empty = [field.name for field in fields(figure) if not getattr(figure, field.name)]
        require(not empty, f"a figure without {', '.join(empty)}")
        kind = f"{type(figure.picture).__module__}.{type(figure.picture).__name__}"
        is_picture = isinstance(figure.picture, Image)
        require(is_picture, f"the picture of figure {figure.name!r} is a {kind}, not an image of Pillow")
        names.append(figure.name)
    require(len(set(names)) == len(names), f"two figures of one name among {', '.join(names)}")
