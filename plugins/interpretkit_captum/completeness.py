"""Tables of how far attributions add up and of what an image was compared with, and the same in words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from interpretkit import Table, figures
from interpretkit_captum.baselines import WORDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import torch

    from interpretkit import Captured, Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What a method says of one image at the input or at a layer.

    Attributes:
        values: The map `(y, x)`.
        score: The image's score, where it is set against something; it is computed for the image alone, so that
            rounding is the same in any batch.
        total: Sum of all attributions, where the method promises what it is; else None.
        reference: Score of the baseline (the mean of several), which the image's score should exceed by the total;
            None without a baseline: then the total should be the score itself.
        doubt: Why it should not be relied on, in words; empty where nothing is known against it.
    """

    values: torch.Tensor
    score: float | None = None
    total: float | None = None
    reference: float | None = None
    doubt: str = ""


def tables_of(captured: Captured, found: Sequence[Mapping[str, Explanation]], *, baseline: str) -> dict[str, Table]:
    """Return the tables `completeness`, where the method promises it, and `baseline`, where there is one.

    Args:
        captured: The batch.
        found: For each image what was said of it, by layer.
        baseline: The name of the baseline; empty without one.
    """
    ids = [image.id for image in captured.images]
    tables = {}
    rows = [
        (image, layer, each.total, each.score - (each.reference or 0.0))
        for image, layers in zip(ids, found, strict=True)
        for layer, each in layers.items()
        if each.total is not None and each.score is not None
    ]
    if rows:
        tables["completeness"] = _completeness(rows)
    if baseline:
        firsts = [next(iter(layers.values())) for layers in found]
        tables["baseline"] = Table(
            image=ids,
            baseline=[baseline] * len(ids),
            score=[each.score for each in firsts],
            baseline_score=[each.reference for each in firsts],
        )
    return tables


def _completeness(rows: Sequence[tuple[str, str, float, float]]) -> Table:
    gaps = [total - difference for _, _, total, difference in rows]
    differences = [difference for *_, difference in rows]
    return Table(
        image=[image for image, *_ in rows],
        layer=[layer for _, layer, *_ in rows],
        sum=[total for _, _, total, _ in rows],
        difference=differences,
        gap=gaps,
        relative_gap=[abs(g / d) if d else math.nan for g, d in zip(gaps, differences, strict=True)],
    )


_FAR = 0.05
"""A gap of more than this part of the difference is said in words, and not in the table alone."""

_TINY = 1e-3
"""Scores that differ by less than this part of themselves say nothing about a gap."""


def far(captured: Captured, found: Sequence[Mapping[str, Explanation]], *, mend: str) -> Iterator[str]:
    """Say of which images attributions are far from adding up.

    Args:
        captured: The batch.
        found: For each image what was said of it, by layer.
        mend: What to do about it.
    """
    for image, layers in zip(captured.images, found, strict=True):
        for layer, each in layers.items():
            if each.total is None or each.score is None or each.reference is None:
                continue
            difference = each.score - each.reference
            gap = abs(each.total - difference)
            if abs(difference) > _TINY * max(abs(each.score), abs(each.reference)) and gap > _FAR * abs(difference):
                number = figures.number
                share = number(100 * gap / abs(difference))
                yield (
                    f"{image.id}: the attributions at {layer} sum to {number(each.total)}, and the score differs from "
                    f"the baseline's by {number(difference)}: a gap of {share} %; {mend}"
                )


def in_words(result: Result, layer: str, *, about: str = "") -> Iterator[str]:
    """Say how far the attributions at a layer add up, and what the image was compared with.

    Args:
        result: Of one image.
        layer: Which layer, or `input`.
        about: What stands before the name of the baseline: `Gaussian noise about `.
    """
    compared = result.tables.get("baseline")
    if "completeness" in result.tables:
        ((_, _, total, difference, gap, relative),) = result.tables["completeness"].where("layer", layer).rows()
        meant = "the score differs from the baseline's by" if compared is not None else "the score is"
        share = "" if math.isnan(relative) else f" ({figures.number(100 * relative)} %)"
        number = figures.number
        yield f"The attributions sum to {number(total)}, {meant} {number(difference)}: gap {number(gap)}{share}."
        if compared is not None and relative > _FAR:
            yield "That is far from complete: read no share of the score off the map."
    if compared is not None:
        ((_, name, _, reference),) = compared.rows()
        yield f"Baseline: {about}{WORDS[name]}; score {figures.number(reference)}."
