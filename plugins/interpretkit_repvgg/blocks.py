"""The blocks of a model in training form, and the branches of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from interpretkit import RecipeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interpretkit import Model

BRANCHES = {"3x3": "rbr_dense", "1x1": "rbr_1x1", "identity": "rbr_identity"}
"""The modules of the branches, by what tables and figures call them."""

SUM = "rbr_sum"


@dataclass(frozen=True, slots=True)
class Block:
    """A block in training form.

    Attributes:
        path: Its module path.
        branches: The module paths of its branches, by what they are called.
    """

    path: str
    branches: dict[str, str]


def blocks_of(model: Model) -> list[Block]:
    """Return all blocks of a model, from the first to the last.

    Raises:
        RecipeError: If the model has been re-parameterised, or is no RepVGG.
    """
    paths = [path for path, _ in model.module.named_modules()]
    block_paths = [path.removesuffix(f".{SUM}") for path in paths if path.endswith(f".{SUM}")]
    if not block_paths and any(path.endswith(".rbr_reparam") for path in paths):
        raise RecipeError(
            f"model {model.name!r}: this model has been re-parameterised; branches no longer exist",
            hint="load the training-form weights, with form: train",
        )
    if not block_paths:
        raise RecipeError(f"model {model.name!r} has no blocks of branches", hint="use a RepVGG in training form")
    known = set(paths)
    blocks = []
    for path in block_paths:
        branches = {name: f"{path}.{part}" for name, part in BRANCHES.items()}
        blocks.append(Block(path, {name: branch for name, branch in branches.items() if branch in known}))
    return blocks


def branch_of(path: str) -> str:
    """Return what the branch at a module path is called.

    Example:
        >>> branch_of("stage4.0.rbr_1x1")
        '1x1'
    """
    return next(branch for branch, module in BRANCHES.items() if path.endswith(f".{module}"))


def find_blocks(model: Model, patterns: Sequence[str]) -> list[Block]:
    """Return the blocks that patterns of layers name, `!pattern` taking away, in the order of the network.

    Raises:
        RecipeError: If a pattern matches no layer, the patterns leave no block, or as in `blocks_of`.
    """
    blocks = blocks_of(model)
    wanted = [pattern for pattern in patterns if not pattern.startswith("!")]
    unwanted = [pattern.removeprefix("!") for pattern in patterns if pattern.startswith("!")]
    chosen = _paths(model, wanted) - _paths(model, unwanted)
    if not any(block.path in chosen for block in blocks):
        raise RecipeError(
            f"the patterns {', '.join(patterns)} name no block of model {model.name!r}",
            hint=f"its blocks are {blocks[0].path} to {blocks[-1].path}; '**' names all",
            subject=list(patterns),
        )
    return [block for block in blocks if block.path in chosen]


def _paths(model: Model, patterns: Sequence[str]) -> set[str]:
    # Paths, not names: an alias and a path may stand for one block, and taking away either takes away the block.
    return {layer.address.path for layer in model.find(patterns)} if patterns else set()
