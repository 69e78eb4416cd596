"""The figure of deletion and insertion: both curves of each map, beside random and reverse order."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from interpretkit import Figure, figures
from interpretkit_compare.perturbed import IN_WORDS
from interpretkit_compare.sources import cells_in

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from interpretkit import Result, Table
    from interpretkit_compare.curves import CurveOptions

_MAP: dict[str, Any] = {"color": "#0072b2", "lw": 1.8}
_RANDOM: dict[str, Any] = {"color": "#57606a", "lw": 1.2, "ls": "--"}
_REVERSE: dict[str, Any] = {"color": "#d55e00", "lw": 1.2, "ls": ":"}
_BAND = "#d0d7de"
_BETTER = {"deletion": "lower", "insertion": "higher"}
_LINE = 26  # characters beside a panel
_ROOM = 0.5  # of the height of the curves, for a legend


def draw(result: Result, options: CurveOptions) -> Figure:
    """Draw one row for each map: its deletion curve and its insertion curve."""
    areas, points, chance = (result.tables[name] for name in ("auc", "curves", "chance"))
    names = list(dict.fromkeys(areas["attribution"].tolist()))
    figure = figures.chart(8.4, 1.2 + 2.9 * len(names), title="Deletion and insertion in the order of each map")
    panels = figure.subplots(len(names), len(_BETTER), sharex=True, sharey="row", squeeze=False)
    for row, name in zip(panels, names, strict=True):
        for panel, curve in zip(row, _BETTER, strict=True):
            area, lines, band = (
                table.where("attribution", name).where("curve", curve) for table in (areas, points, chance)
            )
            _plot(panel, area, lines, band)
        _make_room(row[0])
    alike = _as_random(areas)
    return Figure(
        name="curves",
        picture=figures.picture(figure),
        caption=f"{alike} {_how(areas, options)}",
        alt=f"Areas under the curves: {_numbers(areas)}. {alike}",
    )


def _plot(panel: Axes, area: Table, points: Table, band: Table) -> None:
    """Draw one curve of one map, in its order, in reverse, and the band of random orders."""
    about = {name: column[0] for name, column in area.columns.items()}
    auc, reverse, chance, low, high = (
        figures.number(about[name]) for name in ("auc", "auc_reverse", "chance", "chance_low", "chance_high")
    )
    random = f"random: AUC {chance}" + (f" ({low} to {high})" if about["orders"] > 1 else "")
    in_order, in_reverse = points.where("order", "map"), points.where("order", "reverse")
    panel.fill_between(band["fraction"], band["low"], band["high"], color=_BAND, alpha=0.6, lw=0)
    panel.plot(
        in_order["fraction"],
        in_order["score"],
        # Areas may be alike in all digits that are shown.
        label=f"map: AUC {auc}, better than {about['beats']} of {about['orders']}",
        zorder=3,
        **_MAP,
    )
    panel.plot(band["fraction"], band["score"], label=random, **_RANDOM)
    panel.plot(in_reverse["fraction"], in_reverse["score"], label=f"reverse: AUC {reverse}", **_REVERSE)
    curve = about["curve"]
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


def _as_random(areas: Table) -> str:
    """Say which maps are not better than all random orders, by curve."""
    orders = int(areas["orders"][0])
    words = []
    for curve in _BETTER:
        rows = areas.where("curve", curve)
        names = rows["attribution"][rows["beats"] < rows["orders"]].tolist()
        if names:
            words.append(f"{', '.join(names)} ({curve})")
    told = f"Random maps are better than all of {figures.count(orders, 'random order')} once in {orders + 1}."
    return f"Not better than all random orders: {'; '.join(words)}. {told}" if words else told


def _how(areas: Table, options: CurveOptions) -> str:
    orders = figures.count(int(areas["orders"][0]), "random order")
    where = "each map's native grid"
    if options.grid is not None:
        where = f"one grid of {figures.shape(cells_in(areas))} cells, onto which every map is brought by area"
    return (
        f"Score while the image is replaced cell by cell of {where}, greatest value first. "
        f"Deletion: by {IN_WORDS[options.fill]}; lower is better. Insertion: of the blurred image (Gaussian, "
        f"standard deviation {options.blur:g} of the shorter side) by the image; higher is better. An AUC means "
        f"something only beside that of random order: here the mean of {orders} of the same cells, and from the least "
        "to the greatest (band). Images with parts replaced may be unlike any that the network was trained on."
    )


def _numbers(areas: Table) -> str:
    words = []
    columns = (areas[name].tolist() for name in ("attribution", "curve", "auc", "chance", "chance_low", "chance_high"))
    for name, curve, area, *random in zip(*columns, strict=True):
        mean, low, high = map(figures.number, random)
        words.append(f"{name}, {curve}: {figures.number(area)} (random {mean}, {low} to {high})")
    return "; ".join(words)
