"""Parts of what a network returns: of a mapping, a tuple, or an object with attributes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from interpretkit.errors import StepError, did_you_mean
from interpretkit.words import count, shape

if TYPE_CHECKING:
    import torch

KNOWN = ("logits", "out")
"""What the part that everybody wants is called, most often."""

_LISTED = 8


def part_of(returned: Any, key: str | int | None) -> Any:
    """Return a part of what a network returned.

    Args:
        returned: A tensor; or a mapping, a tuple, a dataclass or another object, of parts by name or position.
        key: Which part, `a.b` for the part `b` of the part `a`; of a list of what is found in each image, a part of
            each, stacked. None for the only one, or the one called `logits` or `out`.

    Raises:
        StepError: If there is no such part, or it is not known which is meant.

    Example:
        >>> import torch
        >>> part_of({"logits": torch.ones(1), "features": torch.zeros(2)}, None)
        tensor([1.])
        >>> part_of({"heads": [torch.zeros(2), torch.ones(1)]}, "heads.1")
        tensor([1.])
    """
    parts = _parts(returned)
    if not parts:
        return returned
    if key is None:
        return _found(returned, parts)
    found = _named(returned, key)
    if found is None:
        listed = _listed(returned)
        hint = did_you_mean(str(key), [name for name, _ in _leaves(returned)], otherwise=f"it has {listed}")
        raise StepError(f"the network returns no {key!r}", hint=hint)
    return found


def _named(returned: Any, key: str | int) -> Any:
    """Return a part by its name or position, or by those of the parts that it lies in; None if there is none."""
    parts = _parts(returned)
    if key in parts:
        return parts[key]
    if isinstance(key, str) and key.isdecimal():
        key = int(key)
    if isinstance(key, int):
        return list(parts.values())[key] if 0 <= key < len(parts) else None
    head, _, rest = key.partition(".")
    within = _named(returned, head) if rest else None
    if within is not None:
        return _named(within, rest)
    return _of_each(returned, key)


def _of_each(returned: Any, key: str) -> Any:
    """Return a part of what is found in each image, of all images together; None if there is none."""
    import torch

    if not _is_for_each(returned):
        return None
    found = [each.get(key) for each in returned]
    tensors = [each for each in found if isinstance(each, torch.Tensor)]
    alike = len(tensors) == len(found) and len({each.shape for each in tensors}) == 1
    return torch.stack(tensors) if alike else None


def _is_for_each(returned: Any) -> bool:
    """Whether something may be what is found in each image: a list of mappings."""
    return isinstance(returned, Sequence) and all(isinstance(each, Mapping) for each in returned)


def check_floats(values: torch.Tensor, *, wanted: str, instead: str) -> None:
    """Check that numbers have gradients, and an order: those of floating point do.

    Args:
        values: The numbers.
        wanted: What they are to be, in words.
        instead: What to do about whole numbers.

    Raises:
        StepError: If they are none of floating point.
    """
    if values.is_complex():
        hint = "complex numbers have no order, so none is a score: let it return their absolute values"
        raise StepError(f"the network returns {described(values)}, not {wanted}", hint=hint)
    if not values.is_floating_point():
        raise StepError(f"the network returns {described(values)}, which has no gradients, not {wanted}", hint=instead)


def check_rows(values: Any, *, images: int) -> None:
    """Check that a network returns as many rows as it is given images.

    Raises:
        StepError: If it does not; of what has no rows nothing is said.
    """
    if not hasattr(values, "__len__") or isinstance(values, Mapping):
        return
    rows = len(values) if getattr(values, "ndim", 1) > 0 else 0
    if rows != images:
        what = f"the network returns {count(rows, 'row')} for {count(images, 'image')}"
        hint = "let it return one row for each image, in their order"
        if rows == 1:
            hint += ", or give it one image at a time, by batch_size=1"
        raise StepError(f"{what}, so it is not known whose they are", hint=hint)


def described(values: Any) -> str:
    """Say what a network returned, in a few words.

    Example:
        >>> import torch
        >>> described(torch.zeros(2, 3)), described({"found": {"boxes": torch.zeros(4, 4)}})
        ('numbers 2×3', 'a dict of found.boxes 4×4')
    """
    size = getattr(values, "shape", None)
    if size is not None:
        noun = "numbers" if _is_float_tensor(values) else f"{values.dtype} numbers"
        noun = noun if hasattr(values, "is_floating_point") else f"a {type(values).__name__}"
        return f"{noun} {shape(size)}" if len(size) else "a single number"
    kind = f"a {type(values).__name__}"
    return f"{kind} of {_listed(values)}" if _parts(values) else kind


def way_to_name(values: Any) -> str:
    """Return how to name one of the parts that a network returned; empty where it has no tensors.

    Example:
        >>> import torch
        >>> way_to_name({"heads": [torch.zeros(2), torch.zeros(2)]})
        "name the one that is meant, such as wrap(…, output=Classes(key='heads.0'))"
    """
    if _is_for_each(values) and values:
        values = values[0]
    names = [name for name, value in _leaves(values) if hasattr(value, "shape")]
    if not names:
        return ""
    key = int(names[0]) if names[0].isdecimal() else names[0]
    return f"name the one that is meant, such as wrap(…, output=Classes(key={key!r}))"


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


def _leaves(returned: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the innermost parts of what a network returned, each with its name: `a.b` is `b` of the part `a`."""
    for name, value in _parts(returned).items():
        if _parts(value):
            yield from _leaves(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _found(returned: Any, parts: Mapping[Any, Any]) -> Any:
    for name in KNOWN:
        if name in parts:
            return _only(parts[name])
    filled = [value for value in parts.values() if _has_tensors(value)]
    tensors = [value for value in filled if hasattr(value, "shape")]
    # A detector returns a list of what it finds in each image, which is no part.
    only = _only(filled[0]) if len(filled) == 1 and not _is_for_each(returned) else None
    if hasattr(only, "shape"):
        return only
    if tensors:
        what = f"the network returns {described(returned)}, and it is not known which part is meant"
        raise StepError(what, hint=way_to_name(returned))
    return returned


def _only(part: Any) -> Any:
    """Return the only tensor in a part; the part itself where it has several."""
    tensors = [value for _, value in _leaves(part) if hasattr(value, "shape")]
    return tensors[0] if len(tensors) == 1 and not _is_for_each(part) else part


def _has_tensors(value: Any) -> bool:
    return hasattr(value, "shape") or any(_has_tensors(part) for part in _parts(value).values())


def _listed(returned: Any) -> str:
    """Return the names of the innermost parts with the shape of each, the first ones."""
    found = []
    for name, value in islice(_leaves(returned), _LISTED + 1):
        size = getattr(value, "shape", None)
        found.append(f"{name} {shape(size)}" if size is not None and len(size) else name)
    if len(found) > _LISTED:
        found[-1] = "…"
    return ", ".join(found)
