"""What plugins offer that no recipe names: readers of files, and checks of results, ready to be used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit.contracts.kinds import CHECK, READER
from interpretkit.contracts.reader import Reader
from interpretkit.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from interpretkit.contracts.check import Check
    from interpretkit.contracts.registry import Registry
    from interpretkit.results.stored import Stored


def readers_of(registry: Registry) -> dict[str, Reader]:
    """Return what reads files of each suffix; a suffix that two readers claim is read by neither."""
    claims: dict[str, list[type[Reader]]] = {}
    providers: dict[str, list[str]] = {}
    for found in registry.all(READER):
        for suffix in found.offer.suffixes:
            claims.setdefault(suffix, []).append(found.offer)
            providers.setdefault(suffix, []).append(f"{found.offer.name} ({found.plugin})")
    return {
        suffix: offers[0](offers[0].Options()) if len(offers) == 1 else _Contested(providers[suffix])
        for suffix, offers in claims.items()
    }


def checks_of(registry: Registry) -> tuple[Check, ...]:
    """Return every check that there is."""
    return tuple(found.offer(found.offer.Options()) for found in registry.of(CHECK).values())


class _Contested(Reader):
    """Stands for several readers of one suffix: which of them is meant is not decided by chance."""

    name = "contested"

    def __init__(self, providers: list[str]) -> None:
        super().__init__(Reader.Options())
        self._providers = providers

    def read(self, path: Path, page: int) -> Stored:  # noqa: ARG002 - whatever the file is
        """Refuse."""
        raise InputError(f"{' and '.join(self._providers)} both read such files", hint="uninstall one of them")
