"""Stacks in TIFFs of which one page describes all planes, which lie behind each other."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

_WIDTH, _LENGTH, _BITS, _COMPRESSION, _DESCRIPTION, _OFFSETS, _SAMPLES = 256, 257, 258, 259, 270, 273, 277
_DEPTH = 32997
_IMAGEJ = re.compile(r"^images=([0-9]{1,9})\s*$", re.MULTILINE)


def planes_of(tags: ImageFileDirectory_v2, size: int) -> int:
    """Return how many planes the first page of a TIFF stands for, of which Pillow sees one.

    So ImageJ writes stacks of more than 4 GB, tifffile those whose directory is truncated, and others volumes with a
    tag of their depth. A description that has outlived its stack, as in a file that another program has cut a plane out
    of, describes more than there is.

    Args:
        tags: Those of the first page.
        size: Of the file, in bytes.
    """
    if tags.get(_DEPTH, 1) > 1:
        return int(tags[_DEPTH])
    if tags.next or tags.get(_COMPRESSION, 1) != 1 or not tags.get(_OFFSETS):
        return 1
    samples = tags[_WIDTH] * tags[_LENGTH] * tags.get(_SAMPLES, 1)
    planes = _described(str(tags.get(_DESCRIPTION, "")), samples)
    plane = samples * tags.get(_BITS, (1,))[0] // 8
    return planes if tags[_OFFSETS][0] + planes * plane <= size else 1


def _described(text: str, samples: int) -> int:
    """Return how many planes of so many samples a description names; 1 if it names none."""
    if text.startswith("ImageJ="):
        found = _IMAGEJ.search(text)
        return int(found[1]) if found else 1
    if not text.startswith("{"):
        return 1
    try:
        said = json.loads(text)
        return math.prod(map(int, said["shape"])) // samples if said.get("truncated") else 1
    except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError):
        return 1
