"""Names of what a network has several of, such as classes: from a name to its index, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit import words
from interpretkit.errors import InputError, RecipeError, StepError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

PREDICTED, LABEL = "predicted", "label"
"""Words for what the network finds first, and for what an image's label names."""

WORDS = (PREDICTED, LABEL, "class_token")
"""The targets that are words of our own, not names of classes."""


class MisnamedError(StepError):
    """A network returns more or fewer classes than there are names: which has which name, nobody knows."""


def check_count(names: Sequence[str], known: Sequence[str]) -> None:
    """Check that there are as many names of classes as those that are known already, if any are.

    Raises:
        RecipeError: If there are more or fewer.
    """
    if known and len(names) != len(known):
        what = f"{words.count(len(names), 'class name')} for a network that is known to have {len(known)}"
        raise RecipeError(
            what, hint="give one name for each, in their order, or set the number of classes of the network"
        )


def index_of(wanted: int | str, names: Sequence[str], *, count: int, noun: str = "class") -> int:
    """Return the index of what is given by index or by name, out of `count`.

    Upper and lower case are told apart only where names differ in nothing else.

    Raises:
        InputError: If there is no such thing, or several have that name.

    Example:
        >>> index_of("Tabby", ["tench", "tabby"], count=2)
        1
    """
    index = _named(wanted, names, noun=noun, others=WORDS) if isinstance(wanted, str) else wanted
    return _in_range(index, wanted, count=count, noun=noun)


def label_index(label: int | str | None, names: Sequence[str], *, count: int) -> int:
    """Return the index of the class that an image's label names, out of `count` classes; raises as `index_of` does.

    Example:
        >>> label_index("1", ["tench", "tabby"], count=2), label_index(1, ["1", "2"], count=2)
        (1, 1)
    """
    if label is None:
        raise InputError(
            "the target is 'label', but this image has none",
            hint="give it one: (image, label) in Python, the column `label` of a CSV file in a recipe",
        )
    if isinstance(label, int):
        return index_of(label, names, count=count)
    # In a manifest every label is text; where the classes themselves are named by numbers, the name counts.
    if label.isascii() and label.isdecimal() and label not in names:
        return index_of(int(label), names, count=count)
    return _in_range(_named(label, names, noun="class"), label, count=count, noun="class")


def name_of(index: int, names: Sequence[str]) -> str:
    """Return a name, or the index as text where there is no name for it.

    Example:
        >>> name_of(0, ["tench"]), name_of(1, ["tench"])
        ('tench', '1')
    """
    return names[index] if index < len(names) else str(index)


def _in_range(index: int, wanted: int | str, *, count: int, noun: str) -> int:
    if not 0 <= index < count:
        only = f"{noun} 0 alone" if count == 1 else f"{words.plural(noun, count)} 0 to {count - 1}"
        raise InputError(f"{noun} {wanted!r} is out of range", hint=f"the model has {only}", subject=wanted)
    return index


def _named(name: str, names: Sequence[str], *, noun: str, others: Sequence[str] = ()) -> int:
    """Return the index of a name; `others` are words that may be meant instead."""
    if name in others and name not in names:
        raise InputError(
            f"{name!r} stands for no {noun} here", hint=f"give {_an(noun)} {noun} index or name", subject=name
        )
    # ImageNet has the class `Cardigan`, a dog, and the class `cardigan`, a garment.
    indices = [index for index, known in enumerate(names) if known == name]
    if not indices:
        folded = name.casefold()
        indices = [index for index, known in enumerate(names) if known.casefold() == folded]
    if len(indices) == 1:
        return indices[0]
    if indices:
        choice = ", ".join(f"{index} ({names[index]})" for index in indices)
        hint = f"give one of the indices {choice}"
        raise InputError(
            f"{len(indices)} {words.plural(noun, len(indices))} are named {name!r}", hint=hint, subject=name
        )
    if not names:
        hint = did_you_mean(name, others, otherwise=f"give {_an(noun)} {noun} index")
        raise InputError(f"{noun} {name!r}: the model has no {noun} names", hint=hint, subject=name)
    hint = did_you_mean(name, [*names, *others])
    raise InputError(f"the model has no {noun} {name!r}", hint=hint, subject=name)


def _an(noun: str) -> str:
    return "an" if noun[0] in "aeiou" else "a"
