"""Targets as they came out: what was explained of one image, as data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TargetData = int | str | Mapping[str, Any]
"""A target as a recipe writes it: a class index, a word, or a mapping."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What was differentiated for one image.

    Attributes:
        spec: The target, as a recipe writes it, that means the same for any image: a class index,
            `{"for": 281, "against": 282}`, `class_token`, `{"of": "stage1_aux", "class": 281}`.
        label: Its name: that of the class, or its index as text where the model has no class names.
        score: The value that was differentiated.
        quantity: What the score is: `logit`, `output` of a network that returns probabilities, `logit difference`,
            `norm`.
        probability: That of `label`; NaN where there is none.
        against_label: The name of what it is set against; empty without a contrast.

    Example:
        >>> print(Target(spec=281, label="tabby", score=9.5, probability=0.75))
        'tabby' (logit 9.5, probability 0.75)
    """

    spec: TargetData
    label: str
    score: float
    quantity: str = "logit"
    probability: float = math.nan
    against_label: str = ""

    @property
    def index(self) -> int | None:
        """The class; None where the target is of no class."""
        index = self.spec
        if isinstance(index, Mapping):
            index = index.get("for", index.get("class"))
        return index if isinstance(index, int) else None

    @property
    def against(self) -> int | None:
        """The class whose logit was subtracted; None without a contrast."""
        if not isinstance(self.spec, Mapping):
            return None
        return self.spec.get("against")

    @property
    def name(self) -> str:
        """What is explained, in words."""
        if not self.against_label:
            return self.label
        return f"{self.label} against {self.against_label}"

    def __str__(self) -> str:
        score = f"{self.quantity} {self.score:.4g}"
        if math.isnan(self.probability):
            return f"{self.name} ({score})"
        contrast = f" against {self.against_label!r}" if self.against_label else ""
        return f"{self.label!r}{contrast} ({score}, probability {self.probability:.3g})"
