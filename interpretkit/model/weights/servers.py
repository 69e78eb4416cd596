"""Servers that may not answer: how long they are waited for, and what is said of those that cannot be reached."""

from __future__ import annotations

from concurrent.futures import Future
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

from interpretkit.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Callable

ANSWER_SECONDS = 5.0
DOWNLOAD_SECONDS = 1800.0

_T = TypeVar("_T")


class UnreachableError(WeightsError):
    """A server does not answer, or something else answers in its place; and there is no copy on this disk.

    Args:
        server: Which server, such as `the hub`.
        why: What happened instead of an answer.
        where: What was asked for.
    """

    def __init__(self, server: str, why: str, *, where: str) -> None:
        hint = "download the file by hand and give `path:`, or allow `otherwise: random`"
        super().__init__(f"{server} cannot be reached: {why}", where=where, hint=hint)


def within(seconds: float, call: Callable[[], _T]) -> _T:
    """Return what `call` returns or raise what it raises; a TimeoutError if it takes longer.

    No timeout of an HTTP client covers a dead name server or an answer that trickles in: a call that is too late goes
    on in a daemon thread, which does not keep the process alive.
    """
    future: Future[_T] = Future()

    def work() -> None:
        try:
            future.set_result(call())
        except Exception as error:  # noqa: BLE001 - it is raised where the result is waited for
            future.set_exception(error)

    Thread(target=work, daemon=True).start()
    try:
        return future.result(timeout=seconds)
    except TimeoutError:
        if future.done():
            raise
        raise TimeoutError(f"no answer within {seconds:g} s") from None


def is_of_disk(error: BaseException) -> bool:
    """Tell whether an error is one of the local file system, not of a connection."""
    return isinstance(error, OSError) and bool(error.errno) and not isinstance(error, ConnectionError | TimeoutError)


def first_line(error: BaseException) -> str:
    """Return the first line of an error, cut to the width of a caption."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:100]
