"""Where a model's weights come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsInfo:
    """Where a model's weights come from.

    Attributes:
        kind: `random`, `path`, `hub`, `published`, or `given` (the module was handed over with its weights).
        source: File, repository with revision, or published name with address; for a fallback, what it stands in for.
        sha256: Hash of the file; empty where there is none.
        fallback: Why random weights were used although the recipe asks for others; empty if it does not.
    """

    kind: Literal["random", "path", "hub", "published", "given"] = "given"
    source: str = ""
    sha256: str = ""
    fallback: str = ""

    def __str__(self) -> str:
        if self.kind == "random":
            return f"random weights in place of {self.source}" if self.fallback else "random weights"
        return self.source or "weights as given"
