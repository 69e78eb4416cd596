"""One number for each class, label or value: what all such outputs share, and the targets that they have."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from interpretkit import words
from interpretkit.errors import Faults, InputError, StepError
from interpretkit.model.outputs.names import LABEL, PREDICTED, MisnamedError, index_of, label_index, name_of
from interpretkit.model.outputs.output import Output, Prediction, Term, for_each
from interpretkit.model.outputs.parts import check_floats, described, way_to_name
from interpretkit.results.targets import Target

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    import torch

    from interpretkit.results.image import InputImage
    from interpretkit.results.targets import TargetData

Returns = Literal["logits", "probabilities"]


def _as_tuple(given: Any) -> Any:
    return tuple(given) if isinstance(given, list) else given


Numbers = Annotated[tuple[float, ...], BeforeValidator(_as_tuple)]
"""Numbers in a list, as YAML has them."""

LISTED = 5
"""So many of what a network finds are listed of each image."""

_SAY = "say what it returns: wrap(…, output=…)"
DIGITS_LOST = 100
"""From so many units in the last place on, what is left of a difference is rounding."""

_MATRIX = len(("image", "class"))
_ROUGHLY = 1e-3
"""How far the sum of probabilities may be off: half precision on the way leaves no more."""


class Grammar(BaseModel):
    """A mapping under `target:`: unknown keys and wrong types are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=True)

    of: str | None = Field(default=None, description="which of the model's outputs; by default the first")


class Contrast(Grammar):
    """A target that sets one class against another: the difference of their logits.

    Example:
        >>> Contrast.model_validate({"for": "tabby", "against": 282}).against
        282
    """

    for_: int | str = Field(alias="for", description="class index or name whose logit counts")
    against: int | str = Field(description="class index or name whose logit is subtracted")

    def __str__(self) -> str:
        return f"{self.for_} against {self.against}"


class Opposite(Grammar):
    """A target that asks what speaks against a label: the other side of one logit or probability.

    Example:
        >>> str(Opposite.model_validate({"not": "tumour"}))
        'not tumour'
    """

    not_: int | str = Field(alias="not", description="index or name of a label whose absence is explained")

    def __str__(self) -> str:
        return f"not {self.not_}"


class Top(Grammar):
    """A target that asks for one map for each of the most probable classes.

    Example:
        >>> Top.model_validate({"top": 2}).ranks
        (Ranked(rank=1), Ranked(rank=2))
    """

    top: int = Field(ge=1, le=20, description="how many of the most probable classes to explain, each by itself")

    def __str__(self) -> str:
        return f"top {self.top}"

    @property
    def ranks(self) -> tuple[Ranked, ...]:
        """The targets that it stands for, the most probable class first."""
        return tuple(Ranked(rank) for rank in range(1, self.top + 1))


class Chosen(Grammar):
    """A target of one of several outputs: a class of it, or the only target that it has.

    Example:
        >>> Chosen.model_validate({"of": "stage1_aux", "class": "tabby"}).class_
        'tabby'
    """

    class_: int | str | None = Field(
        default=None, alias="class", description="class index or name, predicted or label; predicted if left out"
    )

    def __str__(self) -> str:
        whole = "predicted" if self.class_ is None else str(self.class_)
        return whole if self.of is None else f"{whole} of {self.of}"


class Placed(Chosen):
    """A target that says where: a class in some pixels, or something that is found near a box or a point.

    Coordinates are pixels of what the network is fed, x before y (before z).

    Example:
        >>> str(Placed.model_validate({"class": "dog", "point": [64, 32]}))
        'dog at [64.0, 32.0]'
    """

    in_: Literal["prediction", "mask"] | None = Field(
        default=None, alias="in", description="of pixels: those where the class is predicted, or the mask of the image"
    )
    box: Numbers | None = Field(default=None, description="least x and y, greatest x and y")
    point: Numbers | None = Field(default=None, description="x and y")
    rank: int | None = Field(default=None, ge=1, description="of what is found: which, 1 for the greatest score")

    @model_validator(mode="after")
    def _says_one_place(self) -> Self:
        said = [name for name in ("in_", "box", "point", "rank") if getattr(self, name) is not None]
        if len(said) != 1:
            raise ValueError("a target is at one place: in, box, point or rank")
        return self

    def __str__(self) -> str:
        where = self.box or self.point
        place = f"at {list(where)}" if where else f"in the {self.in_}" if self.in_ else f"of rank {self.rank}"
        return f"{Chosen.__str__(self)} {place}"


