"""What nobody has said how to read: found out on the first image, as far as the network shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from interpretkit.model.outputs.boxes import Boxes
from interpretkit.model.outputs.classes import Classes
from interpretkit.model.outputs.columns import Columns, as_columns
from interpretkit.model.outputs.pixels import Pixels

if TYPE_CHECKING:
    import torch

    from interpretkit.capture.ending import Ending
    from interpretkit.model.outputs.output import Output


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsaid(Columns):
    """One number for each of something: classes, labels or values, nobody has said which.

    It is read as what the network's last operation makes of it: a softmax makes classes, a sigmoid labels. Where there
    are names, they are names of classes, and of a single label where the network returns one number; of the classes of
    pixels, where it returns `(image, class, y, x)`. Numbers that are all of one sign are not taken for logits, unless a
    linear layer made them: they may as well be probabilities, percentages or logarithms. What a detector returns is
    known by its parts. All else stays unknown, and then nothing is called a probability.

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
        told = ending.operation in ("softmax", "log_softmax", "sigmoid") or _distributed(values)
        named = bool(self.names) and (ending.operation == "linear" or not _of_one_sign(values))
        return read if told or named else self


def _are_found(values: Any) -> bool:
    """Return whether values are what a detector finds in each image."""
    if not isinstance(values, Sequence) or not values:
        return False
    return all(isinstance(each, Mapping) and {"boxes", "labels", "scores"} <= each.keys() for each in values)


def _are_grids(values: Any, *, classes: int) -> bool:
    """Return whether values are a number for each class and pixel."""
    shape: tuple[int, ...] = tuple(getattr(values, "shape", ()))
    return len(shape) > len(("image", "class")) and shape[1] == classes and prod(shape[2:]) > 1


def _of_one_sign(values: Any) -> bool:
    """Return whether several numbers of each image are none below 0, or none above 0."""
    columns = as_columns(values, noun="class")
    return columns.shape[1] > 1 and bool((columns >= 0).all() or (columns <= 0).all())


def _distributed(values: Any) -> bool:
    """Return whether the numbers of each image are a distribution."""
    quantities = Classes().quantities(as_columns(values, noun="class"))
    width = values.shape[1:].numel()
    return width > 1 and set(quantities) == {"output"}
