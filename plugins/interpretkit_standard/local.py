"""Runs carried out in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from interpretkit import Executor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Shard = TypeVar("Shard")
Outcome = TypeVar("Outcome")


class LocalExecutor(Executor):
    """One shard after another, in this process.

    Example:
        >>> list(LocalExecutor(LocalExecutor.Options()).map(abs, [-1, 2]))
        [1, 2]
    """

    name = "local"

    def map(self, work: Callable[[Shard], Outcome], shards: Iterable[Shard]) -> Iterator[Outcome]:
        """Yield `work(shard)` for each shard."""
        return map(work, shards)