@dataclass(frozen=True, slots=True)
class Ranked:
    """What the network finds first, second and so on: rank 1, 2, …."""

    rank: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns(Output):
    """One number for each class, label or value of each image.

    A network may return `(image, class)`, `(image, class, 1, 1)`, or, where there is one, `(image,)`.

    Attributes:
        names: Names by index; may be empty.
    """

    has_classes: ClassVar[bool] = True
    noun: ClassVar[str] = "class"
    """What one of them is."""

    names: Sequence[str] = ()

    def __post_init__(self) -> None:
        # One text is a sequence of letters.
        texts = not isinstance(self.names, str) and all(isinstance(name, str) for name in self.names)
        if not texts:
            raise InputError(f"the names of {words.plural(self.noun, 2)} are several texts, not {self.names!r}")
        object.__setattr__(self, "names", tuple(self.names))

    @abstractmethod
    def probabilities(self, columns: torch.Tensor) -> torch.Tensor | None:
        """Return the probability of each class, `(image, class)` float64; None where nothing is one.

        Args:
            columns: What `columns` returned.
        """

    @abstractmethod
    def quantities(self, columns: torch.Tensor) -> list[str]:
        """Return what the numbers of each image are: `logit`, `output` or `value`."""

    def check_numbers(self, columns: torch.Tensor) -> None:
        """Check that the numbers are what they are said to be.

        Raises:
            StepError: If they are no probabilities, and are said to be.
        """

    def opposites(self, columns: torch.Tensor) -> torch.Tensor:
        """Return what speaks against each class, `(image, class)`: the negative logit, what is missing to 1."""
        return -columns

    def unit(self, index: int) -> str:  # noqa: ARG002 - most have none
        """Return the unit of a number; empty without one."""
        return ""

    def listed(self, numbers: torch.Tensor) -> list[int]:
        """Return which of the numbers of an image `(class,)` are listed: the greatest, five at most."""
        best: list[int] = numbers.argsort(descending=True, stable=True)[:LISTED].tolist()
        return best

    def single(self, spec: Any) -> tuple[Hashable, ...]:
        """Return a target itself, or one for each rank of the top classes."""
        if isinstance(spec, Top):
            return spec.ranks
        # The same target under one name, so that it costs one backward pass.
        if spec in (None, PREDICTED):
            return (Ranked(1),)
        return (spec,)

    def check(self, spec: Hashable) -> None:
        """Check the names and indices that a target gives, where the model has names."""
        faults = Faults()
        if self.names:
            for wanted in _mentioned(spec):
                with faults.collect():
                    self.index(wanted, count=self.count)
        faults.tell()

    def check_label(self, label: str | None) -> None:
        """Check that a label is there, and names a class where the model has names."""
        if label is None or self.names:
            label_index(label, self.names, count=self.count)

    @property
    def count(self) -> int:
        """How many there are, by their names."""
        return len(self.names)

    def index(self, wanted: int | str, *, count: int) -> int:
        """Return the index of what is given by index or by name, out of `count`.

        Raises:
            InputError: If there is no such thing.
        """
        return index_of(wanted, self.names, count=count, noun=self.noun)

    def columns(self, values: Any) -> torch.Tensor:
        """Return what was read as one number for each class, `(image, class)`.

        Raises:
            StepError: If it is no such tensor; a MisnamedError if it has more or fewer classes than there are names.
        """
        columns = as_columns(values, noun=self.noun)
        width = columns.shape[1]
        if self.names and width != len(self.names):
            named = words.count(len(self.names), f"{self.noun} name")
            what = f"the network returns {words.count(width, 'number')} for each image, for {named}"
            raise MisnamedError(what, hint="give one name for each, in their order")
        return columns

    def targets(self, spec: Hashable, values: Any, images: Sequence[InputImage]) -> tuple[Target, ...]:
        """Return the class, its opposite, or the contrast, of each image, with its score."""
        columns = self.columns(values).detach()
        if not bool(columns.isfinite().all()):
            raise StepError("the output of the network is not finite, so there is nothing to explain")
        found = []
        for image, row in zip(images, self._rows(columns), strict=True):
            found.append(self._target(spec, image, row))
        return tuple(found)

    def score(self, values: Any, targets: Sequence[Target]) -> torch.Tensor:
        """Return the number of each image's class; of a contrast less that of the other class, of an opposite less."""
        import torch

        columns = self.columns(values)
        targets = for_each(targets, len(columns))
        rows = range(len(targets))
        chosen = [target.index for target in targets]
        if len({(target.opposite, target.against is None) for target in targets}) > 1:
            rows_of_one = torch.split(columns, 1)
            each = zip(rows_of_one, targets, strict=True)
            return torch.cat([self.score(row, [target]) for row, target in each])
        if targets[0].opposite:
            return self.opposites(columns)[rows, chosen]
        score = columns[rows, chosen]
        if targets[0].against is None:
            return score
        return score - columns[rows, [target.against for target in targets]]

    def probability(self, values: Any, targets: Sequence[Target]) -> torch.Tensor | None:
        """Return the probability of each image's class, or of its absence; None where nothing is a probability."""
        import torch

        columns = self.columns(values).detach()
        probabilities = self.probabilities(columns)
        if probabilities is None or any(target.against is not None for target in targets):
            return None
        targets = for_each(targets, len(probabilities))
        found = probabilities[range(len(targets)), [target.index for target in targets]]
        opposite = torch.tensor([target.opposite for target in targets], device=found.device)
        return torch.where(opposite, 1 - found, found)

    def terms(self, target: Target) -> tuple[Term, ...]:
        """Return the columns that a score is the sum of, each with its weight."""
        spec = target.spec
        if target.opposite:
            return (Term(-1.0, replace(target, spec=_in_same_output(spec, "not")), target.index),)
        if target.against is None:
            return (Term(1.0, target, target.index),)
        first = replace(target, spec=_in_same_output(spec, "for"), against_label="")
        second = replace(first, spec=_in_same_output(spec, "against"), label=target.against_label)
        return (Term(1.0, first, target.index), Term(-1.0, second, target.against))

    def runner_up(self, target: Target, values: Any) -> Target | None:
        """Return the class of the greatest other number; of one number alone, what speaks against it.

        Of a contrast it is another class, against the same one.
        """
        (row,) = self._rows(self.columns(values).detach())
        others = row.numbers.argsort(descending=True, stable=True).tolist()
        taken = (target.index, target.against)
        best = next((index for index in others if index not in taken), None)
        if best is None:
            alone = len(others) == 1 and row.quantity != "value" and not target.opposite
            return self._opposite(Opposite.model_validate({"not": others[0]}), row) if alone else None
        if target.against is None:
            return self._numbered(best, row)
        return self._contrast(Contrast.model_validate({"for": best, "against": target.against}), row)

    def summary(self, values: Any) -> tuple[tuple[Prediction, ...], ...]:
        """Return what the network finds in each image: the numbers that are listed."""
        return tuple(self._predictions(row) for row in self._rows(self.columns(values).detach()))

    def _rows(self, columns: torch.Tensor) -> Iterator[Row]:
        import torch

        self.check_numbers(columns)
        probabilities = self.probabilities(columns)
        numbers = columns.double()
        opposites = self.opposites(numbers)
        kind = torch.finfo(columns.dtype)
        for position, quantity in enumerate(self.quantities(columns)):
            likely = None if probabilities is None else probabilities[position]
            yield Row(numbers[position], opposites[position], likely, quantity, kind.eps, kind.tiny)

    def _predictions(self, row: Row) -> tuple[Prediction, ...]:
        found = []
        for index in self.listed(row.numbers):
            each = Prediction(
                index=index,
                label=name_of(index, self.names),
                score=row.number(index),
                quantity=row.quantity,
                unit=self.unit(index),
                probability=row.probability(index),
            )
            found.append(each)
        return tuple(found)

    def _target(self, spec: Hashable, image: InputImage, row: Row) -> Target:
        """Return the target of one image."""
        if isinstance(spec, Contrast):
            return self._contrast(spec, row)
        if isinstance(spec, Opposite):
            return self._opposite(spec, row)
        return self._numbered(self._index(spec, image, row), row)

    def _numbered(self, index: int, row: Row) -> Target:
        return Target(
            spec=index,
            label=name_of(index, self.names),
            score=row.number(index),
            quantity=row.quantity,
            unit=self.unit(index),
            probability=row.probability(index),
            saturated=row.saturated(index),
        )

    def _opposite(self, spec: Opposite, row: Row) -> Target:
        index = self.index(spec.not_, count=len(row.numbers))
        return Target(
            spec={"not": index},
            label=f"not {name_of(index, self.names)}",
            score=float(row.opposites[index]),
            quantity=row.quantity,
            probability=1 - row.probability(index),
            saturated=row.saturated(index),
        )

    def _contrast(self, spec: Contrast, row: Row) -> Target:
        count = len(row.numbers)
        index = self.index(spec.for_, count=count)
        against = self.index(spec.against, count=count)
        if index == against:
            what = f"{self.noun} {spec.for_!r} against itself is 0 for every image"
            raise InputError(what, hint=f"give two {words.plural(self.noun, 2)}")
        return Target(
            spec={"for": index, "against": against},
            label=name_of(index, self.names),
            against_label=name_of(against, self.names),
            score=row.number(index) - row.number(against),
            quantity=f"{row.quantity} difference",
            unit=self.unit(index),
            probability=row.probability(index),
            saturated=row.is_one(index) or row.is_one(against) or (row.is_none(index) and row.is_none(against)),
        )

    def _index(self, spec: Hashable, image: InputImage, row: Row) -> int:
        """Return the class of a target that is no contrast and no opposite."""
        count = len(row.numbers)
        if isinstance(spec, Ranked):
            return self.ranked(spec.rank, row.numbers)
        if spec == LABEL:
            return label_index(image.label, self.names, count=count)
        if not isinstance(spec, int | str):
            raise InputError(f"it has {words.plural(self.noun, 2)}, and no target {spec}")
        return self.index(spec, count=count)

    def ranked(self, rank: int, numbers: torch.Tensor) -> int:
        """Return the class of a rank, 1 for the greatest of the numbers `(class,)`.

        Raises:
            InputError: If there are not so many.
        """
        count = len(numbers)
        if rank > count:
            what = f"the model has {words.count(count, self.noun)}, so there is no top {rank}"
            raise InputError(what, hint=f"ask for {{top: {count}}} at most")
        # Stable, so that the first of equal numbers is the prediction, as in argmax.
        order = numbers.argsort(descending=True, stable=True)
        return int(order[rank - 1])


