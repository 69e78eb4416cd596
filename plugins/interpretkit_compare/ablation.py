"""What a score loses when channels are taken away: the first of an order, beside as many at random."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from interpretkit import Table

if TYPE_CHECKING:
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
    generator = np.random.default_rng(captured.seed(position, seed))
    orders = {"top": [order], "random": [generator.permutation(len(order)) for _ in range(draws)]}
    counts = [*(2**power for power in range(len(order).bit_length()) if 2**power < len(order)), len(order)]
    places = [(kind, fill, k) for kind in orders for fill in ("zero", "mean") for k in counts]
    chosen = [(fill, each[:k]) for kind, fill, k in places for each in orders[kind]]
    scores = iter(_scores(captured, position, layer, chosen, at_once=at_once))
    found = [[next(scores) for _ in orders[kind]] for kind, _, _ in places]
    count, means = len(places), np.array([np.mean(each) for each in found])
    return Table(
        image=np.full(count, captured.images[position].id),
        layer=np.full(count, layer),
        order=[kind for kind, _, _ in places],
        fill=[fill for _, fill, _ in places],
        k=[k for _, _, k in places],
        score=means,
        spread=[np.std(each, ddof=1) if len(each) > 1 else 0.0 for each in found],
        fall=captured.targets[position].score - means,
    )


def _scores(
    captured: Captured, position: int, layer: str, chosen: list[tuple[str, np.ndarray]], *, at_once: int
) -> list[float]:
    """Return the score of an image with some channels filled, for each fill and choice of channels."""
    import torch

    model, activation = captured.model, captured.activations[layer][position]
    fills = {"zero": torch.zeros_like(activation), "mean": activation.mean((1, 2), keepdim=True).expand_as(activation)}
    scores: list[float] = []

    def filled(fill: str, channels: np.ndarray) -> torch.Tensor:
        variant = activation.clone()
        index = torch.from_numpy(channels).to(variant.device)
        variant[index] = fills[fill][index]
        return variant

    for start in range(0, len(chosen), at_once):
        scores += model.scores_with(
            captured.inputs[position : position + 1],
            captured.targets[position],
            layer=layer,
            variants=torch.stack([filled(*each) for each in chosen[start : start + at_once]]),
        ).tolist()
    return scores
