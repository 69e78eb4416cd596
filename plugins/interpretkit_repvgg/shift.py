"""How far the images lie from those whose statistics the normalisations hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from interpretkit import Figure, Needs, Reduction, Result, StepError, Table
from interpretkit_repvgg import shift_figure
from interpretkit_repvgg.blocks import find_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import torch

    from interpretkit import Captured, Model

_SHIFT_ERROR = 0.01


class Shift(Reduction):
    r"""How far the channels of every branch have moved from where they were in training.

    Each branch of a RepVGG in training form ends in a batch normalisation. Over the data of its running statistics a
    channel has mean $\beta$ and variance $\gamma^2$ (except for the `eps` of the normalisation). For the images at hand
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
        activations: list[str] = []
        for block in find_blocks(model, self.options.blocks):
            activations += block.branches.values()
        return Needs(activations=activations, parameters=True)

    def compute(self, captured: Captured) -> Result:
        """Return the tables `channels` and `branches` of a batch.

        Raises:
            StepError: If a branch returns NaN or infinity.
        """
        tables: list[Table] = []
        branches: list[dict[str, Any]] = []
        for depth, block in enumerate(find_blocks(captured.model, self.options.blocks)):
            for branch, path in block.branches.items():
                norm = captured.model.module.get_submodule(path)
                values = captured.activations[path]
                where = {"block": block.path, "depth": depth, "branch": branch}
                moments = _moments(where, values, getattr(norm, "bn", norm), path)
                tables.append(moments)
                row = {
                    **where,
                    "channels": values.shape[1],
                    "undefined": values.shape[1] - len(moments),
                    "images": len(captured.images),
                }
                branches.append(row)
        return _result(Table.stacked(tables).columns, Table.of_rows(branches))

    def merge(self, first: Result, second: Result) -> Result:
        """Return the tables of two parts of the set together."""
        branches = first.tables["branches"].columns
        images = branches["images"] + second.tables["branches"]["images"]
        merged = _merged(first.tables["channels"].columns, second.tables["channels"].columns)
        return _result(merged, Table({**branches, "images": images}))

    def draw(self, result: Result) -> Iterator[Figure]:
        """Draw shift and variance of the channels over the depth of the network: median, and 10 % to 90 %."""
        yield shift_figure.draw(result.tables["channels"], result.tables["branches"])


def _moments(where: Mapping[str, Any], values: torch.Tensor, norm: Any, path: str) -> Table:
    """Return the sufficient statistics of `values` `(image, channel, y, x)` by channel, where the shift is defined."""
    import torch

    flat = values.transpose(0, 1).flatten(1).double().cpu().numpy()
    if not np.isfinite(flat).all():
        raise StepError(f"{path} returns values that are not finite, which have no mean")
    gamma = norm.weight.detach().double().cpu().numpy()
    beta = norm.bias.detach().double().cpu().numpy()
    # `values` are rounded to the last digit of beta, which is this part of gamma.
    rounding = torch.finfo(values.dtype).eps * np.abs(beta)
    defined = (gamma != 0) & (rounding <= _SHIFT_ERROR * np.abs(gamma))
    kept = np.flatnonzero(defined)
    mean = flat[kept].mean(1)
    deviations = flat[kept] - mean[:, None]
    return Table(
        {name: np.full(len(kept), value) for name, value in where.items()},
        channel=kept,
        count=np.full(len(kept), flat.shape[1]),
        mean=mean,
        squares=np.square(deviations).sum(1),
        beta=beta[kept],
        gamma=gamma[kept],
    )


def _merged(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    one, other = first["count"], second["count"]
    count = one + other
    step = second["mean"] - first["mean"]
    apart = step**2 * (one * other / count)
    return {
        **first,
        "count": count,
        "mean": first["mean"] + step * other / count,
        "squares": first["squares"] + second["squares"] + apart,
    }


def _result(moments: Mapping[str, np.ndarray], branches: Table) -> Result:
    """Return the tables with what follows from the sufficient statistics."""
    variance = moments["squares"] / moments["count"]
    columns = {
        **moments,
        "shift_sigma": (moments["mean"] - moments["beta"]) / np.abs(moments["gamma"]),
        "variance_ratio": variance / moments["gamma"] ** 2,
    }
    order = ("block", "depth", "branch", "channel", "shift_sigma", "variance_ratio", "count")
    channels = Table({name: columns[name] for name in dict.fromkeys((*order, *columns))})
    return Result(tables={"channels": channels, "branches": branches})
