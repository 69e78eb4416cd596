"""The kinds of things that plugins offer: one row each. Registry, listing, docs and test kit go by this table."""

# The bases in the table are abstract on purpose.
# mypy: disable-error-code="type-abstract"
from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_args

from interpretkit.contracts.builder import ModelBuilder
from interpretkit.contracts.check import Check, Counterpart
from interpretkit.contracts.executor import Executor
from interpretkit.contracts.exporter import Exporter
from interpretkit.contracts.offer import Offer
from interpretkit.contracts.options import Options
from interpretkit.contracts.reader import Reader
from interpretkit.contracts.reads import Reads, Yield
from interpretkit.contracts.visualizer import Visualizer

if TYPE_CHECKING:
    from collections.abc import Callable

_ID = re.compile(r"[a-z][a-z0-9_]*")
_SUFFIX = re.compile(r"(\.[a-z0-9]+)+")

Base = TypeVar("Base", bound=Offer)


@dataclass(frozen=True, slots=True)
class Kind(Generic[Base]):
    """One sort of thing that plugins offer.

    Attributes:
        name: What it is called.
        base: What its classes are derived from.
        hook: The hook that yields them.
        check: Checks what is particular to the kind; raises TypeError.
    """

    name: str
    base: type[Base]
    hook: str
    check: Callable[[type[Any]], None] = lambda _offer: None

    def admit(self, offer: object) -> type[Base]:
        """Return an offer of a plugin if it is a class of this kind.

        Raises:
            TypeError: If it is not; it says what is wrong.
        """
        if not (isinstance(offer, type) and issubclass(offer, self.base)):
            raise TypeError(f"{offer!r} is not a class derived from {self.base.__name__}")
        if missing := ", ".join(sorted(offer.__abstractmethods__)):
            raise TypeError(f"{offer.__name__} does not define {missing}")
        name = getattr(offer, "name", None)
        if not isinstance(name, str) or not _ID.fullmatch(name):
            raise TypeError(f"{offer.__name__}.name is {name!r}; an id has lower-case letters, digits and '_'")
        if not issubclass(offer.Options, Options):
            raise TypeError(f"{offer.__name__}.Options is not derived from interpretkit.Options")
        self.check(offer)
        return offer


def _check_yields(offer: type[Offer], attribute: str, words: tuple[object, ...]) -> None:
    """Check that all words say what steps may yield."""
    for word in words:
        if word not in get_args(Yield):
            known = ", ".join(get_args(Yield))
            raise TypeError(f"{offer.__name__}.{attribute} has {word!r}; there are {known}")


def _check_visualizer(offer: type[Visualizer]) -> None:
    if offer.yields is not None:
        _check_yields(offer, "yields", (offer.yields,))
    if offer.reads is not None and not isinstance(offer.reads, Reads):
        raise TypeError(f"{offer.__name__}.reads is {offer.reads!r}; it is Reads(…), or None")
    if offer.reads is not None:
        _check_yields(offer, "reads", offer.reads.kinds)


def _check_defaults(offer: type[Offer]) -> None:
    """Check that options can be left out: no recipe names what is of this kind, so nobody gives it any."""
    required = [name for name, field in offer.Options.model_fields.items() if field.is_required()]
    if required:
        raise TypeError(f"{offer.__name__}.Options.{required[0]} has no default, and nobody can set it")
    # What cannot be made would else fail in every run, whether or not it is of use there.
    offer(offer.Options())


def _check_check(offer: type[Check]) -> None:
    _check_defaults(offer)
    judges = getattr(offer, "judges", ())
    if not isinstance(judges, tuple) or not judges:
        raise TypeError(f"{offer.__name__}.judges is {judges!r}; it says what the steps yield, as ('attribution',)")
    _check_yields(offer, "judges", judges)
    for kind in offer.compares:
        if kind not in get_args(Counterpart):
            known = ", ".join(get_args(Counterpart))
            raise TypeError(f"{offer.__name__}.compares has {kind!r}; there are {known}")


def _check_reader(offer: type[Reader]) -> None:
    _check_defaults(offer)
    suffixes = getattr(offer, "suffixes", ())
    fitting = isinstance(suffixes, tuple) and all(_SUFFIX.fullmatch(each) for each in suffixes)
    if not (fitting and suffixes):
        raise TypeError(f"{offer.__name__}.suffixes is {suffixes!r}; such as ('.dcm',), in lower case")
    if ".csv" in suffixes:
        raise TypeError(f"{offer.__name__}.suffixes has '.csv', which is for lists of images")


MODEL = Kind("model", ModelBuilder, "interpretkit_models")
VISUALIZER = Kind("visualizer", Visualizer, "interpretkit_visualizers", _check_visualizer)
CHECK = Kind("check", Check, "interpretkit_checks", _check_check)
READER = Kind("reader", Reader, "interpretkit_readers", _check_reader)
EXPORTER = Kind("exporter", Exporter, "interpretkit_exporters")
EXECUTOR = Kind("executor", Executor, "interpretkit_executors", _check_defaults)

KINDS: tuple[Kind[Any], ...] = (MODEL, VISUALIZER, CHECK, READER, EXPORTER, EXECUTOR)
