"""Where shards of images are processed: in this process, or elsewhere behind the same protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Shard = TypeVar("Shard")
Output = TypeVar("Output")


class Executor(Protocol):
    """Applies a pure function to shards and yields the outputs in the order of the shards."""

    def map(self, work: Callable[[Shard], Output], shards: Iterable[Shard]) -> Iterator[Output]:
        """Yield `work(shard)` for each shard; take the next shard only when it can be worked on."""
        ...


class LocalExecutor:
    """One shard after another, in this process.

    Example:
        >>> list(LocalExecutor().map(abs, [-1, 2]))
        [1, 2]
    """

    def map(self, work: Callable[[Shard], Output], shards: Iterable[Shard]) -> Iterator[Output]:
        """Yield `work(shard)` for each shard."""
        return map(work, shards)
