"""What a step leaves: arrays and tables about images, the truth from which pictures are drawn."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from interpretkit import words
from interpretkit.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from interpretkit.results.axes import Array
    from interpretkit.results.image import InputImage
    from interpretkit.results.map import Map
    from interpretkit.results.origin import Origin
    from interpretkit.results.table import Table
    from interpretkit.results.targets import Target

Values = TypeVar("Values", "Array", "Map")
Part = TypeVar("Part", "Array", "Map", "Table")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Result:
    """Typed arrays and tables of one step: the truth, from which pictures are drawn.

    A visualizer fills `maps`, `arrays` and `tables`; images and targets are added to what it returns.

    Attributes:
        maps: By layer, or by whatever tells them apart.
        arrays: What lies on no image: sums, counts, matrices; by names that no map has.
        tables: By name.
        images: The images that it is about, in the order of the `image` dim.
        targets: What was differentiated, image by image: one for each, or as many as the target asked for the top
            classes; empty without a target.
        origin: What made it, and what its figures have to say; None if it was put together by hand.
    """

    maps: Mapping[str, Map] = field(default_factory=dict)
    arrays: Mapping[str, Array] = field(default_factory=dict)
    tables: Mapping[str, Table] = field(default_factory=dict)
    images: tuple[InputImage, ...] = ()
    targets: tuple[Target, ...] = ()
    origin: Origin | None = None

    def __repr__(self) -> str:
        parts = {"maps": self.maps, "arrays": self.arrays, "tables": self.tables}
        said = [f"{noun} {', '.join(names)}" for noun, names in parts.items() if names]
        of = f"of {words.count(len(self.images), 'image')}" if self.images else "of no image"
        return f"Result({'; '.join([*said, of])})"

    def targets_of(self, image: str) -> tuple[Target, ...]:
        """Return what was differentiated for the image of this id; empty without a target."""
        each_has = len(self.targets) // max(len(self.images), 1)
        position = next(place for place, each in enumerate(self.images) if each.id == image)
        return self.targets[position * each_has : (position + 1) * each_has]

    def select(self, *ids: str) -> Result:
        """Return the part of a per-image result that is about the images of these ids, in their order.

        Raises:
            InputError: If it is not about one of these images, or is about the whole set.
        """
        positions = {image.id: position for position, image in enumerate(self.images)}
        if missing := [each for each in ids if each not in positions]:
            raise InputError(f"the result is not about image {missing[0]!r}", hint=did_you_mean(missing[0], positions))
        chosen = [positions[each] for each in ids]
        return replace(
            self,
            maps={name: _selected(name, each, chosen) for name, each in self.maps.items()},
            arrays={name: _selected(name, each, chosen) for name, each in self.arrays.items()},
            tables={
                name: _per_image(name, table, table.columns).where("image", *ids) for name, table in self.tables.items()
            },
            images=tuple(self.images[position] for position in chosen),
            targets=tuple(target for each in ids for target in self.targets_of(each)),
        )


def _selected(name: str, part: Values, chosen: list[int]) -> Values:
    return replace(_per_image(name, part, part.dims), values=part.values[chosen])


def _per_image(name: str, part: Part, axes: Iterable[str]) -> Part:
    if "image" not in axes:
        raise InputError(f"{name!r} is about the whole set of images, not about each")
    return part
