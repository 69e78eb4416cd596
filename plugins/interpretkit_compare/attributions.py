"""The attribution maps that a score reads from earlier steps, and what each explains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from interpretkit import StepError
from interpretkit_compare.sources import Source, attribution_sources

if TYPE_CHECKING:
    from interpretkit import Captured, Table, Target

# How far scores of one image may differ between passes, as a part of the greatest logit.
_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Attribution(Source):
    """An attribution map `(image, y, x)` of an earlier step, and what it explains.

    Attributes:
        targets: What it explains of each image; empty where it explains no score.
    """

    targets: tuple[Target, ...]

    def explained(self, position: int) -> str:
        """Return what the map explains of one image, in words; empty where it explains no score."""
        if not self.targets:
            return ""
        return self.targets[position].name

    def about(self, captured: Captured, position: int) -> dict[str, str]:
        """Return the columns that say which image and map the row of a table is about."""
        image = captured.images[position].id
        return {"image": image, "attribution": self.name, "target": self.explained(position)}

    def values(self, captured: Captured, position: int) -> np.ndarray:
        """Return the map of one image, `(y, x)`, float64.

        Raises:
            StepError: If it has cells that are not finite.
        """
        values: np.ndarray = self.map.values[position].astype(np.float64)
        broken = int((~np.isfinite(values)).sum())
        if broken:
            image = captured.images[position].id
            raise StepError(f"map {self.name} of image {image!r}: {broken} cells are NaN or infinite")
        return values

    def target(self, captured: Captured, position: int) -> Target:
        """Return what the map explains of one image, for passes of this step's model.

        Raises:
            StepError: If it explains no score, or that of another model.
        """
        if not self.targets:
            raise StepError(f"map {self.name} explains no class, so there is no score to watch")
        target = self.targets[position]
        image, model = captured.inputs[position], captured.model
        same_size = tuple(image.shape[1:]) == tuple(self.map.extent.values())
        if not (same_size and model.gives(image, target, tolerance=_TOLERANCE)):
            raise StepError(
                f"map {self.name} explains {target} of another model than this step looks at",
                hint="read steps of one model, and name it under `model:`",
            )
        return target


def attributions(captured: Captured) -> list[Attribution]:
    """Return the attribution maps, those without channels, of all steps that are read.

    Raises:
        StepError: If there are none.

    Example:
        >>> import torch
        >>> from interpretkit import Captured, InputImage, Map, Result
        >>> image = InputImage(id="image0", source="", sha256="", size=(8, 8))
        >>> geometry = {"layer": "a", "extent": {"y": 8, "x": 8}, "polarity": "signed"}
        >>> cam = Result(maps={"a": Map(values=np.eye(2)[None], dims=("image", "y", "x"), **geometry)}, images=(image,))
        >>> nothing = {"inputs": torch.zeros(1, 3, 8, 8), "activations": {}, "gradients": {}}
        >>> [each.name for each in attributions(Captured(images=(image,), results={"cam": cam}, **nothing))]
        ['cam/a']
    """
    explaining = []
    for source in attribution_sources(captured.results):
        result = captured.results[source.step]
        explained = [result.targets_of(image.id) for image in captured.images]
        targets = [of_image[_rank(source.key, len(of_image))] for of_image in explained if of_image]
        explaining.append(Attribution(source.step, source.key, source.map, tuple(targets)))
    return explaining


def labels(table: Table) -> list[str]:
    """Return what figures call the maps that the rows of a table are about: name and what each explains.

    Example:
        >>> from interpretkit import Table
        >>> labels(Table(attribution=["cam/a", "cam/b"], target=["tench", ""]))
        ['cam/a: tench', 'cam/b']
    """
    rows = zip(table["attribution"].tolist(), table["target"].tolist(), strict=True)
    return [f"{name}: {target}" if target else name for name, target in rows]


def _rank(key: str, count: int) -> int:
    """Return which of the targets of an image a map is about: of several, its name says which."""
    return 0 if count == 1 else int(key.rpartition(" top ")[2]) - 1
