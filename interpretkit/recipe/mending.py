"""A recipe with faults, made readable without them, so that all that is sound is checked too."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from interpretkit.errors import nearest
from interpretkit.recipe.entries import ModelEntry, StepEntry
from interpretkit.recipe.node import Node
from interpretkit.recipe.recipe import SCHEMA, Recipe
from interpretkit.recipe.refusal import Loc, keys_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from interpretkit.recipe.entries import Placed
    from interpretkit.recipe.refusal import Refusal

UNNAMED = "unnamed"
"""The name of a recipe, a model or a step whose own name cannot be read."""

_STEP = {"id": UNNAMED, "uses": UNNAMED}
_STAND_INS: Mapping[type[Placed], Mapping[str, Any]] = {
    Recipe: {"schema": SCHEMA, "name": UNNAMED, "inputs": [UNNAMED], "steps": [_STEP]},
    ModelEntry: {"uses": UNNAMED},
    StepEntry: _STEP,
}
"""The stand-ins for keys that an entry must have."""

_LONGEST = 80


def unread_keys(root: Node, refusals: Sequence[Refusal]) -> dict[Loc, frozenset[str]]:
    """Return the keys of each entry that cannot be read: those at fault, and those that unknown keys may stand for."""
    unread: dict[Loc, set[str]] = {}
    for refusal in refusals:
        entry = _entry(refusal.loc)
        rest = refusal.loc[len(entry) :]
        keys = [str(rest[0])] if rest else keys_of(_kind(entry))
        if refusal.at_key and refusal.loc == entry:
            # The name of a model: without it the model is none.
            entry = ()
            keys = ["models"]
        typed = root.at(entry)
        meant = [key for key in refusal.meant if typed.child(key) is None]
        unread.setdefault(entry, set()).update(keys, meant)
    if "steps" in unread.get((), ()):
        unread["steps", 0] = set(keys_of(StepEntry))
    return {entry: frozenset(keys) for entry, keys in unread.items()}


def mended(root: Node, unread: Mapping[Loc, frozenset[str]]) -> Node:
    """Return a recipe without the keys that cannot be read; stand-ins take the place of keys that it must have."""
    for entry in sorted(unread, key=len):
        node = root.at(entry)
        typed = node.value if isinstance(node.value, dict) else {}
        keys = {key: child for key, child in typed.items() if key not in unread[entry]}
        kind = _kind(entry)
        stand_ins = dict(_STAND_INS[kind])
        if kind is StepEntry:
            stand_ins["id"] = _likely_id(typed)
        for key, value in stand_ins.items():
            keys.setdefault(key, Node.of(value, node.place))
        root = root.exchange(entry, replace(node, value=keys))
    return root


def _likely_id(typed: Mapping[str, Node]) -> str:
    """Return the id that a step probably has whose id cannot be read: others may read the step under that name."""
    known = keys_of(StepEntry)
    misspelt = [key for key in typed if nearest(key, known)[:1] == ["id"]]
    for key in ("id", *misspelt):
        if key in typed:
            text = str(typed[key].plain())
            slug = re.sub(r"^[^A-Za-z0-9]+|[^A-Za-z0-9._-]|[.]+$", "", text)[:_LONGEST]
            if slug:
                return slug
    return UNNAMED


def _entry(loc: Loc) -> Loc:
    """Return the location of the entry that a location leads into: a model, a step, or the recipe itself."""
    if len(loc) > 1 and loc[0] in {"models", "steps"}:
        return loc[:2]
    return ()


def _kind(entry: Loc) -> type[Placed]:
    if not entry:
        return Recipe
    return ModelEntry if entry[0] == "models" else StepEntry
