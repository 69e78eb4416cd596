"""One file of a Hugging Face repository: from the hub if it answers soon, else from the local cache.

Where the hub is, whether to ask it at all, where the cache is and which token is sent is the library's own business:
`HF_ENDPOINT`, `HF_HUB_OFFLINE`, `HF_HOME`, `HF_TOKEN`.
"""

from __future__ import annotations

import logging
import re
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from interpretkit.errors import StorageError, WeightsError
from interpretkit.model.weights import servers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


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


class MissingFileError(WeightsError):
    """The hub answers that the repository has no such file."""


def fetch_first(repository: str, files: Sequence[str], *, revision: str) -> tuple[HubFile, str]:
    """Return the first of several files that a repository has, and its name in it; otherwise as `fetch`."""
    *earlier, last = files
    for file in earlier:
        try:
            return fetch(repository, file, revision=revision), file
        except MissingFileError:
            continue
        except servers.UnreachableError:
            kept = [each for each in files if _cached(repository, each, revision=revision)]
            if not kept:
                raise
            return fetch(repository, kept[0], revision=revision), kept[0]
    return fetch(repository, last, revision=revision), last


def fetch(repository: str, file: str, *, revision: str) -> HubFile:
    """Return `file` of `repository` at `revision`: a branch, a tag or a commit.

    The hub has five seconds to answer; after that the copy that the cache holds for `revision` is used. A copy that
    belongs to a commit cannot be out of date: it is used without asking.

    Raises:
        UnreachableError: If the hub cannot be reached and the cache does not have the file.
        WeightsError: If the hub answers that there is no such repository, revision or file, or that it is not for you.
        StorageError: If the cache cannot be written.
    """
    where = f"hub {repository}@{revision}: {file}"
    with _explained(where):
        if {"", "..", "."} & set(file.split("/")):
            raise ValueError(f"{file!r} is no path inside a repository")
        cached = _cached(repository, file, revision=revision)
    try:
        if cached and re.fullmatch("[0-9a-f]{40}", revision):
            path = cached
        else:
            path = _download(repository, file, revision=revision, where=where)
    except servers.UnreachableError:
        if cached is None:
            raise
        path = cached
    # The cache keeps a file as `snapshots/<commit>/<file>`: where it can, a link to a blob named after its hash.
    blob = path.readlink().name if path.is_symlink() else ""
    return HubFile(
        path=path,
        commit=path.parents[file.count("/")].name,
        sha256=blob if re.fullmatch("[0-9a-f]{64}", blob) else "",
    )


def _cached(repository: str, file: str, *, revision: str) -> Path | None:
    """Return where the cache has a file; None if it has not."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(repository, file, revision=revision)
    return Path(path) if isinstance(path, str) else None


def _download(repository: str, file: str, *, revision: str, where: str) -> Path:
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

    with _explained(where), _quiet():
        # `hf_hub_download` tries again for half a minute where nobody answers, so a short question comes first.
        url = hf_hub_url(repository, file, revision=revision)
        metadata = servers.within(servers.ANSWER_SECONDS, lambda: get_hf_file_metadata(url))
        if metadata.commit_hash is None:
            raise servers.UnreachableError("the hub", "what answers is no hub", where=where)
        return Path(
            servers.within(servers.DOWNLOAD_SECONDS, lambda: hf_hub_download(repository, file, revision=revision))
        )


@contextmanager
def _explained(where: str) -> Iterator[None]:
    """Turn what the library raises into one of three: the recipe is wrong, the hub is away, the disk refuses."""
    from huggingface_hub import errors

    # The bases of the library's own error are those of the HTTP client that its version uses.
    of_client = cast("tuple[type[Exception], ...]", errors.HfHubHTTPError.__bases__)
    others: tuple[type[Exception], ...] = (OSError, RuntimeError, *of_client)
    try:
        yield
    except errors.OfflineModeIsEnabled:
        raise servers.UnreachableError("the hub", "HF_HUB_OFFLINE forbids to ask", where=where) from None
    except errors.LocalEntryNotFoundError as error:
        raise servers.UnreachableError("the hub", "it stopped answering", where=where) from error
    except errors.EntryNotFoundError as error:
        raise MissingFileError("the repository has no such file", where=where, hint="check `file:`") from error
    except errors.RevisionNotFoundError as error:
        raise WeightsError("the repository has no such revision", where=where, hint="check `revision:`") from error
    except (errors.RepositoryNotFoundError, errors.DisabledRepoError) as error:
        hint = "check `hub:`; a private or gated repository needs a token: `hf auth login`"
        raise WeightsError("the hub has no such repository, or not for you", where=where, hint=hint) from error
    except errors.HfHubHTTPError as error:
        raise servers.UnreachableError(
            "the hub", f"it answers with status {error.response.status_code}", where=where
        ) from error
    except ValueError as error:
        raise WeightsError(f"the hub has no such names: {servers.first_line(error)}", where=where) from error
    except others as error:
        if servers.is_of_disk(error):
            raise StorageError(
                f"the cache of the hub cannot be written: {servers.first_line(error)}", where=where
            ) from error
        raise servers.UnreachableError("the hub", servers.first_line(error), where=where) from error


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
