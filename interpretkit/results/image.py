"""The images that results are about."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class InputImage:
    """One image of a run.

    Attributes:
        id: Stable, unique within the run, fit for a file name.
        source: Where it came from, as given.
        sha256: Hash of the file, or of the pixels where there is no file.
        size: Width and height of the file's image in pixels.
        conversions: What was done to make an 8-bit RGB image of it, in order.
        label: Its label from the input manifest: a class index or name.
        pixels: `(y, x, 3)` uint8: what the step's model was fed, before normalisation.
        mask: `(y, x)` bool over the same pixels: where the object is, by the mask that the input manifest names. None
            without one, and where the model's preprocessing is not a `Preprocessing`, so that its geometry is unknown.
    """

    id: str
    source: str
    sha256: str
    size: tuple[int, int]
    conversions: tuple[str, ...] = ()
    label: str | None = None
    pixels: np.ndarray = field(default_factory=lambda: np.zeros((1, 1, 3), np.uint8), repr=False, compare=False)
    mask: np.ndarray | None = field(default=None, repr=False, compare=False)
