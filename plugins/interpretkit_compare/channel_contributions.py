"""From channels to attribution: what each channel adds to a Grad-CAM map, and what the score loses without it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from interpretkit import (
    Figure,
    Layered,
    Map,
    Needs,
    Reads,
    Result,
    StepError,
    Table,
    Targeted,
    Visualizer,
    area_averaged,
    common_grid,
    rank_correlation,
)
from interpretkit_compare import contribution_figure
from interpretkit_compare.ablation import ablation
from interpretkit_compare.measures import top_iou
from interpretkit_compare.sources import attributions_of_one_step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interpretkit import Captured


@dataclass(frozen=True, slots=True, kw_only=True)
class _Split:
    """How the score splits over the channels of a layer; arrays over `(channel,)`, image by image.

    Attributes:
        weight: Mean gradient of each channel.
        mean: Mean activation of each channel.
        contribution: Weight times the sum of the activation.
        order: Channels from the greatest contribution to the least.
        maps: Weight times activation `(channel, y, x)`: summed over channels, the Grad-CAM map.
    """

    weight: np.ndarray
    mean: np.ndarray
    contribution: np.ndarray
    order: np.ndarray
    maps: np.ndarray


class ChannelContributions(Visualizer):
    r"""Which channels make up a layer's Grad-CAM map, and whether the score depends on them.

    Grad-CAM sums channels $A_k$, each weighted by its mean gradient. Summed over the cells instead, each channel has
    one signed contribution to the score $s$,

    $$c_k = \alpha_k \sum_{y,x} A_k(y, x), \quad
    \alpha_k = \frac{1}{HW} \sum_{y,x} \frac{\partial s}{\partial A_k(y, x)}$$

    Where global average pooling and a linear layer follow, the contributions sum to the logit but for its bias: the
    split is exact. Anywhere else it is a first-order account, and `rest` says what it leaves open.

    A gradient says what a small change would do, so the account is checked: the first 1, 2, 4, … channels by
    contribution are ablated, set to zero or to their own mean over the cells of this image, and the fall of the score
    stands beside that of as many channels drawn at random from all.

    Tables: `channels` (rank 1 is the greatest contribution; `share` is $c_k / \sum_j |c_j|$; `cumulative` is the part
    of the sum of all positive contributions that ranks up to this one carry; `rank_correlation` and `iou`, that of the
    top 20 % of the cells, compare $\alpha_k A_k$ with the map `attribution`, on the coarser of their grids),
    `ablation` (`spread` is the sample standard deviation over the draws, `fall` how much the score falls), `summary`
    (`attribution` is the name of the map that channels are compared with).

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
            default=5, ge=2, le=100, description="draws of random channels that the ablation is set beside"
        )
        seed: int = Field(default=0, ge=0, description="of the random draws; the draws differ from image to image")
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
            own = _map(captured, layer, np.stack([split.maps.sum(0) for split in splits]))
            name, attribution = f"Grad-CAM at {layer}", own
            if captured.results:
                name, attribution = self._read(captured, layer)
                maps[f"{layer}, Grad-CAM"] = own
            maps[f"{layer}, attribution"] = attribution
            for end, step in (("for", 1), ("against", -1)):
                shown = [split.maps[split.order[::step][: self.options.top]] for split in splits]
                maps[f"{layer}, {end}"] = _map(captured, layer, np.stack(shown))
            for position, split in enumerate(splits):
                about = {"image": captured.images[position].id, "layer": layer}
                tables["channels"].append(_channels(about, split, attribution.values[position]))
                tables["summary"].append(
                    _summary({**about, "attribution": name}, split, captured.targets[position].score)
                )
                tables["ablation"].append(
                    ablation(
                        captured,
                        position,
                        layer,
                        split.order,
                        draws=self.options.random,
                        seed=self.options.seed,
                        at_once=self.options.internal_batch_size,
                    )
                )
        return Result(maps=maps, tables={name: Table.stacked(parts) for name, parts in tables.items()})

    def draw(self, result: Result) -> Iterator[Figure]:
        """Draw one figure for each layer."""
        for layer in result.tables["summary"]["layer"].tolist():
            yield contribution_figure.draw(layer, result)

    def _read(self, captured: Captured, layer: str) -> tuple[str, Map]:
        """Return the map of an earlier step that channels are compared with, and what it is called."""
        found = attributions_of_one_step(captured.results, reader=self.name)
        chosen = [each for each in found if each.map.layer == layer] or found
        if len(chosen) > 1:
            layers = ", ".join(each.key for each in found)
            raise StepError(
                f"step {found[0].step!r} has maps of {layers}, none of {layer}", hint="add that layer to it"
            )
        explained = captured.results[chosen[0].step].targets
        for ours, other in zip(captured.targets, explained, strict=False):
            if ours.spec != other.spec:
                raise StepError(
                    f"step {chosen[0].step!r} explains {other}, this one {ours}", hint="give both the same target"
                )
        return chosen[0].name, chosen[0].map


