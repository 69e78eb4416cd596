"""A bench as a chart: each method's scores with their intervals, beside random weights and chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit import figures
from interpretkit.bench.text import about

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from PIL.Image import Image

    from interpretkit.bench.records import Bench, Row

_WIDTH, _HEAD, _LINE = 9.6, 1.7, 0.24  # inches
_METHOD, _CONTROL, _RANDOM, _CHANCE = "#0072b2", "#d55e00", "#8c959f", "#57606a"
_SHOWN = {"pointing": "pointing game", "energy": "energy inside of the mask"}


def chart(bench: Bench) -> Image:
    """Draw the pointing game and the energy of each method, a line for each, the best above."""
    figure = figures.chart(_WIDTH, _HEAD + _LINE * len(bench.rows), title=about(bench))
    panels = figure.subplots(1, len(_SHOWN), sharey=True)
    for panel, (name, words) in zip(panels, _SHOWN.items(), strict=True):
        panel.axvline(bench.chance[name], color=_CHANCE, lw=0.9, ls="--", label="by chance")
        for place, row in enumerate(bench.rows):
            _draw(panel, place, row, name)
        panel.set(xlabel=f"{words}, 95 % interval", xlim=(-0.03, 1.03))
    panels[0].set_yticks(range(len(bench.rows)), [str(row) for row in bench.rows])
    panels[0].set_ylim(len(bench.rows) - 0.4, -0.6)
    handles, labels = panels[0].get_legend_handles_labels()
    # One for each colour, in the order in which they come.
    once = dict(zip(labels, handles, strict=True))
    panels[1].legend(once.values(), once.keys(), loc="lower right")
    return figures.picture(figure)


def _draw(panel: Axes, place: int, row: Row, name: str) -> None:
    """Draw the score of a method with its interval, and that on random weights."""
    score = row.scores[name]
    colour, label = (_CONTROL, "control") if row.control else (_METHOD, "method")
    panel.plot([score.low, score.high], [place, place], color=colour, lw=1.6)
    panel.plot(score.mean, place, "o", color=colour, ms=4.5, label=label)
    if name in row.random_weights:
        mean = row.random_weights[name].mean
        panel.plot(mean, place, "o", mfc="none", mec=_RANDOM, ms=4.5, label="on random weights")
