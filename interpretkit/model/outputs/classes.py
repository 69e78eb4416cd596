"""Classes: logits or a distribution, one number for each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from pydantic import BaseModel, ConfigDict, Field

from interpretkit.errors import Faults, InputError, StepError, did_you_mean
from interpretkit.model.outputs.output import Output, Prediction, described, for_each
from interpretkit.results.targets import Target, TargetData

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    import torch

    from interpretkit.results.image import InputImage

PREDICTED, LABEL = "predicted", "label"
"""Words for the class that is most probable, and for the one that an image's label names."""

WORDS = (PREDICTED, LABEL, "class_token")
"""The targets that are words of our own, not names of classes."""

_LISTED = 5
"""So many of the most probable classes are listed of each image."""


class Grammar(BaseModel):
    """A mapping under `target:`: unknown keys and wrong types are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=True)

    of: str | None = Field(default=None, description="which of the model's outputs; by default the first")


class Contrast(Grammar):
    """A target that sets one class against another: the difference of their logits.

    Example:
        >>> Contrast.model_validate({"for": "tabby", "against": 282}).against
        282
    """

    for_: int | str = Field(alias="for", description="class index or name whose logit counts")
    against: int | str = Field(description="class index or name whose logit is subtracted")

    def __str__(self) -> str:
        return f"{self.for_} against {self.against}"


class Top(Grammar):
    """A target that asks for one map for each of the most probable classes.

    Example:
        >>> Top.model_validate({"top": 2}).ranks
        (Ranked(rank=1), Ranked(rank=2))
    """

    top: int = Field(ge=1, le=20, description="how many of the most probable classes to explain, each by itself")

    def __str__(self) -> str:
        return f"top {self.top}"

    @property
    def ranks(self) -> tuple[Ranked, ...]:
        """The targets that it stands for, the most probable class first."""
        return tuple(Ranked(rank) for rank in range(1, self.top + 1))


class Chosen(Grammar):
    """A target of one of several outputs: a class of it, or the only target that it has.

    Example:
        >>> Chosen.model_validate({"of": "stage1_aux", "class": "tabby"}).class_
        'tabby'
    """

    of: str = Field(description="which of the model's outputs")
    class_: int | str | None = Field(
        default=None, alias="class", description="class index or name, predicted or label; predicted if left out"
    )

    def __str__(self) -> str:
        return self.of if self.class_ is None else f"{self.class_} of {self.of}"


@dataclass(frozen=True, slots=True)
class Ranked:
    """The class that the network finds most probable, second most probable and so on: rank 1, 2, …."""

    rank: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Classes(Output):
    """Classes of which each image has one: logits, or a distribution where the network ends in a softmax.

    Its targets are `predicted`, `label`, a class index or name, `{for: …, against: …}` and `{top: …}`.

    Attributes:
        names: Names of the classes by index; may be empty.

    Example:
        >>> import torch
        >>> output = Classes(names=("tench", "tabby"))
        >>> logits = torch.tensor([[0.0, 2.0]])
        >>> [(found.label, found.logit) for found in output.summary(logits)[0]]
        [('tabby', 2.0), ('tench', 0.0)]
    """

    names: tuple[str, ...] = ()

    def single(self, spec: Any) -> tuple[Hashable, ...]:
        """Return a target itself, or one for each rank of the top classes."""
        if isinstance(spec, Top):
            return spec.ranks
        # The same target under one name, so that it costs one backward pass.
        if spec in (None, PREDICTED):
            return (Ranked(1),)
        return (spec,)

    def check(self, spec: Hashable) -> None:
        """Check the names and indices of classes, where the model has names."""
        if not self.names:
            return
        faults = Faults()
        classes = [spec.for_, spec.against] if isinstance(spec, Contrast) else [spec]
        for wanted in classes:
            if isinstance(wanted, int | str) and wanted != LABEL:
                with faults.collect():
                    class_index(wanted, self.names, count=len(self.names))
        faults.tell()

    def check_label(self, label: str | None) -> None:
        """Check that a label is there, and names a class where the model has names."""
        if label is None or self.names:
            label_index(label, self.names, count=len(self.names))

    def targets(self, spec: Hashable, values: Any, images: Sequence[InputImage]) -> tuple[Target, ...]:
        """Return the class, or the contrast, of each image, with its score."""
        logits = self.logits(values)
        if not bool(logits.isfinite().all()):
            raise StepError("the logits are not finite, so there is nothing to explain")
        rows = zip(images, logits.detach().double(), probabilities_of(logits), strict=True)
        return tuple(self._target(spec, image, scores, probabilities) for image, scores, probabilities in rows)

    def score(self, values: Any, targets: Sequence[Target]) -> torch.Tensor:
        """Return the logit of each image's class; of a contrast, minus the logit of the other class."""
        logits = self.logits(values)
        targets = for_each(targets, len(logits))
        rows = range(len(targets))
        score = logits[rows, [target.index for target in targets]]
        if targets[0].against is not None:
            score = score - logits[rows, [target.against for target in targets]]
        return score

    def probability(self, values: Any, targets: Sequence[Target]) -> torch.Tensor | None:
        """Return the probability of each image's class; None for a contrast."""
        if targets[0].against is not None:
            return None
        probabilities = probabilities_of(self.logits(values))
        targets = for_each(targets, len(probabilities))
        classes = [target.index for target in targets]
        return probabilities[range(len(targets)), classes]

    def terms(self, target: Target) -> tuple[tuple[float, Target], ...]:
        """Return the class, or the two classes of a contrast, the second with the weight -1."""
        if target.against is None:
            return ((1.0, target),)
        contrast = cast("Mapping[str, Any]", target.spec)
        first = replace(target, spec=_side(contrast, "for"), against_label="")
        second = replace(first, spec=_side(contrast, "against"), label=target.against_label)
        return ((1.0, first), (-1.0, second))

    def summary(self, values: Any) -> tuple[tuple[Prediction, ...], ...]:
        """Return the most probable classes of each image, five at most."""
        logits = self.logits(values)
        best = logits.detach().double().topk(min(_LISTED, logits.shape[1]), dim=1)
        rows = zip(best.indices, best.values, probabilities_of(logits), strict=True)
        return tuple(self._predictions(*row) for row in rows)

    def _predictions(
        self, indices: torch.Tensor, logits: torch.Tensor, probabilities: torch.Tensor
    ) -> tuple[Prediction, ...]:
        """Return the predictions for one image: the best classes, their logits, the probabilities of all classes."""
        predictions = []
        for index, logit in zip(indices.tolist(), logits.tolist(), strict=True):
            label = class_label(index, self.names)
            probability = float(probabilities[index])
            predictions.append(Prediction(index=index, label=label, logit=logit, probability=probability))
        return tuple(predictions)

    def logits(self, values: Any) -> torch.Tensor:
        """Return what was read as logits `(image, class)`.

        Raises:
            StepError: If it is no such tensor.
        """
        if len(getattr(values, "shape", ())) != len(("image", "class")):
            raise StepError(f"the network returns {described(values)}, not logits (image, class)")
        return cast("torch.Tensor", values)

    def _target(self, spec: Hashable, image: InputImage, scores: torch.Tensor, probabilities: torch.Tensor) -> Target:
        """Return the target of one image, by its logits and its probabilities, both `(class,)`."""
        if isinstance(spec, Contrast):
            return self._contrast(spec, scores, probabilities)
        index = self._index(spec, image.label, scores)
        score = float(scores[index])
        probability = float(probabilities[index])
        return Target(
            spec=index,
            label=class_label(index, self.names),
            score=score,
            quantity=_quantity(score, probability),
            probability=probability,
        )

    def _contrast(self, spec: Contrast, scores: torch.Tensor, probabilities: torch.Tensor) -> Target:
        """Return the contrast of two classes, by the logits and the probabilities of an image."""
        count = len(scores)
        index = class_index(spec.for_, self.names, count=count)
        against = class_index(spec.against, self.names, count=count)
        if index == against:
            raise InputError(f"class {spec.for_!r} against itself is 0 for every image", hint="give two classes")
        score = float(scores[index] - scores[against])
        probability = float(probabilities[index])
        return Target(
            spec={"for": index, "against": against},
            label=class_label(index, self.names),
            against_label=class_label(against, self.names),
            score=score,
            quantity=f"{_quantity(score, probability)} difference",
            probability=probability,
        )

    def _index(self, spec: Hashable, label: str | None, scores: torch.Tensor) -> int:
        """Return the class of a target that is no contrast, of an image with this label and these logits."""
        count = len(scores)
        if isinstance(spec, Ranked):
            return _ranked(spec.rank, scores)
        if spec == LABEL:
            return label_index(label, self.names, count=count)
        return class_index(cast("int | str", spec), self.names, count=count)


