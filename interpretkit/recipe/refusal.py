"""What pydantic refuses, in plain words: what is wanted, what was given, what was perhaps meant."""

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
    """One problem of some data.

    Attributes:
        loc: Where in the data; for a key that is missing or unknown, where the key is or would be.
        message: What is wrong.
        hint: What to do about it; may be empty.
        at_key: Whether the key is at fault, not its value.
        missing: Whether the key is not there.
        meant: Of an unknown key, the known ones that it may stand for.
    """

    loc: tuple[str | int, ...]
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
    known = list(dict.fromkeys(each for model in models for each in keys_of(model) if each != key))
    return did_you_mean(key, known, otherwise=f"known keys: {', '.join(known)}" if known else "no key is known here")


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
    groups = sorted(_by_place(error, data).items(), key=lambda item: (len(item[0]), not _is_unknown(item[1])))
    refusals = [_refusal(loc, group, model, advise) for loc, group in groups]
    misspelt = {(*each.loc[:-1], key) for each in refusals for key in each.meant}
    return [each for each in refusals if not (each.missing and each.loc in misspelt)]


def _is_unknown(group: Sequence[ErrorDetails]) -> bool:
    return group[0]["type"] == "extra_forbidden"


def _refusal(
    loc: tuple[str | int, ...],
    group: Sequence[ErrorDetails],
    model: type[BaseModel],
    advise: Callable[[str, Sequence[type[BaseModel]]], str],
) -> Refusal:
    first = group[0]
    if _is_unknown(group):
        key = str(loc[-1])
        models = _models_at(model, first["loc"][:-1])
        known = [each for found in models for each in keys_of(found)]
        return Refusal(
            loc=loc,
            message=f"unknown key {key!r}",
            hint=advise(key, models),
            at_key=True,
            meant=tuple(nearest(key, known)),
        )
    if first["type"] == "missing":
        return Refusal(loc=loc, message=f"key {loc[-1]!r} is missing", at_key=True, missing=True)
    subject = _subject(loc)
    message, hint = _value_problem(group)
    message = f"{subject}: {message}" if subject else message
    return Refusal(loc=loc, message=message, hint=hint, at_key=first["loc"][-1:] == ("[key]",))


def _by_place(error: ValidationError, data: Any) -> dict[tuple[str | int, ...], list[ErrorDetails]]:
    """Gather the errors of each place in the data.

    A union reports what each of its members has against a value: all at one place, or deeper where a member fits so
    far that only something within is at fault. Then what the other members say is noise.
    """
    groups: dict[tuple[str | int, ...], list[ErrorDetails]] = {}
    for details in error.errors(include_url=False):
        groups.setdefault(_loc_in(data, details), []).append(details)
    inner = {loc[:length] for loc in groups for length in range(len(loc))}
    return {loc: group for loc, group in groups.items() if loc not in inner} or groups


def _loc_in(data: Any, details: ErrorDetails) -> tuple[str | int, ...]:
    """Return an error's location without the names of union members, which pydantic puts in and the data lacks."""
    loc: list[str | int] = []
    for position, part in enumerate(details["loc"]):
        indexed = isinstance(data, list) and isinstance(part, int) and part < len(data)
        if indexed or (isinstance(data, dict) and part in data):
            data = data[part]
        elif details["type"] != "missing" or position + 1 < len(details["loc"]):
            continue
        loc.append(part)
    return tuple(loc)


def _models_at(model: type[BaseModel], loc: Sequence[str | int]) -> list[type[BaseModel]]:
    """Return the models that the data at `loc` may belong to."""
    models = [model]
    for part in loc:
        inner = [
            found
            for each in models
            for name, field in each.model_fields.items()
            if part == (field.alias or name)
            for found in _models_in(field.annotation)
        ]
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
    """Return message and hint about a value, of which every member of a union may say something."""
    own_words = [details for details in group if details["type"] not in _WANTED]
    if own_words:
        context = own_words[0].get("ctx", {})
        return str(context.get("error", own_words[0]["msg"])), ""
    wanted = dict.fromkeys(_WANTED[details["type"]].format(**details.get("ctx", {})) for details in group)
    value = group[0]["input"]
    hint = ""
    if "text" in wanted and isinstance(value, bool | int | float):
        hint = "put text that looks like something else in quotes"
    elif [*wanted] == ["a list"] and isinstance(value, str):
        hint = f"write [{value[:_LONGEST]}]"
    return f"{' or '.join(wanted)} is wanted, not {_given(value)}", hint


def _given(value: Any) -> str:
    """Return a value as a recipe writes it, in short."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and not math.isfinite(value):
        return f".{value}" if value > 0 or math.isnan(value) else f"-.{-value}"
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}" if value else "an empty list"
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
