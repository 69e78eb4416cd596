"""Ids of images: the letters of their file names, in any script, and still a file name on every system."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_LONGEST = 80
"""In bytes of UTF-8: with the name of a figure, of 150, and an ending it stays within the 255 of most file systems."""

_PORTS = {f"{port}{number}" for port in ("com", "lpt") for number in "0123456789¹²³"}
_DEVICE_NAMES = {"con", "prn", "aux", "nul", *_PORTS}
_INVISIBLE = re.compile("[\u034f\u115f\u1160\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
"""What counts as a letter or a mark, and is not seen: selectors of variants, fillers."""


def fit_for_a_file_name(stem: str) -> str:
    """Return a name of the letters, marks and numbers of all scripts, `.`, `_` and `-`; whatever else becomes `_`.

    It is in Unicode's form NFC, has at most 80 bytes in UTF-8, and neither a dot nor `-` in front.

    Example:
        >>> [fit_for_a_file_name(stem) for stem in ("Gru\u0308ße 1", "снимок", "प्रतिमा", "con", "...")]
        ['Grüße_1', 'снимок', 'प्रतिमा', '_con', 'image']
    """
    composed = unicodedata.normalize("NFC", stem)
    marked = "".join(character if _is_kept(character) else "\0" for character in composed)
    name = re.sub("\0+", "_", marked).lstrip(".-")
    first_part = name.partition(".")[0]
    # A mark without its letter would sit on whatever is printed before it.
    if first_part.lower() in _DEVICE_NAMES or _is_mark(name[:1]):
        name = f"_{name}"
    return _cut(name, _LONGEST).rstrip(".") or "image"


def marked(name: str, mark: str, taken: set[str]) -> str:
    """Return a name with a mark, and a number if need be, so that it is not among those `taken`, which are folded.

    Example:
        >>> marked("cat", "-1f", set()), marked("Cat", "-1f", {"cat-1f"})
        ('cat-1f', 'Cat-1f-2')
    """
    ending = mark
    count = 1
    while folded(longer := ending_in(ending, name)) in taken:
        count += 1
        ending = f"{mark}-{count}"
    return longer


def ending_in(ending: str, name: str) -> str:
    """Return a name with an ending, the name cut so that both fit an id."""
    return _cut(name, _LONGEST - len(ending.encode())) + ending


def shared(names: Sequence[str]) -> set[str]:
    """Return the names, folded, that some file system would take for one another."""
    counts = Counter(map(folded, names))
    return {name for name, count in counts.items() if count > 1}


def folded(name: str) -> str:
    """Return what a file system may compare: upper and lower case, and the forms of Unicode, are not told apart.

    Example:
        >>> folded("STRASSE") == folded("Straße"), folded("é") == folded("e\u0301")
        (True, True)
    """
    one_case = unicodedata.normalize("NFD", name).upper().casefold()
    return unicodedata.normalize("NFC", one_case)


def _is_kept(character: str) -> bool:
    if character in "._-":
        return True
    return unicodedata.category(character)[0] in "LMN" and not _INVISIBLE.fullmatch(character)


def _is_mark(character: str) -> bool:
    return bool(character) and unicodedata.category(character).startswith("M")


def _cut(name: str, most: int) -> str:
    """Return as much of a name as fits into so many bytes, and no letter without its marks."""
    cut = name.encode()[:most].decode(errors="ignore")
    while cut and _is_mark(name[len(cut) : len(cut) + 1]):
        cut = cut[:-1]
    return cut