class Row(NamedTuple):
    """The numbers of one image.

    Attributes:
        numbers: `(class,)` float64.
        opposites: What speaks against each, of the same shape.
        probabilities: The same of the probabilities; None where nothing is one.
        quantity: What the numbers are.
        rounding: How far a number may be off, as a part of it.
        least: The least number above 0 that has all its digits.
    """

    numbers: torch.Tensor
    opposites: torch.Tensor
    probabilities: torch.Tensor | None
    quantity: str
    rounding: float
    least: float

    def number(self, index: int) -> float:
        """Return one number."""
        return float(self.numbers[index])

    def probability(self, index: int) -> float:
        """Return one probability; NaN where nothing is one."""
        return math.nan if self.probabilities is None else float(self.probabilities[index])

    def saturated(self, index: int) -> bool:
        """Whether a number is a probability so near to 1 or 0 that what is left of its gradient is rounding."""
        return self.is_one(index) or self.is_none(index)

    def is_one(self, index: int) -> bool:
        """Whether a number is a probability of 1 but for rounding."""
        return self.quantity == "output" and 1 - self.probability(index) < DIGITS_LOST * self.rounding

    def is_none(self, index: int) -> bool:
        """Whether a number is a probability of 0, or has lost its digits on the way there."""
        return self.quantity == "output" and self.probability(index) < self.least


