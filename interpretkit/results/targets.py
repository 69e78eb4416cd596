"""Targets as they came out: what was explained of one image, as data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from interpretkit.words import chance

if TYPE_CHECKING:
    from interpretkit.results.region import Region

TargetData = int | str | Mapping[str, Any]
"""A target as a recipe writes it: a class index, a word, or a mapping."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What was differentiated for one image.

    Attributes:
        spec: The target, as a recipe writes it, that means the same for any image: a class index,
            `{"for": 281, "against": 282}`, `{"not": 0}`, `class_token`, `{"of": "stage1_aux", "class": 281}`.
        label: Its name: that of the class, or its index as text where the model has no class names.
        score: The value that was differentiated.
        quantity: What the score is: `logit`; `output` of a network that returns probabilities, or of which no more is
            known; `value`; `logit difference`; `norm`.
        unit: The unit of a value; empty without one.
        probability: That of `label`; NaN where there is none.
        saturated: Whether what is left of the score's gradient is rounding: of a probability of 1 or 0, of the norm of
            a normalised vector, of the cosine of a vector with itself.
        against_label: The name of what it is set against; empty without a contrast.
        region: The pixels that the score is summed over, of a network that gives each pixel a class; else None.
        vector: What the image's vector is compared with; empty without that.

    Example:
        >>> print(Target(spec=281, label="tabby", score=9.5, probability=0.75))
        'tabby' (logit 9.5, probability 0.75)
    """

    spec: TargetData
    label: str
    score: float
    quantity: str = "logit"
    unit: str = ""
    saturated: bool = False
    probability: float = math.nan
    against_label: str = ""
    region: Region | None = None
    vector: tuple[float, ...] = field(default=(), repr=False)

    @property
    def index(self) -> int | None:
        """The class; None where the target is of no class."""
        spec = self.spec
        if isinstance(spec, Mapping):
            found = [spec[key] for key in ("for", "not", "class") if key in spec]
            return found[0] if found and isinstance(found[0], int) else None
        return spec if isinstance(spec, int) else None

    @property
    def against(self) -> int | None:
        """The class whose logit was subtracted; None without a contrast."""
        if not isinstance(self.spec, Mapping):
            return None
        return self.spec.get("against")

    @property
    def opposite(self) -> bool:
        """Whether it is what speaks against `index`."""
        return isinstance(self.spec, Mapping) and "not" in self.spec

    @property
    def name(self) -> str:
        """What is explained, in words."""
        if not self.against_label:
            return self.label
        return f"{self.label} against {self.against_label}"

    def __str__(self) -> str:
        score = f"{self.quantity} {self.score:.4g} {self.unit}".rstrip()
        saturated = ", saturated" if self.saturated else ""
        if math.isnan(self.probability):
            return f"{self.name} ({score}{saturated})"
        contrast = f" against {self.against_label!r}" if self.against_label else ""
        return f"{self.label!r}{contrast} ({score}, probability {chance(self.probability)}{saturated})"
