"""How the files of an input are to be read, where they do not say it themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a recipe says of the files of an input.

    Attributes:
        range: Which stored values are black and white.
        bands: Which bands are shown, counted from 1, in this order.
        pages: What becomes of a file of several pages, frames or slices: the `first` one is an image, `each` is one, or
            all are one `volume`.
        axes: The axes of arrays.
    """

    range: tuple[float, float] | None = None
    bands: tuple[int, ...] | None = None
    pages: Literal["first", "each", "volume"] = "first"
    axes: tuple[str, ...] | None = None
