"""One file of a Hugging Face repository: from the hub if it answers soon, else from the local cache.

Where the hub is, whether to ask it at all, where the cache is and which token is sent is the library's own business:
`HF_ENDPOINT`, `HF_HUB_OFFLINE`, `HF_HOME`, `HF_TOKEN`.
"""

from __future__ import annotations

import logging
import re
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, TypeVar, cast

from interpretkit.errors import StorageError, WeightsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ANSWER_SECONDS = 5.0
_DOWNLOAD_SECONDS = 1800.0

_T = TypeVar("_T")


class HubUnreachableError(WeightsError):
    """The hub does not answer, or something else answers in its place; and the cache does not have the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubFile:
    """A file of the hub on this disk.

    Attributes:
        path: Where it is.
        commit: The commit that it belongs to.
        sha256: The hash that the hub gives for it; empty where it gives none.
    """

    path: Path
    commit: str
    sha256: str


def fetch(repository: str, file: str, *, revision: str) -> HubFile:
    """Return `file` of `repository` at `revision`: a branch, a tag or a commit.

    The hub has five seconds to answer; after that the copy that the cache holds for `revision` is used. A copy that
    belongs to a commit cannot be out of date: it is used without asking.

    Raises:
        HubUnreachableError: If the hub cannot be reached and the cache does not have the file.
        WeightsError: If the hub answers that there is no such repository, revision or file, or that it is not for you.
        StorageError: If the cache cannot be written.
    """
    from huggingface_hub import try_to_load_from_cache

    where = f"hub {repository}@{revision}: {file}"
    with _explained(where):
        if {"", "..", "."} & set(file.split("/")):
            raise ValueError(f"{file!r} is no path inside a repository")
        cached = try_to_load_from_cache(repository, file, revision=revision)
    try:
        if isinstance(cached, str) and re.fullmatch("[0-9a-f]{40}", revision):
            path = Path(cached)
        else:
            path = _download(repository, file, revision=revision, where=where)
    except HubUnreachableError:
        if not isinstance(cached, str):
            raise
        path = Path(cached)
    # The cache keeps a file as `snapshots/<commit>/<file>`: where it can, a link to a blob named after its hash.
    blob = path.readlink().name if path.is_symlink() else ""
    return HubFile(
        path=path,
        commit=path.parents[file.count("/")].name,
        sha256=blob if re.fullmatch("[0-9a-f]{64}", blob) else "",
    )


def _download(repository: str, file: str, *, revision: str, where: str) -> Path:
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

    with _explained(where), _quiet():
        # `hf_hub_download` tries again for half a minute where nobody answers, so a short question comes first.
        url = hf_hub_url(repository, file, revision=revision)
        metadata = _within(_ANSWER_SECONDS, lambda: get_hf_file_metadata(url))
        if metadata.commit_hash is None:
            raise _unreachable("what answers is no hub", where)
        return Path(_within(_DOWNLOAD_SECONDS, lambda: hf_hub_download(repository, file, revision=revision)))


def _within(seconds: float, call: Callable[[], _T]) -> _T:
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


@contextmanager
def _explained(where: str) -> Iterator[None]:
    """Turn what the library raises into one of three: the recipe is wrong, the hub is away, the disk refuses."""
    from huggingface_hub import errors

    # The bases of the library's own error are those of the HTTP client that its version uses.
    of_client = cast(tuple[type[Exception], ...], errors.HfHubHTTPError.__bases__)
    others: tuple[type[Exception], ...] = (OSError, RuntimeError, *of_client)
    try:
        yield
    except errors.OfflineModeIsEnabled:
        raise _unreachable("HF_HUB_OFFLINE forbids to ask", where) from None
    except errors.LocalEntryNotFoundError as error:
        raise _unreachable("it stopped answering", where) from error
    except errors.EntryNotFoundError as error:
        raise WeightsError("the repository has no such file", where=where, hint="check `file:`") from error
    except errors.RevisionNotFoundError as error:
        raise WeightsError("the repository has no such revision", where=where, hint="check `revision:`") from error
    except (errors.RepositoryNotFoundError, errors.DisabledRepoError) as error:
        hint = "check `hub:`; a private or gated repository needs a token: `hf auth login`"
        raise WeightsError("the hub has no such repository, or not for you", where=where, hint=hint) from error
    except errors.HfHubHTTPError as error:
        raise _unreachable(f"it answers with status {error.response.status_code}", where) from error
    except ValueError as error:
        raise WeightsError(f"the hub has no such names: {_line(error)}", where=where) from error
    except others as error:
        if isinstance(error, OSError) and error.errno and not isinstance(error, ConnectionError | TimeoutError):
            raise StorageError(f"the cache of the hub cannot be written: {_line(error)}", where=where) from error
        raise _unreachable(_line(error), where) from error


def _unreachable(why: str, where: str) -> HubUnreachableError:
    hint = "download the file by hand and give `path:`, or allow `otherwise: random`"
    return HubUnreachableError(f"the hub cannot be reached: {why}", where=where, hint=hint)


def _line(error: BaseException) -> str:
    """Return the first line of an error, cut to the width of a caption."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:100]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library from drawing progress bars and from logging to the terminal."""
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    logger = logging.getLogger("huggingface_hub")
    level, bars = logger.level, not are_progress_bars_disabled()
    logger.setLevel(logging.ERROR)
    if bars:
        disable_progress_bars()
    try:
        yield
    finally:
        logger.setLevel(level)
        if bars:
            enable_progress_bars()
