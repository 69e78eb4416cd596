"""What a model's preprocessing is given of stored values, and what it makes of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from interpretkit.errors import InputError
from interpretkit.model.preprocessing import EightBit, Preprocessing, Processed, check_bands
from interpretkit.results.scaling import scaled

if TYPE_CHECKING:
    from collections.abc import Callable

    from interpretkit.results.stored import Stored


def fed(preprocessing: Callable[[Any], Any], stored: Stored) -> tuple[Any, Stored]:
    """Return what a preprocessing makes of an image, and what it was given, with what was done to make it that.

    Images of 8 bits are given as RGB to every preprocessing. Of others, the usual `Preprocessing` gets the values
    scaled as floats; one that takes 8-bit images alone gets them scaled to these; a transform of the user's own gets
    the stored values themselves, as `Stored.picture` returns them.

    Raises:
        InputError: If the values cannot be scaled, or have other bands or axes than the preprocessing takes.

    Example:
        >>> from interpretkit.results.stored import Stored
        >>> made, given = fed(Preprocessing(resize=None, crop=None), Stored(values=np.uint16([[0, 4095]])))
        >>> made.shape, given.conversions
        (torch.Size([3, 1, 2]), ('12 of 16 bits used: scaled from 0 … 4095',))
    """
    if isinstance(preprocessing, Preprocessing) and preprocessing.fills_up(stored.size):
        stored = replace(stored, alerts=(*stored.alerts, "smaller than the crop: its rest is black"))
    if stored.eight_bit:
        given = stored.as_rgb()
    elif isinstance(preprocessing, Preprocessing):
        given = scaled(stored)
        return preprocessing(given), given
    elif isinstance(preprocessing, EightBit | Processed):
        given = _to_eight_bits(scaled(stored))
    else:
        given = stored
    return preprocessing(given.picture()), given


def _to_eight_bits(image: Stored) -> Stored:
    """Return values from 0 to 1 as an 8-bit RGB image."""
    if "z" in image.axes:
        raise InputError("is a volume, and the model takes images", hint="`pages: each` makes images of it")
    check_bands(image)
    levels = np.rint(image.values * 255).astype(np.uint8)
    said = (*image.conversions, "scaled to 8 bits")
    return replace(image, values=levels, range=None, conversions=said).as_rgb()
