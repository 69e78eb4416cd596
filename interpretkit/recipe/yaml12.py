"""YAML by the rules of version 1.2: text → a tree of plain data that knows the place of each part, and back to text.

PyYAML follows YAML 1.1, where `on` is true, `010` is 8 and `12:30` is 750. So only its parser is used here: its events
are checked while they arrive, which keeps a hostile text from growing in memory, and scalars are read by the 1.2 core
schema. A tag is never followed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn

import yaml
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    MappingEndEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from interpretkit.errors import RecipeError
from interpretkit.recipe.node import Node

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from yaml import Event

MAX_NODES = 10_000
MAX_DEPTH = 64
_MAX_DIGITS = 100
_SNIPPET = 60
_SIGNS = {"while scanning an alias": "*", "while scanning an anchor": "&", "while scanning a tag": "!"}

_NULL = re.compile(r"null|Null|NULL|~|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def parse(text: str, *, source: str) -> Node | None:
    """Read a YAML text; None if there is nothing in it.

    Raises:
        RecipeError: If it is no valid YAML or more than one document; if it has a tag, a key twice, a key that is no
            text, an alias within its own anchor, more than 10,000 nodes with aliases expanded, or more than 64 levels.

    Example:
        >>> node = parse("rates: [1e-3, on, 010]", source="recipe.yaml")
        >>> node.plain(), node.place_of(("rates", 1))
        ({'rates': [0.001, 'on', 10]}, 'recipe.yaml:1:15')
    """
    return _Reading(text.removeprefix("\ufeff"), source).tree()


def dump(data: Mapping[str, Any]) -> str:
    """Return plain data as YAML text that reads back as the same data, by the rules of YAML 1.2 and of 1.1 alike.

    Example:
        >>> print(dump({"name": "on", "rate": 0.001, "of": ["010", 10]}), end="")
        name: 'on'
        rate: 0.001
        of:
        - '010'
        - 10
    """
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=float("inf"))


def dump_inline(value: Any) -> str:
    """Return plain data as YAML in one line.

    Example:
        >>> dump_inline({"layers": ["stage1", "12:30"], "top": 5}), dump_inline("on")
        ("{layers: [stage1, '12:30'], top: 5}", "'on'")
    """
    text = yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=float("inf"), default_flow_style=True
    )
    return text.removesuffix("...\n").rstrip("\n")


class _Reading:
    """Reads one text: its events are checked first, and only then made into Nodes."""

    def __init__(self, text: str, source: str) -> None:
        self._text = text
        self._source = source
        self._anchors: dict[str, Node] = {}

    def tree(self) -> Node | None:
        checked = self._checked()
        events = iter([event for event in checked if isinstance(event, NodeEvent | CollectionEndEvent)])
        first = next(events, None)
        if first is None:
            return None
        return self._node(first, events)

    def _checked(self) -> list[Event]:
        try:
            parser = yaml.SafeLoader(self._text)
        except yaml.reader.ReaderError as error:
            lines = self._text[: error.position].splitlines() or [""]
            column = len(lines[-1]) + 1
            code = ord(self._text[error.position])
            where = f"{self._source}:{len(lines)}:{column}"
            raise RecipeError(f"character U+{code:04X} is not allowed", where=where) from error
        events: list[Event] = []
        guard = _Guard(self)
        try:
            while parser.check_event():
                event = parser.get_event()  # type: ignore[no-untyped-call] # a gap in its stubs
                events.append(event)
                guard.check(event)
        except yaml.MarkedYAMLError as error:
            self._refuse_syntax(error)
        except (ValueError, OverflowError):  # an escape such as "\UFFFFFFFF"
            self.refuse("an escape stands for no character", parser.get_mark())
        finally:
            parser.dispose()
        return events

    def _node(self, event: Event, events: Iterator[Event]) -> Node:
        place = self._place(event.start_mark)
        if isinstance(event, AliasEvent):
            return replace(self._anchors[str(event.anchor)], place=place)
        if isinstance(event, ScalarEvent):
            node = Node(self._scalar(event), place)
        elif isinstance(event, SequenceStartEvent):
            node = Node(self._sequence(events), place)
        else:
            node = Node(self._mapping(events), place)
        if isinstance(event, NodeEvent) and event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _sequence(self, events: Iterator[Event]) -> list[Node]:
        nodes = []
        for event in events:
            if isinstance(event, SequenceEndEvent):
                break
            nodes.append(self._node(event, events))
        return nodes

    def _mapping(self, events: Iterator[Event]) -> dict[str, Node]:
        nodes: dict[str, Node] = {}
        lines: dict[str, int] = {}
        for event in events:
            if isinstance(event, MappingEndEvent):
                break
            mark: Any = event.start_mark
            key = self._node(event, events).value
            if not isinstance(key, str):
                what = "a list or mapping" if isinstance(key, list | dict) else dump_inline(key)
                self.refuse(f"a key is text, not {what}", mark, hint="put it in quotes")
            line = mark.line + 1
            if key in nodes:
                self.refuse(f"key {key!r} stands in line {line} and already in line {lines[key]}", mark)
            lines[key] = line
            value = self._node(next(events), events)
            nodes[key] = replace(value, key_place=self._place(mark))
        return nodes

    def _scalar(self, event: ScalarEvent) -> Any:
        text = event.value
        if event.style is not None:
            if any("\ud800" <= character <= "\udfff" for character in text):
                self.refuse("an escape stands for half a character", event.start_mark)
            return text
        if _INT.fullmatch(text) and len(text) > _MAX_DIGITS:
            self.refuse(f"a number has more than {_MAX_DIGITS} digits", event.start_mark)
        return _plain(text)

    def _refuse_syntax(self, error: yaml.MarkedYAMLError) -> NoReturn:
        mark = error.problem_mark or error.context_mark
        line = self._line(mark)
        if not line.strip() and error.context_mark:  # what is never closed is reported at the end of the text
            mark = error.context_mark
            line = self._line(mark)
        indent = line[: len(line) - len(line.lstrip())]
        hint = ""
        if "\t" in indent:
            hint = "indent with spaces, not with tabs"
        elif error.context in _SIGNS:
            sign = _SIGNS[error.context]
            hint = f"put text that begins with '{sign}' in quotes"
        problem = ", ".join(filter(None, [error.context, error.problem]))
        snippet = line.strip()[:_SNIPPET]
        self.refuse(f"no valid YAML: {problem}, in {snippet!r}", mark, hint=hint)

    def _line(self, mark: Any) -> str:
        lines = self._text.splitlines()
        return lines[mark.line] if mark.line < len(lines) else ""

    def _place(self, mark: Any) -> str:
        line = mark.line + 1
        column = mark.column + 1
        return f"{self._source}:{line}:{column}"

    def refuse(self, message: str, mark: Any, *, hint: str = "") -> NoReturn:
        raise RecipeError(message, where=self._place(mark), hint=hint)


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not come yet: nodes counted before it, its level and the deepest level in it."""

    anchor: str | None
    before: int
    level: int
    deepest: int


