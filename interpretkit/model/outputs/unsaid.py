"""What nobody has said how to read: found out on the first image, as far as the network shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from interpretkit.model.outputs.boxes import Boxes
from interpretkit.model.outputs.classes import Classes
from interpretkit.model.outputs.columns import Columns
from interpretkit.model.outputs.labels import Labels
from interpretkit.model.outputs.pixels import Pixels
from interpretkit.model.outputs.unknown import Unknown

if TYPE_CHECKING:
    import torch

    from interpretkit.capture.ending import Ending
    from interpretkit.model.outputs.output import Output


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsaid(Columns):
    """One number for each of something: classes, labels or values, nobody has said which.

    It is read as what the network's last operation makes of it: a softmax makes classes, a sigmoid labels. Where there
    are names, they are names of classes, and of a single label where the network returns one number; of the classes of
    pixels, where it returns `(image, class, y, x)`. What a linear layer or a convolution made is then taken for logits,
    and nothing else is: it may be anything. What a detector returns is known by its parts, and a distribution over
    classes by its values. All else stays unknown, and then nothing is called a probability.

    Its targets are `predicted`, the greatest number, an index or a name, `{not: …}`, `{for: …, against: …}` and
    `{top: …}`.

    Attributes:
        names: Names of classes or labels by index; may be empty.

    Example:
        >>> import torch
        >>> print(Unsaid().targets(0, torch.tensor([[0.654, -2.0]]), [None])[0])
        0 (output 0.654)
    """

    @property
    def open(self) -> bool:
        """True: nothing is said."""
        return True

    @property
    def words(self) -> str:
        """What it is: not known."""
        return "not known to be classes, labels or values"

    def probabilities(self, columns: torch.Tensor) -> None:  # noqa: ARG002 - whatever they are
        """Return None: nothing is known to be a probability."""
        return

    def quantities(self, columns: torch.Tensor) -> list[str]:
        """Return `output`, the word for a number of which no more is known."""
        return ["output"] * len(columns)

    def settled(self, ending: Ending, values: Any) -> Output:
        """Return the kind of output that the network shows, or this one."""
        if _are_found(values):
            return Boxes(names=self.names, key=self.key, layer=self.layer)
        if len(self.names) > 1 and _are_grids(values, classes=len(self.names)):
            return Pixels(names=self.names, key=self.key, layer=self.layer).settled(ending, values)
        read = Classes(names=self.names, key=self.key, layer=self.layer).settled(ending, values)
        if ending.operation in ("softmax", "log_softmax", "sigmoid") or _told_by_values(read, ending):
            return read
        if not self.names:
            return self
        is_known = ending.operation == "linear" or isinstance(read, Labels)
        return read if is_known else Unknown(names=self.names, key=self.key, layer=self.layer)


def _are_found(values: Any) -> bool:
    """Return whether values are what a detector finds in each image."""
    if not isinstance(values, Sequence) or not values:
        return False
    return all(isinstance(each, Mapping) and {"boxes", "labels", "scores"} <= each.keys() for each in values)


def _are_grids(values: Any, *, classes: int) -> bool:
    """Return whether values are a number for each class and pixel."""
    shape: tuple[int, ...] = tuple(getattr(values, "shape", ()))
    return len(shape) > len(("image", "class")) and shape[1] == classes and prod(shape[2:]) > 1


def _told_by_values(read: Output, ending: Ending) -> bool:
    """Return whether numbers are a distribution that the last operation says nothing of."""
    return isinstance(read, Classes) and read.returns == "probabilities" and ending.operation in ("", "other")
