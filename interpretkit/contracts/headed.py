"""What a network's last layer returns, as builders of models take it as options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from interpretkit import words
from interpretkit.contracts.options import Options
from interpretkit.errors import RecipeError
from interpretkit.model.outputs.classes import Classes
from interpretkit.model.outputs.labels import Binary, Labels
from interpretkit.model.outputs.unsaid import Unsaid
from interpretkit.model.outputs.values import Values
from interpretkit.model.outputs.vector import Vector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interpretkit.model.outputs.output import Output


class Headed(Options):
    """What the numbers are that a network's last layer returns.

    Example:
        >>> Headed(names=["tumour"]).output_of(1)
        Labels(key=None, layer='', names=('tumour',), returns='logits')
    """

    output: Literal["classes", "labels", "values"] | None = Field(
        default=None,
        description="what the network returns: logits of classes, of which an image has one; logits of labels, of "
        "which it may have several; or values of a regression. By default classes; a single number with a name is a "
        "label",
    )
    names: list[str] | None = Field(
        default=None,
        description="names of these, by index; of a single number also the two classes that it tells apart, "
        "[negative, positive]",
    )

    def check_nameable(self) -> None:
        """Check that the options leave room for `classes:` of a recipe.

        Raises:
            RecipeError: If they name the classes themselves, or there are none.
        """
        if self.names is not None:
            raise RecipeError("the classes are named twice, by `classes` and by the option `names`", hint="drop one")
        if self.output == "values":
            what = "the network returns values, which are no classes"
            raise RecipeError(what, hint="the option `names` names values")
        if self._count == 0:
            raise RecipeError("the network has no head (num_classes: 0), so it has no classes to name")

    def check_count(self, classes: Sequence[str]) -> None:
        """Check that there are as many names of classes as the options say that there are numbers.

        Raises:
            RecipeError: If there are more or fewer.
        """
        if self._count is not None:
            self._check_count(classes, self._count)

    @property
    def _count(self) -> int | None:
        """How many numbers the last layer returns, where the options say it: each builder has its own default."""
        count: int | None = getattr(self, "num_classes", None)
        return count

    def output_of(self, count: int, *, known: Sequence[str] = (), **place: Any) -> Output:
        """Return how the last layer is read.

        Args:
            count: How many numbers it returns; 0 where the network has no head, and returns an embedding.
            known: Names of the classes that the weights were made for; used if there are as many.
            **place: `key` or `layer` of the output.

        Raises:
            RecipeError: If there are more or fewer names than numbers.
        """
        if count == 0:
            self._check_headless()
            return Vector(name="embedding", **place)
        names = self._names(count, known)
        apart = count == 1 and len(names) == len(Binary.SIDES)
        if self.output == "values":
            return Values(names=names, **place)
        if apart:
            return Binary(names=names, returns="logits", **place)
        if self.output == "labels" or (count == 1 and names):
            return Labels(names=names, returns="logits", **place)
        # One number without a name may be anything.
        return Unsaid(**place) if count == 1 else Classes(names=names, returns="logits", **place)

    def _check_headless(self) -> None:
        for key in ("names", "output"):
            if getattr(self, key) is not None:
                what = f"the network has no head (num_classes: 0), and returns an embedding: there is no {key!r}"
                raise RecipeError(what, hint=f"leave {key} out", subject=getattr(self, key))

    def _names(self, count: int, known: Sequence[str]) -> tuple[str, ...]:
        if self.names is None:
            fit = len(known) == count and self.output in (None, "classes")
            return tuple(known) if fit else ()
        self._check_count(self.names, count)
        return tuple(self.names)

    def _check_count(self, names: Sequence[str], count: int) -> None:
        two_sides = count == 1 and len(names) == len(Binary.SIDES) and self.output != "values"
        if len(names) != count and not two_sides:
            what = f"the network returns {words.count(count, 'number')}, for {words.count(len(names), 'name')}"
            raise RecipeError(what, hint="give one name for each, in their order", subject=names)
