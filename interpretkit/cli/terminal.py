"""What is written to a terminal, or to a pipe, whatever its encoding lacks."""

from __future__ import annotations

import codecs
import io
from typing import TextIO

_HANDLER = "interpretkit.readable"
_PLAIN = {
    "…": "...",
    "×": "x",
    "·": "-",
    "–": "-",
    "−": "-",
    "→": "->",
    "±": "+-",
    "≈": "~",
    "≤": "<=",
    "≥": ">=",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
}


def write_everything(stream: TextIO | None) -> None:
    r"""Let a stream take every character: one that its encoding lacks is written in ASCII, never refused.

    Bytes of a file name that are no text are written as they are, so that the name is still the file's.

    Example:
        >>> written = io.BytesIO()
        >>> stream = io.TextIOWrapper(written, encoding="cp1251")
        >>> write_everything(stream)
        >>> print("7×7 … γ", file=stream, flush=True)
        >>> written.getvalue().splitlines()
        [b'7x7 \x85 \\u03b3']
    """
    codecs.register_error(_HANDLER, _readable)
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors=_HANDLER)


def _readable(error: UnicodeError) -> tuple[str | bytes, int]:
    """Return what is written in place of the first character that an encoding lacks, and where to go on."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    after = error.start + 1
    if "\udc80" <= character <= "\udcff":
        return character.encode("ascii", "surrogateescape"), after
    return _PLAIN.get(character) or character.encode("ascii", "backslashreplace").decode(), after
