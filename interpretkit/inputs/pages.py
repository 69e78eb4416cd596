"""How many pages a file has, without decoding any of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image

from interpretkit.inputs.read import FORMATS

if TYPE_CHECKING:
    from pathlib import Path


def pages_of(path: Path) -> int:
    """Return how many pages, frames or slices a file has; 1 if it cannot be told, as reading it then tells why."""
    try:
        with path.open("rb") as stream, Image.open(stream, formats=FORMATS) as opened:
            return int(getattr(opened, "n_frames", 1))
    except (OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, Image.DecompressionBombError):
        return 1
