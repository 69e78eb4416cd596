"""Where a target of pixels is: which cells of what a network returns lie in a box, at a point or in a mask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from interpretkit import words
from interpretkit.errors import InputError, StepError
from interpretkit.results.grid import Grid

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from interpretkit.model.outputs.columns import Placed
    from interpretkit.results.image import InputImage
    from interpretkit.results.targets import Target

HALF = 0.5


def placed(place: Placed, size: tuple[int, ...], image: InputImage) -> np.ndarray:
    """Return which cells of a grid of `size` a target means, bool of that size: a mask, a box or a point.

    Raises:
        InputError: If the image has no mask, or they lie outside of it.
    """
    if place.in_ == "mask":
        return _masked(size, image)
    corners = place.box or (*place.point, *place.point) if place.point else place.box
    axes = len(size)
    if corners is None or len(corners) != 2 * axes:
        wanted = f"{2 * axes if place.box else axes} numbers"
        raise InputError(f"a {'box' if place.box else 'point'} of this image has {wanted}", where=name_of_image(image))
    pixels = image.pixels.shape[:-1] if image.pixels.ndim == axes + 1 else size
    inside = np.ones(size, np.bool_)
    for axis, (cells, length) in enumerate(zip(size, pixels, strict=True)):
        # Coordinates are given x first, axes are stored x last.
        first, last = corners[axes - 1 - axis], corners[2 * axes - 1 - axis]
        if not (0 <= first <= last <= length):
            what = f"{place} is not in this image of {words.shape(pixels)} pixels"
            raise InputError(what, where=name_of_image(image))
        along = np.zeros(cells, np.bool_)
        along[_span(first, last, cells / length, cells)] = True
        shape = [1] * axes
        shape[axis] = cells
        inside &= along.reshape(shape)
    return inside


def _span(first: float, last: float, scale: float, cells: int) -> slice:
    """Return the cells whose middles lie between two pixels; of a point, the cell that holds it."""
    if first == last:
        cell = min(int(first * scale), cells - 1)
        return slice(cell, cell + 1)
    return slice(int(np.ceil(first * scale - HALF)), int(np.floor(last * scale - HALF)) + 1)


def _masked(size: tuple[int, ...], image: InputImage) -> np.ndarray:
    if image.mask is None:
        hint = "name it in the column `mask` of a CSV manifest"
        raise InputError("the target is in the mask, and this image has none", where=name_of_image(image), hint=hint)
    return np.asarray(Grid.even(size, image.mask.shape).inside(image.mask) >= HALF)


def regions(grids: torch.Tensor, targets: Sequence[Target]) -> torch.Tensor:
    """Return the regions of targets as numbers 0 and 1 `(image, y, x)`, for what is `(image, class, y, x)`.

    Raises:
        StepError: If a target has no region of that size.
    """
    import torch

    found = []
    for target in targets:
        region = target.region
        if region is None or region.size != tuple(grids.shape[2:]):
            raise StepError(f"target {target.name} has no region of {words.shape(grids.shape[2:])} pixels")
        found.append(torch.from_numpy(region.inside))
    return torch.stack(found).to(grids)


def data_of(index: int, place: Placed | None) -> Any:
    """Return a target as a recipe writes it: a class or value, and where."""
    if place is None:
        return index
    said = place.model_dump(by_alias=True, exclude_none=True, exclude={"of", "class_"})
    lists = {name: list(each) if isinstance(each, tuple) else each for name, each in said.items()}
    return {"class": index, **lists}


def name_of_image(image: Any) -> str:
    """Return what errors call an image; empty where there is none."""
    return str(getattr(image, "id", ""))
