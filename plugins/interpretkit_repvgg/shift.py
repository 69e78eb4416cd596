"""How far the images lie from those whose statistics the normalisations hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from interpretkit import Figure, Needs, Reduction, Result, StepError, Table, figures
from interpretkit_repvgg.blocks import find_blocks
from interpretkit_repvgg.charts import COLOURS, depth_axis, depth_chart

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import torch
    from matplotlib.axes import Axes

    from interpretkit import Captured, Model

_SHIFT_ERROR = 0.01
_LEAST_RATIO = 1e-4


class Shift(Reduction):
    r"""How far the channels of every branch have moved from where they were in training.

    Each branch of a RepVGG in training form ends in a batch normalisation. Over the data of its running statistics a
    channel has mean $\beta$ and variance $\gamma^2$ (but for the `eps` of the normalisation). For the images at hand
    the table `channels` gives

    $$\mathrm{shift\_sigma} = \frac{\mathrm{mean} - \beta}{|\gamma|}, \qquad
      \mathrm{variance\_ratio} = \frac{\mathrm{variance}}{\gamma^2}$$

    over all images and positions, with `count` values each: 0 and 1 where the images are like those of the training,
    whose running statistics are themselves an average over its last part. Moments are merged exactly, in float64 (Chan,
    Golub and LeVeque). A few images differ from each other, and so from the training, without being of another
    kind: compare with as many images like those of the training.

    Where $\gamma$ is zero, or so small beside $\beta$ that rounding would decide, there is no such unit: the channel
    has no row, and is counted as `undefined` in the table `branches`.
    """

    name = "repvgg_shift"
    yields = "statistics"
    requires = "a RepVGG in training form; several images"
    citations = {"ioffe2015batch": "", "chan1982updating": "the merging of moments"}

    class Options(Reduction.Options):
        """Options of the shift."""

        blocks: list[str] = Field(
            default=["**"], min_length=1, description="blocks to measure, as patterns of layers; '**' is all"
        )

    options: Options

    def needs_of(self, model: Model) -> Needs:
        """Ask for every branch; and for the model, whose normalisations hold the statistics.

        Raises:
            RecipeError: If the model has been re-parameterised, or is no RepVGG.
        """
        blocks = find_blocks(model, self.options.blocks)
        return Needs(activations=[path for block in blocks for path in block.branches.values()], parameters=True)

    def compute(self, captured: Captured) -> Result:
        """Return the tables `channels` and `branches` of a batch.

        Raises:
            StepError: If a branch returns NaN or infinity.
        """
        moments, branches = [], []
        for depth, block in enumerate(find_blocks(captured.model, self.options.blocks)):
            for branch, path in block.branches.items():
                norm = captured.model.module.get_submodule(path)
                values = captured.activations[path]
                where = {"block": block.path, "depth": depth, "branch": branch}
                found = _moments(where, values, getattr(norm, "bn", norm), path)
                moments.append(found)
                undefined = values.shape[1] - len(found["channel"])
                branches.append({**where, "channels": values.shape[1], "undefined": undefined})
        images = len(captured.images)
        return _result(
            {name: np.concatenate([each[name] for each in moments]) for name in moments[0]},
            Table.of_rows([{**each, "images": images} for each in branches]),
        )

    def merge(self, first: Result, second: Result) -> Result:
        """Return the tables of two parts of the set together."""
        branches = first.tables["branches"].columns
        images = branches["images"] + second.tables["branches"]["images"]
        return _result(
            _merged(first.tables["channels"].columns, second.tables["channels"].columns),
            Table({**branches, "images": images}),
        )

    def draw(self, result: Result) -> Iterator[Figure]:
        """Draw shift and variance of the channels over the depth of the network: median, and 10 % to 90 %."""
        yield _chart(result.tables["channels"], result.tables["branches"])


def _moments(where: Mapping[str, Any], values: torch.Tensor, norm: Any, path: str) -> dict[str, np.ndarray]:
    """Return the sufficient statistics of `values` `(image, channel, y, x)` by channel, where the shift is defined."""
    import torch

    flat = values.transpose(0, 1).flatten(1).double().cpu().numpy()
    if not np.isfinite(flat).all():
        raise StepError(f"{path} returns values that are not finite, which have no mean")
    gamma, beta = (each.detach().double().cpu().numpy() for each in (norm.weight, norm.bias))
    # `values` are rounded to the last digit of beta, which is this part of gamma.
    rounding = torch.finfo(values.dtype).eps * np.abs(beta)
    kept = np.flatnonzero((gamma != 0) & (rounding <= _SHIFT_ERROR * np.abs(gamma)))
    mean = flat[kept].mean(1)
    return {
        **{name: np.full(len(kept), value) for name, value in where.items()},
        "channel": kept,
        "count": np.full(len(kept), flat.shape[1]),
        "mean": mean,
        "squares": np.square(flat[kept] - mean[:, None]).sum(1),
        "beta": beta[kept],
        "gamma": gamma[kept],
    }


def _merged(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    count = first["count"] + second["count"]
    step = second["mean"] - first["mean"]
    squares = first["squares"] + second["squares"] + step**2 * (first["count"] * second["count"] / count)
    return {**first, "count": count, "mean": first["mean"] + step * second["count"] / count, "squares": squares}


def _result(moments: Mapping[str, np.ndarray], branches: Table) -> Result:
    """Return the tables with what follows from the sufficient statistics."""
    columns = {
        **moments,
        "shift_sigma": (moments["mean"] - moments["beta"]) / np.abs(moments["gamma"]),
        "variance_ratio": moments["squares"] / moments["count"] / moments["gamma"] ** 2,
    }
    order = ("block", "depth", "branch", "channel", "shift_sigma", "variance_ratio", "count")
    channels = Table({name: columns[name] for name in dict.fromkeys((*order, *columns))})
    return Result(tables={"channels": channels, "branches": branches})


def _chart(channels: Table, branches: Table) -> Figure:
    blocks = list(dict.fromkeys(branches["block"].tolist()))
    images = _images(branches)
    figure = depth_chart(blocks, 6.4, title=f"Shift from the training's statistics, over {images}")
    shifts, ratios = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    names = list(dict.fromkeys(branches["branch"].tolist()))
    for offset, branch in zip(np.linspace(-0.25, 0.25, len(names)), names, strict=True):
        rows = channels.where("branch", branch)
        depths = rows["depth"] + offset
        _quantiles(shifts, depths, np.abs(rows["shift_sigma"]), branch)
        _quantiles(ratios, depths, rows["variance_ratio"], branch)
    shifts.set_ylabel("|shift| in training σ")
    shifts.set_ylim(bottom=0)
    ratios.set_ylabel("variance / training's")
    ratios.set_yscale("log", nonpositive="clip")
    low, high = ratios.get_ylim()
    ratios.set_ylim(max(low, _LEAST_RATIO), max(high, 2.0))
    ratios.axhline(1, color="#1f2328", lw=0.8)
    depth_axis(shifts, blocks)
    depth_axis(ratios, blocks)
    shifts.tick_params(axis="x", labelbottom=False)
    figure.legend(*shifts.get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize=8)
    words = _in_words(channels, branches)
    caption = (
        f"Over {images}: distance of each channel's mean from its mean in training (β) in units of its standard "
        "deviation there (|γ|), and its variance over that in training (γ²; the line at 1 is no change). "
        f"Dots: median over the channels of a branch; lines: 10 % to 90 % of them, cut off at the lower edge. {words}"
    )
    return Figure(name="shift", picture=figures.picture(figure), caption=caption, alt=f"Chart by block. {words}")


def _quantiles(axes: Axes, depths: np.ndarray, values: np.ndarray, branch: str) -> None:
    """Draw the median of the values at each depth as a dot, and a line from their 10 % to their 90 %."""
    places = np.unique(depths)
    if not len(places):
        return
    ends = np.array([np.quantile(values[depths == place], (0.1, 0.5, 0.9)) for place in places])
    axes.vlines(places, ends[:, 0], ends[:, 2], color=COLOURS[branch], lw=1.6, alpha=0.55)
    axes.plot(places, ends[:, 1], "o", color=COLOURS[branch], ms=3.5, label=branch)


def _images(branches: Table) -> str:
    return figures.count(int(branches["images"].max()), "image")


def _in_words(channels: Table, branches: Table) -> str:
    undefined = f"{int(branches['undefined'].sum())} of {int(branches['channels'].sum())} channels undefined (γ ≈ 0)."
    if not len(channels):
        return undefined
    places = dict.fromkeys(zip(channels["block"].tolist(), channels["branch"].tolist(), strict=True))
    medians = {
        place: float(np.median(np.abs(channels.where("block", place[0]).where("branch", place[1])["shift_sigma"])))
        for place in places
    }
    (block, branch), most = max(medians.items(), key=lambda item: item[1])
    overall = float(np.median(np.abs(channels["shift_sigma"])))
    still = int((channels["variance_ratio"] < _LEAST_RATIO).sum())
    constant = f"{still} channels hardly vary (ratio below {_LEAST_RATIO:g}). " if still else ""
    return (
        f"Median |shift| over all channels {figures.number(overall)} σ; it is greatest in the {branch} branch of "
        f"{block}: {figures.number(most)} σ. {constant}{undefined}"
    )
