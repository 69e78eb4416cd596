"""Boxes: what a detector finds in each image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from interpretkit import words
from interpretkit.errors import InputError, StepError
from interpretkit.model.outputs.columns import LISTED, Chosen, Placed, Ranked, Top
from interpretkit.model.outputs.names import LABEL, PREDICTED, MisnamedError, index_of, label_index, name_of
from interpretkit.model.outputs.output import Output, Prediction, for_each
from interpretkit.model.outputs.parts import described
from interpretkit.results.targets import Target

if TYPE_CHECKING:
    from collections.abc import Hashable

    import torch

    from interpretkit.results.image import InputImage

_CORNERS = 4
_PARTS = ("boxes", "labels", "scores")


@dataclass(frozen=True, slots=True, kw_only=True)
class Boxes(Output):
    """What a detector finds: for each image a dict of `boxes` `(found, 4)`, `labels` and `scores` `(found,)`.

    Boxes are least x and y, greatest x and y, in pixels of what the network is fed, as in torchvision. The score of a
    target is that of the box of its class that overlaps most with the target's own box, times how much they overlap
    (intersection over union, held fixed where gradients are taken); 0 where there is none. On the image itself that is
    the score of what was found.

    Its targets are `predicted`, what is found with the greatest score; `{top: k}`; a class index or name, the best of
    its kind; `{class: …, rank: 2}`; `{class: …, box: [x0, y0, x1, y1]}`, what is found nearest to a box, and
    `{class: …, point: [x, y]}`, the best that holds a point. The class may be left out.

    Attributes:
        names: Names of the classes by label; may be empty.

    Example:
        >>> import torch
        >>> boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0]])
        >>> found = {"boxes": boxes, "labels": torch.tensor([1]), "scores": torch.tensor([0.9])}
        >>> (target,) = Boxes(names=("ground", "dog")).targets("dog", [found], [None])
        >>> print(target)
        dog at x 0–4, y 0–4 (score 0.9)
    """

    has_classes: ClassVar[bool] = True

    names: Sequence[str] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))

    def single(self, spec: Any) -> tuple[Hashable, ...]:
        """Return a target itself, or one for each rank of what is found."""
        if isinstance(spec, Top):
            return spec.ranks
        if spec in (None, PREDICTED):
            return (Ranked(1),)
        return (spec,)

    def check(self, spec: Hashable) -> None:
        """Check that a target is a class, a rank or a place, and that the class is known."""
        wanted = spec.class_ if isinstance(spec, Placed) else spec
        if isinstance(spec, Placed) and spec.in_ is not None:
            raise InputError("boxes are near a box or a point, not `in` anything", hint="give a box or a point")
        if wanted is None or isinstance(wanted, Ranked):
            return
        if not isinstance(wanted, int | str):
            raise InputError(f"it has boxes, and no target {spec}")
        if self.names and wanted not in (PREDICTED, LABEL):
            index_of(wanted, self.names, count=len(self.names))

    def check_label(self, label: str | None) -> None:
        """Check that a label is there, and names a class where the model has names."""
        if label is None or self.names:
            label_index(label, self.names, count=len(self.names))

    def found(self, values: Any) -> Sequence[Mapping[str, torch.Tensor]]:
        """Return what was read as what is found in each image.

        Raises:
            StepError: If it is no list of dicts with boxes, labels and scores.
        """
        listed = isinstance(values, Sequence) and all(isinstance(each, Mapping) for each in values)
        if not listed or not all(part in each for each in values for part in _PARTS):
            what = f"the network returns {described(values)}, not for each image a dict of boxes, labels and scores"
            raise StepError(what, hint="in training mode, detectors return their losses")
        self._check_names(values)
        for each in values:
            _check_corners(each["boxes"])
        return list(values)

    def _check_names(self, found: Sequence[Mapping[str, torch.Tensor]]) -> None:
        """Check that there is a name for each class that is found, so that none has the name of another."""
        if not self.names:
            return
        nameless = [index for each in found for index in each["labels"].tolist() if not 0 <= index < len(self.names)]
        if nameless:
            what = f"the network finds class {nameless[0]}, of {words.count(len(self.names), 'name')}"
            raise MisnamedError(what, hint="name every class from 0; of torchvision's detectors 0 is the background")

    def targets(self, spec: Hashable, values: Any, images: Sequence[InputImage]) -> tuple[Target, ...]:
        """Return what is found in each image, with its box and score."""
        self.check(spec)
        pairs = zip(self.found(values), images, strict=True)
        return tuple(self._target(spec, found, image) for found, image in pairs)

    def score(self, values: Any, targets: Sequence[Target]) -> torch.Tensor:
        """Return the score of what overlaps most with each target's box, times the overlap, `(image,)`."""
        import torch

        found = self.found(values)
        pairs = zip(found, for_each(targets, len(found)), strict=True)
        return torch.stack([_score(each, target) for each, target in pairs])

    def gives(self, values: Any, target: Target, *, tolerance: float) -> bool:
        """Return whether the values of one image have the score of a target; scores are 1 at most."""
        return abs(float(self.score(values, [target])[0].detach()) - target.score) <= tolerance

    def summary(self, values: Any) -> tuple[tuple[Prediction, ...], ...]:
        """Return what is found in each image, the greatest scores first, five at most."""
        found = []
        for each in self.found(values):
            listed = []
            for position in _by_score(each)[:LISTED]:
                index, score = int(each["labels"][position]), float(each["scores"][position].detach())
                listed.append(Prediction(index=index, label=name_of(index, self.names), score=score, quantity="score"))
            found.append(tuple(listed))
        return tuple(found)

    def _target(self, spec: Hashable, found: Mapping[str, torch.Tensor], image: InputImage) -> Target:
        position = self._position(spec, found, image)
        index = int(found["labels"][position])
        box = found["boxes"][position].detach().double().tolist()
        first_x, first_y, last_x, last_y = box
        return Target(
            spec={"class": index, "box": box},
            label=f"{name_of(index, self.names)} at x {first_x:.0f}–{last_x:.0f}, y {first_y:.0f}–{last_y:.0f}",
            score=float(found["scores"][position].detach()),
            quantity="score",
        )

    def _position(self, spec: Hashable, found: Mapping[str, torch.Tensor], image: InputImage) -> int:
        """Return which of what is found is meant."""
        place = spec if isinstance(spec, Placed) else None
        wanted = spec.class_ if isinstance(spec, Chosen) else None if isinstance(spec, Ranked) else spec
        order = self._of_class(wanted, found, image)
        if place is not None and place.point is not None:
            order = [each for each in order if _holds(found["boxes"][each], _of_length(place.point, 2))]
        elif place is not None and place.box is not None:
            box = _of_length(place.box, _CORNERS)
            overlaps = _overlaps(found["boxes"], box)
            order = sorted((each for each in order if overlaps[each] > 0), key=lambda each: -float(overlaps[each]))
        rank = spec.rank if isinstance(spec, Ranked) else place.rank if place is not None and place.rank else 1
        if rank > len(order):
            what = "nothing" if not order else f"{words.count(len(order), 'box')} alone"
            asked = "" if wanted in (None, PREDICTED) else f" of class {wanted!r}"
            raise InputError(f"the network finds {what}{asked} for the target {_said(spec)}", where=_name(image))
        return order[rank - 1]

    def _of_class(self, wanted: Any, found: Mapping[str, torch.Tensor], image: InputImage) -> list[int]:
        """Return what is found of a class, or of any, the greatest score first."""
        order = _by_score(found)
        if wanted in (None, PREDICTED):
            return order
        count = len(self.names) or max([1, *(found["labels"] + 1).tolist()])
        if wanted == LABEL:
            index = label_index(image.label, self.names, count=count)
        elif self.names or isinstance(wanted, str):
            index = index_of(wanted, self.names, count=count)
        else:
            index = wanted
        return [each for each in order if int(found["labels"][each]) == index]