def _splits(captured: Captured, layer: str) -> list[_Split]:
    """Split the score of each image over the channels of a layer, in float64."""
    activation, gradient = captured.features(layer), captured.gradients[layer]
    found = []
    for values, slopes in zip(activation.double().cpu().numpy(), gradient.double().cpu().numpy(), strict=True):
        weight = slopes.mean((1, 2))
        contribution = weight * values.sum((1, 2))
        found.append(
            _Split(
                weight=weight,
                mean=values.mean((1, 2)),
                contribution=contribution,
                order=np.argsort(-contribution, kind="stable"),
                maps=weight[:, None, None] * values,
            )
        )
    return found


def _map(captured: Captured, layer: str, values: np.ndarray) -> Map:
    """Return a map of the dtype that the layer has."""
    import torch

    return captured.map(layer, torch.from_numpy(values).to(captured.activations[layer].dtype), polarity="signed")


def _channels(about: dict[str, str], split: _Split, attribution: np.ndarray) -> Table:
    """Return the channels of one image and layer, from the greatest contribution to the least."""
    order, contribution = split.order, split.contribution[split.order]
    grid = common_grid(split.maps.shape[1:], attribution.shape)
    iou = top_iou(area_averaged(split.maps, grid), area_averaged(attribution, grid), share=contribution_figure.SHARE)
    whole = np.abs(contribution).sum()
    return Table(
        **{name: np.full(len(order), value) for name, value in about.items()},
        rank=np.arange(1, len(order) + 1),
        channel=order,
        contribution=contribution,
        share=np.zeros(len(order)) if whole == 0 else contribution / whole,
        cumulative=_cumulative(contribution),
        rank_correlation=rank_correlation(split.maps, attribution)[order],
        iou=iou[order],
        alpha=split.weight[order],
        mean=split.mean[order],
    )


def _cumulative(contribution: np.ndarray) -> np.ndarray:
    """Return which part of all that is positive the first channels carry; NaN where nothing is."""
    carried = np.cumsum(contribution.clip(0))
    return carried / carried[-1] if carried[-1] > 0 else np.full(len(carried), np.nan)


def _summary(about: dict[str, str], split: _Split, score: float) -> Table:
    contribution = split.contribution[split.order]
    positive, negative = contribution[contribution > 0], contribution[contribution < 0]
    cumulative = _cumulative(contribution)
    row = {
        **about,
        "channels": len(contribution),
        "positive": len(positive),
        "negative": len(negative),
        "sum_positive": positive.sum(),
        "sum_negative": negative.sum(),
        "sum": contribution.sum(),
        "score": score,
        "rest": score - contribution.sum(),
        "carry_half": _needed(cumulative, 0.5),
        "carry_80": _needed(cumulative, 0.8),
        "least": split.maps.min(),
        "greatest": split.maps.max(),
    }
    return Table.of_rows([row])


def _needed(cumulative: np.ndarray, part: float) -> int:
    """Return how many channels carry so large a part; 0 where nothing is positive."""
    # The last sums differ from 1 by rounding, the part never does.
    return 0 if np.isnan(cumulative[0]) else int(np.searchsorted(cumulative, part * (1 - 1e-12))) + 1
