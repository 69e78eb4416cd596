"""The figure of deletion and insertion: both curves of each map, beside random and reverse order."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from interpretkit import Figure, figures
from interpretkit_compare.perturbed import IN_WORDS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from interpretkit import Result, Table
    from interpretkit_compare.curves import CurveOptions

_STYLES: dict[str, dict[str, Any]] = {
    "map": {"color": "#0072b2", "lw": 1.8},
    "random": {"color": "#57606a", "lw": 1.2, "ls": "--"},
    "reverse": {"color": "#d55e00", "lw": 1.2, "ls": ":"},
}
_AREAS = {"map": "auc", "random": "auc_random", "reverse": "auc_reverse"}
_BETTER = {"deletion": "lower", "insertion": "higher"}
_LINE = 26  # characters beside a panel
_ROOM = 0.5  # of the height of the curves, for a legend


def draw(result: Result, options: CurveOptions, *, random_orders: int) -> Figure:
    """Draw one row for each map: its deletion curve and its insertion curve."""
    areas, points = result.tables["auc"], result.tables["curves"]
    names = list(dict.fromkeys(areas["attribution"].tolist()))
    figure = figures.chart(8.4, 1.2 + 2.9 * len(names), title="Deletion and insertion in the order of each map")
    panels = figure.subplots(len(names), len(_BETTER), sharex=True, sharey="row", squeeze=False)
    for row, name in zip(panels, names, strict=True):
        for panel, curve in zip(row, _BETTER, strict=True):
            area = areas.where("attribution", name).where("curve", curve)
            lines = points.where("attribution", name).where("curve", curve)
            _plot(panel, area, lines)
        _make_room(row[0])
    return Figure(
        name="curves",
        picture=figures.picture(figure),
        caption=_caption(options, random_orders),
        alt=f"Areas under the curves: {_numbers(areas)}.",
    )


def _plot(panel: Axes, area: Table, points: Table) -> None:
    """Draw one curve of one map, in all three orders."""
    about = {name: column[0] for name, column in area.columns.items()}
    curve = about["curve"]
    for order, style in _STYLES.items():
        label = f"{order}: AUC {figures.number(about[_AREAS[order]])}"
        if order == "map":
            # Areas may be alike in all digits that are shown; by how much they differ is what counts.
            gain = about["gain"]
            label += f", gain {'+' if gain > 0 else ''}{figures.number(gain)}"
        line = points.where("order", order)
        panel.plot(line["fraction"], line["score"], label=label, **style)
    panel.set(title=f"{about['attribution']}: {curve} ({_BETTER[curve]} is better)", xlim=(0, 1))
    score = textwrap.fill(f"{about['score']} of {about['target']}", _LINE)
    panel.set(xlabel="share of pixels replaced", ylabel=score)
    panel.label_outer()
    panel.legend(loc="upper right")


def _make_room(panel: Axes) -> None:
    """Leave room for the legend above the curves, so that it covers none."""
    low, high = panel.get_ylim()
    # No tick where only the legend is: there is no probability above 1.
    panel.set_yticks([tick for tick in panel.get_yticks() if low <= tick <= high])
    panel.set_ylim(low, high + _ROOM * (high - low))


def _caption(options: CurveOptions, random_orders: int) -> str:
    return (
        "Score while the image is replaced cell by cell of each map's native grid, greatest value first. "
        f"Deletion: by {IN_WORDS[options.fill]}; lower is better. Insertion: of the blurred image (Gaussian, "
        f"standard deviation {options.blur:g} of the shorter side) by the image; higher is better. An AUC means "
        f"something only beside that of random order, here the mean of {random_orders}. Images with "
        "parts replaced may be unlike any that the network was trained on."
    )


def _numbers(areas: Table) -> str:
    words = []
    columns = (areas[name].tolist() for name in ("attribution", "curve", "auc", "auc_random"))
    for name, curve, area, random in zip(*columns, strict=True):
        of_map, at_random = figures.number(area), figures.number(random)
        words.append(f"{name}, {curve}: {of_map} (random {at_random})")
    return "; ".join(words)