class _Guard:
    """Counts nodes and levels, with aliases expanded, while the events of a text arrive."""

    def __init__(self, reading: _Reading) -> None:
        self._reading = reading
        self._count = 0
        self._documents = 0
        self._open: list[_Open] = []
        self._anchored: dict[str, tuple[int, int] | None] = {}
        """Nodes and levels of what each anchor stands for; None while it is open."""

    def check(self, event: Event) -> None:
        if isinstance(event, DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._reading.refuse("a second document begins; a recipe is one document", event.start_mark)
        elif isinstance(event, AliasEvent):
            self._alias(event)
        elif isinstance(event, ScalarEvent | CollectionStartEvent):
            self._node(event)
        elif isinstance(event, CollectionEndEvent):
            self._close()

    def _alias(self, event: AliasEvent) -> None:
        name = str(event.anchor)
        hint = "put text that begins with '*' in quotes"
        if name not in self._anchored:
            self._reading.refuse(f"alias *{name} has no anchor &{name} before it", event.start_mark, hint=hint)
        anchored = self._anchored[name]
        if anchored is None:
            self._reading.refuse(f"alias *{name} stands within its own anchor &{name}", event.start_mark)
        self._grow(*anchored, event)

    def _node(self, event: ScalarEvent | CollectionStartEvent) -> None:
        if event.tag is not None:
            hint = "put text that begins with '!' in quotes" if event.tag.startswith("!") else ""
            self._reading.refuse(f"tags such as {event.tag!r} are not allowed", event.start_mark, hint=hint)
        before = self._count
        if isinstance(event, ScalarEvent):
            self._grow(1, 0, event)
            extent = (1, 0)
        else:
            self._grow(1, 1, event)
            extent = None
            level = len(self._open) + 1
            self._open.append(_Open(event.anchor, before, level, level))
        if event.anchor:
            self._anchored[event.anchor] = extent

    def _close(self) -> None:
        closed = self._open.pop()
        if closed.anchor:
            nodes = self._count - closed.before
            levels = closed.deepest - closed.level + 1
            self._anchored[closed.anchor] = (nodes, levels)
        self._note_level(closed.deepest)

    def _grow(self, nodes: int, levels: int, event: NodeEvent) -> None:
        self._count += nodes
        reached = len(self._open) + levels
        if self._count > MAX_NODES:
            self._reading.refuse(f"more than {MAX_NODES:,} nodes, aliases expanded", event.start_mark)
        if reached > MAX_DEPTH:
            self._reading.refuse(f"nested more than {MAX_DEPTH} levels deep", event.start_mark)
        self._note_level(reached)

    def _note_level(self, level: int) -> None:
        """Note that what is open reaches this level."""
        if self._open:
            innermost = self._open[-1]
            innermost.deepest = max(innermost.deepest, level)


def _plain(text: str) -> Any:
    """Read a scalar without quotes by the core schema of YAML 1.2."""
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text.lower() == "true"
    if _INT.fullmatch(text):
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        return int(text, base)
    if _FLOAT.fullmatch(text):
        # Python writes `inf` and `nan` without the dot.
        number = re.sub(r"\.(?=[in])", "", text.lower())
        return float(number)
    return text


class _Dumper(yaml.SafeDumper):
    """Quotes what YAML 1.1 or 1.2 would read as something else than text."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    # Line breaks as escapes: folded over lines they would make a one-line value more than one line.
    style = '"' if text and text.splitlines() != [text] else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
for _tag, _pattern in (("null", _NULL), ("bool", _BOOL), ("int", _INT), ("float", _FLOAT)):
    _Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern.pattern})$"), None)