def _check_corners(boxes: torch.Tensor) -> None:
    """Refuse boxes that are no corners in pixels: a middle with a size, or shares of the image."""
    if not len(boxes):
        return
    hint = "boxes are [x0, y0, x1, y1] in pixels; torchvision.ops.box_convert makes them of middles and sizes"
    if bool((boxes[:, 2:] < boxes[:, :2]).any()):
        raise StepError("a box of the network ends before it begins", hint=hint)
    if float(boxes.detach().abs().max()) <= 1:
        raise StepError("no box of the network reaches beyond the first pixel", hint=hint)


def _score(found: Mapping[str, torch.Tensor], target: Target) -> torch.Tensor:
    """Return the score of what overlaps most with a target's box, of its class, times the overlap."""
    scores = found["scores"]
    spec: Any = target.spec
    same = (found["labels"] == spec["class"]).nonzero().flatten()
    if not len(same):
        # It stays a part of the graph, with no gradient.
        return scores.sum() * 0
    overlaps = _overlaps(found["boxes"][same], tuple(spec["box"]))
    best = int(overlaps.argmax())
    return scores[same[best]] * overlaps[best].to(scores)


def _overlaps(boxes: torch.Tensor, box: tuple[float, ...]) -> torch.Tensor:
    """Return the intersection over union of each of `boxes` `(found, 4)` with a box, `(found,)` float64."""
    boxes = boxes.detach().double()
    other = boxes.new_tensor(box)
    sides = (boxes[:, 2:].minimum(other[2:]) - boxes[:, :2].maximum(other[:2])).clamp(min=0)
    common = sides.prod(1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (other[2:] - other[:2]).prod()
    # Boxes without an area overlap with nothing.
    return common / (areas - common).clamp(min=1e-12)


def _holds(box: torch.Tensor, point: tuple[float, ...]) -> bool:
    corners = box.tolist()
    inside = (low <= at <= high for low, at, high in zip(corners[:2], point, corners[2:], strict=True))
    return all(inside)


def _by_score(found: Mapping[str, torch.Tensor]) -> list[int]:
    order: list[int] = found["scores"].detach().argsort(descending=True, stable=True).tolist()
    return order


def _of_length(numbers: tuple[float, ...], count: int) -> tuple[float, ...]:
    if len(numbers) != count:
        raise InputError(f"{list(numbers)} has {len(numbers)} numbers, not {count}", subject=list(numbers))
    return numbers


def _said(spec: Hashable) -> str:
    return f"of rank {spec.rank}" if isinstance(spec, Ranked) else str(spec)


def _name(image: Any) -> str:
    return str(getattr(image, "id", ""))
