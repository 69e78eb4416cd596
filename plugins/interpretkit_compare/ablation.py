"""What a score loses when channels are taken away: the first of an order, beside as many at random."""

from __future__ import annotations

from itertools import islice, product
from typing import TYPE_CHECKING

import numpy as np

from interpretkit import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from interpretkit import Captured


def ablation(
    captured: Captured, position: int, layer: str, order: np.ndarray, *, draws: int, seed: int, at_once: int
) -> Table:
    """Ablate the first 1, 2, 4, … channels of an order, up to all, and as many random ones, and score what is left.

    A channel is set to zero, or to its own mean over the cells of this image.

    Args:
        captured: The batch.
        position: Which of its images.
        layer: The layer whose channels are ablated.
        order: Its channels, the first to be ablated first.
        draws: Random orders of all channels; their first ones are taken, so that a draw goes on from k to the next.
        seed: Of these.
        at_once: Variants in one pass.

    Returns:
        A table with one row for each `order` (top, random), `fill` (zero, mean) and `k`: `score` is the mean over the
        draws, `spread` their sample standard deviation (0 for top), `fall` the score of the whole image less `score`.
    """
    orders = {"top": [order], "random": _random_orders(captured.seed(position, seed), len(order), draws)}
    places = list(product(orders, ("zero", "mean"), _counts(len(order))))
    edits: list[tuple[str, np.ndarray]] = []
    for kind, fill, k in places:
        edits += [(fill, channels[:k]) for channels in orders[kind]]
    scores = iter(_scores(captured, position, layer, edits, at_once=at_once))
    rows = []
    for kind, fill, k in places:
        of_draws = list(islice(scores, len(orders[kind])))
        score = np.mean(of_draws)
        row = {
            "image": captured.images[position].id,
            "layer": layer,
            "order": kind,
            "fill": fill,
            "k": k,
            "score": score,
            "spread": np.std(of_draws, ddof=1) if len(of_draws) > 1 else 0.0,
            "fall": captured.targets[position].score - score,
        }
        rows.append(row)
    return Table.of_rows(rows)


def _random_orders(seed: int, channels: int, draws: int) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    return [generator.permutation(channels) for _ in range(draws)]


def _counts(channels: int) -> list[int]:
    """Return 1, 2, 4, … below the number of channels, and that number.

    Example:
        >>> _counts(5), _counts(4)
        ([1, 2, 4, 5], [1, 2, 4])
    """
    powers = [2**power for power in range(channels.bit_length())]
    return [power for power in powers if power < channels] + [channels]


def _scores(
    captured: Captured, position: int, layer: str, edits: Sequence[tuple[str, np.ndarray]], *, at_once: int
) -> list[float]:
    """Return the score of an image with some channels filled, for each fill and choice of channels."""
    import torch

    model, target = captured.model, captured.targets[position]
    image = captured.inputs[position : position + 1]
    activation = captured.activations[layer][position]
    cells = tuple(range(1, activation.ndim))
    means = activation.mean(cells, keepdim=True)
    fills = {"zero": torch.zeros_like(activation), "mean": means.expand_as(activation)}

    def filled(fill: str, channels: np.ndarray) -> torch.Tensor:
        variant = activation.clone()
        index = torch.from_numpy(channels).to(variant.device)
        variant[index] = fills[fill][index]
        return variant

    scores: list[float] = []
    for start in range(0, len(edits), at_once):
        variants = [filled(*edit) for edit in edits[start : start + at_once]]
        found = model.scores_with(image, target, layer=layer, variants=torch.stack(variants))
        scores += found.tolist()
    return scores
