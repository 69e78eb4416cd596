"""A class for each pixel: segmentation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from interpretkit import words
from interpretkit.errors import InputError, StepError
from interpretkit.model.outputs.columns import LISTED, Chosen, Placed, Ranked, Returns, Top, check_probabilities
from interpretkit.model.outputs.names import LABEL, PREDICTED, MisnamedError, index_of, label_index, name_of
from interpretkit.model.outputs.output import Output, Prediction, for_each
from interpretkit.model.outputs.parts import described
from interpretkit.model.preprocessing import ROWS_OF_A_STRIP
from interpretkit.results.grid import Grid
from interpretkit.results.region import Region
from interpretkit.results.targets import Target

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    import torch

    from interpretkit.results.image import InputImage

_HALF = 0.5
_LAST = "where the classes come last, let it return values.movedim(-1, 1), (image, class, y, x)"
_NO_CLASSES = "of a single class let it return (image, 1, y, x), such as values[:, None]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pixels(Output):
    """A class for each pixel, `(image, class, y, x)`, of volumes `(image, class, z, y, x)`: segmentation.

    The score of a class is the sum of its logits over a region, which is fixed on the image itself: the pixels where
    the class is predicted, unless the target says `{class: …, in: mask}` (the mask of the input manifest),
    `{class: …, box: [x0, y0, x1, y1]}` or `{class: …, point: [x, y]}`. `predicted` is the class that most pixels have,
    besides the background; `{top: k}` are the classes by their numbers of pixels.

    Attributes:
        names: Names of the classes by index; may be empty.
        background: The class of pixels that belong to nothing; by default the one that is called background, if any.
        returns: `logits`, or `probabilities` where the network ends in a softmax or sigmoid of its own. Of one class
            alone, pixels belong to it where its probability is above one half.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[[[0.0, 0.0]], [[2.0, -1.0]]]])
        >>> (target,) = Pixels(names=("ground", "dog")).targets("dog", logits, [None])
        >>> print(target)
        dog (logit sum 2 over 1 pixel)
    """

    has_classes: ClassVar[bool] = True
    noun: ClassVar[str] = "class"

    names: Sequence[str] = ()
    background: int | None = None
    returns: Returns = "logits"

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))

    @property
    def words(self) -> str:
        """What it is: a class for each pixel, and what the network returns of them."""
        return f"a class for each pixel, {self.returns}"

    def single(self, spec: Any) -> tuple[Hashable, ...]:
        """Return a target itself, or one for each rank of the greatest classes."""
        if isinstance(spec, Top):
            return spec.ranks
        if spec in (None, PREDICTED):
            return (Ranked(1),)
        return (spec,)

    def check(self, spec: Hashable) -> None:
        """Check that a target is a class, or a class in a place, and that the class is known."""
        if isinstance(spec, Ranked):
            return
        place = spec if isinstance(spec, Placed) else None
        if place is not None and place.rank is not None:
            raise InputError("pixels are not found one by one, so there is no rank", hint="give a box or a point")
        wanted = place.class_ if place is not None else spec
        if wanted is not None and not isinstance(wanted, int | str):
            raise InputError(f"it has a class for each pixel, and no target {spec}")
        if self.names and isinstance(wanted, int | str) and wanted not in (PREDICTED, LABEL):
            index_of(wanted, self.names, count=len(self.names))

    def check_label(self, label: str | None) -> None:
        """Check that a label is there, and names a class where the model has names."""
        if label is None or self.names:
            label_index(label, self.names, count=len(self.names))

    def grids(self, values: Any) -> torch.Tensor:
        """Return what was read as `(image, class, y, x)`.

        Raises:
            StepError: If it is no such tensor, or has another number of classes than there are names.
        """
        import torch

        axes = "(image, class, y, x)"
        if not isinstance(values, torch.Tensor) or values.ndim <= len(("image", "class")):
            raise StepError(f"the network returns {described(values)}, not a class for each pixel {axes}")
        if not values.is_floating_point():
            what = f"the network returns {described(values)}, the classes themselves, which have no gradients"
            raise StepError(what, hint=f"let it return the logits {axes} that these are chosen by")
        count = values.shape[1]
        if self.names and count != len(self.names):
            named = words.count(len(self.names), "class name")
            what = f"the network returns {words.count(count, 'class')} for each pixel, for {named}"
            last = values.ndim > len(("image", "class", "x")) and values.shape[-1] == len(self.names)
            raise MisnamedError(what, hint=_LAST if last else "give one name for each, in their order")
        return values

    def targets(self, spec: Hashable, values: Any, images: Sequence[InputImage]) -> tuple[Target, ...]:
        """Return the class of each image and the region that its logits are summed over."""
        self.check(spec)
        grids = self.grids(values).detach()
        if not bool(grids.isfinite().all()):
            raise StepError("the output of the network is not finite, so there is nothing to explain")
        if self.returns == "probabilities":
            check_probabilities(grids, output="Pixels")
        for image in images:
            _check_axes(values, image)
        return tuple(self._target(spec, grid, image) for grid, image in zip(grids, images, strict=True))

    def score(self, values: Any, targets: Sequence[Target]) -> torch.Tensor:
        """Return the sum of the logits of each image's class over its region, `(image,)`."""
        grids = self.grids(values)
        targets = for_each(targets, len(grids))
        chosen = grids[range(len(targets)), [target.index for target in targets]]
        inside = self._inside(grids, targets)
        return (chosen * inside).flatten(1).sum(1)

    def gives(self, values: torch.Tensor, target: Target, *, tolerance: float) -> bool:
        """Return whether the values of one image have the score of a target: a sum of as many numbers as its region."""
        if target.region is None or target.region.size != tuple(values.shape[2:]):
            return False
        score = float(self.score(values, [target])[0])
        greatest = float(values.detach().abs().max())
        return abs(score - target.score) <= tolerance * greatest * target.region.cells

    def runner_up(self, target: Target, values: Any) -> Target | None:
        """Return the class of the greatest sum over the same region, besides the target's own."""
        (grid,) = self.grids(values).detach().double()
        inside = self._inside(grid[None], [target])[0]
        sums = (grid * inside).flatten(1).sum(1)
        order = sums.argsort(descending=True, stable=True).tolist()
        best = next((index for index in order if index != target.index), None)
        if best is None:
            return None
        return replace(target, spec={"class": best}, label=name_of(best, self.names), score=float(sums[best]))

    def summary(self, values: Any) -> tuple[tuple[Prediction, ...], ...]:
        """Return for each image the classes that most pixels have, with their shares, five at most."""
        found = []
        for grid in self.grids(values).detach():
            pixels = self._counts(grid)
            total = grid[0].numel()
            classes = [index for index in self._by_size(pixels)[:LISTED] if pixels[index]]
            listed = []
            for index in classes:
                label = name_of(index, self.names)
                share = 100 * int(pixels[index]) / total
                listed.append(Prediction(index=index, label=label, score=share, quantity="pixels", unit="%"))
            found.append(tuple(listed))
        return tuple(found)

    def _target(self, spec: Hashable, grid: torch.Tensor, image: InputImage) -> Target:
        index = self._index(spec, grid, image)
        place = spec if isinstance(spec, Placed) else None
        inside = self._where(place, index, grid, image)
        label = name_of(index, self.names)
        if not inside.any():
            where = "is predicted at no pixel" if place is None or place.in_ == "prediction" else "has no pixel there"
            raise InputError(f"class {label!r} {where}", where=_name(image), hint="ask {class: …, point: [x, y]}")
        region = Region.of(inside)
        chosen = grid[index].double().cpu().numpy()
        kind = "probability" if self.returns == "probabilities" else "logit"
        return Target(
            spec=_data(index, place),
            label=label,
            score=float(chosen[inside].sum()),
            quantity=f"{kind} sum",
            unit=f"over {words.count(region.cells, 'pixel')}",
            region=region,
        )

    def _index(self, spec: Hashable, grid: torch.Tensor, image: InputImage) -> int:
        wanted = spec.class_ if isinstance(spec, Chosen) else spec
        count = len(grid)
        if isinstance(wanted, Ranked) or wanted in (None, PREDICTED):
            rank = wanted.rank if isinstance(wanted, Ranked) else 1
            pixels = self._counts(grid)
            order = [index for index in self._by_size(pixels) if pixels[index]]
            if rank > len(order):
                what = f"{words.count(len(order), 'class')} predicted, so there is no top {rank}"
                raise InputError(what, where=_name(image))
            return order[rank - 1]
        if wanted == LABEL:
            return label_index(image.label, self.names, count=count)
        if not isinstance(wanted, int | str):
            raise InputError(f"it has a class for each pixel, and no target {spec}")
        return index_of(wanted, self.names, count=count)

    def _where(self, place: Placed | None, index: int, grid: torch.Tensor, image: InputImage) -> np.ndarray:
        """Return which cells of the output a class is summed over, `(y, x)` bool."""
        size = tuple(grid.shape[1:])
        if place is None or place.in_ == "prediction":
            return np.asarray((self._classes(grid) == index).cpu().numpy())
        if place.in_ == "mask":
            if image.mask is None:
                hint = "name it in the column `mask` of a CSV manifest"
                raise InputError("the target is in the mask, and this image has none", where=_name(image), hint=hint)
            return np.asarray(Grid.even(size, image.mask.shape).inside(image.mask) >= _HALF)
        return _placed(place, size, image)

    def _classes(self, grid: torch.Tensor) -> torch.Tensor:
        """Return the class of each pixel of an image, `(y, x)`; of one class alone, -1 where it is not."""
        if len(grid) > 1:
            return grid.argmax(0)
        least = 0.0 if self.returns == "logits" else _HALF
        return (grid[0] > least).long() - 1

    def _counts(self, grid: torch.Tensor) -> list[int]:
        """Return how many pixels each class has."""
        classes = self._classes(grid)
        counts: list[int] = classes[classes >= 0].flatten().bincount(minlength=len(grid)).tolist()
        return counts

    def _by_size(self, pixels: Sequence[int]) -> list[int]:
        """Return the classes by their numbers of pixels, the background last."""
        ground = self.background
        if ground is None:
            named = [index for index, name in enumerate(self.names) if name.strip("_").casefold() == "background"]
            ground = named[0] if named else -1
        return sorted(range(len(pixels)), key=lambda index: (index == ground, -pixels[index]))

    def _inside(self, grids: torch.Tensor, targets: Sequence[Target]) -> torch.Tensor:
        """Return the regions of targets as numbers 0 and 1, `(image, y, x)`."""
        import torch

        regions = []
        for target in targets:
            region = target.region
            if region is None or region.size != tuple(grids.shape[2:]):
                raise StepError(f"target {target.name} has no region of {words.shape(grids.shape[2:])} pixels")
            regions.append(torch.from_numpy(region.inside))
        return torch.stack(regions).to(grids)


