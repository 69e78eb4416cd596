"""What each branch of a block contributes: to the block, and to the logit."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from interpretkit import Figure, Needs, Result, Table, TargetSpec, Visualizer
from interpretkit_repvgg import branches_figure
from interpretkit_repvgg.blocks import BRANCHES, SUM, blocks_of, branch_of, find_blocks

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
        branches: dict[str, None] = {}
        for block in blocks:
            branches |= dict.fromkeys(block.branches.values())
        return Needs(
            activations=[*branches, f"{last.path}.{SUM}"],
            gradients=[last.path],
            target=self.options.target,
        )

    def compute(self, captured: Captured) -> Result:
        """Return the tables `branches` and `logit`, and one map `(image, y, x)` for each branch of the last block."""
        (last,) = captured.gradients
        maps = {}
        for branch, values in _split_logit(captured, last).items():
            path = f"{last}.{BRANCHES[branch]}"
            maps[path] = captured.map(path, values, polarity="signed")
        return Result(maps=maps, tables={"branches": _shares(captured), "logit": _sums(captured, maps)})

    def draw(self, result: Result) -> Iterator[Figure]:
        """Draw the shares over the depth of the network, and the maps of the last block on one scale."""
        yield branches_figure.shares(result.tables["branches"])
        yield branches_figure.logit(result)


def _branches(captured: Captured, block: str) -> dict[str, torch.Tensor]:
    """Return the branches of a block `(image, channel, y, x)` in float64, by what they are called."""
    branches = {}
    for branch, module in BRANCHES.items():
        path = f"{block}.{module}"
        if path in captured.activations:
            branches[branch] = captured.activations[path].double()
    return branches


def _shares(captured: Captured) -> Table:
    """Return the covariance shares of the branches, block by block, for each image."""
    import torch

    paths = [path.rpartition(".") for path in captured.activations]
    blocks = dict.fromkeys(block for block, _, module in paths if module in BRANCHES.values())
    rows = []
    for depth, block in enumerate(blocks):
        deviations = {branch: _deviations(values) for branch, values in _branches(captured, block).items()}
        total = reduce(torch.add, deviations.values())
        variance = _products(total, total)
        for branch, of_branch in deviations.items():
            share = _ratio(_products(of_branch, total), variance)
            spread = np.sqrt(_ratio(_products(of_branch, of_branch), variance))
            for position, image in enumerate(captured.images):
                row = {
                    "image": image.id,
                    "block": block,
                    "depth": depth,
                    "branch": branch,
                    "share": share[position],
                    "relative_std": spread[position],
                }
                rows.append(row)
    return Table.of_rows(rows)


def _deviations(values: torch.Tensor) -> torch.Tensor:
    """Return values less the mean of their channel over the cells, `(image, value)`."""
    return (values - values.mean((2, 3), keepdim=True)).flatten(1)


def _ratio(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return a quotient; NaN where the divisor is not positive."""
    undefined = np.full_like(second, np.nan)
    return np.asarray(np.divide(first, second, where=second > 0, out=undefined))


def _products(first: torch.Tensor, second: torch.Tensor) -> np.ndarray:
    """Return the sum of products over all but the first dim, `(image,)`."""
    products: np.ndarray = (first * second).sum(1).cpu().numpy()
    return products


def _split_logit(captured: Captured, block: str) -> dict[str, torch.Tensor]:
    """Return the maps of the branches `(image, y, x)` that sum to the logit without its bias."""
    total = captured.activations[f"{block}.{SUM}"].double()
    # The recorded sum: beside one taken afresh in float64 the mask would be off 1 by its rounding.
    gate = (captured.activations[block].double() / total).where(total != 0, 0.0)
    weight = captured.gradients[block].double() * gate
    return {branch: (weight * values).sum(1) for branch, values in _branches(captured, block).items()}


def _sums(captured: Captured, maps: Mapping[str, Map]) -> Table:
    """Return how the score of each image adds up: the sum of each map, and the rest."""
    rows = []
    for position, (image, target) in enumerate(zip(captured.images, captured.targets, strict=True)):
        parts = {branch_of(path): float(shown.values[position].sum()) for path, shown in maps.items()}
        parts["rest"] = target.score - sum(parts.values())
        rows += [{"image": image.id, "part": part, "value": value} for part, value in parts.items()]
    return Table.of_rows(rows)
