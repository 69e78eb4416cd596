"""Labels, each of which an image has or has not: sigmoids, or one logit or probability of two sides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from interpretkit.errors import InputError
from interpretkit.model.outputs.columns import Columns, Returns, as_columns, check_probabilities
from interpretkit.model.outputs.names import MisnamedError
from interpretkit.model.outputs.output import Term

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from interpretkit.capture.ending import Ending
    from interpretkit.results.targets import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels(Columns):
    """Labels of which an image may have none, one or several: a logit for each, or a probability behind a sigmoid.

    Its targets are `predicted`, the label with the greatest number; `label`, a label index or name, `{not: …}` for what
    speaks against a label, `{for: …, against: …}` and `{top: …}`.

    Attributes:
        names: Names of the labels by index; may be empty.
        returns: `logits` or `probabilities`; None where it is not known. The first pass shows it, by the last operation
            of the network; else nothing is called a probability.

    Example:
        >>> import torch
        >>> tumour = Labels(names=("tumour",), returns="logits")
        >>> (target,) = tumour.targets(0, torch.tensor([[-0.58]]), [None])
        >>> print(target)
        'tumour' (logit -0.58, probability 0.359)
    """

    noun: ClassVar[str] = "label"

    returns: Returns | None = None

    @property
    def open(self) -> bool:
        """Whether nobody has said what the numbers are."""
        return self.returns is None

    @property
    def words(self) -> str:
        """What it is: labels, or two classes told apart, and what the network returns of them."""
        return f"{self._kind}, {self.returns or 'not known to be logits or probabilities'}"

    @property
    def _kind(self) -> str:
        return "labels"

    def probabilities(self, columns: torch.Tensor) -> torch.Tensor | None:
        """Return the sigmoids of logits, probabilities as they are; None where it is not known which they are."""
        if self.returns is None:
            return None
        numbers = columns.double()
        return numbers.sigmoid() if self.returns == "logits" else numbers

    def quantities(self, columns: torch.Tensor) -> list[str]:
        """Return `logit`, or `output` for probabilities and for what is not known."""
        return ["logit" if self.returns == "logits" else "output"] * len(columns)

    def check_numbers(self, columns: torch.Tensor) -> None:
        """Check that probabilities are 0 to 1."""
        if self.returns == "probabilities":
            check_probabilities(columns, output=type(self).__name__)

    def opposites(self, columns: torch.Tensor) -> torch.Tensor:
        """Return negative logits, and what is missing of probabilities to 1."""
        return 1 - columns if self.returns == "probabilities" else -columns

    def settled(self, ending: Ending, values: Any) -> Labels:
        """Return the labels with what the numbers are, where the last operation says it."""
        if self.returns is not None:
            return self
        if ending.operation == "sigmoid":
            return replace(self, returns="probabilities")
        as_columns(values, noun=self.noun)
        return replace(self, returns="logits" if ending.operation == "linear" else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Binary(Labels):
    """Two classes told apart by one number: the logit, or the probability, of the second.

    The first class has the negative logit, or what is missing to 1. Its targets are `predicted`, the more probable
    class, `label`, and a class index or name. Of a number that is not known to be a logit or a probability nobody knows
    which class it predicts.

    Attributes:
        names: The names of both, such as `("healthy", "tumour")`.
        returns: As in `Labels`.

    Example:
        >>> import torch
        >>> output = Binary(names=("healthy", "tumour"), returns="logits")
        >>> print(output.targets("healthy", torch.tensor([-0.58]), [None])[0])
        'healthy' (logit 0.58, probability 0.641)
    """

    SIDES: ClassVar[tuple[str, str]] = ("negative", "positive")
    noun: ClassVar[str] = "class"

    names: Sequence[str] = SIDES

    def __post_init__(self) -> None:
        Labels.__post_init__(self)
        if len(self.names) != len(self.SIDES):
            raise InputError(f"one number tells two classes apart, not {len(self.names)}", hint="give two names")

    @property
    def _kind(self) -> str:
        return "two classes by one number"

    def columns(self, values: Any) -> torch.Tensor:
        """Return the numbers of both classes, `(image, class)`.

        Raises:
            MisnamedError: If the network does not return one number for each image.
        """
        import torch

        second = as_columns(values, noun="image")
        if second.shape[1] != 1:
            what = f"the network returns {second.shape[1]} numbers for each image, and one is to tell two classes apart"
            raise MisnamedError(what, hint="Classes(names=…) reads a number for each class")
        first = 1 - second if self.returns == "probabilities" else -second
        return torch.cat([first, second], dim=1)

    def ranked(self, rank: int, numbers: torch.Tensor) -> int:
        """Return the class of a rank.

        Raises:
            InputError: If there are not so many, or it is not known what the number is.
        """
        if self.returns is None:
            what = "the number is not known to be a logit or a probability, nor which of the two classes it predicts"
            raise InputError(what, hint=f"name one: {', '.join(self.names)}; or say it: Binary(names=…, returns=…)")
        return Labels.ranked(self, rank, numbers)

    def listed(self, numbers: torch.Tensor) -> list[int]:
        """Return both classes; the second alone where it is not known what the number is."""
        return Labels.listed(self, numbers) if self.returns else [1]

    def terms(self, target: Target) -> tuple[Term, ...]:
        """Return the only column there is, with its sign."""
        found = []
        for term in Labels.terms(self, target):
            second = replace(term.target, spec=self._second(term.target), label=self.names[1])
            found.append(Term(term.weight if term.column == 1 else -term.weight, second, 0))
        return tuple(found)

    def _second(self, target: Target) -> Any:
        spec = target.spec
        return {**spec, "class": 1} if isinstance(spec, Mapping) else 1