def _side(contrast: Mapping[str, Any], side: str) -> TargetData:
    """Return one side of a contrast as a target of its own, of the same output."""
    if "of" in contrast:
        return {"of": contrast["of"], "class": contrast[side]}
    wanted: int | str = contrast[side]
    return wanted


def _quantity(score: float, probability: float) -> str:
    """Return the kind of a score: the score of a network that returns probabilities is one itself."""
    return "output" if score == probability else "logit"


def _ranked(rank: int, scores: torch.Tensor) -> int:
    """Return the class of a rank, 1 for the most probable."""
    count = len(scores)
    if rank > count:
        what = f"the model has {count} classes, so there is no top {rank}"
        raise InputError(what, hint=f"ask for {{top: {count}}} at most")
    # Stable, so that the first of equal logits is the prediction, as in argmax.
    order = scores.argsort(descending=True, stable=True)
    return int(order[rank - 1])


def probabilities_of(logits: torch.Tensor) -> torch.Tensor:
    """Return the probabilities of the classes, `(image, class)` float64: the softmax of `logits` of the same shape.

    A network may end in a softmax of its own. Rows that are a distribution already, none below 0 and together 1 but for
    rounding, are returned as they are.

    Example:
        >>> import torch
        >>> probabilities_of(torch.tensor([[0.75, 0.25], [2.0, 2.0]])).tolist()
        [[0.75, 0.25], [0.5, 0.5]]
    """
    import torch

    values = logits.detach().double()
    rounding = 8 * torch.finfo(logits.dtype).eps
    missing = (values.sum(1) - 1).abs()
    distribution = (values >= 0).all(1) & (missing <= rounding)
    return torch.where(distribution[:, None], values, values.softmax(1))