def _check_axes(values: torch.Tensor, image: InputImage | None) -> None:
    """Refuse a mask without classes, and classes that come last: they would be read as classes in rows of pixels.

    Args:
        values: `(image, class, y, x)`.
        image: One that they are of; None where that is not known.
    """
    if image is None:
        return
    pixels, axes = _pixels_along(image), tuple(values.shape[2:])
    returned = f"the network returns {described(values)} for images of {words.shape(pixels)} pixels"
    flat = len(pixels) > len(axes) == 1
    if flat or tuple(values.shape[1:]) == pixels:
        raise StepError(f"{returned}, which has no axis of classes", hint=_NO_CLASSES)
    if len(axes) > len(pixels):
        raise StepError(f"{returned}, which has more axes than (image, class) and those of an image")
    if axes != pixels and tuple(values.shape[1:-1]) == pixels:
        raise StepError(f"{returned}, with the classes last", hint=_LAST)


def _pixels_along(image: InputImage) -> tuple[int, ...]:
    """Return the lengths of the axes of what a network is fed of an image; of the strip of a signal its only one."""
    pixels = image.pixels
    is_strip = len(pixels) == ROWS_OF_A_STRIP and bool((pixels == pixels[:1]).all())
    return tuple(pixels.shape[1 if is_strip else 0 : -1])