def check_probabilities(numbers: torch.Tensor, *, output: str) -> None:
    """Check that numbers which are said to be probabilities are 0 to 1.

    Args:
        numbers: Of any shape.
        output: The class of the output, which says so.

    Raises:
        StepError: If some are not.
    """
    if bool(((numbers >= 0) & (numbers <= 1)).all()):
        return
    found = f"{float(numbers.min()):.4g} to {float(numbers.max()):.4g}"
    hint = f"for logits say {output}(returns='logits')"
    raise StepError(f"the network is to return probabilities, and returns {found}", hint=hint)


def are_distributions(numbers: torch.Tensor) -> torch.Tensor:
    """Return which of the rows `(row, class)` are distributions but for rounding: none below 0, together 1."""
    import torch

    values = numbers.double()
    rounding = max(_ROUGHLY, 8 * torch.finfo(numbers.dtype).eps)
    near: torch.Tensor = ((values.sum(1) - 1).abs() <= rounding) & (values >= -rounding).all(1)
    return near


def check_distribution(numbers: torch.Tensor, *, each: str, hint: str) -> None:
    """Check that numbers `(image, class)` or `(image, class, y, x)` are distributions over the classes.

    Args:
        numbers: The numbers.
        each: What has one distribution, in words.
        hint: What may be said instead.

    Raises:
        StepError: If some are below 0, or do not add up to 1 but for rounding.
    """
    rows = numbers.movedim(1, -1).flatten(0, -2)
    wrong = ~are_distributions(rows)
    if not bool(wrong.any()):
        return
    first = rows[int(wrong.int().argmax())].double()
    raise StepError(
        f"the network is to return probabilities of classes, and returns {float(first.min()):.4g} to "
        f"{float(first.max()):.4g} for {each}, with the sum {float(first.sum()):.4g}",
        hint=hint,
    )


