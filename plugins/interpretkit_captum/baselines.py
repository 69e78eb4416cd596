"""Baselines in words, and baselines drawn about one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

WORDS = {
    "zero": "zero, the mean colour of the training if that was subtracted",
    "black": "black",
    "image_mean": "the mean of each colour channel of the image",
    "blurred": "the image blurred by a Gaussian of a twentieth of its shorter side",
}


def around(baseline: torch.Tensor, *, count: int, spread: float, seed: int) -> torch.Tensor:
    """Return `count` baselines `(baseline, channel, y, x)`: Gaussian noise about one, always the same for a seed."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    shape = (count, *baseline.shape[1:])
    # Drawn on the CPU and in float32, so that they are the same on every device and in every precision.
    noise = torch.randn(shape, generator=generator).to(baseline)
    return baseline + spread * noise
