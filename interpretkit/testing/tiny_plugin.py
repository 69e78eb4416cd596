"""The plugin of `tiny_run`: a file given by hand, as anybody could give one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit import Figure, ModelBuilder, Preprocessing, Result, Table, Visualizer, figures, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import torch

    from interpretkit import Captured, Model


class Tiny(ModelBuilder):
    """The tiny model, fed with images as they are."""

    name = "tiny"

    def build(self, state: Mapping[str, torch.Tensor] | None) -> Model:  # noqa: ARG002 - it is never trained
        """Build it with random weights."""
        from dataclasses import replace

        from interpretkit.testing import tiny_model

        return replace(tiny_model(), preprocessing=Preprocessing(resize=None, crop=None))


class Brightness(Visualizer):
    """How bright each pixel of the input is."""

    name = "tiny_brightness"
    yields = "attribution"

    def compute(self, captured: Captured) -> Result:
        """Average over the channels."""
        found = captured.map("input", captured.inputs.mean(1), polarity="signed")
        ids = [image.id for image in captured.images]
        means = found.values.mean((1, 2))
        return Result(maps={"input": found}, tables={"means": Table(image=ids, mean=means)})

    def draw(self, result: Result) -> Iterator[Figure]:
        """Draw the map."""
        values = result.maps["input"].values[0]
        picture = figures.heatmap(values, title="brightness", polarity="signed")
        alt = figures.alt(values, what="brightness")
        yield Figure(name="input", picture=picture, caption="Mean over the channels.", alt=alt)


@hookimpl
def interpretkit_models() -> Iterator[type[ModelBuilder]]:
    """Offer the model."""
    yield Tiny


@hookimpl
def interpretkit_visualizers() -> Iterator[type[Visualizer]]:
    """Offer the visualizer."""
    yield Brightness
