"""What every way of reading a network has to say."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from interpretkit.errors import InputError, StepError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Hashable

    import torch

    from interpretkit.results.image import InputImage
    from interpretkit.results.targets import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Something that a network finds in an image.

    Attributes:
        index: The class; -1 where it is none.
        label: Its name, or its index as text.
        logit: Its score.
        probability: Its probability; NaN where there is none.
    """

    index: int
    label: str
    logit: float
    probability: float = math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Output(ABC):
    """How one output of a network is read. Derive from it for what no other reads.

    Attributes:
        key: Under which key, attribute or position it stands in what the network returns; None if that is all of it.
            A network that at times returns the part alone is read as well.
        layer: The layer, as a path, whose output is read in place of what the network returns; empty for none.
    """

    key: str | int | None = None
    layer: str = ""

    def read(self, returned: Any) -> Any:
        """Return the part of what the network returned (or the layer) that this output is about.

        Raises:
            StepError: If there is no such part.
        """
        if self.key is None:
            return returned
        if isinstance(returned, Mapping):
            if self.key not in returned:
                known = [str(key) for key in returned]
                hint = did_you_mean(str(self.key), known, otherwise=f"it has {', '.join(known)}")
                raise StepError(f"the network returns no {self.key!r}", hint=hint)
            return returned[self.key]
        if isinstance(self.key, int) and isinstance(returned, Sequence):
            if self.key >= len(returned):
                raise StepError(f"the network returns {len(returned)} parts, counted from 0, so there is no {self.key}")
            return returned[self.key]
        return getattr(returned, str(self.key), returned)

    def single(self, spec: Any) -> tuple[Hashable, ...]:
        """Return the targets that one target stands for, each one score of an image: usually itself."""
        return (spec,)

    def check(self, spec: Hashable) -> None:
        """Check a single target by what is known before any pass.

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
        """Return whether one image's values give the score that a target says, to a part of their greatest."""
        score = float(self.score(values, [target])[0])
        return abs(score - target.score) <= tolerance * float(values.detach().abs().max())

    def terms(self, target: Target) -> tuple[tuple[float, Target], ...]:
        """Return a target as a weighted sum of targets that are not sums themselves: usually itself, once."""
        return ((1.0, target),)

    def summary(self, values: Any) -> tuple[tuple[Prediction, ...], ...]:  # noqa: ARG002 - most have nothing to list
        """Return for each image what the network finds in it, the most probable first.

        Raises:
            StepError: If `values` are nothing that this output reads.
        """
        return ()


One = TypeVar("One")


def for_each(targets: Sequence[One], images: int) -> Sequence[One]:
    """Return one target for each image: a single one holds for all."""
    return list(targets) * images if len(targets) == 1 else targets


def described(values: Any) -> str:
    """Say what a network returned, in a few words."""
    shape = getattr(values, "shape", None)
    return f"a {type(values).__name__}" if shape is None else f"something of shape {tuple(shape)}"
