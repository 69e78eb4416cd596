"""Where the shards of a run are worked on."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, TypeVar

from interpretkit.contracts.offer import Offer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Shard = TypeVar("Shard")
Outcome = TypeVar("Outcome")


class Executor(Offer):
    """Applies a pure function to shards and yields what comes of it, in the order of the shards."""

    @abstractmethod
    def map(self, work: Callable[[Shard], Outcome], shards: Iterable[Shard]) -> Iterator[Outcome]:
        """Yield `work(shard)` for each shard; take the next shard only when it can be worked on."""
