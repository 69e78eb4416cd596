"""Numbers of classes of which nobody knows what they are: logits, probabilities, or something else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from interpretkit.model.outputs.columns import Columns

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown(Columns):
    """One number for each class, of which it is not known whether it is a logit, a probability or neither.

    Its targets are `predicted`, the greatest number, an index or a name, `{not: …}`, `{for: …, against: …}` and
    `{top: …}`.

    Attributes:
        names: Names of the classes by index; may be empty.

    Example:
        >>> import torch
        >>> print(Unknown(names=("cat", "dog")).targets("dog", torch.tensor([[-0.3, 0.9]]), [None])[0])
        dog (output 0.9)
    """

    @property
    def words(self) -> str:
        """What it is: classes, and no more is known."""
        return "classes, not known to be logits or probabilities"

    def probabilities(self, columns: torch.Tensor) -> None:  # noqa: ARG002 - whatever they are
        """Return None: nothing is known to be a probability."""
        return

    def quantities(self, columns: torch.Tensor) -> list[str]:
        """Return `output`, the word for a number of which no more is known."""
        return ["output"] * len(columns)
