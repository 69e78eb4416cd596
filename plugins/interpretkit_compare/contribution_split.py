"""How a score splits over the channels of a layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """How the score of one image splits over the channels of a layer; arrays over `(channel,)`.

    Attributes:
        weight: Mean gradient of each channel.
        mean: Mean activation of each channel.
        contribution: Weight times the sum of the activation.
        order: Channels from the greatest contribution to the least.
        maps: Weight times activation `(channel, y, x)`: summed over channels, the Grad-CAM map.
    """

    weight: np.ndarray
    mean: np.ndarray
    contribution: np.ndarray
    order: np.ndarray
    maps: np.ndarray

    @property
    def ranked(self) -> np.ndarray:
        """The contributions from the greatest to the least."""
        return np.asarray(self.contribution[self.order])


def split(activation: np.ndarray, gradient: np.ndarray) -> Split:
    """Return how a score splits over the channels of one image, from two arrays `(channel, y, x)` in float64.

    Example:
        >>> ones = np.ones((2, 1, 2))
        >>> split(ones, np.array([[[1.0, 3.0]], [[-1.0, 0.0]]])).contribution.tolist()
        [4.0, -1.0]
    """
    cells = tuple(range(1, activation.ndim))
    weight = gradient.mean(cells)
    contribution = weight * activation.sum(cells)
    return Split(
        weight=weight,
        mean=activation.mean(cells),
        contribution=contribution,
        order=np.argsort(-contribution, kind="stable"),
        maps=np.expand_dims(weight, cells) * activation,
    )
