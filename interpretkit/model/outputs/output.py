"""What a class must offer that reads an output of a network: targets, scores, a summary."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

from interpretkit.errors import InputError, RecipeError
from interpretkit.model.outputs.names import check_count
from interpretkit.model.outputs.parts import part_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    import torch

    from interpretkit.capture.ending import Ending
    from interpretkit.results.image import InputImage
    from interpretkit.results.targets import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Something that a network finds in an image.

    Attributes:
        index: The class; -1 where it is none.
        label: Its name, or its index as text.
        score: Its number.
        quantity: What that is: `logit`; `output` of a network that returns probabilities, or of which no more is known;
            `value`.
        unit: The unit of a value; empty without one.
        probability: Its probability; NaN where there is none.
    """

    index: int
    label: str
    score: float
    quantity: str = "logit"
    unit: str = ""
    probability: float = math.nan


class Term(NamedTuple):
    """One of the numbers that a score is the sum of.

    Attributes:
        weight: What it is multiplied by.
        target: The target that the number alone is the score of.
        column: Which of the network's outputs `(image, class)` it is; None where it is no such number.
    """

    weight: float
    target: Target
    column: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Output(ABC):
    """How one output of a network is read. Derive a class from it for a kind of output that no other class reads.

    Attributes:
        key: The key, attribute or position of this output in what the network returns. A network that sometimes returns
            this output alone is read as well. None finds it by itself: it is all that the network returns, its only
            part, or the part called `logits` or `out`.
        layer: The path of the layer whose output is read in place of what the network returns; empty for none.
    """

    has_classes: ClassVar[bool] = False
    """Whether it has classes, and a field `names` for their names by index."""

    key: str | int | None = None
    layer: str = ""

    def read(self, returned: Any) -> Any:
        """Return this output, out of all that the network (or the layer) returned.

        Raises:
            StepError: If there is no such part.
        """
        return part_of(returned, self.key)

    def settled(self, ending: Ending, values: Any) -> Output:  # noqa: ARG002 - most are told
        """Return this output with what was left open settled by a pass of the network.

        Args:
            ending: What `values` were made by.
            values: What `read` returned.

        Raises:
            StepError: If `values` are nothing that this output reads.
        """
        return self

    def on_grid(self, axes: int) -> Output:  # noqa: ARG002 - most have no pixels
        """Return this output for a network that is fed a grid of so many axes: 2 of images; for what has pixels."""
        return self

    @property
    def open(self) -> bool:
        """Whether a pass may show what was left open of it, which `settled` then says."""
        return False

    @property
    def words(self) -> str:
        """What it is, in a few words: of a run's manifest and report."""
        return type(self).__name__.lower()

    def named(self, names: Sequence[str]) -> Output:
        """Return this output with names of its classes, by index.

        Raises:
            RecipeError: If it has no classes, or is known to have another number of them.
        """
        if not self.has_classes:
            raise RecipeError(f"the model returns {self.words}, which has no classes to name")
        asked: Any = self
        check_count(names, asked.names)
        renamed: Output = replace(asked, names=names)
        return renamed

    def single(self, spec: Any) -> tuple[Hashable, ...]:
        """Return the targets that a target stands for, each one score of an image: usually the target itself."""
        return (spec,)

    def check(self, spec: Hashable) -> None:
        """Check a single target before any pass.

        Raises:
            InputError: If there is no such target.
        """
        if spec is not None:
            raise InputError(f"it has one target, and no {spec!r}")

    def check_label(self, label: str | None) -> None:  # noqa: ARG002 - most have no labels
        """Check that an image's label is one of its targets; raises as `check` does."""
        raise InputError("the target is 'label', but this output has no labels")

    @abstractmethod
    def targets(self, spec: Hashable, values: Any, images: Sequence[InputImage]) -> tuple[Target, ...]:
        """Resolve a single target for each image of a batch.

        Args:
            spec: What is asked for; None for the target of an output that has one.
            values: What `read` returned.
            images: The images.

        Raises:
            InputError: If there is no such target.
            StepError: If `values` are nothing that this output reads, or are not finite.
        """

    @abstractmethod
    def score(self, values: Any, targets: Sequence[Target]) -> torch.Tensor:
        """Return the score of each image's target, `(image,)`: what attribution differentiates.

        Raises:
            StepError: If `values` are nothing that this output reads.
        """

    def probability(self, values: Any, targets: Sequence[Target]) -> torch.Tensor | None:  # noqa: ARG002 - most have none
        """Return the probability of each image's target, `(image,)` float64; None where a score is no sign of one."""
        return None

    def gives(self, values: torch.Tensor, target: Target, *, tolerance: float) -> bool:
        """Return whether the values of one image have the score of a target.

        Args:
            values: What `read` returned.
            target: The target, with its score.
            tolerance: How far the scores may differ, as a part of the greatest value.
        """
        score = float(self.score(values, [target])[0])
        greatest = float(values.detach().abs().max())
        return abs(score - target.score) <= tolerance * greatest

    def runner_up(self, target: Target, values: Any) -> Target | None:  # noqa: ARG002 - most have one target
        """Return the strongest other target beside one, of the same image; None where there is none.

        Args:
            target: The target, as it came out.
            values: What `read` returned of the image, one row.
        """
        return None

    def terms(self, target: Target) -> tuple[Term, ...]:
        """Return the numbers that a score is the sum of: usually the score itself, with weight 1."""
        return (Term(1.0, target, None),)

    def summary(self, values: Any) -> tuple[tuple[Prediction, ...], ...]:  # noqa: ARG002 - most have nothing to list
        """Return for each image what the network finds in it, the most probable first.

        Raises:
            StepError: If `values` are nothing that this output reads.
        """
        return ()


One = TypeVar("One")


def for_each(targets: Sequence[One], images: int) -> Sequence[One]:
    """Return one target for each image: a single one holds for all."""
    if len(targets) == 1:
        return list(targets) * images
    return targets