def _placed(place: Placed, size: tuple[int, ...], image: InputImage) -> np.ndarray:
    """Return which cells of a grid of `size` lie in a box, or hold a point; coordinates are pixels of the input."""
    corners = place.box or (*place.point, *place.point) if place.point else place.box
    axes = len(size)
    if corners is None or len(corners) != 2 * axes:
        wanted = f"{2 * axes if place.box else axes} numbers"
        raise InputError(f"a {'box' if place.box else 'point'} of this image has {wanted}", where=_name(image))
    pixels = image.pixels.shape[:-1] if image.pixels.ndim == axes + 1 else size
    inside = np.ones(size, np.bool_)
    for axis, (cells, length) in enumerate(zip(size, pixels, strict=True)):
        # Coordinates are given x first, axes are stored x last.
        first, last = corners[axes - 1 - axis], corners[2 * axes - 1 - axis]
        if not (0 <= first <= last <= length):
            raise InputError(f"{place} is not in this image of {words.shape(pixels)} pixels", where=_name(image))
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
    return slice(int(np.ceil(first * scale - _HALF)), int(np.floor(last * scale - _HALF)) + 1)


def _data(index: int, place: Placed | None) -> Any:
    """Return the target as a recipe writes it."""
    if place is None:
        return index
    said = place.model_dump(by_alias=True, exclude_none=True, exclude={"of", "class_"})
    lists = {name: list(each) if isinstance(each, tuple) else each for name, each in said.items()}
    return {"class": index, **lists}


def _name(image: Any) -> str:
    return str(getattr(image, "id", ""))
