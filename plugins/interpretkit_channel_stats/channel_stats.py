"""Mean, spread, range and sparsity of every channel: exact, in float64, mergeable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from interpretkit import Citation, Figure, Needs, Reduction, Result, StepError, Table, Visualizer, figures

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import torch

    from interpretkit import Captured, Model


class ChannelStats(Reduction):
    r"""Mean, std, min, max, sparsity and a dead flag of every channel, over all images and positions.

    The moments are merged exactly, in float64, after Chan, Golub and LeVeque: for parts $a$, $b$ with counts $n$, means
    $m$ and sums of squared deviations $M$,

    $$M = M_a + M_b + (m_b - m_a)^2 \frac{n_a n_b}{n_a + n_b}$$

    so that the grouping into batches does not matter (but for rounding). `std` is that of the population
    ($\sqrt{M / n}$), `sparsity` the share of exact zeros. `dead` is a channel that is zero everywhere. Values that are
    NaN or infinite are counted in `nonfinite` and enter nothing else. The table `channels` has one row for each layer
    and channel.
    """

    name = "channel_stats"
    citations = (
        Citation(
            key="chan1982updating",
            authors="Chan, Tony F. and Golub, Gene H. and LeVeque, Randall J.",
            title="Updating Formulae and a Pairwise Algorithm for Computing Sample Variances",
            venue="COMPSTAT",
            year=1982,
            doi="10.1007/978-3-642-51461-6_3",
            remark="the merging of moments",
        ),
    )

    class Options(Visualizer.Options):
        """Options of the channel statistics."""

        layers: list[str] = Field(min_length=1, description="layers to describe")

    options: Options

    def needs(self, model: Model) -> Needs:  # noqa: ARG002 - the same for every model
        """Ask for the layers' outputs."""
        return Needs(activations=self.options.layers)

    def compute(self, captured: Captured) -> Result:
        """Return the table `channels` of a batch."""
        parts = [_moments(layer, values) for layer, values in captured.activations.items()]
        return _result({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})

    def merge(self, first: Result, second: Result) -> Result:
        """Return the table of two parts of the set together."""
        return _result(_merged(first.tables["channels"].columns, second.tables["channels"].columns))

    def draw(self, result: Result) -> Iterator[Figure]:
        """Draw one chart per layer: mean and spread by channel, range, sparsity, dead channels marked."""
        table = result.tables["channels"]
        for layer in dict.fromkeys(table["layer"].tolist()):
            yield _chart(layer, table.where("layer", layer))


def _moments(layer: str, values: torch.Tensor) -> dict[str, Any]:
    """Return the sufficient statistics of `values` `(image, channel, …)` by channel."""
    if values.ndim < 2:  # noqa: PLR2004 - image and channel
        raise StepError(f"channel statistics need (image, channel, …); {layer} returns {values.ndim} dim(s)")
    channels = values.shape[1]
    flat = values.detach().double().cpu().transpose(0, 1).reshape(channels, -1).numpy()
    finite = np.isfinite(flat)
    count = finite.sum(1)
    kept = np.where(finite, flat, 0.0)
    some = np.maximum(count, 1)
    mean = kept.sum(1) / some
    deviations = np.where(finite, flat - mean[:, None], 0.0) if not finite.all() else flat - mean[:, None]
    return {
        "layer": np.full(channels, layer),
        "channel": np.arange(channels),
        "count": count,
        "mean": mean,
        "squares": np.einsum("cp,cp->c", deviations, deviations),
        "min": np.where(finite, flat, np.inf).min(1),
        "max": np.where(finite, flat, -np.inf).max(1),
        "zeros": (flat == 0).sum(1),
        "nonfinite": flat.shape[1] - count,
    }


def _merged(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> dict[str, Any]:
    count = first["count"] + second["count"]
    some = np.maximum(count, 1)
    step = second["mean"] - first["mean"]
    return {
        "layer": first["layer"],
        "channel": first["channel"],
        "count": count,
        "mean": first["mean"] + step * second["count"] / some,
        "squares": first["squares"] + second["squares"] + step**2 * (first["count"] * second["count"] / some),
        "min": np.minimum(first["min"], second["min"]),
        "max": np.maximum(first["max"], second["max"]),
        "zeros": first["zeros"] + second["zeros"],
        "nonfinite": first["nonfinite"] + second["nonfinite"],
    }


def _result(moments: Mapping[str, Any]) -> Result:
    """Return the table with what follows from the sufficient statistics."""
    count = np.maximum(moments["count"], 1)
    derived = {
        "std": np.sqrt(moments["squares"] / count),
        "sparsity": moments["zeros"] / count,
        "dead": (moments["min"] == 0) & (moments["max"] == 0),
    }
    order = ("layer", "channel", "mean", "std", "min", "max", "sparsity", "dead")
    columns = {**moments, **derived}
    return Result(tables={"channels": Table({name: columns[name] for name in dict.fromkeys((*order, *columns))})})


def _chart(layer: str, table: Table) -> Figure:
    channels, mean, std = table["channel"], table["mean"], table["std"]
    dead = table["dead"]
    figure = figures.chart(9.0, 4.6, title=f"{layer}: {len(table)} channels, {int(dead.sum())} dead")
    values, shares = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    values.fill_between(channels, table["min"], table["max"], step="mid", color="#d9dee5", lw=0, label="min to max")
    values.fill_between(channels, mean - std, mean + std, step="mid", color="#8fb3d9", lw=0, label="mean ± std")
    values.step(channels, mean, where="mid", color="#1f4e79", lw=0.9, label="mean")
    values.plot(channels[dead], mean[dead], "x", color="#b3541e", ms=4, label="dead" if dead.any() else None)
    values.set_ylabel("activation")
    values.legend(loc="upper right", ncols=4, frameon=False, fontsize=8)
    shares.fill_between(channels, table["sparsity"], step="mid", color="#b9a7c9", lw=0)
    shares.set(ylabel="sparsity", xlabel="channel", ylim=(0, 1), xlim=(-0.5, len(table) - 0.5))
    low, high = table["min"].min(), table["max"].max()
    extent = f"means from {mean.min():.4g} to {mean.max():.4g}, values from {low:.4g} to {high:.4g}"
    caption = (
        f"Channel statistics of {layer} over all images and positions ({int(table['count'].max())} values each): "
        f"{extent}; mean sparsity {table['sparsity'].mean():.1%}, {int(dead.sum())} of {len(table)} channels dead."
    )
    busiest = int(channels[mean.argmax()])
    return Figure(
        name=layer,
        picture=figures.picture(figure),
        caption=caption,
        alt=f"Chart of {layer} by channel: {extent}; channel {busiest} has the greatest mean.",
    )
