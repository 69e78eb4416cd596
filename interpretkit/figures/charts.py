"""Charts: matplotlib figures in one style, without pyplot; they are drawn with matplotlib's own defaults in force."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from interpretkit.figures.text import legible, wrap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

_DPI = 100
_INK, _SOFT, _RULE = "#1f2328", "#57606a", "#d0d7de"
_TITLE, _TEXT, _TICKS = 11, 9.5, 8.5
# Okabe and Ito's colours, told apart in every kind of colour blindness; the darkest come first.
_CYCLE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")


def chart(width: float, height: float, *, title: str) -> Figure:
    """Return an empty matplotlib figure in the common style; `picture` renders it.

    Args:
        width: In inches, of 100 pixels each.
        height: In inches.
        title: Stands above the axes, at the left; wraps.

    Example:
        >>> figure = chart(4, 3, title="Mean of the channels")
        >>> _ = figure.subplots().plot([0, 1], [0.2, 0.4])
        >>> picture(figure).size
        (400, 300)
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1)
    figure = Figure(figsize=(width, height), dpi=_DPI, layout=layout, facecolor="white")
    points = round(_TITLE * _DPI / 72)
    room = int(width * _DPI) - 24
    lines = wrap(title, points=points, width=room)
    figure.suptitle("\n".join(lines), x=0.12 / width, ha="left", fontsize=_TITLE, color=_INK)
    figure.add_axobserver(_style)
    return figure


def picture(figure: Figure) -> Image.Image:
    """Render a matplotlib figure as an RGB picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    _make_legible(figure)
    for axes in figure.axes:
        # `set_title` and `legend` take their sizes from matplotlib's settings, so this can only be done now.
        axes.title.set(fontsize=_TEXT, color=_INK)
        legend = axes.get_legend()
        if legend is None:
            continue
        legend.get_frame().set(edgecolor=_RULE, linewidth=0.6)
        for text in legend.get_texts():
            text.set(fontsize=_TICKS, color=_INK)
    canvas: Any = FigureCanvasAgg(figure)  # matplotlib leaves its methods untyped
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())
    return Image.fromarray(pixels).convert("RGB")


class _Legible:
    """Writes the names of ticks with escapes."""

    def __init__(self, names: FuncFormatter) -> None:
        self._names = names

    def __call__(self, value: float, position: Any) -> str:
        # Names may be numbers.
        return legible(str(self._names(value, position)))


def _make_legible(figure: Figure) -> None:
    """Write characters that the font lacks as escapes, in all texts and in ticks that have names."""
    from matplotlib.text import Text
    from matplotlib.ticker import FuncFormatter

    for text in figure.findobj(Text):
        text.set_text(legible(text.get_text()))
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            # Names of ticks are written anew by each drawing; matplotlib keeps them in a formatter of this kind.
            names = axis.get_major_formatter()
            if isinstance(names, FuncFormatter):
                axis.set_major_formatter(_Legible(names))


def _style(figure: Figure) -> None:
    """Style the axes that a figure has just got; matplotlib calls it before they are drawn on."""
    axes: Axes = figure.axes[-1]
    axes.set_prop_cycle(color=_CYCLE)
    axes.set_axisbelow(True)
    axes.grid(visible=True, color=_RULE, linewidth=0.6)
    axes.tick_params(labelsize=_TICKS, labelcolor=_SOFT, color=_RULE, which="both")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_RULE)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set(fontsize=_TEXT, color=_SOFT)
