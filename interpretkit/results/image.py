"""The images that results are about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def _no_pixels() -> np.ndarray:
    return np.zeros((1, 1, 3), np.uint8)


class Pixels:
    """An attribute that is given as an array, or as a function that returns one and is called on first use.

    So a stored run of many images opens without reading any of them.
    """

    @overload
    def __get__(self, image: None, owner: type) -> Pixels: ...
    @overload
    def __get__(self, image: object, owner: type) -> np.ndarray: ...
    def __get__(self, image: object | None, owner: type) -> Any:
        if image is None:
            return self
        kept = vars(image)
        pixels = kept["pixels"]
        if callable(pixels):
            pixels = pixels()
            kept["pixels"] = pixels
        return pixels

    def __set__(self, image: object, value: np.ndarray | Callable[[], np.ndarray] | Pixels) -> None:
        # The default of the field is this very object.
        vars(image)["pixels"] = _no_pixels if value is self else value


# Without slots, for the attribute above keeps its value in the object's own dictionary.
@dataclass(frozen=True, kw_only=True)
class InputImage:
    """One image of a run.

    Attributes:
        id: Stable, unique within the run, fit for a file name.
        source: Where it came from, as given.
        sha256: Hash of the file, or of the pixels where there is no file.
        size: Width and height of the file's image in pixels.
        conversions: What was done to its stored values before the model's preprocessing resized them, in order.
        alerts: What whoever looks at it must know, such as "page 1 of 12".
        label: Its label: a class index; or a name, or an index as text, as manifests have it.
        columns: What the other columns of its manifest say of it, by their names: its site, its scanner. No run keeps
            them.
        position: Its place among all images, from 0.
        pixels: `(y, x, 3)` uint8: what the step's model was fed, before normalisation; `(z, y, x, 3)` of a volume, of a
            signal a strip of equal rows.
        mask: `(y, x)` bool over the same pixels: where the object is. It comes from the mask that the input manifest
            names; None where it names none, or where the model's preprocessing is not a `Preprocessing`, because then
            it is not known which pixels it keeps.

    Example:
        >>> pixels = np.ones((1, 2, 3), np.uint8)
        >>> image = InputImage(id="a", source="a.png", sha256="", size=(2, 1), pixels=lambda: pixels)
        >>> image.pixels.shape
        (1, 2, 3)
    """

    id: str
    source: str
    sha256: str
    size: tuple[int, int]
    conversions: tuple[str, ...] = ()
    alerts: tuple[str, ...] = ()
    label: int | str | None = None
    columns: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    position: int = field(default=0, compare=False)
    pixels: Pixels = field(default=Pixels(), repr=False, compare=False)
    mask: np.ndarray | None = field(default=None, repr=False, compare=False)
