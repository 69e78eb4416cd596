"""How slices of a set of images differ: means, their intervals by bootstrap, and what shuffled slices reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from interpretkit import StepError, Table

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Resampling:
    """How intervals and chance levels are drawn.

    Attributes:
        least: Images that a slice needs for them.
        level: Share of bootstrap samples that an interval holds.
        resamples: Bootstrap samples.
        shuffles: Shuffles of the images among the slices.
        seed: Of both.
    """

    least: int
    level: float
    resamples: int
    shuffles: int
    seed: int


class Group(NamedTuple):
    """A slice: the column that makes it, the value there, and which images it has, `(image,)` bool."""

    by: str
    value: str
    inside: np.ndarray


def compared(numbers: Mapping[str, np.ndarray], slices: Mapping[str, np.ndarray], how: Resampling) -> Table:
    """Return a row for each slice and number.

    Args:
        numbers: By name, `(image,)`; NaN where an image has none.
        slices: By column, the value of each image, `(image,)`.
        how: Of the intervals and chance levels.

    Raises:
        StepError: If there is no number at all.
    """
    known = {name: values for name, values in numbers.items() if not np.isnan(values).all()}
    if not known:
        raise StepError("the steps that it reads have no number for each image", hint="read steps such as depth_sweep")
    values = np.stack(list(known.values()), axis=1)
    groups = [
        Group(by, value, of_images == value) for by, of_images in slices.items() for value in np.unique(of_images)
    ]
    generator = np.random.default_rng(how.seed)
    chances = _chances(values, groups, how, generator)
    rows = []
    for group, chance in zip(groups, chances, strict=True):
        columns = _columns(values, group.inside, how, generator)
        for position, name in enumerate(known):
            of_number = {column: each[position] for column, each in columns.items()}
            rows.append({"by": group.by, "slice": group.value, "number": name, **of_number, "p": chance[position]})
    return Table.of_rows(rows)


def _columns(
    values: np.ndarray, inside: np.ndarray, how: Resampling, generator: np.random.Generator
) -> dict[str, np.ndarray]:
    """Return the columns of one slice, each `(number,)`."""
    own, others = values[inside], values[~inside]
    counts = (~np.isnan(own)).sum(0)
    enough = (counts >= how.least) & ((~np.isnan(others)).sum(0) >= how.least)
    mean, rest = _mean(own), _mean(others)
    drawn, drawn_of_rest = (_bootstrapped(each, how.resamples, generator) for each in (own, others))
    ends = ((1 - how.level) / 2, (1 + how.level) / 2)
    low, high = _quantiles(drawn, ends, where=counts >= how.least)
    low_difference, high_difference = _quantiles(drawn - drawn_of_rest, ends, where=enough)
    return {
        "images": counts,
        "mean": mean,
        "low": low,
        "high": high,
        "rest": rest,
        "difference": mean - rest,
        "difference_low": low_difference,
        "difference_high": high_difference,
    }


def _mean(values: np.ndarray) -> np.ndarray:
    """Return the means `(number,)` of values `(image, number)` over the images that have them; NaN where none has."""
    known = ~np.isnan(values)
    count = known.sum(0)
    return np.where(count > 0, np.where(known, values, 0).sum(0) / np.maximum(count, 1), np.nan)


def _bootstrapped(values: np.ndarray, resamples: int, generator: np.random.Generator) -> np.ndarray:
    """Return means of bootstrap samples of the images, `(resample, number)`; NaN where a sample has no number."""
    images = len(values)
    weights = generator.multinomial(images, np.full(images, 1 / images), size=resamples).astype(np.float64)
    known = ~np.isnan(values)
    counts = weights @ known
    return np.where(counts > 0, weights @ np.where(known, values, 0) / np.maximum(counts, 1), np.nan)


def _quantiles(drawn: np.ndarray, ends: tuple[float, float], *, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.full((2, drawn.shape[1]), np.nan)
    if where.any():
        low[where], high[where] = np.nanquantile(drawn[:, where], ends, axis=0)
    return low, high


def _chances(values: np.ndarray, groups: list[Group], how: Resampling, generator: np.random.Generator) -> np.ndarray:
    """Return the share of shuffles in which some slice differs as much in some number, `(slice, number)`.

    The difference of two means is measured in standard errors. NaN where there are too few images to tell.
    """
    inside = np.stack([group.inside for group in groups]).astype(np.float64)
    known = (~np.isnan(values)).astype(np.float64)
    counts = inside @ known
    enough = (counts >= how.least) & (known.sum(0) - counts >= how.least)
    if not enough.any():
        return np.full(enough.shape, np.nan)
    # About the mean, so that nothing is lost where numbers are far from 0.
    centred = np.where(known > 0, values - _mean(values), 0)
    found = _in_errors(inside, centred, known)
    greatest = np.empty(how.shuffles)
    for shuffle in range(how.shuffles):
        order = generator.permutation(len(values))
        greatest[shuffle] = _in_errors(inside, centred[order], known[order])[enough].max()
    # But for rounding, a shuffle that gives the same slices differs as much.
    reached = (greatest[:, None, None] >= found * (1 - 1e-9)).sum(0)
    return np.where(enough, (1 + reached) / (1 + how.shuffles), np.nan)


def _in_errors(inside: np.ndarray, values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return by how many standard errors slices differ from all other images, `(slice, number)`.

    Infinite where two different numbers do not vary at all; 0 where they are the same.
    """
    sides = []
    for members in (inside, 1 - inside):
        count = np.maximum(members @ known, 1)
        mean = members @ values / count
        variance = np.maximum(members @ values**2 / count - mean**2, 0)
        sides.append((mean, variance / np.maximum(count - 1, 1)))
    (mean, error), (rest, error_of_rest) = sides
    difference = np.abs(mean - rest)
    rounding = 1e-12 * np.abs(values).max(0)
    spread = np.sqrt(error + error_of_rest)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(difference <= rounding, 0, difference / np.where(spread <= rounding, 0, spread))
