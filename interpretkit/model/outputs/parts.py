"""Parts of what a network returns: of a mapping, a tuple, or an object with attributes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from interpretkit.errors import StepError, did_you_mean
from interpretkit.words import count, shape

KNOWN = ("logits", "out")
"""What the part that everybody wants is called, most often."""

_LISTED = 8


def part_of(returned: Any, key: str | int | None) -> Any:
    """Return a part of what a network returned.

    Args:
        returned: A tensor; or a mapping, a tuple, a dataclass or another object, of parts by name or position.
        key: Which part; None for the only one, or the one called `logits` or `out`.

    Raises:
        StepError: If there is no such part, or it is not known which is meant.

    Example:
        >>> import torch
        >>> part_of({"logits": torch.ones(1), "features": torch.zeros(2)}, None)
        tensor([1.])
    """
    parts = _parts(returned)
    if not parts:
        return returned
    if key is None:
        return _found(returned, parts)
    if key not in parts and isinstance(key, int) and 0 <= key < len(parts):
        return list(parts.values())[key]
    if key not in parts:
        hint = did_you_mean(str(key), [str(name) for name in parts], otherwise=f"it has {_listed(parts)}")
        raise StepError(f"the network returns no {key!r}", hint=hint)
    return parts[key]


def check_rows(values: Any, *, images: int) -> None:
    """Check that a network returns as many rows as it is given images.

    Raises:
        StepError: If it does not; of what has no rows nothing is said.
    """
    if not hasattr(values, "__len__") or isinstance(values, Mapping):
        return
    rows = len(values) if getattr(values, "ndim", 1) > 0 else 0
    if rows != images:
        found = f"{count(rows, 'row')} for {count(images, 'image')}"
        raise StepError(
            f"the network returns {found}, so it is not known whose they are",
            hint="let it return one row for each image, in their order",
        )


def described(values: Any) -> str:
    """Say what a network returned, in a few words.

    Example:
        >>> import torch
        >>> described(torch.zeros(2, 3)), described({"boxes": torch.zeros(4, 4)})
        ('numbers 2×3', 'a dict of boxes 4×4')
    """
    size = getattr(values, "shape", None)
    if size is not None:
        noun = "numbers" if _is_float_tensor(values) else f"{values.dtype} numbers"
        noun = noun if hasattr(values, "is_floating_point") else f"a {type(values).__name__}"
        return f"{noun} {shape(size)}" if len(size) else "a single number"
    parts = _parts(values)
    kind = f"a {type(values).__name__}"
    return f"{kind} of {_listed(parts)}" if parts else kind


def _is_float_tensor(values: Any) -> bool:
    return hasattr(values, "is_floating_point") and bool(values.is_floating_point())


def _parts(returned: Any) -> dict[Any, Any]:
    """Return the parts of what a network returned, by name or position; none of a tensor."""
    if hasattr(returned, "shape") or isinstance(returned, str):
        return {}
    if isinstance(returned, Mapping):
        return dict(returned)
    if hasattr(returned, "_asdict"):
        return dict(returned._asdict())
    if isinstance(returned, Sequence):
        return dict(enumerate(returned))
    if dataclasses.is_dataclass(returned):
        fields = [field.name for field in dataclasses.fields(returned)]
        return {name: getattr(returned, name) for name in fields}
    return {name: value for name, value in getattr(returned, "__dict__", {}).items() if hasattr(value, "shape")}


def _found(returned: Any, parts: Mapping[Any, Any]) -> Any:
    for name in KNOWN:
        if name in parts:
            return parts[name]
    filled = [value for value in parts.values() if _has_tensors(value)]
    tensors = [value for value in filled if hasattr(value, "shape")]
    if len(filled) == 1 and tensors:
        return tensors[0]
    # A detector returns a list of what it finds in each image, which is no part.
    if tensors:
        names = list(parts)
        hint = f"name the one that is meant, such as wrap(…, output=Classes(key={names[0]!r}))"
        raise StepError(
            f"the network returns {described(returned)}, and it is not known which part is meant", hint=hint
        )
    return returned


def _has_tensors(value: Any) -> bool:
    return hasattr(value, "shape") or any(_has_tensors(part) for part in _parts(value).values())


def _listed(parts: Mapping[Any, Any]) -> str:
    """Return the names of parts with the shape of each, the first ones."""
    found = []
    for name, value in list(parts.items())[:_LISTED]:
        size = getattr(value, "shape", None)
        found.append(f"{name} {shape(size)}" if size is not None and len(size) else str(name))
    if len(parts) > _LISTED:
        found.append("…")
    return ", ".join(found)
