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
        base, path = self.name.removesuffix("#*"), self.address.path
        found = sorted(each.call for each in recorded if each.path == path and each.call)
        # Called once, it has its plain name.
        return tuple(Layer(base if found == [1] else f"{base}#{call}", Address(path, call)) for call in found)


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
        positions = layer_positions(self.module)
        # An alias comes where its layer does, so that a glob gives layers in the order of the network.
        names = [*self.aliases, *(path for path in positions if path not in self.aliases)]
        names.sort(key=lambda name: positions[self.aliases.get(name, name)])
        faults = Faults()
        chosen: list[Layer] = []
        for pattern in patterns:
            found: list[Layer] = []
            with faults.collect():
                found = self._matches(pattern.removeprefix("!"), names)
            base = pattern.partition("#")[0]
            if pattern.startswith("!"):
                unwanted = {layer.address for layer in found}
                chosen = [layer for layer in chosen if layer.address not in unwanted]
            elif base in names:
                chosen += found
            else:
                # A glob finds a layer that has an alias under both names: the alias is enough.
                taken = {layer.address for layer in chosen}
                first = {layer.address: layer for layer in reversed(found) if layer.address not in taken}
                chosen += [layer for layer in found if layer in first.values()]
        faults.tell()
        if not chosen:
            what = f"the patterns {', '.join(patterns)} leave no layer of model {self.model!r}"
            raise RecipeError(what, subject=list(patterns))
        return tuple(dict.fromkeys(chosen))

    def _matches(self, pattern: str, names: Sequence[str]) -> list[Layer]:
        base, call = _split_call(pattern)
        matches = [base] if base in names else [name for name in names if self._globbed(name, base)]
        if not matches:
            hint = did_you_mean(base, names, otherwise="`interpretkit layers` lists what it has")
            hint = "; ".join(filter(None, (hint, self.note)))
            raise RecipeError(f"model {self.model!r} has no layer {base!r}", hint=hint, subject=pattern)
        return [self._layer(name, call) for name in matches]

    def asked(self, patterns: Sequence[str]) -> Mapping[Address, str]:
        """Return the names that `patterns` ask for, by what a probe calls them: a shared module has several paths."""
        layers = self.find(patterns)
        return {Address(self._first_path(each.address.path), each.address.call): each.name for each in layers}

    def rows(self, calls: Iterable[Call], asked: Mapping[Address, str] | None) -> Iterator[LayerInfo]:
        """Yield a row for each name of each call; of those that were `asked` for alone, unless that is None."""
        aliased = {alias: self._first_path(path) for alias, path in self.aliases.items()}
        for call in calls:
            names = self._all_of(call, aliased) if asked is None else _asked_of(call, asked)
            for name in names:
                yield LayerInfo(
                    name=name,
                    path=str(call.address),
                    kind=call.kind,
                    shape=None if call.shape is None else call.shape[1:],
                    stride=call.strides,
                    receptive_field=call.extents,
                    parameters=call.parameters,
                    alias_of=str(call.address) if name.partition("#")[0] in self.aliases else "",
                    grid=call.grid,
                )

    def _all_of(self, call: Call, aliased: Mapping[str, str]) -> list[str]:
        path = call.address.path
        names = [*([] if path in self.aliases else [path]), *(alias for alias, of in aliased.items() if of == path)]
        return [name + _number(call) for name in names]

    def _first_path(self, path: str) -> str:
        wanted = self.module.get_submodule(path)
        return next(str(first) for first, module in self.module.named_modules() if module is wanted)

    def _globbed(self, name: str, pattern: str) -> bool:
        parent, _, last = name.rpartition(".")
        return matches(name, pattern) and not (parent and name in self.aliases and pattern.rpartition(".")[2] != last)

    def _layer(self, name: str, call: int | None) -> Layer:
        address = Address(self.aliases.get(name, name), call)
        return Layer(name if call is None else f"{name}#{'*' if call == EVERY else call}", address)


def _number(call: Call) -> str:
    return f"#{call.address.call}" if call.address.call else ""


def _asked_of(call: Call, asked: Mapping[Address, str]) -> list[str]:
    if call.address in asked:
        return [asked[call.address]]
    path = call.address.path
    whole = asked.get(Address(path)) or asked.get(Address(path, EVERY))
    return [] if whole is None else [whole.removesuffix("#*") + _number(call)]


def layer_positions(module: torch.nn.Module) -> dict[str, int]:
    """Return where each layer comes in the network, by its path."""
    paths = (path for path, _ in module.named_modules(remove_duplicate=False) if path)
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
    if patterns[0] == "**":
        return any(_match_parts(parts[skip:], patterns[1:]) for skip in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], patterns[0]) and _match_parts(parts[1:], patterns[1:])
