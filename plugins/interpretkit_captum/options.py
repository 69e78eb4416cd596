"""Options that several methods share."""

from __future__ import annotations

from pydantic import Field

from interpretkit import Baseline, Targeted


class Batched(Targeted):
    """How much memory is used."""

    internal_batch_size: int = Field(
        default=16,
        ge=1,
        description="images per forward pass of the step's own: bounds the memory, and changes no number",
    )


class Paired(Batched):
    """How much memory is used, where images go through in pairs."""

    internal_batch_size: int = Field(
        default=16,
        ge=2,
        description="images per forward pass of the step's own, at least 2, since they go in pairs: bounds the memory, "
        "and changes no number",
    )


class Baselined(Targeted):
    """What the image is compared with."""

    baseline: Baseline = Field(
        default="zero",
        description="what the image is compared with: zero (what the network is fed for the mean colour of its "
        "training, if that was subtracted), black (what the preprocessing makes of black), image_mean (the mean of "
        "each colour channel of the image), blurred (the image under a Gaussian of a twentieth of its shorter side)",
    )


class Seeded(Targeted):
    """Which random numbers are drawn."""

    seed: int = Field(
        default=0, description="chooses the random numbers; with the same one an image always gets the same"
    )
