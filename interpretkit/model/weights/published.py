"""One file that a model's authors publish: from torch's own folder of checkpoints, else from the server that has it.

Where the folder is, is torch's business: `TORCH_HOME`. Files that torch or torchvision have put there are used.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from interpretkit.errors import StorageError, WeightsError
from interpretkit.model.weights import servers

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A weights file that a model's authors publish.

    Attributes:
        url: Where it is; what it is called there, it is called in torch's folder of checkpoints.
        sha256: Its hash or the first digits of it, hexadecimal; empty if unknown.
    """

    url: str
    sha256: str = ""


def download(published: Published) -> Path:
    """Return where the file is on this disk; a file of its name in torch's folder of checkpoints is not fetched again.

    The server has five seconds to answer. What it sends is compared with the hash before it takes its place in the
    folder; a file that was there already is not: that is left to whoever reads it.

    Raises:
        UnreachableError: If the server cannot be reached and the folder does not have the file.
        WeightsError: If the server has no such file, or sends one with another hash.
        StorageError: If the folder cannot be written.
    """
    import torch

    url = published.url
    name = PurePosixPath(unquote(urlsplit(url).path)).name
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    if not path.is_file():
        with _explained(url):
            path.parent.mkdir(parents=True, exist_ok=True)
            # A download may take long, so a short question comes first.
            servers.within(servers.ANSWER_SECONDS, lambda: _ask(url))
            servers.within(servers.DOWNLOAD_SECONDS, lambda: _fetch(url, path, published.sha256))
    return path


def _ask(url: str) -> None:
    from urllib.request import urlopen

    # Longer than the wait for this call, which says why it was given up; this only ends the thread.
    with urlopen(url, timeout=2 * servers.ANSWER_SECONDS):  # noqa: S310 - builders are code: they may open what they like
        pass


def _fetch(url: str, path: Path, sha256: str) -> None:
    import torch

    torch.hub.download_url_to_file(url, str(path), hash_prefix=sha256.lower() or None, progress=False)


@contextmanager
def _explained(url: str) -> Iterator[None]:
    """Turn what was raised into one of three: the file is wrong, the server is away, the disk refuses."""
    from http.client import HTTPException
    from urllib.error import HTTPError

    try:
        yield
    except HTTPError as error:
        with error:  # it holds the connection
            if error.code in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
                raise WeightsError("the server has no such file", where=url) from error
            raise servers.UnreachableError("the server", f"it answers with status {error.code}", where=url) from error
    except RuntimeError as error:  # torch's, of a hash that is another
        hint = "what answers may be a page of an error or a login: download the file by hand and give `path:`"
        raise WeightsError(f"the download is not the published file: {error}", where=url, hint=hint) from error
    except (OSError, HTTPException) as error:
        if servers.is_of_disk(error):
            what = f"torch's folder of checkpoints cannot be written: {servers.first_line(error)}"
            raise StorageError(what, where=url) from error
        raise servers.UnreachableError("the server", servers.first_line(error), where=url) from error
