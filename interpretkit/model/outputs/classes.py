"""Classes, of which each image has one: logits, or a distribution."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

from interpretkit.model.outputs.columns import Columns, Returns, are_distributions, as_columns, check_distribution
from interpretkit.model.outputs.labels import Binary, Labels
from interpretkit.model.outputs.unknown import Unknown

if TYPE_CHECKING:
    import torch

    from interpretkit.capture.ending import Ending
    from interpretkit.model.outputs.output import Output


@dataclass(frozen=True, slots=True, kw_only=True)
class Classes(Columns):
    """Classes of which each image has one: logits, or a distribution where the network ends in a softmax.

    Its targets are `predicted`, `label`, a class index or name, `{not: …}`, `{for: …, against: …}` and `{top: …}`.

    Attributes:
        names: Names of the classes by index; may be empty.
        returns: `logits`, or `probabilities` where the network ends in a softmax of its own. None for what the last
            operation of the network says in the first pass. Where that is not seen, values that are a distribution,
            none below 0 and together 1 but for rounding, are probabilities, others logits; where it is neither a
            softmax nor a linear layer, others are neither.

    Example:
        >>> import torch
        >>> output = Classes(names=("tench", "tabby"))
        >>> logits = torch.tensor([[0.0, 2.0]])
        >>> [(found.label, found.score) for found in output.summary(logits)[0]]
        [('tabby', 2.0), ('tench', 0.0)]
    """

    returns: Returns | None = None

    @property
    def open(self) -> bool:
        """Whether nobody has said what the numbers are."""
        return self.returns is None

    @property
    def words(self) -> str:
        """What it is: classes, and what the network returns of them."""
        return f"classes, {self.returns}" if self.returns else "classes"

    def probabilities(self, columns: torch.Tensor) -> torch.Tensor | None:
        """Return the softmax of the logits; of what is a distribution already, itself; None for a single class."""
        import torch

        # The softmax of one number is 1, whatever the number.
        if columns.shape[1] == 1:
            return None
        values = columns.double()
        return torch.where(self._distributed(columns)[:, None], values, values.softmax(1))

    def quantities(self, columns: torch.Tensor) -> list[str]:
        """Return `output` for images whose numbers are probabilities, else `logit`."""
        if columns.shape[1] == 1:
            return ["output"] * len(columns)
        return ["output" if known else "logit" for known in self._distributed(columns).tolist()]

    def check_numbers(self, columns: torch.Tensor) -> None:
        """Check that probabilities are none below 0, and those of each image together 1."""
        # One number is called no probability.
        if self.returns == "probabilities" and columns.shape[1] > 1:
            hint = "for logits say Classes(returns='logits'), for sigmoids Labels(returns='probabilities')"
            check_distribution(columns, each="an image", hint=f"{hint}; a softmax goes over the classes, dim=1")

    def opposites(self, columns: torch.Tensor) -> torch.Tensor:
        """Return negative logits, and what is missing of probabilities to 1."""
        import torch

        return torch.where(self._distributed(columns)[:, None], 1 - columns, -columns)

    def settled(self, ending: Ending, values: Any) -> Output:
        """Return classes with what the numbers are, where that is known; labels behind a sigmoid, or of one number."""
        if ending.operation == "sigmoid" or _is_one_number(values):
            kind = Binary if _is_one_number(values) and len(self.names) == len(Binary.SIDES) else Labels
            labels = kind(names=self.names, key=self.key, layer=self.layer)
            return labels.settled(ending, values)
        returns: dict[str, Returns] = {"softmax": "probabilities", "linear": "logits", "log_softmax": "logits"}
        told = self.returns or returns.get(ending.operation) or self._told(values, seen=bool(ending.operation))
        if told is None:
            return Unknown(names=self.names, key=self.key, layer=self.layer)
        return replace(self, returns=told)

    def _told(self, values: Any, *, seen: bool) -> Returns | None:
        """Return what values say of which the last operation says nothing; None where they leave a doubt."""
        columns = as_columns(values, noun=self.noun).detach()
        distributed = self._distributed(columns)
        if bool(distributed.all()):
            return "probabilities"
        nearly = bool((distributed | are_distributions(columns)).any())
        return None if seen or nearly else "logits"

    def _distributed(self, columns: torch.Tensor) -> torch.Tensor:
        """Return which images have probabilities, `(image,)` bool."""
        import torch

        if self.returns is not None:
            return torch.full((len(columns),), self.returns == "probabilities", device=columns.device)
        values = columns.double()
        rounding = 8 * torch.finfo(columns.dtype).eps
        missing = (values.sum(1) - 1).abs()
        return (values >= 0).all(1) & (missing <= rounding)


def _is_one_number(values: Any) -> bool:
    shape = getattr(values, "shape", ())
    return len(shape) > 0 and prod(shape[1:]) == 1
