"""What the figure of the contributions of channels says: titles, and the sentences below it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from interpretkit import figures
from interpretkit_compare.contribution_tables import SHARE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from interpretkit import Result, Table

_NOTHING = 1e-4
"""Share of all contributions below which a change of the score is rounding."""

_FAR = 0.25
"""A rest of more than this part of the score is a warning: a convention."""

_MEANS_DO_NOTHING = (
    "Means change nothing here: what follows the layer does not see where in the grid a channel is active."
)

FILLS = {"zero": "set to zero", "mean": "set to their mean"}
"""What is done to channels that are ablated, by the name of it in the table."""


def titles(layer: str, compared: str, result: Result) -> dict[str, str]:
    """Return the titles of a layer's maps: the one that is taken apart, and below it another that was read."""
    own, read = f"{layer}, Grad-CAM", f"{layer}, attribution"
    apart = f"The map that is taken apart: Grad-CAM at {layer}, the sum of all channels"
    if own not in result.maps:
        return {read: apart}
    return {own: apart, read: f"The map that each channel is compared with: {compared}"}


def warning(about: Mapping[str, Any]) -> str:
    """Say so where the channels leave more than a quarter of the score unexplained; nothing where they do not."""
    if not about["rest_share"] > _FAR:
        return ""
    return f"{figures.percent(about['rest_share'], '.0')} of the score is no channel's"


def in_words(about: Mapping[str, Any], channels: Table, ablation: Table) -> str:
    """Say how many channels carry what, what their loss costs beside that of random ones, and what they are like.

    Args:
        about: The row of the table `summary`.
        channels: The rows of the table `channels` of the same image and layer.
        ablation: Those of the table `ablation`.
    """
    words = [_made_of(about)]
    if warning(about):
        words.append(f"That is far from complete, since {warning(about)}: read no share of the score off the channels.")
    carry = int(about["carry_80"])
    if carry:
        words.append(f"{figures.count(carry, 'channel')} {_carry(carry)} 80 % of all that speaks for it.")
    k = _shown(ablation["k"], carry)
    for fill, done in FILLS.items():
        words.append(_fall(ablation.where("k", k).where("fill", fill), k, done))
    magnitudes = about["sum_positive"] - about["sum_negative"]
    falls = ablation.where("fill", "mean")["fall"]
    if np.abs(falls).max() < _NOTHING * magnitudes:
        words.append(_MEANS_DO_NOTHING)
    words.append(_likeness(about, channels))
    return " ".join(words)


def _made_of(about: Mapping[str, Any]) -> str:
    speaking = f"{_with_sign(about['sum_positive'])} by {figures.count(int(about['positive']), 'channel')} for it"
    against = f"{_with_sign(about['sum_negative'])} by {about['negative']} against it"
    rest = f"{_with_sign(about['rest'])} that no channel accounts for"
    return f"The score {figures.number(about['score'])} is made up of {speaking}, {against}, and {rest}."


def _carry(count: int) -> str:
    return "carries" if count == 1 else "carry"


def _fall(rows: Table, k: int, done: str) -> str:
    """Say by how much the score falls without the first channels, and without random ones."""
    (top,) = rows.where("order", "top")["fall"]
    random = rows.where("order", "random")
    (fall,), (spread,) = random["fall"], random["spread"]
    first = figures.count(k, "channel")
    return (
        f"With the first {first} {done} the score falls by {figures.number(top)}; with as many chosen at random it "
        f"falls by {figures.number(fall)} ± {figures.number(spread)}."
    )


def _likeness(about: Mapping[str, Any], channels: Table) -> str:
    correlation = _median(channels["rank_correlation"])
    above = int((channels["rank_correlation"] > channels["chance_high"]).sum())
    iou, share = _median(channels["iou"]), figures.percent(SHARE, ".0")
    return (
        f"The map that is taken apart is Grad-CAM at {about['layer']}. Each channel's part of it, compared with "
        f"{about['attribution']}: median rank correlation {correlation}, {above} of "
        f"{figures.count(len(channels), 'channel')} above 95 % of what the map has that is shifted around at random; "
        f"median IoU of the top {share} of the cells {iou}, of independent cells "
        f"{figures.fixed(channels['iou_independent'][0])}."
    )


def _shown(counts: np.ndarray, wanted: int) -> int:
    """Return the number of ablated channels to tell of: of those that were tried, the nearest to `wanted`."""
    ratios = np.log2(counts / max(wanted, 1))
    nearest = np.abs(ratios).argmin()
    return int(counts[nearest])


def _with_sign(value: float) -> str:
    return f"{'+' if value > 0 else ''}{figures.number(value)}"


def _median(values: np.ndarray) -> str:
    known = values[~np.isnan(values)]
    return figures.fixed(float(np.median(known)) if len(known) else np.nan)