def as_columns(values: Any, *, noun: str) -> torch.Tensor:
    """Return what a network returned as a matrix `(image, class)`.

    Raises:
        StepError: If it is none.

    Example:
        >>> import torch
        >>> as_columns(torch.zeros(2), noun="label").shape, as_columns(torch.zeros(2, 3, 1, 1), noun="class").shape
        (torch.Size([2, 1]), torch.Size([2, 3]))
    """
    import torch

    wanted = f"one number for each {noun} (image, {noun})"
    if not isinstance(values, torch.Tensor):
        numbers = hasattr(values, "shape")
        hint = "let it return a tensor, which has gradients" if numbers else way_to_name(values) or _SAY
        raise StepError(f"the network returns {described(values)}, not {wanted}", hint=hint)
    check_floats(values, wanted=wanted, instead="let it return the numbers that these are chosen by")
    columns = values[:, None] if values.ndim == 1 else values
    if columns.ndim > _MATRIX and columns.shape[2:].numel() == 1:
        columns = columns.flatten(1)
    if columns.ndim != _MATRIX:
        raise StepError(f"the network returns {described(values)}, not {wanted}", hint=_of_pixels(columns.shape))
    return columns


def _of_pixels(shape: torch.Size) -> str:
    """Say how numbers are read that may be of pixels."""
    classes = "if these are classes of pixels, say so: wrap(…, output=Pixels(names=…))"
    values = "if they are a value for each pixel, such as a depth: wrap(…, output=PixelValues(names=…))"
    if len(shape) == _MATRIX + 1:
        of_one = "if they are a mask of one class: return (image, 1, y, x), and say wrap(…, output=Pixels())"
        return f"{_SAY}; {values}; {of_one}"
    return f"{classes}; {values}" if len(shape) > _MATRIX else _SAY


def _mentioned(spec: Hashable) -> list[int | str]:
    """Return the indices and names that a target gives."""
    if isinstance(spec, Contrast):
        return [spec.for_, spec.against]
    if isinstance(spec, Opposite):
        return [spec.not_]
    return [spec] if isinstance(spec, int | str) and spec != LABEL else []


def _in_same_output(spec: Any, side: str) -> TargetData:
    """Return a part of a target as a target of its own, of the same output."""
    if "of" in spec:
        return {"of": spec["of"], "class": spec[side]}
    wanted: int | str = spec[side]
    return wanted
