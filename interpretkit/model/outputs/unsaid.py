"""What nobody has said how to read: found out on the first image, as far as the network shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from interpretkit.model.outputs.classes import Classes
from interpretkit.model.outputs.columns import Columns, as_columns

if TYPE_CHECKING:
    import torch

    from interpretkit.capture.ending import Ending
    from interpretkit.model.outputs.output import Output


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsaid(Columns):
    """One number for each of something: classes, labels or values, nobody has said which.

    It is read as what the network's last operation makes of it: a softmax makes classes, a sigmoid labels. Where there
    are names, they are names of classes, and of a single label where the network returns one number. All else stays
    unknown, and then nothing is called a probability.

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

    def probabilities(self, columns: torch.Tensor) -> None:  # noqa: ARG002 - whatever they are
        """Return None: nothing is known to be a probability."""
        return

    def quantities(self, columns: torch.Tensor) -> list[str]:
        """Return `output`, the word for a number of which no more is known."""
        return ["output"] * len(columns)

    def settled(self, ending: Ending, values: Any) -> Output:
        """Return the kind of output that the network shows, or this one."""
        read = Classes(names=self.names, key=self.key, layer=self.layer).settled(ending, values)
        told = ending.operation in ("softmax", "log_softmax", "sigmoid") or bool(self.names)
        return read if told or _distributed(values) else self


def _distributed(values: Any) -> bool:
    """Return whether the numbers of each image are a distribution."""
    quantities = Classes().quantities(as_columns(values, noun="class"))
    width = values.shape[1:].numel()
    return width > 1 and set(quantities) == {"output"}
