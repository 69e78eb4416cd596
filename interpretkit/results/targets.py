"""Targets: what an attribution explains, one number per image; as it is asked for, and as it came out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag


class Contrast(BaseModel):
    """A target that sets one class against another: the difference of their logits.

    Example:
        >>> Contrast.model_validate({"for": "tabby", "against": 282}).against
        282
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=True)

    for_: int | str = Field(alias="for", description="class index or name whose logit counts")
    against: int | str = Field(description="class index or name whose logit is subtracted")

    def __str__(self) -> str:
        return f"{self.for_} against {self.against}"


class Top(BaseModel):
    """A target that asks for one map for each of the most probable classes.

    Example:
        >>> Top.model_validate({"top": 2}).ranks
        (Ranked(rank=1), Ranked(rank=2))
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    top: int = Field(ge=1, le=20, description="how many of the most probable classes to explain, each by itself")

    def __str__(self) -> str:
        return f"top {self.top}"

    @property
    def ranks(self) -> tuple[Ranked, ...]:
        """The targets that it stands for, the most probable class first."""
        return tuple(Ranked(rank) for rank in range(1, self.top + 1))


@dataclass(frozen=True, slots=True)
class Ranked:
    """The class that the network finds most probable, second most probable and so on: rank 1, 2, …."""

    rank: int


def _kind(value: Any) -> str:
    """Tell by its keys which target a mapping asks for, so that errors speak of that one alone."""
    return "Top" if isinstance(value, Top) or (isinstance(value, dict) and "top" in value) else "Contrast"


CLASS_TOKEN = "class_token"
"""The target of a network that is read through a class token: the length of that token, of no class."""

WORDS = ("predicted", "label", CLASS_TOKEN)
"""The targets that are words of our own, not names of classes."""

TargetSpec = (
    int | str | Annotated[Annotated[Contrast, Tag("Contrast")] | Annotated[Top, Tag("Top")], Discriminator(_kind)]
)
"""What an attribution explains: `predicted`, `label`, `class_token`, a class index or name, a `Contrast`, the `Top`."""

SingleSpec = int | str | Contrast | Ranked
"""A target that stands for one score of each image."""


def single(spec: TargetSpec) -> tuple[SingleSpec, ...]:
    """Return the targets that a target stands for, each one score: several only of `Top`.

    Example:
        >>> single("predicted") == single(Top(top=1)), single("tabby")
        (True, ('tabby',))
    """
    if isinstance(spec, Top):
        return spec.ranks
    # The same target under one name, so that it costs one backward pass.
    return (Ranked(1),) if spec == "predicted" else (spec,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What was differentiated for one image.

    Attributes:
        index: The class; -1 for the class token.
        label: Its name, or its index as text where the model has no class names.
        score: The value that was differentiated: a logit, a difference of two, or the norm of the class token.
        probability: The softmax probability of `index`; NaN for the class token.
        against: The class whose logit was subtracted; None without a contrast.
        against_label: Its name.
    """

    index: int
    label: str
    score: float
    probability: float
    against: int | None = None
    against_label: str = ""

    @property
    def spec(self) -> int | str | Contrast:
        """The target that means this class, this contrast or the class token, for any image."""
        if self.index < 0:
            return CLASS_TOKEN
        return self.index if self.against is None else Contrast(for_=self.index, against=self.against)

    def __str__(self) -> str:
        if self.index < 0:
            return f"{self.label} (norm {self.score:.4g})"
        contrast = f" against {self.against_label!r}" if self.against is not None else ""
        # Of a network that returns probabilities, the score of a class is its probability.
        what = "output" if self.score == self.probability else "logit"
        what += "" if self.against is None else " difference"
        return f"{self.label!r}{contrast} ({what} {self.score:.4g}, probability {self.probability:.3g})"
