"""What a step makes, and what another may read of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Yield = Literal["attribution", "features", "scores", "statistics", "comparison", "exemplars"]
"""What a step makes: maps of what mattered, maps of a layer's channels, numbers about maps, about channels, about how
things agree, and images that drive channels most."""


@dataclass(frozen=True, slots=True, init=False)
class Reads:
    """Which earlier steps a step reads under `of:`.

    Args:
        *kinds: What those steps make; one of them at least.
        least: How many steps at least; 0 if it can do without.
        most: How many at most; None for any number.
        same_target: Whether they must explain what this step explains.
        same_layers: Whether they must have a map of each layer that this step looks at; a single map serves all.

    Example:
        >>> print(Reads("attribution", least=1))
        at least 1 earlier step that yields attribution
        >>> print(Reads("features", "attribution", least=0))
        any number of earlier steps that yield features or attribution
    """

    kinds: tuple[Yield, ...]
    least: int
    most: int | None
    same_target: bool
    same_layers: bool

    def __init__(
        self,
        *kinds: Yield,
        least: int = 1,
        most: int | None = None,
        same_target: bool = False,
        same_layers: bool = False,
    ) -> None:
        object.__setattr__(self, "kinds", kinds)
        object.__setattr__(self, "least", least)
        object.__setattr__(self, "most", most)
        object.__setattr__(self, "same_target", same_target)
        object.__setattr__(self, "same_layers", same_layers)

    def __str__(self) -> str:
        explains = ", of the same target" if self.same_target else ""
        several = (self.least if self.most is None else self.most) != 1
        verb = "yield" if several else "yields"
        return f"{self._many()} earlier step{'s' if several else ''} that {verb} {' or '.join(self.kinds)}{explains}"

    def _many(self) -> str:
        """Return how many steps are read, in words."""
        if self.most is None:
            return f"at least {self.least}" if self.least else "any number of"
        return f"{self.least} to {self.most}" if self.least else f"at most {self.most}"
