"""What reads image files of a kind."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from interpretkit.contracts.offer import Offer

if TYPE_CHECKING:
    from pathlib import Path

    from interpretkit.results.stored import Stored


class Reader(Offer):
    """Reads files that the core does not. Derive from it, give it a `name`, `suffixes` and `read`.

    Files of these suffixes are found in folders and read by it, in place of Pillow; of several suffixes that fit a
    file, the longest counts.

    Example:
        >>> import numpy as np
        >>> from interpretkit import Stored
        >>> class TextReader(Reader):
        ...     '''Rows of digits: 0 is black, 9 is white.'''
        ...     name = "text"
        ...     suffixes = (".grid",)
        ...     def read(self, path, page):
        ...         rows = path.read_text().split()
        ...         values = np.array([list(map(int, row)) for row in rows], np.uint8)
        ...         return Stored(values=values, range=(0, 9), said_by="digits")
        >>> TextReader(TextReader.Options()).suffixes
        ('.grid',)
    """

    suffixes: ClassVar[tuple[str, ...]]
    """Of the files that it reads, in lower case, with the dot: `(".dcm",)`."""

    package: ClassVar[str] = ""
    """What is to be installed to read them, as pip takes it: `interpretkit[dicom]`; empty if it needs nothing."""

    fallback: ClassVar[bool] = False
    """Whether it reads only those of these files that the core does not read as they are stored, rather than all."""

    @abstractmethod
    def read(self, path: Path, page: int) -> Stored:
        """Return what a file stores, upright, with its values as they are.

        Args:
            path: The file.
            page: Which of its pages, frames or slices, from 0.

        Raises:
            InputError: If it cannot be read; any other exception is told as one, with the file as its place. An
                ImportError is told as the lack of the `package`.
        """

    def pages(self, path: Path) -> int:  # noqa: ARG002 - most files hold one image
        """Return how many pages, frames or slices a file has."""
        return 1
