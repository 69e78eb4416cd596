"""Plain data that know where each of their parts stands, so that every error can say it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from interpretkit.errors import RecipeError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_LONGEST_PATH = 64
_SNIPPET = 60


@dataclass(frozen=True, slots=True)
class Node:
    """A value and where it stands. It never changes, so that aliases may share it.

    Attributes:
        value: A scalar, or the Nodes of a mapping by key or of a list.
        place: Where the value begins: `file:line:column`, or what else set it.
        key_place: Where its key begins, if it stands in a mapping.
    """

    value: Any
    place: str
    key_place: str = ""

    @classmethod
    def of(cls, value: Any, place: str) -> Node:
        """Return plain data as a Node whose parts all have the same place.

        Raises:
            RecipeError: If it is not plain: text, numbers, true, false, None, lists, and mappings with keys of text.
        """
        if isinstance(value, dict) and all(isinstance(key, str) for key in value):
            return cls({key: cls.of(item, place) for key, item in value.items()}, place, place)
        if isinstance(value, list | tuple):
            return cls([cls.of(item, place) for item in value], place, place)
        if value is None or type(value) in {str, int, float, bool}:
            return cls(value, place, place)
        raise RecipeError(f"text, numbers, lists and mappings are wanted, not a {type(value).__name__}", where=place)

    def plain(self) -> Any:
        """Return the value as plain Python data."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def child(self, part: str | int) -> Node | None:
        """Return the Node under a key, or at an index of a list; None if there is none."""
        found: Node | None = None
        if isinstance(self.value, dict):
            found = self.value.get(part)
        elif isinstance(self.value, list) and isinstance(part, int) and part < len(self.value):
            found = self.value[part]
        return found

    def at(self, loc: Sequence[str | int]) -> Node:
        """Return the Node at `loc`; an empty one with the nearest place if there is none."""
        node: Node | None = self
        for part in loc:
            node = node.child(part) if node else None
        return node or Node({}, self.place_of(loc))

    def place_of(self, loc: Sequence[str | int], part: Literal["key", "value"] = "value") -> str:
        """Return the place of what stands at `loc`, or of the nearest thing around it if nothing does."""
        node = self
        for step in loc:
            child = node.child(step)
            if child is None:
                return node.place
            node = child
        return node.key_place if part == "key" and node.key_place else node.place

    def walk(self) -> Iterator[Node]:
        """Yield this Node and all within it, in the order of the text."""
        yield self
        if isinstance(self.value, dict | list):
            for node in self.value.values() if isinstance(self.value, dict) else self.value:
                yield from node.walk()

    def exchange(self, loc: Sequence[str | int], new: Node) -> Node:
        """Return a copy with `new` in place of what stands at `loc`."""
        if not loc:
            return new
        first, *rest = loc
        items = self.value.items() if isinstance(self.value, dict) else enumerate(self.value)
        changed = {part: node.exchange(rest, new) if part == first else node for part, node in items}
        return replace(self, value=changed if isinstance(self.value, dict) else list(changed.values()))

    def put(self, path: str, new: Node) -> Node:
        """Return a copy in which `new` stands at a dotted path; keys on the way are made, items of a list are not.

        An item of a list is named by its index, or by its `id` if it has one. Keys and ids may contain dots.

        Raises:
            RecipeError: If the path leads through a scalar, or to an item that a list does not have.
        """
        if not all(path.split(".")) or path.count(".") >= _LONGEST_PATH:
            raise RecipeError(f"{path[:_SNIPPET]!r} is no path", where=new.place, hint="write key.path=value")
        known = self._names()
        matches = [name for name in known if path == name or path.startswith(f"{name}.")]
        name = max(matches, key=len, default=path.partition(".")[0])
        rest = path[len(name) + 1 :]
        if isinstance(self.value, list) and name not in known:
            hint = did_you_mean(name, known, otherwise=f"it has {len(self.value)} items, counted from 0")
            raise RecipeError(f"the list has no item {name!r}", where=new.place, hint=hint)
        if not isinstance(self.value, dict | list | None):
            raise RecipeError(f"{str(self.value)[:_SNIPPET]!r} is no mapping, it has no key {name!r}", where=new.place)
        old = self.child(known[name]) if name in known else None
        child = (old or Node({}, new.place)).put(rest, new) if rest else new
        child = replace(child, key_place=old.key_place if old else new.place)
        if isinstance(self.value, list):
            items = enumerate(self.value)
            return replace(self, value=[child if index == known[name] else item for index, item in items])
        return replace(self, value={**(self.value or {}), name: child})

    def _names(self) -> dict[str, str | int]:
        """Return the names that a path may go on with, each with the key or index that it stands for."""
        if not isinstance(self.value, list):
            return {key: key for key in self.value} if isinstance(self.value, dict) else {}
        ids = [(item.child("id"), index) for index, item in enumerate(self.value)]
        named = {node.value: index for node, index in ids if node is not None and isinstance(node.value, str)}
        return {**{str(index): index for index in range(len(self.value))}, **named}
