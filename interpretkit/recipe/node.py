"""Plain data whose parts know where they stand in the text, so that every error can say where."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from interpretkit.errors import RecipeError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

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
            nodes = {key: cls.of(item, place) for key, item in value.items()}
            return cls(nodes, place, place)
        if isinstance(value, list | tuple):
            items = [cls.of(item, place) for item in value]
            return cls(items, place, place)
        if value is None or type(value) in {str, int, float, bool}:
            return cls(value, place, place)
        kind = type(value).__name__
        raise RecipeError(f"text, numbers, lists and mappings are wanted, not a {kind}", where=place)

    def plain(self) -> Any:
        """Return the value as plain Python data."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def child(self, part: str | int) -> Node | None:
        """Return the Node under a key, or at an index of a list; None if there is none."""
        child: Node | None = None
        if isinstance(self.value, dict):
            child = self.value.get(part)
        elif isinstance(self.value, list) and isinstance(part, int) and part < len(self.value):
            child = self.value[part]
        return child

    def at(self, loc: Sequence[str | int]) -> Node:
        """Return the Node at `loc`; an empty one with the nearest place if there is none."""
        node: Node | None = self
        for part in loc:
            node = node.child(part) if node else None
        return node or Node({}, self.place_of(loc))

    def place_of(self, loc: Sequence[str | int], part: Literal["key", "value"] = "value") -> str:
        """Return the place of what stands at `loc`; of the nearest part around it if nothing stands there."""
        node = self
        for step in loc:
            child = node.child(step)
            if child is None:
                return node.place
            node = child
        if part == "key" and node.key_place:
            return node.key_place
        return node.place

    def walk(self) -> Iterator[Node]:
        """Yield this Node and all within it, in the order of the text."""
        yield self
        children: Iterable[Node] = ()
        if isinstance(self.value, dict):
            children = self.value.values()
        elif isinstance(self.value, list):
            children = self.value
        for node in children:
            yield from node.walk()

    def exchange(self, loc: Sequence[str | int], new: Node) -> Node:
        """Return a copy with `new` in place of what stands at `loc`."""
        if not loc:
            return new
        first, *rest = loc
        old = self.child(first)
        if old is None:
            return self
        changed = old.exchange(rest, new)
        if isinstance(self.value, dict):
            return replace(self, value={**self.value, first: changed})
        items = [changed if index == first else item for index, item in enumerate(self.value)]
        return replace(self, value=items)

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
        self._check_holds(name, known, new.place)
        old = self.child(known[name]) if name in known else None
        child = new
        rest = path[len(name) + 1 :]
        if rest:
            around = old or Node({}, new.place)
            child = around.put(rest, new)
        child = replace(child, key_place=old.key_place if old else new.place)
        if isinstance(self.value, list):
            items = [child if index == known[name] else item for index, item in enumerate(self.value)]
            return replace(self, value=items)
        return replace(self, value={**(self.value or {}), name: child})

    def _check_holds(self, name: str, known: Mapping[str, str | int], place: str) -> None:
        """Check that this is a mapping, which may get any key, or a list with this item."""
        if isinstance(self.value, list):
            if name not in known:
                hint = did_you_mean(name, known, otherwise=f"it has {len(self.value)} items, counted from 0")
                raise RecipeError(f"the list has no item {name!r}", where=place, hint=hint)
        elif not isinstance(self.value, dict | None):
            scalar = str(self.value)[:_SNIPPET]
            raise RecipeError(f"{scalar!r} is no mapping, it has no key {name!r}", where=place)

    def _names(self) -> dict[str, str | int]:
        """Return the names that may come next in a path, each with the key or index that it stands for."""
        names: dict[str, str | int] = {}
        if isinstance(self.value, dict):
            names = {key: key for key in self.value}
        elif isinstance(self.value, list):
            names = {str(index): index for index in range(len(self.value))}
            for index, item in enumerate(self.value):
                node = item.child("id")
                if node is not None and isinstance(node.value, str):
                    names[node.value] = index
        return names
