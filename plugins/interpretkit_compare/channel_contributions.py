"""From channels to attribution: what each channel adds to a Grad-CAM map, and what the score loses without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from interpretkit import Figure, Layered, Map, Needs, Reads, Result, StepError, Table, Targeted, Visualizer
from interpretkit_compare import contribution_figure, contribution_tables
from interpretkit_compare.ablation import ablation
from interpretkit_compare.contribution_split import split
from interpretkit_compare.sources import attributions_of_one_step

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from interpretkit import Captured
    from interpretkit_compare.contribution_split import Split


class ChannelContributions(Visualizer):
    r"""Which channels make up a layer's Grad-CAM map, and whether the score depends on them.

    Grad-CAM sums channels $A_k$, each weighted by its mean gradient. Summed over the cells instead, each channel has
    one signed contribution to the score $s$,

    $$c_k = \alpha_k \sum_{y,x} A_k(y, x), \quad
    \alpha_k = \frac{1}{HW} \sum_{y,x} \frac{\partial s}{\partial A_k(y, x)}$$

    Where global average pooling and a linear layer follow, the contributions sum to the logit without its bias: the
    split is exact. Anywhere else it is a first-order estimate, and `rest` is what it does not explain.

    A gradient says what a small change would do, so the estimate is checked: the first 1, 2, 4, … channels by
    contribution are ablated, set to zero or to their own mean over the cells of this image, and the fall of the score
    is compared with its fall without as many channels drawn at random from all.

    Tables: `channels` (rank 1 is the greatest contribution; `share` is $c_k / \sum_j |c_j|$; `cumulative` is the part
    of the sum of all positive contributions that ranks up to this one carry; `rank_correlation` and `iou`, that of the
    top 20 % of the cells, compare $\alpha_k A_k$ with the map `attribution`, on the coarser of their grids;
    `chance_low` and `chance_high` are 5 % and 95 % of the correlation where that map is mirrored and shifted around at
    random, `iou_independent` is the mean IoU of independent cells),
    `ablation` (`spread` is the sample standard deviation over the draws, `fall` how much the score falls), `summary`
    (`attribution` is the name of the map that channels are compared with, `rest_share` the part of the score that the
    rest is).

    What is taken apart is always the layer's own Grad-CAM map, with its sign: the sum of $\alpha_k A_k$ over all
    channels. A step under `of:` is not taken apart. Its map at the same layer, or its only one, is the map
    `attribution`, which each $\alpha_k A_k$ is compared with; beside it the layer's own map is kept as `Grad-CAM`.
    Without a step the layer's own map is both.

    Example:
        >>> import torch
        >>> import interpretkit as ik
        >>> net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
        >>> found = ik.visualize(ik.wrap(net), torch.rand(1, 3, 9, 9), "channel_contributions", layers=["0"], target=2)
        >>> found.tables["channels"].where("channel", 2)["share"].round(3).tolist() in ([1.0], [-1.0])
        True
    """

    name = "channel_contributions"
    requires = "layers with a grid of cells; under `of`, if anything, a step with attribution maps of the same target"
    citations = {"selvaraju2017gradcam": "", "morcos2018importance": "ablation of channels beside random ones"}
    cost = "one backward pass, shared; from each layer on, 2 × (1 + `random`) passes for each of 1, 2, 4, … channels"
    yields = "statistics"
    reads = Reads("attribution", least=0, most=1, same_target=True, same_layers=True)

    class Options(Layered, Targeted):
        """Options of the contributions of channels."""

        top: int = Field(
            default=8, ge=1, le=64, description="how many channels to show that speak most for and against"
        )
        random: int = Field(
            default=5, ge=2, le=100, description="draws of random channels that the ablation is compared with"
        )
        seed: int = Field(default=0, ge=0, description="of the random draws, which differ from image to image")
        internal_batch_size: int = Field(
            default=32, ge=1, description="ablated variants of an image that go through in one pass"
        )

    options: Options

    def needs(self) -> Needs:
        """Ask for the layers' outputs, the gradients of the score there, and passes of its own."""
        return Needs(gradients=self.options.layers, target=self.options.target, own_passes=True)

    def compute(self, captured: Captured) -> Result:
        """Return the tables, and for each layer its maps: what channels are compared with, and those at both ends.

        Raises:
            StepError: If a layer has no grid, or the step that is read does not fit.
        """
        maps: dict[str, Map] = {}
        tables: dict[str, list[Table]] = {"channels": [], "ablation": [], "summary": []}
        for layer in captured.gradients:
            splits = _splits(captured, layer)
            own = _map(captured, layer, [of_image.maps.sum(0) for of_image in splits])
            name, compared = f"Grad-CAM at {layer}", own
            if captured.results:
                name, compared = self._read(captured, layer)
                maps[f"{layer}, Grad-CAM"] = own
            maps[f"{layer}, attribution"] = compared
            maps |= self._ends(captured, layer, splits)
            for position, of_image in enumerate(splits):
                captured.progress(len(tables["summary"]), len(captured.gradients) * len(splits))
                about = {"image": captured.images[position].id, "layer": layer}
                score = captured.targets[position].score
                values, grids = compared.values[position], (own.grid, compared.grid)
                seed = captured.seed(position, self.options.seed)
                channels = contribution_tables.of_channels(about, of_image, values, grids=grids, seed=seed)
                summary = contribution_tables.of_layer({**about, "attribution": name}, of_image, score)
                tables["channels"].append(channels)
                tables["summary"].append(summary)
                tables["ablation"].append(self._ablation(captured, position, layer, of_image.order))
        return Result(maps=maps, tables={name: Table.stacked(parts) for name, parts in tables.items()})

    def draw(self, result: Result) -> Iterator[Figure]:
        """Draw one figure for each layer."""
        for layer in result.tables["summary"]["layer"].tolist():
            yield contribution_figure.draw(layer, result)

    def _read(self, captured: Captured, layer: str) -> tuple[str, Map]:
        """Return the map of an earlier step that channels are compared with, and what it is called."""
        read = attributions_of_one_step(captured.results, reader=self.name)
        step = read[0].step
        chosen = [source for source in read if source.map.layer == layer] or read
        if len(chosen) > 1:
            layers = ", ".join(source.key for source in read)
            raise StepError(f"step {step!r} has maps of {layers}, none of {layer}", hint="add that layer to it")
        explained = captured.results[step].targets
        for ours, other in zip(captured.targets, explained, strict=False):
            if ours.spec != other.spec:
                raise StepError(f"step {step!r} explains {other}, this one {ours}", hint="give both the same target")
        return chosen[0].name, chosen[0].map

    def _ends(self, captured: Captured, layer: str, splits: Sequence[Split]) -> dict[str, Map]:
        """Return the maps of the channels that speak most for the target, and of those that speak most against it."""
        top = self.options.top
        first = [of_image.maps[of_image.order[:top]] for of_image in splits]
        last = [of_image.maps[of_image.order[::-1][:top]] for of_image in splits]
        return {
            f"{layer}, for": _map(captured, layer, first),
            f"{layer}, against": _map(captured, layer, last),
        }

    def _ablation(self, captured: Captured, position: int, layer: str, order: np.ndarray) -> Table:
        options = self.options
        return ablation(
            captured,
            position,
            layer,
            order,
            draws=options.random,
            seed=options.seed,
            at_once=options.internal_batch_size,
        )


def _splits(captured: Captured, layer: str) -> list[Split]:
    """Split the score of each image over the channels of a layer, in float64."""
    activations = captured.features(layer).double().cpu().numpy()
    gradients = captured.gradients[layer].double().cpu().numpy()
    return [split(*of_image) for of_image in zip(activations, gradients, strict=True)]


def _map(captured: Captured, layer: str, values: Sequence[np.ndarray]) -> Map:
    """Return a map of the dtype that the layer has, from its values image by image."""
    import torch

    dtype = captured.activations[layer].dtype
    return captured.map(layer, torch.from_numpy(np.stack(values)).to(dtype), polarity="signed")
