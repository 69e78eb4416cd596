"""Images with parts of them taken away: what stands in for a part."""

from __future__ import annotations

from pydantic import Field

from interpretkit import Baseline, Visualizer

IN_WORDS = {
    "zero": "0 of the network's input",
    "image_mean": "the image's mean colour",
    "black": "black",
    "blurred": "the image blurred",
}


class PerturbedOptions(Visualizer.Options):
    """What stands in for parts of an image, and how many images go through at once."""

    fill: Baseline = Field(
        default="zero",
        description="what stands in for a cell: zero (of the network's input), image_mean (the mean of each colour "
        "channel of the image), black, or blurred",
    )
    blur: float = Field(
        default=0.05,
        gt=0,
        le=0.5,
        description="standard deviation of the blur, as a part of the image's shorter side",
    )
    internal_batch_size: int = Field(default=32, ge=1, description="perturbed images per pass")
