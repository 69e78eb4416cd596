"""Maps of earlier steps, told apart by step and by what they are called there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from interpretkit import StepError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from interpretkit import Grid, Map, Result, Table

_LENGTHS = {"z": "slices", "y": "height", "x": "width"}
"""What tables call the number of cells along an axis."""


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
    def grid(self) -> Grid:
        """Where its native cells lie on the input."""
        return self.map.grid


def features(results: Mapping[str, Result]) -> list[Source]:
    """Return the feature maps of some steps, `(image, channel, y, x)`."""
    return [source for source in _maps(results) if source.map.dims[:2] == ("image", "channel")]


def explaining(results: Mapping[str, Result]) -> list[Source]:
    """Return the attribution maps of some steps, those without channels: `(image, y, x)`."""
    return [source for source in _maps(results) if source.map.dims == ("image", *source.map.extent)]


def _maps(results: Mapping[str, Result]) -> list[Source]:
    return [Source(step, key, each) for step, result in results.items() for key, each in result.maps.items()]


def lengths(axes: Iterable[str], cells: Iterable[int]) -> dict[str, int]:
    """Return how many cells there are along each axis, by what tables call it.

    Example:
        >>> lengths(["y", "x"], [7, 9])
        {'height': 7, 'width': 9}
    """
    return {_LENGTHS[axis]: count for axis, count in zip(axes, cells, strict=True)}


def check_grid(asked: Sequence[int], source: Source) -> None:
    """Refuse a grid that has not the axes of a map.

    Raises:
        StepError: If it has more or fewer.
    """
    if len(asked) != len(source.grid.cells):
        axes = ", ".join(source.map.extent)
        raise StepError(f"grid: {list(asked)} is not [{axes}], the axes of {source.name}")


def cells_in(table: Table) -> tuple[int, ...]:
    """Return how many cells there are along each axis, as the first row of a table has them."""
    return tuple(int(table[name][0]) for name in _LENGTHS.values() if name in table.columns)


def attribution_sources(results: Mapping[str, Result]) -> list[Source]:
    """Return the attribution maps, those without channels, of some steps.

    Raises:
        StepError: If there are none.
    """
    maps = explaining(results)
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
