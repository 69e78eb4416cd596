"""Pickles, followed without calling anything that they name.

Python's unpickler calls what a pickle names; the code below does not. Names of classes and functions stay names,
nothing is imported, and an object is made only by a function that the caller of `read` gives for its name. Every other
object stays a description of itself.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MARK = object()
_KEYS = (str, int, float, bytes, type(None))


@dataclass(frozen=True, slots=True)
class Name:
    """A class or function that a pickle names; it is not looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(frozen=True, slots=True, eq=False)
class Unread:
    """An object that a pickle says how to make, and that was not made.

    Attributes:
        made_by: What would have to be called, usually a `Name`.
    """

    made_by: Any

    def __str__(self) -> str:
        return str(self.made_by) if isinstance(self.made_by, Name) else "an object"


def read(stream: IO[bytes], *, makers: Mapping[str, Callable[..., Any]], stored: Callable[[Any], Any]) -> Any:
    """Return what the pickle at the place of `stream` holds, and leave `stream` behind its end.

    Sets are lists.

    Args:
        stream: The pickle.
        makers: Functions that make an object, by the name that a pickle has for what makes it.
        stored: Returns what a persistent id stands for.

    Raises:
        Exception: Of any class, if the pickle is damaged or `makers` and `stored` raise it.

    Example:
        >>> import io, os, pickle
        >>> class Harmful:
        ...     def __reduce__(self):
        ...         return os.mkdir, ("here",)
        >>> contents = read(io.BytesIO(pickle.dumps({"epoch": 3, "harm": Harmful()})), makers={}, stored=str)
        >>> contents["epoch"], str(contents["harm"])
        (3, 'posix.mkdir')
    """
    machine = _Machine(makers, stored)
    for opcode, argument, _ in pickletools.genops(stream):
        _STEPS[opcode.name](machine, argument)
    (whole,) = machine.stack
    return whole


@dataclass(slots=True)
class _Machine:
    """The stack and the memory of a pickle that is being followed."""

    makers: Mapping[str, Callable[..., Any]]
    stored: Callable[[Any], Any]
    stack: list[Any] = field(default_factory=list)
    memory: dict[int, Any] = field(default_factory=dict)

    def push(self, item: Any) -> None:
        self.stack.append(item)

    def top(self) -> Any:
        item = self.stack[-1]
        if item is _MARK:
            raise ValueError("a mark where an object is wanted")
        return item

    def pop(self, count: int) -> list[Any]:
        items = [self.stack.pop() for _ in range(count)]
        if any(item is _MARK for item in items):
            raise ValueError("a mark where an object is wanted")
        return items[::-1]

    def pop_to_mark(self) -> list[Any]:
        items = []
        while (item := self.stack.pop()) is not _MARK:
            items.append(item)
        return items[::-1]

    def append(self, items: list[Any]) -> None:
        into = self.top()
        if isinstance(into, list):
            into += items

    def put(self, items: list[Any]) -> None:
        into = self.top()
        if isinstance(into, dict):
            into.update(_paired(items))

    def memorize(self, place: int | None) -> None:
        self.memory[len(self.memory) if place is None else place] = self.top()

    def name(self, module: Any, name: Any) -> None:
        if not (isinstance(module, str) and isinstance(name, str)):
            raise TypeError("a name that is no text")
        self.push(Name(module, name))

    def make(self, made_by: Any, arguments: Any) -> None:
        maker = self.makers.get(str(made_by)) if isinstance(made_by, Name) else None
        self.push(maker(*arguments) if maker else Unread(made_by))


def _paired(items: list[Any]) -> dict[Any, Any]:
    """Return keys and values, given in turn, as a dict; a description takes the place of a key that may be unfit."""
    keys = [key if isinstance(key, _KEYS) else Unread(key) for key in items[::2]]
    return dict(zip(keys, items[1::2], strict=True))


def _nothing(machine: _Machine, argument: Any) -> None:
    """Do nothing: of what the pickle says here, nothing is needed."""


def _instance(machine: _Machine, text: str) -> None:
    arguments = machine.pop_to_mark()
    machine.name(*text.split(" ", 1))
    (made_by,) = machine.pop(1)
    machine.make(made_by, arguments)


def _object(machine: _Machine, _: Any) -> None:
    made_by, *arguments = machine.pop_to_mark()
    machine.make(made_by, arguments)


def _pushes(make: Callable[[], Any]) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.push(make())


_OWN_ARGUMENT = (
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
)

_STEPS: dict[str, Callable[[_Machine, Any], object]] = {
    **dict.fromkeys(_OWN_ARGUMENT, _Machine.push),
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), _nothing),
    # What an object's state is, is not looked at.
    "BUILD": lambda machine, _: machine.stack.pop(),
    "NONE": _pushes(lambda: None),
    "NEWTRUE": _pushes(lambda: True),
    "NEWFALSE": _pushes(lambda: False),
    "EMPTY_LIST": _pushes(list),
    "EMPTY_SET": _pushes(list),
    "EMPTY_TUPLE": _pushes(tuple),
    "EMPTY_DICT": _pushes(dict),
    "MARK": _pushes(lambda: _MARK),
    "POP": lambda machine, _: machine.stack.pop(),
    "POP_MARK": lambda machine, _: machine.pop_to_mark(),
    "DUP": lambda machine, _: machine.push(machine.top()),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _Machine.memorize),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda machine, place: machine.push(machine.memory[place])),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_to_mark())),
    "TUPLE1": lambda machine, _: machine.push(tuple(machine.pop(1))),
    "TUPLE2": lambda machine, _: machine.push(tuple(machine.pop(2))),
    "TUPLE3": lambda machine, _: machine.push(tuple(machine.pop(3))),
    "LIST": lambda machine, _: machine.push(machine.pop_to_mark()),
    "FROZENSET": lambda machine, _: machine.push(machine.pop_to_mark()),
    "DICT": lambda machine, _: machine.push(_paired(machine.pop_to_mark())),
    "APPEND": lambda machine, _: machine.append(machine.pop(1)),
    "APPENDS": lambda machine, _: machine.append(machine.pop_to_mark()),
    "ADDITEMS": lambda machine, _: machine.append(machine.pop_to_mark()),
    "SETITEM": lambda machine, _: machine.put(machine.pop(2)),
    "SETITEMS": lambda machine, _: machine.put(machine.pop_to_mark()),
    "GLOBAL": lambda machine, text: machine.name(*text.split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _: machine.name(*machine.pop(2)),
    **dict.fromkeys(("REDUCE", "NEWOBJ"), lambda machine, _: machine.make(*machine.pop(2))),
    "NEWOBJ_EX": lambda machine, _: machine.push(Unread(machine.pop(3)[0])),
    "INST": _instance,
    "OBJ": _object,
    "PERSID": lambda machine, name: machine.push(machine.stored(name)),
    "BINPERSID": lambda machine, _: machine.push(machine.stored(*machine.pop(1))),
    **dict.fromkeys(("EXT1", "EXT2", "EXT4"), lambda machine, code: machine.push(Unread(code))),
}
"""What each opcode does. One that is not here (those of buffers outside of the pickle) ends the reading."""