def class_index(wanted: int | str, classes: Sequence[str], *, count: int) -> int:
    """Return the index of a class given by index or by name, out of `count` classes.

    Upper and lower case are told apart only where names differ in nothing else.

    Raises:
        InputError: If there is no such class, or several have that name.

    Example:
        >>> class_index("Tabby", ["tench", "tabby"], count=2)
        1
    """
    index = _index_of(wanted, classes, others=WORDS) if isinstance(wanted, str) else wanted
    return _in_range(index, wanted, count=count)


def label_index(label: str | None, classes: Sequence[str], *, count: int) -> int:
    """Return the index of the class that an image's label names, out of `count` classes; raises as `class_index` does.

    Example:
        >>> label_index("1", ["tench", "tabby"], count=2)
        1
    """
    if label is None:
        raise InputError(
            "the target is 'label', but this image has none", hint="give it one, in the column `label` of a CSV file"
        )
    # In a manifest every label is text; where the classes themselves are named by numbers, the name counts.
    if label.isascii() and label.isdecimal() and label not in classes:
        return class_index(int(label), classes, count=count)
    return _in_range(_index_of(label, classes), label, count=count)


def _in_range(index: int, wanted: int | str, *, count: int) -> int:
    if not 0 <= index < count:
        hint = f"the model has classes 0 to {count - 1}"
        raise InputError(f"class {wanted!r} is out of range", hint=hint, subject=wanted)
    return index


def _index_of(name: str, classes: Sequence[str], *, others: Sequence[str] = ()) -> int:
    """Return the index of the class of this name; `others` are words that may be meant instead."""
    # ImageNet has the class `Cardigan`, a dog, and the class `cardigan`, a garment.
    indices = [index for index, known in enumerate(classes) if known == name]
    if not indices:
        folded = name.casefold()
        indices = [index for index, known in enumerate(classes) if known.casefold() == folded]
    if len(indices) == 1:
        return indices[0]
    if indices:
        choice = ", ".join(f"{index} ({classes[index]})" for index in indices)
        hint = f"give one of the indices {choice}"
        raise InputError(f"{len(indices)} classes are named {name!r}", hint=hint, subject=name)
    if not classes:
        hint = did_you_mean(name, others, otherwise="give a class index")
        raise InputError(f"class {name!r}: the model has no class names", hint=hint, subject=name)
    hint = did_you_mean(name, [*classes, *others])
    raise InputError(f"the model has no class {name!r}", hint=hint, subject=name)


def class_label(index: int, classes: Sequence[str]) -> str:
    """Return the name of a class, or its index as text where the model has no name for it."""
    return classes[index] if index < len(classes) else str(index)
