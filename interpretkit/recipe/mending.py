"""A recipe with faults, made readable without them, so that all that is sound is checked too."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from interpretkit.errors import nearest
from interpretkit.recipe.entries import ModelEntry, StepEntry
from interpretkit.recipe.node import Node
from interpretkit.recipe.recipe import SCHEMA, Recipe
from interpretkit.recipe.refusal import keys_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from interpretkit.recipe.entries import Placed
    from interpretkit.recipe.refusal import Refusal

UNNAMED = "unnamed"
"""The name of what has none that can be read."""

_STEP = {"id": UNNAMED, "uses": UNNAMED}
_STAND_INS: Mapping[type[Placed], Mapping[str, Any]] = {
    Recipe: {"schema": SCHEMA, "name": UNNAMED, "inputs": [UNNAMED], "steps": [_STEP]},
    ModelEntry: {"uses": UNNAMED},
    StepEntry: _STEP,
}
"""What stands in for the keys that an entry cannot be without."""

_LONGEST = 80

Loc = tuple[str | int, ...]


def unread_keys(root: Node, refusals: Sequence[Refusal]) -> dict[Loc, frozenset[str]]:
    """Return which keys of which entries cannot be read: those at fault, and those that unknown keys may stand for."""
    unread: dict[Loc, set[str]] = {}
    for refusal in refusals:
        entry = _entry(refusal.loc)
        rest = refusal.loc[len(entry) :]
        keys = [str(rest[0])] if rest else keys_of(_kind(entry))
        if refusal.at_key and refusal.loc == entry:
            # The name of a model: without it the model is none.
            entry, keys = (), ["models"]
        meant = [key for key in refusal.meant if root.at(entry).child(key) is None]
        unread.setdefault(entry, set()).update(keys, meant)
    if "steps" in unread.get((), ()):
        unread["steps", 0] = set(keys_of(StepEntry))
    return {entry: frozenset(keys) for entry, keys in unread.items()}


def mended(root: Node, unread: Mapping[Loc, frozenset[str]]) -> Node:
    """Return a recipe without the keys that cannot be read, but with those that it cannot be without."""
    for entry in sorted(unread, key=len):
        node = root.at(entry)
        typed = node.value if isinstance(node.value, dict) else {}
        kept = {key: child for key, child in typed.items() if key not in unread[entry]}
        stand_ins = {**_STAND_INS[_kind(entry)]}
        if _kind(entry) is StepEntry:
            stand_ins["id"] = _likely_id(typed)
        needed = {key: Node.of(value, node.place) for key, value in stand_ins.items() if key not in kept}
        root = root.exchange(entry, replace(node, value={**kept, **needed}))
    return root


def _likely_id(typed: Mapping[str, Node]) -> str:
    """Return what a step is probably called whose id cannot be read: others may read it under that name."""
    keys = ["id", *(key for key in typed if nearest(key, keys_of(StepEntry))[:1] == ["id"])]
    texts = [str(typed[key].plain()) for key in keys if key in typed]
    slugs = [re.sub(r"^[^A-Za-z0-9]+|[^A-Za-z0-9._-]|[.]+$", "", text)[:_LONGEST] for text in texts]
    return next(filter(None, slugs), UNNAMED)


def _entry(loc: Loc) -> Loc:
    """Return the location of the entry that a location leads into: a model, a step, or the recipe itself."""
    return loc[:2] if len(loc) > 1 and loc[0] in {"models", "steps"} else ()


def _kind(entry: Loc) -> type[Placed]:
    kinds: dict[Any, type[Placed]] = {"models": ModelEntry, "steps": StepEntry}
    return kinds[entry[0]] if entry else Recipe
