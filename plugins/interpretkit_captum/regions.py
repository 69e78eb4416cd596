"""Regions of an image that are taken away together: patches of equal sides, or superpixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from interpretkit import PluginError, StepError
from interpretkit_captum.options import Baselined, Batched

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch

    from interpretkit_captum.network import Subject


class RegionOptions(Baselined, Batched):
    """Which regions, and what they are replaced by."""

    regions: Literal["grid", "superpixels"] = Field(
        default="grid",
        description="what is taken away together: square patches, or superpixels of similar colour (SLIC; needs "
        "`pip install interpretkit[superpixels]`)",
    )
    patch: int = Field(default=32, ge=1, description="side of a square patch in pixels; with regions: grid")
    superpixels: int = Field(default=50, ge=2, description="about how many superpixels; with regions: superpixels")
    compactness: float = Field(
        default=10.0, gt=0, description="how much nearness counts beside colour; with regions: superpixels"
    )


def regions_of(subject: Subject, options: RegionOptions) -> torch.Tensor:
    """Return which region each pixel is in, `(y, x)`, counted from 0 without gaps.

    Raises:
        StepError: If superpixels are wanted of anything but images.
        PluginError: If superpixels are wanted and scikit-image is not installed.
    """
    import torch

    if options.regions == "grid":
        labels = _patches(subject.image.shape[2:], options.patch)
    else:
        labels = torch.from_numpy(_superpixels(subject, options))
    regions: torch.Tensor = torch.unique(labels, return_inverse=True)[1]
    return regions.to(subject.image.device)


def _patches(size: Sequence[int], side: int) -> torch.Tensor:
    """Return the number of the patch that each cell of a grid of `size` is in, row by row."""
    import torch

    labels = torch.zeros((), dtype=torch.long)
    for length in size:
        along = torch.arange(length) // side
        labels = labels[..., None] * (int(along[-1]) + 1) + along
    return labels


def _superpixels(subject: Subject, options: RegionOptions) -> object:
    if subject.image.ndim != 4:  # noqa: PLR2004 - image, channel, y, x
        found = f"{subject.image.ndim - 2} axes after image and channel"
        raise StepError(f"superpixels are regions of images, not of {found}", hint="choose regions: grid")
    try:
        from skimage.segmentation import slic
    except ImportError as error:
        raise PluginError(
            "superpixels need scikit-image, which is not installed",
            hint="pip install interpretkit[superpixels], or choose regions: grid",
        ) from error
    return slic(
        subject.pixels, n_segments=options.superpixels, compactness=options.compactness, start_label=0, channel_axis=-1
    )


def kept(subject: Subject, regions: torch.Tensor, baseline: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a function from which regions are kept, `(variant, region)` of 0 and 1, to scores, `(variant,)`.

    captum attributes to the regions themselves: it need not know of the image, and gives one number for each.
    """
    import torch

    scored = subject.scored

    def score(keep: torch.Tensor) -> torch.Tensor:
        # Of each variant `(1, y, x)`: whether a pixel is kept.
        shown = keep.bool()[:, regions].unsqueeze(1)
        scores: torch.Tensor = scored(torch.where(shown, subject.image, baseline))
        return scores

    return score
