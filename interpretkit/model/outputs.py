"""What a network returns: classes, their probabilities, and what a target means among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit.errors import InputError, StepError, did_you_mean
from interpretkit.results.targets import WORDS, Contrast, Ranked, SingleSpec, Target

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch


def resolve_targets(
    spec: SingleSpec, logits: torch.Tensor, *, classes: Sequence[str], labels: Sequence[str | None]
) -> tuple[Target, ...]:
    """Resolve a target for each image of a batch.

    Args:
        spec: What is asked for.
        logits: What the network returned, `(image, class)`.
        classes: Class names by index; may be empty.
        labels: The label of each image, a class index or name, or None; used by the target `label`.

    Raises:
        InputError: If the model has no such class, or an image has no label.
        StepError: If the logits are not finite.

    Example:
        >>> import torch
        >>> [target.index for target in resolve_targets(Ranked(2), torch.eye(3), classes=(), labels=[None] * 3)]
        [1, 0, 0]
    """
    if not bool(logits.isfinite().all()):
        raise StepError("the logits are not finite, so there is nothing to explain")
    probabilities = probabilities_of(logits)
    logits = logits.detach().double()
    targets = []
    for row, label in enumerate(labels):
        index, against = _indices(spec, logits[row], classes, label)
        score = logits[row, index] - (0.0 if against is None else logits[row, against])
        targets.append(
            Target(
                index=index,
                label=class_label(index, classes),
                score=float(score),
                probability=float(probabilities[row, index]),
                against=against,
                against_label="" if against is None else class_label(against, classes),
            )
        )
    return tuple(targets)


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
    distribution = (values >= 0).all(1) & ((values.sum(1) - 1).abs() <= rounding)
    return torch.where(distribution[:, None], values, values.softmax(1))


def class_index(wanted: int | str, classes: Sequence[str], *, count: int) -> int:
    """Return the index of a class given by index or by name, out of `count` classes.

    Of names that differ in case only, the one that is spelt exactly so counts.

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
    indices = [index for index, each in enumerate(classes) if each == name]
    indices = indices or [index for index, each in enumerate(classes) if each.casefold() == name.casefold()]
    if len(indices) > 1:
        choice = ", ".join(f"{index} ({classes[index]})" for index in indices)
        hint = f"give one of the indices {choice}"
        raise InputError(f"{len(indices)} classes are named {name!r}", hint=hint, subject=name)
    if indices:
        return indices[0]
    if not classes:
        hint = did_you_mean(name, others, otherwise="give a class index")
        raise InputError(f"class {name!r}: the model has no class names", hint=hint, subject=name)
    hint = did_you_mean(name, [*classes, *others])
    raise InputError(f"the model has no class {name!r}", hint=hint, subject=name)


def class_label(index: int, classes: Sequence[str]) -> str:
    """Return the name of a class, or its index as text where the model has no name for it."""
    return classes[index] if index < len(classes) else str(index)


def _indices(
    spec: SingleSpec, logits: torch.Tensor, classes: Sequence[str], label: str | None
) -> tuple[int, int | None]:
    count = len(logits)
    if spec == "predicted":
        spec = Ranked(1)
    if isinstance(spec, Ranked):
        if spec.rank > count:
            raise InputError(
                f"the model has {count} classes, so there is no top {spec.rank}",
                hint=f"ask for {{top: {count}}} at most",
            )
        # Stable, so that the first of equal logits is the prediction, as in argmax.
        return int(logits.argsort(descending=True, stable=True)[spec.rank - 1]), None
    if spec == "label":
        return label_index(label, classes, count=count), None
    if isinstance(spec, Contrast):
        index, against = (class_index(each, classes, count=count) for each in (spec.for_, spec.against))
        if index == against:
            raise InputError(f"class {spec.for_!r} against itself is 0 for every image", hint="give two classes")
        return index, against
    return class_index(spec, classes, count=count), None
