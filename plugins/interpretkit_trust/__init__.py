"""Checks of attribution maps: what should not be believed, and why; and maps that any method has to beat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from interpretkit import Check, Visualizer


@hookimpl
def interpretkit_checks() -> Iterable[type[Check]]:
    """Offer the checks."""
    from interpretkit_trust.completeness import Completeness
    from interpretkit_trust.degenerate import Degenerate
    from interpretkit_trust.edges import Edges
    from interpretkit_trust.randomization import Randomization
    from interpretkit_trust.repeatability import Repeatability, Seed
    from interpretkit_trust.target import Target

    yield from (Degenerate, Randomization, Target, Repeatability, Seed, Completeness, Edges)


@hookimpl
def interpretkit_visualizers() -> Iterable[type[Visualizer]]:
    """Offer the controls."""
    from interpretkit_trust.controls import CentreMap, EdgeMap, RandomMap

    yield from (RandomMap, EdgeMap, CentreMap)
