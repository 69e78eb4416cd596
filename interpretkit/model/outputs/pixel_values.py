"""A value for each pixel: a depth, a height, a flow."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any, Literal

from interpretkit import words
from interpretkit.errors import InputError, StepError
from interpretkit.model.outputs.columns import LISTED, Chosen, Placed, Ranked
from interpretkit.model.outputs.names import LABEL, PREDICTED, MisnamedError, index_of, name_of
from interpretkit.model.outputs.output import Output, Prediction, for_each
from interpretkit.model.outputs.parts import check_floats, described
from interpretkit.model.outputs.places import data_of, name_of_image, placed, regions
from interpretkit.model.outputs.values import check_units
from interpretkit.results.axes import spatial
from interpretkit.results.region import Region
from interpretkit.results.targets import Target

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    import torch

    from interpretkit.results.image import InputImage

_IMAGES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelValues(Output):
    """A value for each pixel, `(image, y, x)`, or several, `(image, value, y, x)`: a depth, a height, a flow.

    The score is the mean, or the sum, of a value over a region: the whole image, unless the target says
    `{class: …, in: mask}` (the mask of the input manifest), `{class: …, box: [x0, y0, x1, y1]}` or
    `{class: …, point: [x, y]}`. `class` is an index or a name, and may be left out where there is one value.

    Attributes:
        names: Names of the values by index, such as `("depth",)`; may be empty.
        units: Their units, such as `("m",)`; may be empty.
        over: What the score is of the pixels of a region: their `mean`, or their `sum`.
        axes: How many axes the grid of pixels has: 2 of images, 3 of volumes. None for as many as what the network is
            fed, which the first pass shows.

    Example:
        >>> import torch
        >>> depths = torch.tensor([[[1.0, 2.0], [3.0, 6.0]]])
        >>> print(PixelValues(names=("depth",), units=("m",)).targets("depth", depths, [None])[0])
        depth (mean value 3 m over 4 pixels)
    """

    names: Sequence[str] = ()
    units: Sequence[str] = ()
    over: Literal["mean", "sum"] = "mean"
    axes: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "units", tuple(self.units))
        check_units(self.units, self.names)
        if self.over not in ("mean", "sum"):
            raise InputError(f"the score of pixels is their mean or their sum, not {self.over!r}", subject=self.over)

    @property
    def open(self) -> bool:
        """Whether nobody has said how many axes the grid has."""
        return self.axes is None

    @property
    def words(self) -> str:
        """What it is."""
        return "values for each pixel" if len(self.names) > 1 else "a value for each pixel"

    def on_grid(self, axes: int) -> PixelValues:
        """Return it with as many axes as what the network is fed, unless they are said."""
        return replace(self, axes=axes) if self.axes is None else self

    def single(self, spec: Any) -> tuple[Hashable, ...]:
        """Return the target; the only value has no name of its own."""
        return (Ranked(1),) if spec in (None, PREDICTED) else (spec,)

    def check(self, spec: Hashable) -> None:
        """Check that a target is a value, or a value in a place, and that the value is known."""
        place = spec if isinstance(spec, Placed) else None
        if place is not None and (place.in_ == "prediction" or place.rank is not None):
            raise InputError("values are in the whole image, in: mask, in a box or at a point", subject=str(place))
        wanted = place.class_ if place is not None else spec
        if wanted in (None, PREDICTED, Ranked(1)):
            self._check_alone(len(self.names))
        elif wanted == LABEL:
            raise InputError("the target is 'label', but this output has values and no classes", subject=LABEL)
        elif not isinstance(wanted, int | str):
            raise InputError(f"it has a value for each pixel, and no target {spec}")
        elif self.names:
            index_of(wanted, self.names, count=len(self.names), noun="value")

    def _check_alone(self, count: int) -> None:
        if count > 1:
            choice = ", ".join(self.names) or f"0 to {count - 1}"
            raise InputError("there are several values, and none comes first", hint=f"name one: {choice}")

    def grids(self, values: Any) -> torch.Tensor:
        """Return what was read as `(image, value, y, x)`.

        Raises:
            StepError: If it is no such tensor, or has another number of values than there are names.
        """
        import torch

        axes = _IMAGES if self.axes is None else self.axes
        pixels = ", ".join(spatial(axes))
        wanted = f"a value for each pixel (image, {pixels}) or (image, value, {pixels})"
        fits = isinstance(values, torch.Tensor) and 0 <= values.ndim - axes - 1 <= 1
        if not fits:
            hint = "the number of axes of the grid can be said: PixelValues(axes=…)"
            raise StepError(f"the network returns {described(values)}, not {wanted}", hint=hint)
        check_floats(values, wanted=wanted, instead="let it return the numbers that these are made of")
        grids: torch.Tensor = values if values.ndim == axes + len(("image", "value")) else values[:, None]
        count = grids.shape[1]
        if self.names and count != len(self.names):
            named = words.count(len(self.names), "value name")
            what = f"the network returns {words.count(count, 'value')} for each pixel, for {named}"
            raise MisnamedError(what, hint="give one name for each, in their order")
        return grids

    def targets(self, spec: Hashable, values: Any, images: Sequence[InputImage]) -> tuple[Target, ...]:
        """Return the value of each image and the region that its score is taken over."""
        self.check(spec)
        grids = self.grids(values).detach()
        if not bool(grids.isfinite().all()):
            raise StepError("the output of the network is not finite, so there is nothing to explain")
        return tuple(self._target(spec, grid, image) for grid, image in zip(grids, images, strict=True))

    def score(self, values: Any, targets: Sequence[Target]) -> torch.Tensor:
        """Return the mean, or sum, of each image's value over its region, `(image,)`."""
        grids = self.grids(values)
        targets = for_each(targets, len(grids))
        inside = regions(grids, targets)
        chosen = grids[range(len(targets)), [target.index for target in targets]]
        sums = (chosen * inside).flatten(1).sum(1)
        return sums / inside.flatten(1).sum(1) if self.over == "mean" else sums

    def gives(self, values: torch.Tensor, target: Target, *, tolerance: float) -> bool:
        """Return whether the values of one image have the score of a target."""
        grids = self.grids(values)
        if target.region is None or target.region.size != tuple(grids.shape[2:]):
            return False
        score = float(self.score(values, [target])[0])
        cells = target.region.cells if self.over == "sum" else 1
        return abs(score - target.score) <= tolerance * float(grids.detach().abs().max()) * cells

    def summary(self, values: Any) -> tuple[tuple[Prediction, ...], ...]:
        """Return the mean of each value over each image, of the first five values."""
        grids = self.grids(values).detach().double()
        return tuple(self._predictions(means) for means in grids.flatten(2).mean(2)[:, :LISTED].tolist())

    def _predictions(self, means: Sequence[float]) -> tuple[Prediction, ...]:
        found = []
        for index, mean in enumerate(means):
            label, unit = name_of(index, self.names), self._unit(index)
            found.append(Prediction(index=index, label=label, score=mean, quantity="mean value", unit=unit))
        return tuple(found)

    def _target(self, spec: Hashable, grid: torch.Tensor, image: InputImage) -> Target:
        index = self._index(spec, count=len(grid))
        place = spec if isinstance(spec, Placed) else None
        chosen = grid[index].double().cpu().numpy()
        region = _region(place, chosen.shape, image)
        inside = chosen[region.inside]
        return Target(
            spec=data_of(index, place),
            label=name_of(index, self.names),
            score=float(inside.mean() if self.over == "mean" else inside.sum()),
            quantity=f"{self.over} value",
            unit=f"{self._unit(index)} over {words.count(region.cells, 'pixel')}".lstrip(),
            region=region,
        )

    def _index(self, spec: Hashable, *, count: int) -> int:
        wanted = spec.class_ if isinstance(spec, Chosen) else spec
        if isinstance(wanted, Ranked) or wanted in (None, PREDICTED):
            self._check_alone(count)
            return 0
        if not isinstance(wanted, int | str):
            raise InputError(f"it has a value for each pixel, and no target {spec}")
        return index_of(wanted, self.names, count=count, noun="value")

    def _unit(self, index: int) -> str:
        return self.units[index] if self.units else ""


def _region(place: Placed | None, size: tuple[int, ...], image: InputImage) -> Region:
    """Return the region of a target: the whole image, unless it says where."""
    if place is None:
        return Region(size, (0, prod(size)))
    inside = placed(place, size, image)
    if not inside.any():
        raise InputError(f"{place} has no pixel", where=name_of_image(image), hint="give a larger one")
    return Region.of(inside)
