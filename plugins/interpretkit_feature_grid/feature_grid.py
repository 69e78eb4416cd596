"""Feature maps as they are: stored for every channel, drawn as labelled grids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from interpretkit import Figure, Needs, Result, StepError, Visualizer, figures

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from interpretkit import Captured, Map, Model

_IN_WORDS = {"index": "in order of index", "mean": "greatest mean first", "max": "greatest maximum first"}


class FeatureGrid(Visualizer):
    """The outputs of layers, channel by channel.

    The result holds every channel of a layer by index, as the layer returned it. Order, number and scale of what is
    drawn are views of it.

    Example:
        >>> import torch
        >>> import interpretkit as ik
        >>> net = ik.wrap(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU()))
        >>> ik.visualize(net, torch.zeros(2, 3, 8, 8), "feature_grid", layers=["1"]).maps["1"].values.shape
        (2, 4, 6, 6)
    """

    name = "feature_grid"
    polarity = "signed"

    class Options(Visualizer.Options):
        """Options of the grid."""

        layers: list[str] = Field(min_length=1, description="layers to look at")
        order: Literal["index", "mean", "max"] = Field(
            default="index", description="order of the tiles: by index, or by greatest mean or maximum first"
        )
        normalize: Literal["channel", "layer"] = Field(
            default="channel", description="scale of the colours: each channel's own, or one for the whole layer"
        )
        max_channels: int | None = Field(
            default=None, ge=1, description="draw only the first so many channels in that order; the result keeps all"
        )

    options: Options

    def needs(self, model: Model) -> Needs:  # noqa: ARG002 - the same for every model
        """Ask for the layers' outputs."""
        return Needs(activations=self.options.layers)

    def compute(self, captured: Captured) -> Result:
        """Return one map `(image, channel, y, x)` for each layer.

        Raises:
            StepError: If a layer returns anything else.
        """
        return Result(maps={layer: _map(captured, layer, values) for layer, values in captured.activations.items()})

    def draw(self, result: Result) -> Iterator[Figure]:
        """Draw one grid for each layer."""
        for layer, each in result.maps.items():
            yield self._figure(layer, each, result.images[0].id)

    def _figure(self, layer: str, each: Map, image: str) -> Figure:
        values = each.values[0]
        found = figures.survey(values)
        polarity = figures.polarity_of(values)
        chosen = self._chosen(values)
        total, cells = len(values), "×".join(map(str, values.shape[1:]))
        which = f"{len(chosen)} of {total} channels" if len(chosen) < total else f"all {total} channels"
        subject = f"{layer} of {image}" if len(chosen) == total else f"{layer} of {image}: {which}"
        order = _IN_WORDS[self.options.order]
        picture = figures.grid(
            values[chosen],
            title=f"{subject}, {order}",
            labels=[str(channel) for channel in chosen],
            scope=self.options.normalize,
            polarity=polarity,
            limits=found.limits,
        )
        extent = f"values from {figures.number(found.limits[0])} to {figures.number(found.limits[1])}"
        own = "each channel on a scale of its own" if self.options.normalize == "channel" else "all on one scale"
        about_zero = ", symmetric about 0" if polarity == "signed" else ""
        caption = (
            f"Feature maps of {layer}: {which} of {cells} cells, {order}, {own}{about_zero}. "
            f"Of all {total} channels: {extent}; {_counts(found)}."
        )
        strongest = int(chosen[found.high[chosen].argmax()])
        what = f"Grid of feature maps of {layer} for {image}, {which}, {extent}; the strongest, channel {strongest}"
        return Figure(name=layer, picture=picture, caption=caption, alt=figures.alt(values[strongest], what=what))

    def _chosen(self, values: np.ndarray) -> np.ndarray:
        """Return the channels to draw, in their order; those without a finite mean or maximum come last."""
        channels = np.arange(len(values))
        if self.options.order != "index":
            cells = values.reshape(len(values), -1).astype(np.float64)
            with np.errstate(invalid="ignore"):
                keys = cells.mean(axis=1) if self.options.order == "mean" else cells.max(axis=1)
            channels = np.argsort(np.where(np.isfinite(keys), -keys, np.inf), kind="stable")
        return channels[: self.options.max_channels]


def _map(captured: Captured, layer: str, values: torch.Tensor) -> Map:
    if values.ndim != 4:  # noqa: PLR2004 - image, channel, y, x
        raise StepError(
            f"layer {layer} returns {'×'.join(map(str, values.shape))}, not feature maps (image, channel, y, x)",
            hint="choose a convolutional layer before the pooling; `interpretkit layers` lists what each layer returns",
        )
    return captured.map(layer, values, polarity="signed")


def _counts(found: figures.Survey) -> str:
    counts = [f"{int(found.dead.sum())} dead", f"{int(found.flat.sum())} nearly constant"]
    if broken := int(found.broken.sum()):
        counts.append(f"{broken} with values that are not finite")
    return ", ".join(counts)
