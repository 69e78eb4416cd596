"""Names of layers: aliases, paths, globs over both, and the numbers of calls."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from interpretkit.capture.addresses import EVERY, Address
from interpretkit.errors import Faults, RecipeError, did_you_mean
from interpretkit.model.layertable import LayerInfo

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    import torch

    from interpretkit.capture.addresses import Call


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer as somebody asked for it, and the module call that it stands for.

    Attributes:
        name: The name asked for: an alias, or a path, with `#k` for the k-th call or `#*` for every call.
        address: What the hook catches.
    """

    name: str
    address: Address

    def calls(self, recorded: Collection[Address]) -> tuple[Layer, ...]:
        """Return the layers that it stands for: itself, or those among `recorded` that are calls of it."""
        if self.address.call != EVERY:
            return (self,)
        base = self.name.removesuffix("#*")
        path = self.address.path
        calls = [address.call for address in recorded if address.path == path]
        numbers = sorted(call for call in calls if call)
        # Called once, it has its plain name.
        if numbers == [1]:
            return (Layer(base, Address(path, 1)),)
        return tuple(Layer(f"{base}#{number}", Address(path, number)) for number in numbers)


@dataclass(frozen=True, slots=True)
class LayerNames:
    """Under which names the layers of a network are found.

    Attributes:
        module: The network.
        aliases: Short names, each for a path.
        model: What errors call it.
        note: What else they say where there is no such layer.
    """

    module: torch.nn.Module
    aliases: Mapping[str, str]
    model: str
    note: str = ""

    def find(self, patterns: Sequence[str]) -> tuple[Layer, ...]:
        """Return the layers that `patterns` name, each once; `Model.find` says what a pattern is.

        Raises:
            RecipeError: If a pattern matches nothing, or nothing is left; it tells all patterns that match nothing.
        """
        names = self._in_order()
        faults = Faults()
        chosen: list[Layer] = []
        for pattern in patterns:
            layers: list[Layer] = []
            with faults.collect():
                layers = self._matches(pattern.removeprefix("!"), names)
            base = pattern.partition("#")[0]
            if pattern.startswith("!"):
                unwanted = {layer.address for layer in layers}
                chosen = [layer for layer in chosen if layer.address not in unwanted]
            elif base in names:
                chosen += layers
            else:
                chosen += _each_once(layers, chosen)
        faults.tell()
        if not chosen:
            what = f"the patterns {', '.join(patterns)} leave no layer of model {self.model!r}"
            raise RecipeError(what, subject=list(patterns))
        return tuple(dict.fromkeys(chosen))

    def _in_order(self) -> list[str]:
        """Return aliases and paths in the order of the network; an alias stands before the path of its layer."""
        positions = layer_positions(self.module)
        paths = [path for path in positions if path not in self.aliases]
        names = [*self.aliases, *paths]
        names.sort(key=lambda name: positions[self.aliases.get(name, name)])
        return names

    def _matches(self, pattern: str, names: Sequence[str]) -> list[Layer]:
        base, call = _split_call(pattern)
        matches = [base] if base in names else [name for name in names if self._globbed(name, base)]
        if not matches:
            hint = did_you_mean(base, names, otherwise="`interpretkit layers` lists what it has")
            if self.note:
                hint = f"{hint}; {self.note}"
            raise RecipeError(f"model {self.model!r} has no layer {base!r}", hint=hint, subject=pattern)
        return [self._layer(name, call) for name in matches]

    def asked(self, patterns: Sequence[str]) -> Mapping[Address, list[str]]:
        """Return the names that `patterns` ask for, by the addresses that a probe gives them.

        A module that is shared has several paths; a probe knows the first.
        """
        names: dict[Address, list[str]] = {}
        for layer in self.find(patterns):
            address = Address(self._first_path(layer.address.path), layer.address.call)
            names.setdefault(address, []).append(layer.name)
        return names

    def rows(self, calls: Iterable[Call], asked: Mapping[Address, list[str]] | None) -> Iterator[LayerInfo]:
        """Yield a row for each name of each call; if names were `asked` for, for those alone."""
        aliased = {alias: self._first_path(path) for alias, path in self.aliases.items()}
        for call in calls:
            path = str(call.address)
            names = self._all_of(call, aliased) if asked is None else _asked_of(call, asked)
            for name in names:
                is_alias = name.partition("#")[0] in self.aliases
                yield LayerInfo(
                    name=name,
                    path=path,
                    kind=call.kind,
                    shape=None if call.shape is None else call.shape[1:],
                    stride=call.strides,
                    receptive_field=call.extents,
                    parameters=call.parameters,
                    alias_of=path if is_alias else "",
                    grid=call.grid,
                )

    def _all_of(self, call: Call, aliased: Mapping[str, str]) -> list[str]:
        path = call.address.path
        names = [alias for alias, aliased_path in aliased.items() if aliased_path == path]
        if path not in self.aliases:
            names.insert(0, path)
        return [name + _number(call) for name in names]

    def _first_path(self, path: str) -> str:
        """Return the first path of the module that has this path among others."""
        shared = self.module.get_submodule(path)
        first: dict[torch.nn.Module, str] = {module: name for name, module in self.module.named_modules()}
        return first[shared]

    def _globbed(self, name: str, pattern: str) -> bool:
        if not matches(name, pattern):
            return False
        parent, _, last = name.rpartition(".")
        is_long_alias = bool(parent) and name in self.aliases
        return not is_long_alias or pattern.rpartition(".")[2] == last

    def _layer(self, name: str, call: int | None) -> Layer:
        address = Address(self.aliases.get(name, name), call)
        if call is None:
            return Layer(name, address)
        number = "*" if call == EVERY else str(call)
        return Layer(f"{name}#{number}", address)


