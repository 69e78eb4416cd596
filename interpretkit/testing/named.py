"""Checks with names, each of one thing, and what the checks of all kinds share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Generic

from interpretkit.contracts.citations import citations_of
from interpretkit.contracts.kinds import Base, Kind
from interpretkit.contracts.registry import discover
from interpretkit.engine.resolve import parse_options
from interpretkit.errors import PluginError, cause

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedCheck:
    """A check of one thing. Call it; as text it is its name.

    Attributes:
        name: What it checks: `same_twice`.
        run: Checks it; raises AssertionError if it does not hold.
        known: Why it is known to fail; empty if it should pass. Such a check is an expected failure of pytest, and
            fails when it passes, so that nobody forgets to take the word back.

    Example:
        >>> def fails():
        ...     raise AssertionError("2 hooks were left")
        >>> check = NamedCheck(name="hooks", run=fails)
        >>> str(check)
        'hooks'
        >>> check()
        Traceback (most recent call last):
        AssertionError: 2 hooks were left
    """

    name: str
    run: Callable[[], None]
    known: str = ""

    def __str__(self) -> str:
        return self.name

    def __call__(self) -> None:
        """Check it.

        Raises:
            AssertionError: If it does not hold, or holds although it is known not to.
        """
        if self.known:
            self._expect_failure()
        else:
            self.run()

    def _expect_failure(self) -> None:
        import pytest

        try:
            self.run()
        except Exception as error:  # noqa: BLE001 - known to fail, in whatever way
            pytest.xfail(f"{self.known} ({cause(error)})")
        raise AssertionError(f"{self.name}: it passes, so it is no known failure any more ({self.known})")


class Subject(Generic[Base]):
    """Something that a plugin offers, about to be checked. Derive from it for each kind.

    Args:
        offer: Its class.
        options: Its options.

    Attributes:
        kind: Of which kind it is.
        names: The methods that check one thing each, in their order.
    """

    kind: ClassVar[Kind[Any]]
    names: ClassVar[tuple[str, ...]] = ("admitted", "described_options", "citations", "free_id")

    def __init__(self, offer: type[Base], **options: Any) -> None:
        self.offer = offer
        self._options = options

    @cached_property
    def made(self) -> Base:
        """One of it, with its options."""
        return self.offer(parse_options(self.offer, self._options))

    def checks(self, known: Mapping[str, str]) -> list[NamedCheck]:
        """Return its checks by name."""
        return [NamedCheck(name=name, run=getattr(self, name), known=known.get(name, "")) for name in self.names]

    def admitted(self) -> None:
        """It can be registered."""
        try:
            self.kind.admit(self.offer)
        except TypeError as error:
            raise AssertionError(str(error)) from error

    def described_options(self) -> None:
        """Every option says what it is."""
        bare = [name for name, text in self.offer.Options.descriptions().items() if not text]
        require(not bare, f"options without a description: {', '.join(bare)}")

    def citations(self) -> None:
        """Every key that it cites has an entry."""
        try:
            citations_of(self.offer)
        except PluginError as error:
            raise AssertionError(str(error)) from error

    def free_id(self) -> None:
        """No other plugin that is installed has its id."""
        others = [found for found in discover().all(self.kind) if found.offer.name == self.offer.name]
        taken = [str(found.plugin) for found in others if _home(found.offer) != _home(self.offer)]
        require(not taken, f"the id {self.offer.name!r} is taken by {', '.join(taken)}")


def require(condition: bool, message: str) -> None:  # noqa: FBT001 - it is the condition itself
    """Raise AssertionError with a message unless a condition holds; `assert` would not survive `python -O`."""
    if not condition:
        raise AssertionError(message)


def _home(offer: type) -> tuple[str, str]:
    return offer.__module__, offer.__qualname__
