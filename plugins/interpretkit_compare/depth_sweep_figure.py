"""The figure of a depth sweep: the map at every layer, and the curves over depth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from interpretkit import Figure, figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from PIL.Image import Image

    from interpretkit import InputImage, Map, Result, Table

_LOCALIZATION = {
    "energy": ("share of the positive part inside", "o-"),
    "pointing": ("greatest cell points inside", "s:"),
    "overlap": ("IoU of the top cells", "^-"),
}
_OUTSIDE = 0.35  # of the brightness of the photo where the mask is not
_LETTERS = 45  # that fit below a panel


def draw(result: Result, view: str) -> Figure:
    """Draw the input, the map at every layer, and the curves over depth.

    Args:
        result: Of one image.
        view: How maps are drawn: overlay or native.
    """
    (image,), table = result.images, result.tables["depth"]
    (step, *_), (explained, *_) = table["step"], table["explains"]
    title = f"{step} over {len(table)} layers"
    if explained:
        title += f": {explained}"
    maps = [_map(layer, shown, image, view) for layer, shown in result.maps.items()]
    montage = figures.panels([_photo(image), *maps], columns=min(3, len(maps) + 1))
    words = _in_words(table)
    return Figure(
        name="depth",
        picture=figures.panels([montage, _chart(table)], title=title, columns=1),
        caption=f"Maps of {step} from layer to layer: {_drawn(result, view)}, each on a scale of its own. {words}",
        alt=f"{title}. {words}",
    )


def _drawn(result: Result, view: str) -> str:
    """Say how maps are drawn."""
    signal = all(shown.values[0].ndim == 1 for shown in result.maps.values())
    if view == "native":
        signed = any(shown.polarity == "signed" for shown in result.maps.values())
        return f"{'signed' if signed else 'unsigned'}, {'in steps' if signal else 'on their native grids'}"
    if signal:
        return "in steps below the signal"
    return (
        "the positive part over the grey photo, or all of the map with its sign where less than a third is positive, "
        "interpolated bilinearly"
    )


def _map(layer: str, shown: Map, image: InputImage, view: str) -> Image:
    values = shown.values[0]
    title = f"{layer} ({figures.shape(values.shape)})"
    if view == "overlay":
        return figures.overlay(values, image.pixels, title=title, grid=shown.grid)
    return figures.heatmap(values, title=title, polarity=shown.polarity)


def _photo(image: InputImage) -> Image:
    if image.mask is None:
        return figures.photo(image.pixels, title="input")
    dark = (image.pixels * _OUTSIDE).astype(np.uint8)
    dimmed = np.where(image.mask[..., None], image.pixels, dark)
    return figures.photo(dimmed, title="input, darkened outside of the mask")


def _chart(table: Table) -> Image:
    masked = _masked(table)
    figure = figures.chart(13.6 if masked else 9.4, 3.8, title="From layer to layer")
    panels = figure.subplots(1, 3 if masked else 2)
    panels[0].plot(table["depth"], table["entropy"], "o-")
    panels[0].set_title("how spread out: entropy of the positive part")
    panels[0].set(ylabel="0: one cell, 1: even", ylim=(-0.03, 1.03))
    panels[1].axhline(0, color="#8c959f", lw=0.8)
    panels[1].plot(table["depth"], table["agreement"], "o-")
    panels[1].set_title("agreement with the last layer")
    panels[1].set(ylabel="rank correlation", ylim=(-1.06, 1.06))
    if masked:
        _plot_inside(panels[2], table)
    for panel in panels:
        _name_layers(panel, table["layer"].tolist())
    return figures.picture(figure)


def _plot_inside(panel: Axes, table: Table) -> None:
    for column, (words, style) in _LOCALIZATION.items():
        panel.plot(table["depth"], table[column], style, label=words)
    panel.axhline(table["inside"][0], color="#57606a", lw=0.9, ls="--", label="share of the mask in the image")
    panel.set_title("inside of the mask")
    panel.set_ylim(-0.03, 1.03)
    panel.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0))


def _name_layers(panel: Axes, layers: list[str]) -> None:
    count = len(layers)
    upright = count * max(map(len, layers)) > _LETTERS
    panel.set_xticks(range(count), layers, rotation=90 if upright else 0)
    panel.set_xlim(-0.4, count - 0.6)


def _in_words(table: Table) -> str:
    """Say how the first and the last layer differ."""
    first, last = table["layer"][0], table["layer"][-1]
    agreement = figures.fixed(table["agreement"][0])
    words = [
        f"From {first} to {last}: entropy of the positive part {_change(table, 'entropy')} (1: spread evenly)",
        f"rank correlation of {first} with {last} {agreement}",
    ]
    if _masked(table):
        words += [f"{name} {_change(table, column)}" for column, (name, _) in _LOCALIZATION.items()]
        words += [f"the mask covers {figures.percent(table['inside'][0], '.0')} of the image"]
    return "; ".join(words) + "."


def _change(table: Table, column: str) -> str:
    first, last = table[column][0], table[column][-1]
    return f"{figures.fixed(first)} to {figures.fixed(last)}"


def _masked(table: Table) -> bool:
    return not np.isnan(table["inside"]).any()
