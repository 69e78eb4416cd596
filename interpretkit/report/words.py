"""How numbers, targets and nested data are put in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from interpretkit.runs.run import target_of
from interpretkit.words import chance as with_digits

if TYPE_CHECKING:
    from interpretkit.results.targets import Target
    from interpretkit.runs.records import TargetRecord


def number(value: float | None) -> str:
    """Return a number at 4 significant digits; whole numbers in full; a dash for None.

    Example:
        >>> [number(value) for value in (0.5, 12345.678, 1234.2, 0.0, 17, None)]
        ['0.5000', '1.235e+04', '1234', '0', '17', '–']
    """
    if value is None:
        return "–"
    if isinstance(value, int):
        return str(value)
    return f"{value:#.4g}".removesuffix(".") if value else "0"


def chance(probability: float | None) -> str:
    """Return a probability at 3 decimals; a dash for None.

    Example:
        >>> [chance(value) for value in (0.58712, 0.0001, 0.9997, 0.0, 1.0, None)]
        ['0.587', '< 0.001', '> 0.999', '0.000', '1.000', '–']
    """
    if probability is None:
        return "–"
    if 0 < probability < 0.001:  # noqa: PLR2004 - the last decimal
        return "< 0.001"
    text = with_digits(probability)
    return text if text.startswith(">") else f"{probability:.3f}"


def words(value: Any) -> str:
    """Return JSON data on one line, as a reader would write it.

    Example:
        >>> words({"crop": 224, "mean": [0.5, 0.25], "flip": False, "file": None})
        'crop 224, mean 0.5, 0.25, flip no, file none'
    """
    if value is None or value in ("", [], (), {}):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {words(each)}" for key, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(words(each) for each in value)
    return str(value)


def facts(data: Mapping[str, Any] | str) -> list[tuple[str, str]]:
    """Return names and values of a mapping in words; mappings in it are spread out.

    Example:
        >>> facts({"seed": 0, "packages": {"torch": "2.14.0", "numpy": "2.4.6"}})
        [('seed', '0'), ('packages: torch', '2.14.0'), ('packages: numpy', '2.4.6')]
    """
    if isinstance(data, str):
        return [("as given", data)]
    found = []
    for key, value in data.items():
        if isinstance(value, Mapping) and value:
            found += [(f"{key}: {name}", words(each)) for name, each in value.items()]
        else:
            found.append((key, words(value)))
    return found


def target_words(targets: Sequence[TargetRecord]) -> str:
    """Say what was differentiated for an image.

    Example:
        >>> from interpretkit.runs.records import TargetRecord
        >>> facts_of_cat = {"spec": 1, "score": 9.5, "probability": 0.8, "quantity": "logit"}
        >>> target_words([TargetRecord(label="cat", against_label="", **facts_of_cat)])
        'logit of “cat” (class 1) = 9.500, probability 0.8'
        >>> facts_of_age = {"spec": 0, "score": 41.5, "probability": None, "quantity": "value", "unit": "years"}
        >>> target_words([TargetRecord(label="age", against_label="", **facts_of_age)])
        'value of “age” (index 0) = 41.50 years'
    """
    return "; ".join(_target_words(target_of(record)) for record in targets)


def _target_words(target: Target) -> str:
    quantity = target.quantity.removesuffix(" difference")
    index = None if target.opposite else target.index
    # Values have an index, and are no classes.
    noun = "index" if quantity.endswith("value") else "class"
    score = f"{quantity} of {_one(noun, index, target.label)}"
    if target.against is not None:
        score += f" minus {quantity} of {_one(noun, target.against, target.against_label)}"
    known = not math.isnan(target.probability)
    likely = f", probability {with_digits(target.probability)}" if known else ""
    whose = f" of “{target.label}”" if likely and target.against is not None else ""
    unit = f" {target.unit}" if target.unit else ""
    saturated = ", saturated" if target.saturated else ""
    return f"{score} = {number(target.score)}{unit}{likely}{whose}{saturated}"


def anchor(name: str) -> str:
    """Return `name` as the fragment of a link.

    Example:
        >>> anchor("two words")
        'two%20words'
    """
    return quote(name, safe="")


def _one(noun: str, index: int | None, label: str) -> str:
    if index is None:
        return f"the {label}"
    return f"{noun} {index}" if label == str(index) else f"“{label}” ({noun} {index})"
