"""Small charts of scores: one bar for each method, its number written out, beside what chance brings."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from interpretkit import figures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from PIL.Image import Image

_WIDTH, _HEAD, _BAR = 7.2, 1.3, 0.36
_WIDE = 2  # so many panels have room for many ticks
_LEGEND = 0.3  # inches
_BARS, _CHANCE, _INK = "#8fb3d9", "#d0d7de", "#1f2328"


class Score(NamedTuple):
    """A score of some methods, as a panel shows it.

    Attributes:
        label: Stands below the axis: the score, its unit, which way is better.
        values: One for each method; NaN is written as undefined.
        interval: Lower and upper ends of the values' intervals, one for each method.
        chance: Between which values the score lies by chance, the same for all methods.
    """

    label: str
    values: np.ndarray
    interval: tuple[np.ndarray, np.ndarray] | None = None
    chance: tuple[float, float] | None = None


def bars(
    names: Sequence[str],
    scores: Sequence[Score],
    *,
    title: str,
    limits: tuple[float, float] | None = None,
    remarks: Sequence[str] = (),
) -> Image:
    """Draw horizontal bars with their numbers, one panel for each score, one bar in it for each method.

    Args:
        names: The methods.
        scores: The scores, from left to right.
        title: What it is; wraps.
        limits: Of the axis, where the score has a range.
        remarks: Stand behind the numbers, one for each method.

    Example:
        >>> bars(["a/0", "b/0"], [Score("share", np.array([0.2, np.nan]))], title="Shares").mode
        'RGB'
    """
    legend = any(score.chance for score in scores)
    figure = figures.chart(_WIDTH, _HEAD + _LEGEND * legend + _BAR * len(names), title=title)
    panels = np.atleast_1d(figure.subplots(1, len(scores), sharey=True))
    places = np.arange(len(names))
    for panel, score in zip(panels, scores, strict=True):
        lengths = np.where(np.isfinite(score.values), score.values, 0.0)
        panel.barh(places, lengths, height=0.6, color=_BARS)
        low, high = limits or _limits(lengths)
        # Room for the numbers behind the bars.
        panel.set(xlabel=score.label, xlim=(low, high + 0.3 * (high - low)), yticks=places, yticklabels=names)
        if limits:
            panel.set_xticks(np.linspace(low, high, 6 if len(scores) <= _WIDE else 3))
        panel.grid(visible=False, axis="y")
        _draw_chance(panel, score)
        _draw_interval(panel, score)
        _write_numbers(panel, score, remarks or [""] * len(names))
    panels[0].set_ylim(len(names) - 0.4, -0.6)
    return figures.picture(figure)


def _limits(lengths: np.ndarray) -> tuple[float, float]:
    low, high = float(lengths.min()), float(lengths.max())
    return min(0.0, low), max(0.0, high) or 1.0


def _draw_chance(panel: Axes, score: Score) -> None:
    """Draw where the score lies by chance, behind the bars, with a line at its border that shows on them too."""
    if score.chance is None:
        return
    low, high = score.chance
    panel.axvspan(low, high, color=_CHANCE, alpha=0.6, lw=0, zorder=0.5, label="by chance, 5 to 95 %")
    panel.axvline(low, color=_INK, lw=0.9, ls=":")
    panel.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), frameon=False, borderaxespad=0.1)


def _draw_interval(panel: Axes, score: Score) -> None:
    if score.interval is None:
        return
    low, high = score.interval
    panel.hlines(np.arange(len(low)), low, high, color=_INK, lw=1.2)
    panel.plot(np.concatenate([low, high]), np.tile(np.arange(len(low)), 2), "|", color=_INK, ms=7)


def _write_numbers(panel: Axes, score: Score, remarks: Sequence[str]) -> None:
    """Write each number, and what is remarked of it, behind its bar, its interval, and what is by chance."""
    ends = score.values
    if score.interval is not None:
        ends = np.fmax(ends, score.interval[1])
    if score.chance is not None:
        ends = np.fmax(ends, score.chance[1])
    for place, (value, end, remark) in enumerate(zip(score.values.tolist(), ends.tolist(), remarks, strict=True)):
        known = np.isfinite(value)
        text = figures.number(value) if known else "undefined"
        start = max(end, 0.0) if known else 0.0
        panel.text(start, place, f"  {text}{remark}", va="center", fontsize=8.5, color=_INK)