def _each_once(layers: Sequence[Layer], chosen: Sequence[Layer]) -> list[Layer]:
    """Return layers that are not chosen yet; under its alias alone, what a glob finds under alias and path."""
    known = {layer.address for layer in chosen}
    new = []
    for layer in layers:
        if layer.address not in known:
            known.add(layer.address)
            new.append(layer)
    return new


def _number(call: Call) -> str:
    return f"#{call.address.call}" if call.address.call else ""


def _asked_of(call: Call, asked: Mapping[Address, list[str]]) -> list[str]:
    address = call.address
    if address in asked:
        return asked[address]
    every = Address(address.path, EVERY)
    names = asked.get(Address(address.path)) or asked.get(every) or []
    return [name.removesuffix("#*") + _number(call) for name in names]


def layer_positions(module: torch.nn.Module) -> dict[str, int]:
    """Return where each layer comes in the network, by its path."""
    paths = [path for path, _ in module.named_modules(remove_duplicate=False) if path]
    return {path: position for position, path in enumerate(paths)}


def _split_call(pattern: str) -> tuple[str, int | None]:
    base, mark, call = pattern.partition("#")
    if not mark:
        return base, None
    if call == "*":
        return base, EVERY
    if not (call.isascii() and call.isdecimal() and int(call)):
        what = f"layer {pattern!r}: after '#' comes the number of a call, from 1, or '*'"
        raise RecipeError(what, subject=pattern)
    return base, int(call)


def matches(name: str, pattern: str) -> bool:
    """Match part by part: `*` stays within one part of a path, `**` spans any number of parts."""
    return _match_parts(name.split("."), pattern.split("."))


def _match_parts(parts: list[str], patterns: list[str]) -> bool:
    if not patterns:
        return not parts
    first, *rest = patterns
    if first == "**":
        return any(_match_parts(parts[skip:], rest) for skip in range(len(parts) + 1))
    if not parts or not fnmatchcase(parts[0], first):
        return False
    return _match_parts(parts[1:], rest)
