"""One attribution method over the depth of a network: its map at every layer, and how that changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from interpretkit import Figure, Reads, Result, StepError, Table, Visualizer, figures, rank_correlation
from interpretkit_compare.localization import energy_inside, overlap, pointing, positive_entropy
from interpretkit_compare.sources import attributions_of_one_step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from PIL.Image import Image

    from interpretkit import Captured, InputImage, Map
    from interpretkit_compare.sources import Source

_LOCALIZATION = {
    "energy": ("share of the positive part inside", "o-"),
    "pointing": ("greatest cell points inside", "s:"),
    "overlap": ("IoU of the top cells", "^-"),
}
_OUTSIDE = 0.35  # of the brightness of the photo where the mask is not


class DepthSweep(Visualizer):
    r"""The maps of one attribution method at several layers, side by side, and in numbers what changes with depth.

    It reads one step that explains one target at two or more layers, in the order in which the step names them.

    Table `depth`, one row for each layer: `entropy` of the positive part $p$ divided by its sum,
    $-\sum p \ln p / \ln n$ over $n$ cells (0: all in one cell, 1: the same everywhere); `agreement`, the rank
    correlation with the map at the last layer, on the coarser of the two grids by area averaging. Where the manifest of
    the images has masks, also `energy` (the share of the positive part inside the mask), `pointing` (1 if the middle of
    the greatest cell is inside, else 0), `overlap` (IoU of the mask with the greatest cells that have the mask's area)
    and `inside`, the share of the mask in the image: what `energy` and, over many images, `pointing` are by chance.
    What is not defined is NaN.
    """

    name = "depth_sweep"
    requires = "a step with attribution maps at several layers; masks in the manifest for localisation"
    citations = {"zhang2018topdown": "the pointing game", "wang2020scorecam": "energy inside of a region"}
    cost = "no pass: it reads results of an earlier step"
    yields = "comparison"
    reads = Reads("attribution")

    class Options(Visualizer.Options):
        """Options of the sweep."""

        view: Literal["overlay", "native"] = Field(
            default="overlay",
            description="how maps are drawn: their positive part over the photo, or signed on their native grid",
        )

    options: Options

    def compute(self, captured: Captured) -> Result:
        """Return the maps as they were read, and the table `depth`.

        Raises:
            StepError: If there are not maps of two layers to compare.
        """
        found = attributions_of_one_step(captured.results, reader=self.name)
        step = found[0].step
        if len(found) < 2:  # noqa: PLR2004 - a first and a last layer
            raise StepError(
                f"step {step!r} has one map, of {found[0].key}: no depth to go through",
                hint=f"give step {step!r} several layers",
            )
        rows = [
            row
            for position, image in enumerate(captured.images)
            for row in _rows(found, position, image, captured.results[step])
        ]
        return Result(
            maps={source.key: source.map for source in found},
            tables={"depth": Table.of_rows(rows)},
        )

    def draw(self, result: Result) -> Iterator[Figure]:
        """Draw the input, the map at every layer, and the curves over depth."""
        (image,), table = result.images, result.tables["depth"]
        title = f"{table['step'][0]} over {len(table)} layers" + _explained(table)
        maps = [self._view(layer, each, image) for layer, each in result.maps.items()]
        montage = figures.panels([_photo(image), *maps], columns=min(3, len(maps) + 1))
        words = _in_words(table)
        view = {
            "overlay": "the positive part over the grey photo, interpolated bilinearly",
            "native": "signed, on their native grids",
        }[self.options.view]
        yield Figure(
            name="depth",
            picture=figures.panels([montage, _chart(table)], title=title, columns=1),
            caption=f"Maps of {table['step'][0]} from layer to layer: {view}, each on a scale of its own. {words}",
            alt=f"{title}. {words}",
        )

    def _view(self, layer: str, each: Map, image: InputImage) -> Image:
        values = each.values[0]
        title = f"{layer} ({'×'.join(map(str, values.shape))})"
        if self.options.view == "overlay":
            return figures.overlay(values, image.pixels, title=title)
        return figures.heatmap(values, title=title, polarity=each.polarity)


def _rows(found: list[Source], position: int, image: InputImage, read: Result) -> Iterator[dict[str, Any]]:
    """Yield what is to be said of the map of one image at each layer."""
    last = found[-1].map.values[position]
    targets = read.targets_of(image.id)
    for depth, source in enumerate(found):
        values = source.map.values[position]
        localized = {"energy": np.nan, "pointing": np.nan, "overlap": np.nan, "inside": np.nan}
        if image.mask is not None:
            localized = {
                "energy": energy_inside(values, image.mask),
                "pointing": pointing(values, image.mask),
                "overlap": overlap(values, image.mask),
                "inside": float(image.mask.mean()),
            }
        yield {
            "image": image.id,
            "step": source.step,
            "explains": "; ".join(map(str, targets)),
            "depth": depth,
            "layer": source.key,
            "height": values.shape[0],
            "width": values.shape[1],
            "entropy": positive_entropy(values),
            "agreement": float(rank_correlation(values, last)),
            **localized,
        }


def _explained(table: Table) -> str:
    return f": {table['explains'][0]}" if table["explains"][0] else ""


def _photo(image: InputImage) -> Image:
    if image.mask is None:
        return figures.photo(image.pixels, title="input")
    dimmed = np.where(image.mask[..., None], image.pixels, (image.pixels * _OUTSIDE).astype(np.uint8))
    return figures.photo(dimmed, title="input, darkened outside of the mask")


def _chart(table: Table) -> Image:
    masked = not np.isnan(table["inside"]).any()
    figure = figures.chart(13.6 if masked else 9.4, 3.8, title="From layer to layer")
    axes = figure.subplots(1, 3 if masked else 2)
    axes[0].plot(table["depth"], table["entropy"], "o-")
    axes[0].set_title("how spread out: entropy of the positive part")
    axes[0].set(ylabel="0: one cell, 1: even", ylim=(-0.03, 1.03))
    axes[1].axhline(0, color="#8c959f", lw=0.8)
    axes[1].plot(table["depth"], table["agreement"], "o-")
    axes[1].set_title("agreement with the last layer")
    axes[1].set(ylabel="rank correlation", ylim=(-1.06, 1.06))
    if masked:
        for column, (words, style) in _LOCALIZATION.items():
            axes[2].plot(table["depth"], table[column], style, label=words)
        axes[2].axhline(table["inside"][0], color="#57606a", lw=0.9, ls="--", label="share of the mask in the image")
        axes[2].set_title("inside of the mask")
        axes[2].set_ylim(-0.03, 1.03)
        axes[2].legend(loc="upper left", bbox_to_anchor=(1.02, 1.0))
    for each in axes:
        _layers(each, table["layer"].tolist())
    return figures.picture(figure)


def _layers(axes: Axes, layers: list[str]) -> None:
    upright = len(layers) * max(map(len, layers)) > 45  # noqa: PLR2004 - letters that fit below
    axes.set_xticks(range(len(layers)), layers, rotation=90 if upright else 0)
    axes.set_xlim(-0.4, len(layers) - 0.6)


def _in_words(table: Table) -> str:
    """Say how the first and the last layer differ."""
    first, last = table["layer"][0], table["layer"][-1]

    def change(column: str) -> str:
        return " to ".join(figures.fixed(table[column][end]) for end in (0, -1))

    words = [
        f"From {first} to {last}: entropy of the positive part {change('entropy')} (1: spread evenly)",
        f"rank correlation of {first} with {last} {figures.fixed(table['agreement'][0])}",
    ]
    if not np.isnan(table["inside"]).any():
        words += [f"{name} {change(column)}" for column, (name, _) in _LOCALIZATION.items()]
        words += [f"the mask covers {figures.percent(table['inside'][0], '.0')} of the image"]
    return "; ".join(words) + "."
