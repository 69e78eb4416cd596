"""Feature maps as they are: stored for every channel, drawn as labelled grids, described in a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from interpretkit import Contrast, Figure, Layered, Needs, Result, Table, Visualizer
from interpretkit_feature_grid import feature_grid_figure

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from interpretkit import Captured


class FeatureGrid(Visualizer):
    r"""The outputs of layers, channel by channel.

    The result holds every channel of a layer by index, as the layer returned it, and the table `channels`: mean,
    maximum, sparsity (share of exact zeros) and whether it is dead (zero everywhere), for each image and channel.
    Order, number and scale of what is drawn are views of it.

    With `order: contribution`, and only then, there is a backward pass, and the table says what each channel adds to
    the Grad-CAM map of the target's score $s$, summed over its cells, in units of the score:

    $$c_k = \sum_{y, x} \alpha_k A_k(y, x), \qquad
      \alpha_k = \frac{1}{HW} \sum_{y, x} \frac{\partial s}{\partial A_k(y, x)}$$

    and its `share`, $c_k / \sum_j |c_j|$, between -1 and 1. Over the channels the contributions add up to the sum of
    the Grad-CAM map; before global average pooling and a linear layer that is the logit without its bias.

    Example:
        >>> import torch
        >>> import interpretkit as ik
        >>> net = ik.wrap(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU()))
        >>> ik.visualize(net, torch.zeros(2, 3, 8, 8), "feature_grid", layers=["1"]).maps["1"].values.shape
        (2, 4, 6, 6)
    """

    name = "feature_grid"
    yields = "features"
    requires = "layers with a grid of cells: maps, or tokens of patches"
    cost = "nothing beyond the shared forward pass; with order: contribution one backward pass, shared too"
    polarity = "signed"

    class Options(Layered):
        """Options of the grid."""

        order: Literal["index", "mean", "max", "sparsity", "contribution"] = Field(
            default="index",
            description="order of the tiles: by index; by greatest mean, maximum or share of zeros first; or by "
            "greatest contribution to the target first, whatever its sign",
        )
        target: int | str | Contrast = Field(
            default="predicted",
            description="what contributions are to, with order: contribution: predicted, label, a class index or name, "
            "or {for: …, against: …}",
        )
        normalize: Literal["channel", "layer"] | Annotated[list[float], Field(min_length=2, max_length=2)] = Field(
            default="channel",
            description="scale of the colours: each channel's own, one for the whole layer, or fixed limits "
            "[low, high]; where values are below zero it is symmetric about 0",
        )
        max_channels: int | None = Field(
            default=None,
            ge=1,
            description="draw only the first so many channels in that order; the result keeps all. Up to 64 are drawn "
            "beside the input",
        )

        @model_validator(mode="after")
        def _fits(self) -> Self:
            if self.order != "contribution" and self.target != "predicted":
                raise ValueError("a target is for order: contribution; no other order needs gradients")
            if isinstance(self.normalize, list) and not self.normalize[0] < self.normalize[1]:
                raise ValueError(f"the limits {self.normalize} of normalize do not ascend")
            return self

    options: Options

    def needs(self) -> Needs:
        """Ask for the layers' outputs, and for gradients where contributions are wanted."""
        layers = self.options.layers
        if self.options.order == "contribution":
            return Needs(gradients=layers, target=self.options.target)
        return Needs(activations=layers)

    def compute(self, captured: Captured) -> Result:
        """Return one map `(image, channel, y, x)` for each layer, and the table `channels`.

        Raises:
            StepError: If a layer returns anything else.
        """
        images = [image.id for image in captured.images]
        maps, tables = {}, []
        for layer, values in captured.activations.items():
            maps[layer] = captured.map(layer, captured.features(layer), polarity="signed")
            tables.append(_table(images, layer, values, captured.gradients.get(layer)))
        return Result(maps=maps, tables={"channels": Table.stacked(tables)})

    def draw(self, result: Result) -> Iterator[Figure]:
        """Draw one grid for each layer; few channels beside the input."""
        for layer in result.maps:
            rows = result.tables["channels"].where("layer", layer)
            order, normalize = self.options.order, self.options.normalize
            yield feature_grid_figure.draw(layer, self._chosen(rows), result, order=order, normalize=normalize)

    def _chosen(self, table: Table) -> np.ndarray:
        """Return the channels to draw, in their order; those whose key is not finite come last."""
        order, most = self.options.order, self.options.max_channels
        if order == "index":
            return np.arange(len(table))[:most]
        keys = table[order]
        if order == "contribution":
            keys = np.abs(keys)
        descending = np.where(np.isfinite(keys), -keys, np.inf)
        return np.argsort(descending, kind="stable")[:most]


def _table(images: list[str], layer: str, values: torch.Tensor, gradient: torch.Tensor | None) -> Table:
    """Return what the table says of a layer, image by image and channel by channel; sums are taken in float64."""
    cells = values.detach().cpu().double().flatten(2)
    zeros = (cells == 0).double().mean(2)
    columns = {"mean": cells.mean(2), "max": cells.amax(2), "sparsity": zeros, "dead": zeros == 1}
    if gradient is not None:
        weight = gradient.detach().cpu().double().flatten(2).mean(2)
        contribution = weight * cells.sum(2)
        whole = contribution.abs().sum(1, keepdim=True)
        share = contribution / whole.where(whole != 0, 1)
        columns |= {"contribution": contribution, "share": share}
    count, channels = cells.shape[:2]
    return Table(
        image=np.repeat(images, channels),
        layer=np.full(count * channels, layer),
        channel=np.tile(np.arange(channels), count),
        **{name: column.flatten().numpy() for name, column in columns.items()},
    )
