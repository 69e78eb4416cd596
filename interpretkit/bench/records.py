"""What a bench says of the methods that it measured, as it is stored."""

from __future__ import annotations

from typing import Any

from interpretkit.runs.records import Record

LOCALIZATION = ("pointing", "pointing_exact", "energy", "rank_accuracy", "iou")
"""Scores of where a map lies; the exact one is the pointing game without a tolerance."""

CURVES = ("deletion", "insertion")
"""By how much the area under the curve is better than in random orders."""


class Mean(Record):
    """A mean over the images, and its interval by the bootstrap."""

    mean: float
    low: float
    high: float


class Row(Record):
    """A method at a layer.

    Attributes:
        method: Its id.
        layer: Where its maps lie, or which layer it was asked about: `input`, `stage3`.
        plugin: The plugin that it is from.
        options: Those that it was given.
        control: Whether it is a map that knows nothing of the network.
        scores: By name; those that are not defined for the method are not there.
        random_weights: The scores of the same method on the same network with random weights; empty for controls.
        nowhere: Of how many images the map points nowhere; these count as 0.
        not_beaten: The controls that its pointing game is not clearly above.
        seconds: For each image.
        passes: How many images went forward through the network for each image that was explained.
    """

    method: str
    layer: str
    plugin: str
    options: dict[str, Any]
    control: bool
    scores: dict[str, Mean]
    random_weights: dict[str, Mean] = {}  # noqa: RUF012 - pydantic copies it
    nowhere: int
    not_beaten: tuple[str, ...] = ()
    seconds: float
    passes: float

    def __str__(self) -> str:
        return f"{self.method} at {self.layer}"


class Failure(Record):
    """A method at a layer that could not be measured, and why."""

    method: str
    layer: str
    text: str

    def __str__(self) -> str:
        return f"{self.method} at {self.layer}: {self.text}"


class Bench(Record):
    """All methods that were measured, the best in the pointing game first.

    Attributes:
        version: Of interpretkit.
        model: The network.
        weights: Where its weights come from.
        images: How many.
        tolerance: So near to the object is good enough in the pointing game, in pixels.
        chance: What scores are by chance, the mean over the images.
    """

    version: str
    model: str
    weights: str
    images: int
    tolerance: float
    chance: dict[str, float]
    rows: tuple[Row, ...]
    failures: tuple[Failure, ...]
