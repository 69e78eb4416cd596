"""What reads image files of a kind."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from interpretkit.contracts.offer import Offer

if TYPE_CHECKING:
    from pathlib import Path

    from PIL.Image import Image


class Reader(Offer):
    """Reads files that Pillow does not. Derive from it, give it a `name`, `suffixes` and `read`.

    Files of these suffixes are found in folders and read by it, in place of Pillow; of several suffixes that fit a
    file, the longest counts.

    Example:
        >>> from PIL import Image
        >>> class TextReader(Reader):
        ...     '''Rows of digits: 0 is black, 9 is white.'''
        ...     name = "text"
        ...     suffixes = (".grid",)
        ...     def read(self, path):
        ...         rows = path.read_text().split()
        ...         pixels = bytes(int(digit) * 255 // 9 for row in rows for digit in row)
        ...         grey = Image.frombytes("L", (len(rows[0]), len(rows)), pixels)
        ...         return grey.convert("RGB"), ("digits to grey",)
        >>> TextReader(TextReader.Options()).suffixes
        ('.grid',)
    """

    suffixes: ClassVar[tuple[str, ...]]
    """Of the files that it reads, in lower case, with the dot: `(".dcm",)`."""

    @abstractmethod
    def read(self, path: Path) -> tuple[Image, tuple[str, ...]]:
        """Return a file's image as 8-bit RGB, and what was done to make that of it, in words and in order.

        Raises:
            InputError: If it cannot be read; any other exception is told as one, with the file as its place.
        """
