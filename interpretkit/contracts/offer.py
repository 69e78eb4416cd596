"""What everything that plugins offer has in common."""

from __future__ import annotations

from abc import ABC
from typing import TYPE_CHECKING, ClassVar

from interpretkit.contracts import options as bases

if TYPE_CHECKING:
    from collections.abc import Mapping


class Offer(ABC):
    """One thing of a kind that a plugin offers, under an id and with options of its own.

    Args:
        options: The options, parsed.
    """

    name: ClassVar[str]
    """Its id in recipes: lower-case letters, digits, `_`."""

    citations: ClassVar[Mapping[str, str]] = {}
    """The papers behind it: keys in `references.bib` beside its module, and which part of each is meant."""

    class Options(bases.Options):
        """No options."""

    def __init__(self, options: bases.Options) -> None:
        self.options = options
