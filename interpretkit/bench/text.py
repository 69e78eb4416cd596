"""A bench in text: a table for a terminal, or in Markdown, and what is to be said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit import words
from interpretkit.bench.records import CURVES, LOCALIZATION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from interpretkit.bench.records import Bench, Mean, Row

_HEADINGS = (
    "method",
    "layer",
    "pointing",
    "95 %",
    "0 px",
    "random weights",
    "energy",
    "rank",
    "IoU",
    "deletion",
    "insertion",
    "s/image",
    "passes",
)
_TO_THE_LEFT = 2
_FEW = 20  # images
_NOT_DEFINED = "–"


def text(bench: Bench) -> str:
    """Return a bench as it is printed on a terminal."""
    rows = [_HEADINGS, *_cells(bench)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [_aligned(row, widths) for row in rows]
    return "\n".join([about(bench), "", *lines, "", *remarks(bench)])


def markdown(bench: Bench) -> str:
    """Return a bench as a page of Markdown has it."""
    rules = ["---" if column < _TO_THE_LEFT else "---:" for column in range(len(_HEADINGS))]
    table = [" | ".join(row) for row in (_HEADINGS, rules, *_cells(bench))]
    said = [f"- {remark}" for remark in remarks(bench)]
    return "\n".join([about(bench), "", *(f"| {line} |" for line in table), "", *said])


def about(bench: Bench) -> str:
    """Return what was measured, in a sentence."""
    return (
        f"{words.count(bench.images, 'image')} of {bench.model} ({bench.weights}); each method explains the digit. "
        f"Pointing: the greatest cell lies less than {bench.tolerance:g} pixels from it; with 0 px, in it."
    )


def remarks(bench: Bench) -> Iterator[str]:
    """Yield what is to be said of the rows, each in a line."""
    if bench.images < _FEW:
        yield f"From {words.count(bench.images, 'image')} intervals come out too narrow."
    poor = [f"{row} ({', '.join(row.not_beaten)})" for row in bench.rows if row.not_beaten]
    if poor:
        yield f"Not clearly above a control in the pointing game: {', '.join(poor)}."
    else:
        yield "All methods are clearly above the controls in the pointing game."
    lost = [f"{row} in {row.nowhere}" for row in bench.rows if row.nowhere]
    if lost:
        yield f"Maps that point nowhere count as 0: {', '.join(lost)} of {words.count(bench.images, 'image')}."
    without = dict.fromkeys(row.method for row in bench.rows if "deletion" not in row.scores)
    if without:
        yield f"Of no target, so that no score can be watched: {', '.join(without)}."
    for failure in bench.failures:
        yield f"Not measured: {failure}"


def _cells(bench: Bench) -> Iterator[Sequence[str]]:
    """Yield the rows of the table: what chance brings, then the methods."""
    pointing, exact, *others = (words.fixed(bench.chance[name]) for name in LOCALIZATION)
    yield ("by chance", "", pointing, "", exact, "", *others, words.fixed(0), words.fixed(0), "", "")
    for row in bench.rows:
        yield _row(row)


def _row(row: Row) -> Sequence[str]:
    scores = row.scores
    pointing = scores["pointing"]
    return (
        f"{row.method} (control)" if row.control else row.method,
        row.layer,
        words.fixed(pointing.mean),
        f"{words.fixed(pointing.low)} to {words.fixed(pointing.high)}",
        _mean(scores, "pointing_exact"),
        _mean(row.random_weights, "pointing"),
        *(_mean(scores, name) for name in ("energy", "rank_accuracy", "iou")),
        *(_mean(scores, name, "+.2") for name in CURVES),
        words.number(float(f"{row.seconds:.2g}")),
        words.number(round(row.passes)),
    )


def _mean(scores: Mapping[str, Mean], name: str, form: str = ".2") -> str:
    return words.fixed(scores[name].mean, form) if name in scores else _NOT_DEFINED


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        cell.ljust(width) if column < _TO_THE_LEFT else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()
