"""The score of one image while its pixels are replaced, cell by cell."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field

from interpretkit_compare.perturbed import PerturbedOptions

if TYPE_CHECKING:
    import torch

    from interpretkit import Captured, Grid, Target


class CurveOptions(PerturbedOptions):
    """How an image is replaced, and what is watched meanwhile."""

    steps: int = Field(
        default=25, ge=1, le=10000, description="in how many steps the image is replaced; at most one for each cell"
    )
    grid: list[Annotated[int, Field(ge=1)]] | Literal["pixels"] | None = Field(
        default=None,
        description="cells [y, x] that all maps are ordered on, [x] of signals, [z, y, x] of volumes, or pixels, so "
        "that maps of different grids can be compared; by default each on its own",
    )
    score: Literal["probability", "logit"] = Field(
        default="probability",
        description="what is watched; what has no probability, such as a contrast, is always watched by its score",
    )


class Curve(NamedTuple):
    """Scores by the share of pixels that have been replaced.

    Example:
        >>> Curve(np.array([0.0, 0.5, 1.0]), np.array([1.0, 1.0, 0.0])).area
        0.75
    """

    fractions: np.ndarray
    scores: np.ndarray

    @property
    def area(self) -> float:
        """Area under it, by trapezoids: the mean score along the way."""
        heights = self.scores[1:] + self.scores[:-1]
        return float(np.diff(self.fractions) @ heights / 2)


class Curves(NamedTuple):
    """Both curves of one image in one order of its cells."""

    deletion: Curve
    insertion: Curve


class Band(NamedTuple):
    """Curves of one image in several orders of one grid.

    Example:
        >>> ends = np.array([0.0, 1.0])
        >>> band = Band((Curve(ends, np.array([1.0, 0.0])), Curve(ends, np.array([0.5, 0.5]))))
        >>> band.mean.scores.tolist(), [scores.tolist() for scores in band.reach]
        ([0.75, 0.25], [[0.5, 0.0], [1.0, 0.5]])
    """

    curves: tuple[Curve, ...]

    @property
    def mean(self) -> Curve:
        """The mean of the curves."""
        fractions = np.mean([curve.fractions for curve in self.curves], axis=0)
        scores = np.mean([curve.scores for curve in self.curves], axis=0)
        return Curve(fractions, scores)

    @property
    def reach(self) -> tuple[np.ndarray, np.ndarray]:
        """The least and the greatest score at each step."""
        scores = np.stack([curve.scores for curve in self.curves])
        return scores.min(0), scores.max(0)

    @property
    def areas(self) -> np.ndarray:
        """The area under each curve."""
        return np.array([curve.area for curve in self.curves])


class Watched:
    """One image whose score for one target is watched while its pixels are replaced."""

    def __init__(self, captured: Captured, position: int, target: Target, options: CurveOptions) -> None:
        self.target = target
        self.scored = _scored(target, options.score)
        self._model = captured.model
        self._steps = options.steps
        self._at_once = options.internal_batch_size
        image = captured.inputs[position : position + 1]
        self._image = image
        self._deleted = self._model.baseline(image, options.fill, blur=options.blur)
        self._blurred = self._model.baseline(image, "blurred", blur=options.blur)

    def curves(self, ranks: np.ndarray, grid: Grid) -> Curves:
        """Return the deletion and the insertion curve of the cells of a grid in the order of their ranks `(y, x)`."""
        return Curves(
            deletion=self._curve(self._image, self._deleted, ranks, grid),
            insertion=self._curve(self._blurred, self._image, ranks, grid),
        )

    def _curve(self, before: torch.Tensor, after: torch.Tensor, ranks: np.ndarray, grid: Grid) -> Curve:
        """Return the scores while the pixels of one image are replaced by those of another."""
        import torch

        when = torch.from_numpy(ranks.ravel()[grid.nearest]).to(before.device)
        steps = min(self._steps, ranks.size)
        counts = np.unique(np.linspace(0, ranks.size, steps + 1).round().astype(int))
        fractions, scores = [], []
        for start in range(0, len(counts), self._at_once):
            limits = torch.from_numpy(counts[start : start + self._at_once]).to(before.device)
            replaced = when < limits.view(-1, *[1] * when.ndim)
            variants = torch.where(replaced[:, None], after, before)
            scores.append(self._scores(variants))
            fractions.append(replaced.double().flatten(1).mean(1).cpu().numpy())
        return Curve(np.concatenate(fractions), np.concatenate(scores))

    def _scores(self, variants: torch.Tensor) -> np.ndarray:
        """Return the watched score of each image, `(variant,)`, float64."""
        scores = None
        if self.scored == "probability":
            scores = self._model.probability(variants, self.target)
        if scores is None:
            scores = self._model.scores(variants, [self.target]).double()
        return np.asarray(scores.cpu().numpy())


def _scored(target: Target, wanted: str) -> str:
    """Return what is watched: the probability where it is wanted and there is one, else the score."""
    has_probability = not (math.isnan(target.probability) or target.against_label)
    return "probability" if has_probability and wanted == "probability" else target.quantity
