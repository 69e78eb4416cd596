"""Maps of earlier steps, told apart by step and layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from interpretkit import StepError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from interpretkit import Map, Result

WITHOUT_CHANNELS, WITH_CHANNELS = 3, 4
"""Dims of attribution maps `(image, y, x)` and of feature maps `(image, channel, y, x)`."""


@dataclass(frozen=True, slots=True)
class Source:
    """A map of an earlier step."""

    step: str
    layer: str
    map: Map

    @property
    def name(self) -> str:
        """Step and layer in one."""
        return f"{self.step}/{self.layer}"

    @property
    def grid(self) -> tuple[int, int]:
        """Its native cells along y and x."""
        return self.map.values.shape[-2], self.map.values.shape[-1]


def sources(results: Mapping[str, Result], dims: int) -> list[Source]:
    """Return the maps of some steps that have so many dims."""
    found = [Source(step, name, each) for step, result in results.items() for name, each in result.maps.items()]
    return [source for source in found if source.map.values.ndim == dims]


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
    found = sources(results, WITHOUT_CHANNELS)
    if not found:
        raise StepError(f"step {step!r} has no attribution map (image, y, x)", hint="read a step like grad_cam")
    return found
