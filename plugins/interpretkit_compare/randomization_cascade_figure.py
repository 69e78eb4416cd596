"""The figure of a cascade: how alike each map stays to that of the trained network, stage by stage."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from interpretkit import Figure, figures
from interpretkit_compare.attributions import labels
from interpretkit_compare.measures import IN_WORDS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from interpretkit import Result, Table
    from interpretkit_compare.randomization_cascade import RandomizationCascade

_MEASURES = ("rank_correlation", "ssim")
_ROOM = 1.5  # beside the curves, in layers
_TRAINED = "none"
_LETTERS = 45  # that fit below a panel
_STYLES = ("o-", "s--", "^:", "D-.")


def draw(result: Result, options: RandomizationCascade.Options) -> Figure:
    """Draw one panel for each measure, with one curve for each map, and what is by chance."""
    table = result.tables["cascade"]
    title = "Maps while the network forgets, from its output to its input"
    figure = figures.chart(12.4, 4.6, title=title)
    panels = figure.subplots(1, len(_MEASURES))
    for panel, measure in zip(panels, _MEASURES, strict=True):
        _plot(panel, table, measure)
    panels[-1].legend(loc="upper left", bbox_to_anchor=(1.02, 1.0))
    return Figure(
        name="cascade",
        picture=figures.picture(figure),
        caption=f"{_ends(table)} {_how(options)}",
        alt=f"Curves of how alike maps stay while layers are drawn anew. {_ends(table)}",
    )


def _plot(panel: Axes, table: Table, measure: str) -> None:
    """Draw the curve of each map by one measure, from the trained network on, and beside them what is by chance."""
    maps = list(dict.fromkeys(table["attribution"].tolist()))
    layers = [_TRAINED, *dict.fromkeys(table["layer"].tolist())]
    panel.axhline(0, color="#8c959f", lw=0.8)
    panel.axvline(len(layers) - 0.5, color="#8c959f", lw=0.8)
    places = len(layers) - 0.5 + (np.arange(len(maps)) + 1) * _ROOM / (len(maps) + 1)
    for name, style, place in zip(maps, cycle(_STYLES), places, strict=False):
        of_map = table.where("attribution", name)
        values = np.concatenate([[1.0], of_map[measure]])
        (line,) = panel.plot(np.arange(len(values)), values, style, ms=4, label=labels(of_map)[0])
        low, high = (of_map[f"{measure}_chance_{end}"][0] for end in ("low", "high"))
        panel.vlines(place, low, high, color=line.get_color(), lw=3)
    _name_places(panel, layers)
    panel.set(title=f"{IN_WORDS[measure]} with the map of the trained network")
    panel.set(xlabel="drawn anew, with all before it", ylim=(-1.06, 1.06))


def _name_places(panel: Axes, layers: list[str]) -> None:
    """Write what was drawn last below each point, and what the bars are."""
    count = len(layers)
    upright = (count + 1) * max(map(len, layers)) > _LETTERS
    ticks = [*range(count), count - 0.5 + _ROOM / 2]
    panel.set_xticks(ticks, [*layers, "by chance"], rotation=90 if upright else 0)
    panel.set_xlim(-0.4, count - 0.5 + _ROOM)


def _ends(table: Table) -> str:
    """Say how alike each map is to that of the trained network after the first stage and after the last."""
    words = []
    for name in dict.fromkeys(table["attribution"].tolist()):
        of_map = table.where("attribution", name)
        found, high = of_map["rank_correlation"], of_map["rank_correlation_chance_high"][0]
        low = of_map["rank_correlation_chance_low"][0]
        first, last, *chance = map(figures.fixed, (found[0], found[-1], low, high))
        beyond = ", above chance" if found[-1] > high else ""
        words.append(f"{name} {first}, at last {last}{beyond} (by chance {chance[0]} to {chance[1]})")
    first = table["layer"][0]
    return f"Rank correlation with the map of the trained network, {first} alone drawn anew: {'; '.join(words)}."


def _how(options: RandomizationCascade.Options) -> str:
    return (
        "The layers get random weights one after another, from the output to the input, and keep them; the explained "
        "class is held fixed. A map that depends on what was learned falls to what is by chance: 5 to 95 % over "
        f"{options.shuffles} times that the trained network's own map is mirrored and shifted around (bars). One that "
        "stays alike shows the image and the architecture. The check randomization judges the last point by its rank "
        "correlation."
    )
