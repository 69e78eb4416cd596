"""Finished pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A finished picture.

    Attributes:
        name: Tells it from the step's other figures of the same image: usually the layer.
        picture: The pixels, with title, colour bar and labels in them.
        caption: What the reader sees, in words: layer, scope of normalisation, how it is drawn.
        alt: The same for those who do not see it: where the maximum is, the range, the target.
    """

    name: str
    picture: Image
    caption: str
    alt: str
