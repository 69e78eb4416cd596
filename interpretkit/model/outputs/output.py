"""What a class must offer that reads an output of a network: targets, scores, a summary."""

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
    """How one output of a network is read. Derive a class from it for a kind of output that no other class reads.

    Attributes:
        key: The key, attribute or position of this output in what the network returns; None if the network returns
            nothing else. A network that sometimes returns this output alone is read as well.
        layer: The path of the layer whose output is read in place of what the network returns; empty for none.
    """

    key: str | int | None = None
    layer: str = ""

    def read(self, returned: Any) -> Any:
        """Return this output, out of all that the network (or the layer) returned.

        Raises:
            StepError: If there is no such part.
        """
        key = self.key
        if key is None:
            return returned
        if isinstance(returned, Mapping):
            if key not in returned:
                known = [str(name) for name in returned]
                hint = did_you_mean(str(key), known, otherwise=f"it has {', '.join(known)}")
                raise StepError(f"the network returns no {key!r}", hint=hint)
            return returned[key]
        if isinstance(key, int) and isinstance(returned, Sequence):
            if key >= len(returned):
                raise StepError(f"the network returns {len(returned)} parts, counted from 0, so there is no {key}")
            return returned[key]
        return getattr(returned, str(key), returned)

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

    def terms(self, target: Target) -> tuple[tuple[float, Target], ...]:
        """Return a target as a weighted sum of targets that are no sums: usually the target itself, with weight 1."""
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
    if len(targets) == 1:
        return list(targets) * images
    return targets


def described(values: Any) -> str:
    """Say what a network returned, in a few words."""
    shape = getattr(values, "shape", None)
    if shape is None:
        return f"a {type(values).__name__}"
    return f"something of shape {tuple(shape)}"
