"""A class for each pixel: segmentation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from interpretkit import words
from interpretkit.errors import InputError, StepError
from interpretkit.model.outputs.columns import (
    DIGITS_LOST,
    LISTED,
    Chosen,
    Placed,
    Ranked,
    Returns,
    Top,
    check_distribution,
    check_probabilities,
)
from interpretkit.model.outputs.names import LABEL, PREDICTED, MisnamedError, index_of, label_index, name_of
from interpretkit.model.outputs.output import Output, Prediction, for_each
from interpretkit.model.outputs.parts import check_floats, described
from interpretkit.model.outputs.places import HALF, data_of, name_of_image, placed, regions
from interpretkit.model.preprocessing import ROWS_OF_A_STRIP
from interpretkit.results.region import Region
from interpretkit.results.targets import Target

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    import torch

    from interpretkit.capture.ending import Ending
    from interpretkit.results.image import InputImage

_ASK = "ask {class: …, point: [x, y]}"
_QUANTITIES = {"logits": "logit sum", "probabilities": "probability sum", None: "output sum"}
_LAST = "where the classes come last, let it return values.movedim(-1, 1), (image, class, y, x)"
_NO_CLASSES = "of a single class let it return (image, 1, y, x), such as values[:, None]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pixels(Output):
    """A class for each pixel, `(image, class, y, x)`, of volumes `(image, class, z, y, x)`: segmentation.

    The score of a class is the sum of its logits, or probabilities, over a region, which is fixed on the image itself:
    the pixels where the class is predicted, unless the target says `{class: …, in: mask}` (the mask of the input
    manifest), `{class: …, box: [x0, y0, x1, y1]}` or `{class: …, point: [x, y]}`. `predicted` is the class that most
    pixels have, besides the background; `{top: k}` are the classes by their numbers of pixels.

    A class is predicted where it has the greatest number; of a class that is told by itself, where its probability is
    above one half.

    Attributes:
        names: Names of the classes by index; may be empty.
        background: The class of pixels that belong to nothing; by default the one that is called background, if any.
        returns: `logits`, or `probabilities` where the network ends in a softmax or sigmoid of its own; None where it
            is not known. The first pass shows it, by the last operation of the network.
        several: Whether a pixel may have several classes or none, each told by itself, as sigmoids tell them. None for
            what the last operation says: a sigmoid tells each by itself.
        axes: How many axes the grid of pixels has: 2 of images, 3 of volumes. None for as many as what the network is
            fed, which the first pass shows.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[[[0.0, 0.0]], [[2.0, -1.0]]]])
        >>> (target,) = Pixels(names=("ground", "dog"), returns="logits").targets("dog", logits, [None])
        >>> print(target)
        dog (logit sum 2 over 1 pixel)
    """

    has_classes: ClassVar[bool] = True
    noun: ClassVar[str] = "class"

    names: Sequence[str] = ()
    background: int | None = None
    returns: Returns | None = None
    several: bool | None = None
    axes: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))

    @property
    def open(self) -> bool:
        """Whether something is not said: what the numbers are, whether a pixel has several classes, how many axes."""
        return self.returns is None or self.several is None or self.axes is None

    @property
    def words(self) -> str:
        """What it is: a class for each pixel, or several, and what the network returns of them."""
        what = "classes for each pixel, each by itself" if self.several else "a class for each pixel"
        return f"{what}, {self.returns or 'not known to be logits or probabilities'}"

    def on_grid(self, axes: int) -> Pixels:
        """Return it with as many axes as what the network is fed, unless they are said."""
        return replace(self, axes=axes) if self.axes is None else self

    def settled(self, ending: Ending, values: Any) -> Pixels:
        """Return it with what the numbers are, and whether each class is told by itself, as the last operation says."""
        self.grids(values)
        returns: dict[str, Returns] = {
            "softmax": "probabilities",
            "sigmoid": "probabilities",
            "log_softmax": "logits",
            "linear": "logits",
        }
        several = ending.operation == "sigmoid" if self.several is None else self.several
        return replace(self, returns=self.returns or returns.get(ending.operation), several=several)

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
        if self.axes is not None and values.ndim == self.axes + 1 and not self.names:
            hint = "for a value for each pixel say PixelValues(names=…); else say Pixels(names=…), or Pixels(axes=…)"
            raise StepError(f"the network returns {described(values)}, with no axis for classes {axes}", hint=hint)
        wanted = f"the logits {axes} that classes are chosen by"
        check_floats(values, wanted=wanted, instead=f"let it return {wanted}")
        count = values.shape[1]
        if self.names and count != len(self.names):
            named = words.count(len(self.names), "class name")
            what = f"the network returns {words.count(count, 'class')} for each pixel, for {named}"
            last = values.ndim > len(("image", "class", "x")) and values.shape[-1] == len(self.names)
            raise MisnamedError(what, hint=_LAST if last else "give one name for each, in their order")
        return values

    def targets(self, spec: Hashable, values: Any, images: Sequence[InputImage]) -> tuple[Target, ...]:
        """Return the class of each image and the region that its numbers are summed over."""
        self.check(spec)
        grids = self._checked(values)
        for image in images:
            _check_axes(values, image)
        return tuple(self._target(spec, grid, image) for grid, image in zip(grids, images, strict=True))

    def score(self, values: Any, targets: Sequence[Target]) -> torch.Tensor:
        """Return the sum of the numbers of each image's class over its region, `(image,)`."""
        grids = self.grids(values)
        targets = for_each(targets, len(grids))
        chosen = grids[range(len(targets)), [target.index for target in targets]]
        return (chosen * regions(grids, targets)).flatten(1).sum(1)

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
        inside = regions(grid[None], [target])[0]
        sums = (grid * inside).flatten(1).sum(1)
        order = sums.argsort(descending=True, stable=True).tolist()
        best = next((index for index in order if index != target.index), None)
        if best is None:
            return None
        return replace(target, spec={"class": best}, label=name_of(best, self.names), score=float(sums[best]))

    def summary(self, values: Any) -> tuple[tuple[Prediction, ...], ...]:
        """Return for each image the classes that most pixels have, with their shares, five at most."""
        grids = self._checked(values)
        if self.returns is None and self._apart(grids.shape[1]):
            return ()
        found = []
        for grid in grids:
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

    def _checked(self, values: Any) -> torch.Tensor:
        """Return what was read as `(image, class, y, x)`, detached, and known to be what it is said to be."""
        grids = self.grids(values).detach()
        if not bool(grids.isfinite().all()):
            raise StepError("the output of the network is not finite, so there is nothing to explain")
        if self.returns != "probabilities":
            return grids
        if self._apart(grids.shape[1]):
            check_probabilities(grids, output="Pixels")
        else:
            hint = "for logits say Pixels(returns='logits'), for sigmoids Pixels(returns='probabilities', several=True)"
            check_distribution(grids, each="a pixel", hint=f"{hint}; a softmax goes over the classes, dim=1")
        return grids

    def _target(self, spec: Hashable, grid: torch.Tensor, image: InputImage) -> Target:
        index = self._index(spec, grid, image)
        place = spec if isinstance(spec, Placed) else None
        inside = self._where(place, index, grid, image)
        label = name_of(index, self.names)
        if not inside.any():
            where = "is predicted at no pixel" if place is None or place.in_ == "prediction" else "has no pixel there"
            raise InputError(f"class {label!r} {where}", where=name_of_image(image), hint=_ASK)
        region = Region.of(inside)
        chosen = grid[index].double().cpu().numpy()[inside]
        return Target(
            spec=data_of(index, place),
            label=label,
            score=float(chosen.sum()),
            quantity=_QUANTITIES[self.returns],
            unit=f"over {words.count(region.cells, 'pixel')}",
            saturated=self.returns == "probabilities" and _saturated(chosen, grid.dtype),
            region=region,
        )

    def _index(self, spec: Hashable, grid: torch.Tensor, image: InputImage) -> int:
        wanted = spec.class_ if isinstance(spec, Chosen) else spec
        count = len(grid)
        if isinstance(wanted, Ranked) or wanted in (None, PREDICTED):
            rank = wanted.rank if isinstance(wanted, Ranked) else 1
            return self._ranked(rank, grid, image)
        if wanted == LABEL:
            return label_index(image.label, self.names, count=count)
        if not isinstance(wanted, int | str):
            raise InputError(f"it has a class for each pixel, and no target {spec}")
        return index_of(wanted, self.names, count=count)

    def _ranked(self, rank: int, grid: torch.Tensor, image: InputImage) -> int:
        """Return the class that has the most pixels of an image but for `rank` less 1 others."""
        # Of one class alone there is no choice, wherever it is predicted.
        if rank == len(grid) == 1:
            return 0
        pixels = self._counts(grid)
        order = [index for index in self._by_size(pixels) if pixels[index]]
        if rank > len(order):
            what = f"{words.count(len(order), 'class')} predicted, so there is no top {rank}"
            raise InputError(what, where=name_of_image(image))
        return order[rank - 1]

    def _where(self, place: Placed | None, index: int, grid: torch.Tensor, image: InputImage) -> np.ndarray:
        """Return which cells of the output a class is summed over, `(y, x)` bool."""
        if place is not None and place.in_ != "prediction":
            return placed(place, tuple(grid.shape[1:]), image)
        if not self._apart(len(grid)):
            return np.asarray((grid.argmax(0) == index).cpu().numpy())
        return np.asarray((grid[index] > self._least).cpu().numpy())

    def _apart(self, classes: int) -> bool:
        """Whether each of so many classes is told by itself, and not by having the greatest number."""
        return bool(self.several) or classes == 1

    @property
    def _least(self) -> float:
        """The number above which a pixel has a class that is told by itself.

        Raises:
            InputError: If it is not known whether the numbers are logits or probabilities.
        """
        if self.returns is None:
            what = "the numbers are not known to be logits or probabilities, nor from which on a pixel has the class"
            raise InputError(what, hint=f"say it: Pixels(returns=…); or {_ASK}")
        return 0.0 if self.returns == "logits" else HALF

    def _counts(self, grid: torch.Tensor) -> list[int]:
        """Return how many pixels each class has."""
        if self._apart(len(grid)):
            several: list[int] = (grid > self._least).flatten(1).sum(1).tolist()
            return several
        counts: list[int] = grid.argmax(0).flatten().bincount(minlength=len(grid)).tolist()
        return counts

    def _by_size(self, pixels: Sequence[int]) -> list[int]:
        """Return the classes by their numbers of pixels, the background last."""
        ground = self.background
        if ground is None:
            named = [index for index, name in enumerate(self.names) if name.strip("_").casefold() == "background"]
            ground = named[0] if named else -1
        return sorted(range(len(pixels)), key=lambda index: (index == ground, -pixels[index]))


def _saturated(chosen: np.ndarray, dtype: torch.dtype) -> bool:
    """Whether all of some probabilities are so near to 1 or 0 that what is left of their gradient is rounding."""
    import torch

    kind = torch.finfo(dtype)
    return bool(((1 - chosen < DIGITS_LOST * kind.eps) | (chosen < kind.tiny)).all())


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
