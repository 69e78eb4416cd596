"""What a step leaves: arrays and tables about images, the truth from which pictures are drawn."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import chain
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


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Result:
    """Arrays and tables of one step: the truth, from which pictures are drawn.

    A visualizer fills `maps`, `arrays` and `tables`; images and targets are added to what it returns.

    Attributes:
        maps: Arrays that lie on the images, by layer or by another name.
        arrays: Arrays that lie on no image, such as sums, counts and matrices, by names that no map has.
        tables: By name.
        images: The images that it is about, in the order of the `image` dim.
        targets: What was differentiated, image by image: one for each image, or k where the target asks for the top
            k classes; empty without a target.
        origin: The step and the model that made it; None if it was put together by hand.
        alerts: What whoever reads it must know: of the model, of what it returns, of the step, of the images.
    """

    maps: Mapping[str, Map] = field(default_factory=dict)
    arrays: Mapping[str, Array] = field(default_factory=dict)
    tables: Mapping[str, Table] = field(default_factory=dict)
    images: tuple[InputImage, ...] = ()
    targets: tuple[Target, ...] = ()
    origin: Origin | None = None
    alerts: tuple[str, ...] = ()

    def __repr__(self) -> str:
        parts = {"maps": self.maps, "arrays": self.arrays, "tables": self.tables}
        said = [f"{noun} {', '.join(names)}" for noun, names in parts.items() if names]
        images = words.count(len(self.images), "image") if self.images else "no image"
        said.append(f"of {images}")
        return f"Result({'; '.join(said)})"

    def targets_of(self, image: str) -> tuple[Target, ...]:
        """Return what was differentiated for the image of this id; empty without a target."""
        for_each = len(self.targets) // max(len(self.images), 1)
        ids = [each.id for each in self.images]
        start = ids.index(image) * for_each
        return self.targets[start : start + for_each]

    def select(self, *ids: str) -> Result:
        """Return the part of a per-image result that is about the images of these ids, in their order.

        Raises:
            InputError: If it is not about one of these images, or is about the whole set.
        """
        positions = {image.id: position for position, image in enumerate(self.images)}
        for image in ids:
            if image not in positions:
                raise InputError(f"the result is not about image {image!r}", hint=did_you_mean(image, positions))
        chosen = [positions[image] for image in ids]
        tables = {}
        for name, table in self.tables.items():
            _check_per_image(name, table.columns)
            tables[name] = table.where("image", *ids)
        return replace(
            self,
            maps=_selected(self.maps, chosen),
            arrays=_selected(self.arrays, chosen),
            tables=tables,
            images=tuple(self.images[position] for position in chosen),
            targets=tuple(chain.from_iterable(map(self.targets_of, ids))),
        )


def _selected(named: Mapping[str, Values], chosen: list[int]) -> dict[str, Values]:
    """Return the parts of maps or arrays that are about the images at these positions."""
    selected = {}
    for name, part in named.items():
        _check_per_image(name, part.dims)
        selected[name] = replace(part, values=part.values[chosen])
    return selected


def _check_per_image(name: str, axes: Iterable[str]) -> None:
    if "image" not in axes:
        raise InputError(f"{name!r} is about the whole set of images, not about each")
