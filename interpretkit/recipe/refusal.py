"""The refusals of pydantic in plain words: what is wanted, what was given, what was perhaps meant."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel

from interpretkit.errors import did_you_mean, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

_LONGEST = 60

Loc = tuple[str | int, ...]

_WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "none_required": "null",
    "finite_number": "a finite number",
    "literal_error": "{expected}",
    "enum": "{expected}",
    "greater_than": "a value above {gt}",
    "greater_than_equal": "a value of at least {ge}",
    "less_than": "a value below {lt}",
    "less_than_equal": "a value of at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
    "too_short": "a length of at least {min_length}",
    "too_long": "a length of at most {max_length}",
    "string_too_short": "a length of at least {min_length}",
    "string_too_long": "a length of at most {max_length}",
    "string_pattern_mismatch": "text that matches {pattern}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One problem in some data.

    Attributes:
        loc: Where in the data it is; for a key that is missing or unknown, where the key would be or is.
        message: What is wrong.
        hint: What to do about it; may be empty.
        at_key: Whether the key is at fault, not its value.
        missing: Whether the key is not there.
        meant: Of an unknown key, the known ones that it may stand for.
    """

    loc: Loc
    message: str
    hint: str = ""
    at_key: bool = False
    missing: bool = False
    meant: tuple[str, ...] = ()


def keys_of(model: type[BaseModel]) -> list[str]:
    """Return the keys that a model reads."""
    return [field.alias or name for name, field in model.model_fields.items()]


def advise(key: str, models: Sequence[type[BaseModel]]) -> str:
    """Return a hint about an unknown key: the nearest of the keys that `models` read, or all of them."""
    known = [name for model in models for name in keys_of(model) if name != key]
    if not known:
        return "no key is known here"
    names = list(dict.fromkeys(known))
    return did_you_mean(key, names, otherwise=f"known keys: {', '.join(names)}")


def explain(
    error: ValidationError,
    model: type[BaseModel],
    data: Any,
    *,
    advise: Callable[[str, Sequence[type[BaseModel]]], str] = advise,
) -> list[Refusal]:
    """Say in plain words why `model` refuses `data`: the outermost problems first, unknown keys before others.

    A key that is missing since it is misspelt is no problem of its own.

    Args:
        error: What pydantic raised.
        model: The model that raised it.
        data: What it was given.
        advise: Makes the hint about an unknown key, from the key and the models that may stand there.

    Example:
        >>> from pydantic import ValidationError
        >>> from interpretkit import Contrast
        >>> try:
        ...     Contrast.model_validate({"for": [1], "agianst": 2})
        ... except ValidationError as error:
        ...     [each.message for each in explain(error, Contrast, {"for": [1], "agianst": 2})]
        ["unknown key 'agianst'", 'for: a whole number or text is wanted, not a list of 1']
    """
    groups = sorted(_by_place(error, data).items(), key=_urgency)
    refusals = [_refusal(loc, group, model, advise) for loc, group in groups]
    misspelt = {(*refusal.loc[:-1], key) for refusal in refusals for key in refusal.meant}
    return [refusal for refusal in refusals if not refusal.missing or refusal.loc not in misspelt]


def _urgency(place: tuple[Loc, Sequence[ErrorDetails]]) -> tuple[int, bool]:
    """Return a key that sorts the outermost problems first, and of those unknown keys before others."""
    loc, group = place
    return len(loc), not _is_unknown(group)


def _is_unknown(group: Sequence[ErrorDetails]) -> bool:
    return group[0]["type"] == "extra_forbidden"


def _refusal(
    loc: Loc,
    group: Sequence[ErrorDetails],
    model: type[BaseModel],
    advise: Callable[[str, Sequence[type[BaseModel]]], str],
) -> Refusal:
    first = group[0]
    if _is_unknown(group):
        key = str(loc[-1])
        models = _models_at(model, first["loc"][:-1])
        known = [name for candidate in models for name in keys_of(candidate)]
        return Refusal(
            loc=loc,
            message=f"unknown key {key!r}",
            hint=advise(key, models),
            at_key=True,
            meant=tuple(nearest(key, known)),
        )
    if first["type"] == "missing":
        missing = f"key {loc[-1]!r} is missing"
        return Refusal(loc=loc, message=missing, at_key=True, missing=True)
    message, hint = _value_problem(group)
    subject = _subject(loc)
    if subject:
        message = f"{subject}: {message}"
    at_key = first["loc"][-1:] == ("[key]",)
    return Refusal(loc=loc, message=message, hint=hint, at_key=at_key)


def _by_place(error: ValidationError, data: Any) -> dict[Loc, list[ErrorDetails]]:
    """Gather the errors of each place in the data.

    A union reports the objections of each of its members to a value: all at one place, or deeper where a member fits so
    far that only a part within is at fault. Then the objections of the other members are noise.
    """
    groups: dict[Loc, list[ErrorDetails]] = {}
    for details in error.errors(include_url=False):
        loc = _loc_in(data, details)
        groups.setdefault(loc, []).append(details)
    around = {loc[:length] for loc in groups for length in range(len(loc))}
    innermost = {loc: group for loc, group in groups.items() if loc not in around}
    return innermost or groups


def _loc_in(data: Any, details: ErrorDetails) -> Loc:
    """Return an error's location without the names of union members, which pydantic puts in and the data lacks."""
    loc: list[str | int] = []
    last = len(details["loc"]) - 1
    for position, part in enumerate(details["loc"]):
        indexed = isinstance(data, list) and isinstance(part, int) and part < len(data)
        if indexed or (isinstance(data, dict) and part in data):
            data = data[part]
            loc.append(part)
        elif details["type"] == "missing" and position == last:
            loc.append(part)
    return tuple(loc)


def _models_at(model: type[BaseModel], loc: Sequence[str | int]) -> list[type[BaseModel]]:
    """Return the models that the data at `loc` may belong to."""
    models = [model]
    for part in loc:
        inner: list[type[BaseModel]] = []
        for candidate in models:
            for name, field in candidate.model_fields.items():
                if part == (field.alias or name):
                    inner += _models_in(field.annotation)
        # What is no field is an index, a key, or the name of one member of a union.
        models = inner or models
    return models


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def _subject(loc: Sequence[str | int]) -> str:
    """Return the last key of a location with the indices after it, such as `layers[0]`."""
    subject = ""
    for part in loc:
        subject = f"{subject}[{part}]" if isinstance(part, int) else part
    return subject


def _value_problem(group: Sequence[ErrorDetails]) -> tuple[str, str]:
    """Return message and hint about a value, to which every member of a union may object."""
    own_words = [details for details in group if details["type"] not in _WANTED]
    if own_words:
        first = own_words[0]
        context = first.get("ctx", {})
        return str(context.get("error", first["msg"])), ""
    wanted: dict[str, None] = {}
    for details in group:
        form = _WANTED[details["type"]]
        wanted[form.format(**details.get("ctx", {}))] = None
    value = group[0]["input"]
    hint = ""
    if "text" in wanted and isinstance(value, bool | int | float):
        hint = "put text that looks like something else in quotes"
    elif list(wanted) == ["a list"] and isinstance(value, str):
        hint = f"write [{value[:_LONGEST]}]"
    return f"{' or '.join(wanted)} is wanted, not {_given(value)}", hint


def _given(value: Any) -> str:
    """Return a value as a recipe writes it, in short."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and not math.isfinite(value):
        return "-.inf" if value < 0 else f".{value}"
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}" if value else "an empty list"
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
