"""How well predicted changes of a score agree with actual ones: the number, its interval, and what chance brings."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

RESAMPLES = 1000
"""So many bootstrap samples the interval is taken from."""

ENDS = (0.05, 0.95)
"""Quantiles that intervals and ranges by chance lie between."""

_ANGLES = 2**16 + 1


class Scores(NamedTuple):
    """How well a map predicted what some perturbations did to the score."""

    infidelity: float
    relative: float
    scale: float
    unscaled: float
    change: float


class Chance(NamedTuple):
    """What `relative` is by chance alone, for a map that predicts nothing: its mean, 5 % and 95 % quantile."""

    chance: float
    chance_low: float
    chance_high: float


def compared(predicted: np.ndarray, drops: np.ndarray) -> Scores:
    """Return how predicted and actual drops of the score agree, `(sample,)` each.

    Example:
        >>> compared(np.array([1.0, -2.0]), np.array([-2.0, 4.0]))
        Scores(infidelity=0.0, relative=0.0, scale=-2.0, unscaled=22.5, change=10.0)
    """
    power = float(predicted @ predicted)
    scale = float(predicted @ drops) / power if power > 0 else 0.0
    change = float((drops**2).mean())
    infidelity = float(((scale * predicted - drops) ** 2).mean())
    return Scores(
        infidelity=infidelity,
        relative=infidelity / change if change > 0 else np.nan,
        scale=scale,
        unscaled=float(((predicted - drops) ** 2).mean()),
        change=change,
    )


def interval(predicted: np.ndarray, drops: np.ndarray, generator: np.random.Generator) -> tuple[float, float]:
    """Return the 5 % and the 95 % quantile of `relative` over bootstrap samples of the perturbations.

    Each bootstrap sample has a best scale of its own. NaN where the score never changes.

    Example:
        >>> interval(np.array([1.0, -2.0, 0.0]), np.array([-2.0, 4.0, 0.0]), np.random.default_rng(0))
        (0.0, 0.0)
    """
    products = np.stack([predicted * drops, predicted**2, drops**2])
    count = len(drops)
    sums = np.stack([products[:, generator.integers(count, size=count)].sum(1) for _ in range(RESAMPLES)])
    together, power, change = sums[sums[:, 2] > 0].T
    if not len(change):
        return np.nan, np.nan
    explained = np.divide(together**2, power * change, out=np.zeros_like(change), where=power > 0)
    low, high = np.quantile((1 - explained).clip(0), ENDS).tolist()
    return low, high


def by_chance(samples: int) -> Chance:
    r"""Return what `relative` is for a map that predicts nothing, from so many perturbations.

    With its best scale, `relative` is $1 - \cos^2$ of the angle between the predicted and the actual drops. A map that
    predicts nothing has predictions that are normal, all with one variance, and independent of the drops: whatever
    these are, the angle is that of a random direction in as many dimensions as there are perturbations, whose density
    is proportional to $\sin^{n - 2}$. So $\cos^2$ has the mean $1/n$, and the fit alone explains that much.

    Example:
        >>> [round(value, 3) for value in by_chance(24)]
        [0.958, 0.843, 1.0]
    """
    angles = np.linspace(0, np.pi / 2, _ANGLES)
    with np.errstate(divide="ignore"):
        density = np.exp((samples - 2) * np.log(np.sin(angles))) if samples > 2 else np.ones(_ANGLES)  # noqa: PLR2004
    reached = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    low, high = np.sin(np.interp(ENDS, reached / reached[-1], angles)) ** 2
    return Chance(1 - 1 / samples, float(low), float(high))
