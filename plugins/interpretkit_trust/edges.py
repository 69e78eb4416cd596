"""Whether a map is no more than a picture of the image's edges, or of its middle."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from interpretkit import Check, Grid, Verdict, rank_correlation
from interpretkit_trust.limits import Limits

if TYPE_CHECKING:
    from interpretkit import Map, Result

_AXES = ("image", "y", "x")
_ORDER = ("fail", "warn", "pass", "not applicable")


class Edges(Check):
    """Whether a map is no more than the edges of the image, or its middle, which no network is needed for.

    The map is held against a Sobel filter of the image and against a Gaussian at its middle, on the map's own grid. A
    map that is like the middle may be right, since what photos show is often there: that is worth a warning, and no
    failure.
    """

    name = "edges"
    citations: ClassVar = {"adebayo2018sanity": "Section 5.1, maps beside an edge detector"}
    judges: ClassVar = ("attribution",)

    class Options(Limits):
        """Where the verdicts begin. What a network looks at may well have edges, so only much is too much."""

        warn: float = Field(default=0.7, ge=-1, le=1, description="rank correlation above which the verdict is warn")
        fail: float = Field(default=0.9, ge=-1, le=1, description="rank correlation above which the verdict is fail")

    options: Options

    def judge(self, result: Result) -> Verdict:
        """Judge the maps of one image for one target: the layer and the picture count that are most alike."""
        (image,) = result.images
        pixels = image.pixels
        found = []
        for layer, each in result.maps.items():
            if tuple(each.dims) == _AXES and pixels.shape[:2] == each.grid.pixels:
                found.append(self._verdict(each, sobel(pixels), f"at {layer} the map has", "the edges"))
                of_middle = self._verdict(each, middle(*pixels.shape[:2]), f"at {layer} the map has", "the middle")
                found.append(replace(of_middle, status="warn") if of_middle.status == "fail" else of_middle)
        return min(found, key=_worst_first, default=Verdict.not_applicable("there is no map of an image with y and x"))

    def _verdict(self, each: Map, picture: np.ndarray, whose: str, what: str) -> Verdict:
        """Return the verdict on a map that is held against a picture `(y, x)`."""
        correlation = _alike(each, picture)
        if np.isnan(correlation):
            return Verdict.not_applicable("the map tells no place from another")
        text = f"{whose} rank correlation {correlation:.2f} with {what} of the image"
        return self.options.verdict(correlation, text, cells=each.values.size)


def _worst_first(verdict: Verdict) -> tuple[int, float]:
    """Return a key that sorts verdicts: the worst status first, then the greatest figure."""
    return _ORDER.index(verdict.status), -verdict.figure


def _alike(each: Map, pixels: np.ndarray) -> float:
    """Return the rank correlation of a map with a picture, averaged over the map's cells."""
    fine = Grid.even(pixels.shape, pixels.shape)
    return float(rank_correlation(each.values[0], fine.averaged(pixels, each.grid)))


def sobel(pixels: np.ndarray) -> np.ndarray:
    """Return the magnitude of the Sobel gradient of a picture `(y, x, 3)`, `(y, x)`: of its mean over the channels.

    Example:
        >>> picture = np.zeros((3, 4, 3), np.uint8)
        >>> picture[:, 2:] = 100
        >>> sobel(picture)[1].tolist()
        [0.0, 400.0, 400.0, 0.0]
    """
    grey = np.pad(pixels.mean(-1, dtype=np.float64), 1, mode="edge")
    smooth_y = grey[:-2] + 2 * grey[1:-1] + grey[2:]
    smooth_x = grey[:, :-2] + 2 * grey[:, 1:-1] + grey[:, 2:]
    along_x = smooth_y[:, 2:] - smooth_y[:, :-2]
    along_y = smooth_x[2:] - smooth_x[:-2]
    return np.asarray(np.hypot(along_x, along_y))


def middle(height: int, width: int) -> np.ndarray:
    """Return a Gaussian at the middle of an image, whose standard deviation is a quarter of each side, `(y, x)`.

    Example:
        >>> middle(3, 3).argmax(), middle(3, 3)[1, 1]
        (np.int64(4), np.float64(1.0))
    """
    y = _deviations(height)
    x = _deviations(width)
    squares = y[:, None] ** 2 + x[None, :] ** 2
    return np.asarray(np.exp(-squares / 2))


def _deviations(length: int) -> np.ndarray:
    """Return how far the pixels of a side lie from its middle, in standard deviations, `(pixel,)`."""
    places = (np.arange(length) + 0.5) / length
    return np.asarray(4 * (places - 0.5))
