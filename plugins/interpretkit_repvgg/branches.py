"""What each branch of a block contributes: to the block, and to the logit."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from interpretkit import Figure, Needs, Result, Table, TargetSpec, Visualizer, figures
from interpretkit_repvgg.blocks import BRANCHES, SUM, blocks_of, find_blocks
from interpretkit_repvgg.charts import COLOURS, depth_axis, depth_chart

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import torch

    from interpretkit import Captured, Map, Model


class Branches(Visualizer):
    r"""The exact split of every block of a RepVGG in training form into its 3×3, 1×1 and identity branch.

    A block sums its branches, $z = \sum_b z_b$, before the ReLU. The share of a branch is

    $$s_b = \frac{\sum_k \mathrm{Cov}(z_{b,k}, z_k)}{\sum_k \mathrm{Var}(z_k)}, \qquad \sum_b s_b = 1$$

    with the covariance over the positions of one image and the sum over channels $k$, so that the constant that
    normalisation adds to a channel has no share. A negative share means that the branch cancels the others. Table
    `branches`: one row for each image, block and branch; `depth` counts the blocks from 0; `relative_std` is the
    spread of the branch over that of the sum, which does not add up. On a grid of one cell nothing varies, and shares
    are undefined (NaN).

    At the last block the logit itself splits: its output $A$ goes through a mean and a linear layer, so with the gate
    $A_k / z_k$ (the ReLU's mask, squeeze-and-excitation included) held at its value

    $$L_b(y, x) = \sum_k \frac{\partial y}{\partial A_k} \frac{A_k}{z_k} z_{b,k}, \qquad
      \sum_b \sum_{y, x} L_b(y, x) + \mathrm{bias} = y$$

    One signed map per branch, in units of the logit per cell, the constants of its normalisation included. Table
    `logit`: the sum of each map, and as `rest` what is left: the bias of the head, and rounding.

    Shares and maps describe these weights. The centre of the 3×3 kernel, the 1×1 kernel and the identity could trade
    places without changing the function; a large share alone does not make a branch important.
    """

    name = "repvgg_branches"
    yields = "attribution"
    requires = "a RepVGG in training form"
    citations = {"ding2021repvgg": "", "zhou2016cam": "the maps"}
    cost = "one backward pass for each target, shared with the other steps"
    polarity = "signed"

    class Options(Visualizer.Options):
        """Options of the split."""

        blocks: list[str] = Field(
            default=["**"],
            min_length=1,
            description="blocks to report besides the last, as patterns of layers; '**' is all",
        )
        target: TargetSpec = Field(
            default="predicted",
            description="whose logit: predicted, label, a class index or name, {for: …, against: …}, or {top: 3}",
        )

    options: Options

    def needs_of(self, model: Model) -> Needs:
        """Ask for every branch, and for the gradient at the output of the last block.

        Raises:
            RecipeError: If the model has been re-parameterised, or is no RepVGG.
        """
        last = blocks_of(model)[-1]
        blocks = [*find_blocks(model, self.options.blocks), last]
        branches = [path for block in blocks for path in block.branches.values()]
        return Needs(
            activations=[*dict.fromkeys(branches), f"{last.path}.{SUM}"],
            gradients=[last.path],
            target=self.options.target,
        )

    def compute(self, captured: Captured) -> Result:
        """Return the tables `branches` and `logit`, and one map `(image, y, x)` for each branch of the last block."""
        (last,) = captured.gradients
        maps = {
            f"{last}.{BRANCHES[branch]}": captured.map(f"{last}.{BRANCHES[branch]}", values, polarity="signed")
            for branch, values in _split_logit(captured, last).items()
        }
        return Result(maps=maps, tables={"branches": _shares(captured), "logit": _sums(captured, maps)})

    def draw(self, result: Result) -> Iterator[Figure]:
        """Draw the shares over the depth of the network, and the maps of the last block on one scale."""
        yield _share_chart(result.tables["branches"])
        yield _logit_figure(result)


def _branches(captured: Captured, block: str) -> dict[str, torch.Tensor]:
    """Return the branches of a block `(image, channel, y, x)` in float64, by what they are called."""
    paths = {branch: f"{block}.{module}" for branch, module in BRANCHES.items()}
    return {
        branch: captured.activations[path].double() for branch, path in paths.items() if path in captured.activations
    }


def _shares(captured: Captured) -> Table:
    """Return the covariance shares of the branches, block by block, for each image."""
    import torch

    paths = (path for path in captured.activations if path.rpartition(".")[2] in BRANCHES.values())
    rows = []
    for depth, block in enumerate(dict.fromkeys(path.rpartition(".")[0] for path in paths)):
        deviations = {
            branch: (values - values.mean((2, 3), keepdim=True)).flatten(1)
            for branch, values in _branches(captured, block).items()
        }
        total = reduce(torch.add, deviations.values())
        variance = _products(total, total)
        for branch, each in deviations.items():
            share = np.divide(_products(each, total), variance, where=variance > 0, out=np.full_like(variance, np.nan))
            spread = np.divide(_products(each, each), variance, where=variance > 0, out=np.full_like(variance, np.nan))
            rows += [
                (image.id, block, depth, branch, share[position], np.sqrt(spread[position]))
                for position, image in enumerate(captured.images)
            ]
    names = ("image", "block", "depth", "branch", "share", "relative_std")
    return Table(dict(zip(names, zip(*rows, strict=True), strict=True)))


def _products(first: torch.Tensor, second: torch.Tensor) -> np.ndarray:
    """Return the sum of products over all but the first dim, `(image,)`."""
    products: np.ndarray = (first * second).sum(1).cpu().numpy()
    return products


def _split_logit(captured: Captured, block: str) -> dict[str, torch.Tensor]:
    """Return the maps of the branches `(image, y, x)` that sum to the logit but for the bias."""
    total = captured.activations[f"{block}.{SUM}"].double()
    # The recorded sum: beside one taken afresh in float64 the mask would be off 1 by its rounding.
    gate = (captured.activations[block].double() / total).where(total != 0, 0.0)
    weight = captured.gradients[block].double() * gate
    return {branch: (weight * values).sum(1) for branch, values in _branches(captured, block).items()}


def _sums(captured: Captured, maps: Mapping[str, Map]) -> Table:
    """Return how the score of each image adds up: the sum of each map, and the rest."""
    rows = []
    for position, (image, target) in enumerate(zip(captured.images, captured.targets, strict=True)):
        parts = {_branch(path): float(each.values[position].sum()) for path, each in maps.items()}
        parts["rest"] = target.score - sum(parts.values())
        rows += [(image.id, part, value) for part, value in parts.items()]
    return Table(dict(zip(("image", "part", "value"), zip(*rows, strict=True), strict=True)))


def _branch(path: str) -> str:
    """Return what the branch at a module path is called."""
    return next(branch for branch, module in BRANCHES.items() if path.endswith(f".{module}"))


def _share_chart(table: Table) -> Figure:
    """Draw the shares as bars stacked from zero, upwards where positive and downwards where negative."""
    blocks = list(dict.fromkeys(table["block"].tolist()))
    figure = depth_chart(
        blocks, 4.8, title="Covariance share of each branch in the sum before the ReLU, block by block"
    )
    axes = figure.subplots()
    ends = {sign: np.zeros(len(blocks)) for sign in (1, -1)}
    sums = np.zeros(len(blocks))
    for branch in dict.fromkeys(table["branch"].tolist()):
        rows = table.where("branch", branch)
        positions, shares = rows["depth"], rows["share"]
        bottom = np.where(shares < 0, ends[-1][positions], ends[1][positions])
        axes.bar(positions, shares, 0.8, bottom=bottom, color=COLOURS[branch], label=branch)
        for sign, end in ends.items():
            end[positions] += np.where(sign * shares > 0, shares, 0.0)
        sums[positions] += shares
    axes.plot(sums, "D", color="white", mec="#1f2328", ms=4, label="sum of the shares")
    axes.axhline(0, color="#1f2328", lw=0.8)
    axes.set_ylabel("share of the variance")
    depth_axis(axes, blocks)
    # In the order in which they are stacked, the sum on top.
    handles, labels = axes.get_legend_handles_labels()
    bars = handles[:0:-1], labels[:0:-1]
    figure.legend([handles[0], *bars[0]], [labels[0], *bars[1]], loc="outside right upper", frameon=False, fontsize=8)
    words = _in_words(table, blocks, sums)
    caption = (
        "Exact split of each block: covariance of a branch with the sum of the branches over the variance of the sum, "
        f"over the positions of the image, within channels. {words} A negative share cancels the others."
    )
    return Figure(
        name="shares", picture=figures.picture(figure), caption=caption, alt=f"Stacked bars by block. {words}"
    )


def _in_words(table: Table, blocks: list[str], sums: np.ndarray) -> str:
    known = table["share"][~np.isnan(table["share"])]
    if not len(known):
        return "On grids of one cell no share is defined."
    medians = ", ".join(
        f"{branch} {figures.percent(np.nanmedian(table.where('branch', branch)['share']), '.0')}"
        for branch in dict.fromkeys(table["branch"].tolist())
        if not np.isnan(table.where("branch", branch)["share"]).all()
    )
    least = int(np.nanargmin(table["share"]))
    missing = int(np.isnan(sums).sum())
    undefined = f"; undefined in {missing} of {len(blocks)} blocks" if missing else ""
    lowest = figures.percent(table["share"][least], ".0")
    return (
        f"Median over {len(blocks) - missing} blocks: {medians}; the least share is {lowest} "
        f"({table['branch'][least]} of {table['block'][least]}){undefined}."
    )


def _logit_figure(result: Result) -> Figure:
    """Draw the maps of the branches and their sum, on one scale."""
    (image,), (target,) = result.images, result.targets
    values = {_branch(path): each.values[0] for path, each in result.maps.items()}
    block = next(iter(result.maps)).rpartition(".")[0]
    together = np.sum(list(values.values()), axis=0)
    shown = {**values, "all branches": together}
    bound = max(float(np.abs(each).max()) for each in shown.values())
    pictures = [
        figures.heatmap(
            each, title=f"{name}: sums to {figures.number(each.sum())}", polarity="signed", limits=(-bound, bound)
        )
        for name, each in shown.items()
    ]
    parts = ", ".join(f"{part} {figures.number(value)}" for _, part, value in result.tables["logit"].rows())
    height, width = together.shape
    caption = (
        f"The score {figures.number(target.score)} split exactly at {block}, the ReLU held where it is: {parts} "
        "(rest: the bias of the linear layer). Maps in units of the logit per cell on their native grid of "
        f"{height}×{width}, all on one scale symmetric about 0."
    )
    picture = figures.panels(
        [figures.photo(image.pixels, title="input"), *pictures],
        title=f"What each branch of {block} says for {target}",
    )
    alt = figures.alt(together, what=f"Maps of the branches of {block} for {target}: {parts}; their sum")
    return Figure(name="logit", picture=picture, caption=caption, alt=alt)
