"""The sheet of a layer's exemplars: rows are channels, columns the images that activate them most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from interpretkit import Figure, figures

if TYPE_CHECKING:
    from collections.abc import Mapping

    from interpretkit import Table
    from interpretkit_channel_stats.exemplar_parts import Part

_NOTHING = np.zeros((0, 0, 3), np.uint8)


def draw(part: Part) -> Figure:
    """Draw the cut-outs of a layer, with value and image below each."""
    silent = [channel for channel in part.shown if not part.table.where("channel", channel)["value"].any()]
    picture = figures.gallery(
        [[] if channel in silent else _exhibits(part, channel) for channel in part.shown],
        labels=[f"channel {channel}{': 0 in every image' if channel in silent else ''}" for channel in part.shown],
        title=f"{part.layer}: images that activate a channel most",
    )
    field = _field_in_words(part)
    top = int(part.table["rank"].max(initial=0))
    channels = figures.count(len(part.shown), "channel")
    caption = (
        f"Exemplars of {part.layer}: for {channels} the images with the greatest values, {top} at "
        f"most, the greatest first; below each the value and the image, and no pixels where the value is 0. {field} "
        "The cross is the middle of the strongest cell."
    )
    if silent:
        caption += f" Channels that are 0 in every image: {len(silent)}."
    return Figure(name=part.layer, picture=picture, caption=caption, alt=_told(part, field))


def _exhibits(part: Part, channel: int) -> list[figures.Exhibit]:
    table = part.table.where("channel", channel)
    exhibits = []
    for row, (rank, value, image) in enumerate(
        zip(table["rank"].tolist(), table["value"], table["image"], strict=True)
    ):
        # Where a channel is 0 all over an image no cell is the strongest, and the first would mislead.
        pixels = part.cuts[channel, rank] if value else _NOTHING
        exhibits.append(figures.Exhibit(pixels, f"{figures.number(value)} · {image}", _middle(table, row, pixels)))
    return exhibits


def _middle(table: Table, row: int, pixels: np.ndarray) -> tuple[float, float]:
    """Return where in a cut-out the middle of the cell lies, y and x; in a strip of a signal half way up."""
    y = pixels.shape[0] / 2
    if "middle_y" in table.columns:
        y = table["middle_y"][row] - table["top"][row]
    return float(y), float(table["middle_x"][row] - table["left"][row])


def _field_in_words(part: Part) -> str:
    if part.table["whole"].all():
        return "Each cell sees the whole image, or it is not known what it sees: the whole image is shown."
    lengths = [part.table[name].max() for name in ("depth", "height", "width") if name in part.table.columns]
    at_most = figures.shape(lengths)
    words = (
        f"Shown is what the strongest cell sees, its receptive field: {at_most} pixels at most, cut off at the border"
    )
    if "depth" in part.table.columns:
        words += ", of a volume the slice in the middle of that"
    return f"{words}."


def _place(about: Mapping[str, Any]) -> str:
    names = {"z": "slice", "y": "row", "x": "column"}
    return ", ".join(f"{name} {about[axis]}" for axis, name in names.items() if axis in about)


def _told(part: Part, field: str) -> str:
    shown = part.table.where("channel", *part.shown)
    if not len(shown):
        return f"Exemplars of {part.layer}: no value is finite."
    best = int(shown["value"].argmax())
    about = {name: column[best] for name, column in shown.columns.items()}
    return (
        f"Exemplars of {part.layer}: the greatest value, {figures.number(about['value'])}, is that of channel "
        f"{about['channel']} in image {about['image']} at {_place(about)} (counted from 0). {field}"
    )
