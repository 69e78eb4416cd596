"""Maps of earlier steps, told apart by step and by what they are called there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from interpretkit import StepError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from interpretkit import Map, Result

ATTRIBUTION, FEATURES = ("image", "y", "x"), ("image", "channel", "y", "x")
"""Dims of attribution maps and of feature maps."""


@dataclass(frozen=True, slots=True)
class Source:
    """A map of an earlier step, for each image of a batch.

    Attributes:
        step: The step.
        key: What the map is called there: its layer, and of several targets which.
        map: The map.
    """

    step: str
    key: str
    map: Map

    @property
    def name(self) -> str:
        """Step and map in one."""
        return f"{self.step}/{self.key}"

    @property
    def grid(self) -> tuple[int, int]:
        """Its native cells along y and x."""
        return self.map.values.shape[-2], self.map.values.shape[-1]


def sources(results: Mapping[str, Result], dims: tuple[str, ...]) -> list[Source]:
    """Return the maps of some steps that have these dims."""
    found = []
    for step, result in results.items():
        found += [Source(step, key, each) for key, each in result.maps.items() if each.dims == dims]
    return found


def attribution_sources(results: Mapping[str, Result]) -> list[Source]:
    """Return the attribution maps, those without channels, of some steps.

    Raises:
        StepError: If there are none.
    """
    maps = sources(results, ATTRIBUTION)
    if not maps:
        raise StepError(
            f"there is no attribution map (image, y, x) in {', '.join(results)}",
            hint="read a step that explains, such as `grad_cam`",
        )
    return maps


def attributions_of_one_step(results: Mapping[str, Result], *, reader: str) -> list[Source]:
    """Return the attribution maps of the one step that is read, which explains one target of each image.

    Raises:
        StepError: If there are several steps or targets, or no such map.
    """
    if len(results) > 1:
        raise StepError(f"{reader} reads one step, not {', '.join(results)}", hint="name one under 'of:'")
    ((step, result),) = results.items()
    if len(result.targets) > len(result.images):
        raise StepError(f"step {step!r} explains several classes of each image", hint="give it one target")
    return attribution_sources(results)
