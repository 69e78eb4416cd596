"""The figure of infidelity: a bar for each map, its interval, and what a map gets that predicts nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit import Figure, figures
from interpretkit_compare.attributions import labels
from interpretkit_compare.bars import Score, bars
from interpretkit_compare.perturbed import IN_WORDS

if TYPE_CHECKING:
    from interpretkit import Table
    from interpretkit_compare.infidelity import Infidelity


def draw(table: Table, options: Infidelity.Options) -> Figure:
    """Draw the relative infidelity of the maps of one image, from the table `infidelity`."""
    names = labels(table)
    remarks = [" (wrong sign)" if scale < 0 else "" for scale in table["scale"]]
    score = Score(
        "infidelity / mean squared change of the score (lower is better)",
        table["relative"],
        interval=(table["relative_low"], table["relative_high"]),
        chance=(float(table["chance_low"][0]), float(table["chance_high"][0])),
    )
    picture = bars(names, [score], title="Infidelity of attribution maps", limits=(0.0, 1.0), remarks=remarks)
    words = _by_chance(table, options)
    return Figure(
        name="infidelity",
        picture=picture,
        caption=f"{words} {_how(options)}",
        alt=f"Bars of relative infidelity: {_numbers(table, names, remarks)}. {words}",
    )


def _by_chance(table: Table, options: Infidelity.Options) -> str:
    """Say what a map gets that predicts nothing, and which maps cannot be told from it."""
    mean, low = (figures.fixed(table[name][0], ".3") for name in ("chance", "chance_low"))
    words = (
        f"With {options.samples} draws a map that predicts nothing gets {mean} in the mean, and below {low} once in 20."
    )
    alike = table["attribution"][table["relative"] >= table["chance_low"]].tolist()
    if not alike:
        return words
    return f"{words} Not to be told from it: {', '.join(alike)}; take more `samples` to see whether anything is there."


def _how(options: Infidelity.Options) -> str:
    return (
        "How badly each map predicts the change of the explained score, with its optimal scale, when every "
        f"cell moves by a share of the way to {IN_WORDS[options.fill]}, the shares normal with standard deviation "
        f"{options.sigma:g}. 0: every change is predicted; 1: none is. Lower is better. Whiskers: 5 to 95 % of "
        "bootstrap samples of the draws. Maps of different grids are perturbed differently and are not to be compared."
    )


def _numbers(table: Table, names: list[str], remarks: list[str]) -> str:
    words = []
    columns = (table[name].tolist() for name in ("relative", "relative_low", "relative_high"))
    for name, value, low, high, remark in zip(names, *columns, remarks, strict=True):
        reach = f"{figures.number(low)} to {figures.number(high)}"
        words.append(f"{name} {figures.number(value)} ({reach}){remark}")
    return ", ".join(words)
