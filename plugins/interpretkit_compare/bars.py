"""Small charts of scores: one bar for each method, its number written out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from interpretkit import figures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from PIL.Image import Image

_WIDTH, _HEAD, _BAR = 7.2, 1.3, 0.36
_WIDE = 2  # so many panels have room for many ticks


def bars(
    names: Sequence[str],
    scores: Mapping[str, np.ndarray],
    *,
    title: str,
    limits: tuple[float, float] | None = None,
    remarks: Sequence[str] = (),
) -> Image:
    """Draw horizontal bars with their numbers, one panel for each score, one bar in it for each method.

    Args:
        names: The methods.
        scores: By what stands below the axis: the score, its unit, which way is better. NaN is written as undefined.
        title: What it is; wraps.
        limits: Of the axis, where the score has a range.
        remarks: Stand behind the numbers, one for each method.

    Example:
        >>> bars(["a/0", "b/0"], {"share": np.array([0.2, np.nan])}, title="Shares").mode
        'RGB'
    """
    figure = figures.chart(_WIDTH, _HEAD + _BAR * len(names), title=title)
    panels = np.atleast_1d(figure.subplots(1, len(scores), sharey=True))
    places = np.arange(len(names))
    for panel, (what, values) in zip(panels, scores.items(), strict=True):
        lengths = np.where(np.isfinite(values), values, 0.0)
        panel.barh(places, lengths, height=0.6)
        low, high = limits or _limits(lengths)
        # Room for the numbers behind the bars.
        panel.set(xlabel=what, xlim=(low, high + 0.3 * (high - low)), yticks=places, yticklabels=names)
        if limits:
            panel.set_xticks(np.linspace(low, high, 6 if len(scores) <= _WIDE else 3))
        panel.grid(visible=False, axis="y")
        _write_numbers(panel, values, remarks or [""] * len(names))
    panels[0].set_ylim(len(names) - 0.4, -0.6)
    return figures.picture(figure)


def _limits(lengths: np.ndarray) -> tuple[float, float]:
    low, high = float(lengths.min()), float(lengths.max())
    return min(0.0, low), max(0.0, high) or 1.0


def _write_numbers(panel: Axes, values: np.ndarray, remarks: Sequence[str]) -> None:
    """Write each number, and what is remarked of it, behind its bar."""
    for place, (value, remark) in enumerate(zip(values.tolist(), remarks, strict=True)):
        known = np.isfinite(value)
        text = figures.number(value) if known else "undefined"
        start = max(value, 0.0) if known else 0.0
        panel.text(start, place, f" {text}{remark}", va="center", fontsize=8.5, color="#1f2328")
