"""Values: what a network measures, ranks or counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from interpretkit import words
from interpretkit.errors import InputError
from interpretkit.model.outputs.columns import LISTED, Columns, Contrast, Opposite, Ranked
from interpretkit.model.outputs.names import LABEL, PREDICTED

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class Values(Columns):
    """Numbers that are what they are: of a regression, a rank or a count. None of them is a probability.

    Its targets are an index or a name, `predicted` where there is one value, and `{for: …, against: …}` of
    one unit.

    Attributes:
        names: Names of the values by index, such as `("age",)`; may be empty.
        units: Their units, such as `("years",)`; may be empty.

    Example:
        >>> import torch
        >>> age = Values(names=("age",), units=("years",))
        >>> print(age.targets("age", torch.tensor([[41.5]]), [None])[0])
        age (value 41.5 years)
    """

    has_classes: ClassVar[bool] = False
    noun: ClassVar[str] = "value"

    units: Sequence[str] = ()

    def __post_init__(self) -> None:
        Columns.__post_init__(self)
        object.__setattr__(self, "units", tuple(self.units))
        check_units(self.units, self.names)

    def probabilities(self, columns: torch.Tensor) -> None:  # noqa: ARG002 - whatever they are
        """Return None: no value is a probability."""
        return

    def quantities(self, columns: torch.Tensor) -> list[str]:
        """Return `value`."""
        return ["value"] * len(columns)

    def unit(self, index: int) -> str:
        """Return the unit of a value; empty without one."""
        return self.units[index] if self.units else ""

    def listed(self, numbers: torch.Tensor) -> list[int]:
        """Return the first values, five at most."""
        return list(range(min(LISTED, len(numbers))))

    def check(self, spec: Hashable) -> None:
        """Check names and indices, and that a value is named where there are several."""
        if isinstance(spec, Opposite):
            raise InputError(f"a value has no other side, so there is no target {spec}", subject=spec.not_)
        if spec == LABEL:
            raise InputError("the target is 'label', but this output has values and no classes", subject=LABEL)
        if isinstance(spec, Ranked) and len(self.names) > 1:
            choice = ", ".join(self.names)
            raise InputError("there are several values, and none comes first", hint=f"name one: {choice}")
        Columns.check(self, spec)
        if isinstance(spec, Contrast):
            self._check_units(spec)

    def _check_units(self, spec: Contrast) -> None:
        """Check that both values of a difference have one unit; without units there is nothing to tell them by."""
        if not self.units:
            return
        sides = spec.for_, spec.against
        told = {side: self.unit(self.index(side, count=self.count)) or "no unit" for side in sides}
        if len(set(told.values())) > 1:
            found = " and ".join(f"{side} ({unit})" for side, unit in told.items())
            raise InputError(f"values of different units have no difference: {found}", hint="explain each by itself")

    def ranked(self, rank: int, numbers: torch.Tensor) -> int:
        """Return the only value there is."""
        if len(numbers) > 1 or rank > 1:
            what = f"there are {len(numbers)} values, and none comes first"
            raise InputError(what, hint=f"give an index, 0 to {len(numbers) - 1}", subject=PREDICTED)
        return 0


def check_units(units: Sequence[str], names: Sequence[str]) -> None:
    """Check that values have a unit each, or none.

    Raises:
        InputError: If there are more or fewer units than names.
    """
    if units and len(units) != len(names):
        what = f"{words.count(len(units), 'unit')} for {words.count(len(names), 'value name')}"
        raise InputError(what, hint="give one unit for each name, '' for a value without one")
