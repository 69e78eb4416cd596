"""Images handed over in Python: tensors as a network is fed, pictures and arrays as files would hold them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from interpretkit.digests import sha256_bytes
from interpretkit.errors import InputError
from interpretkit.inputs.arrays import stored_array
from interpretkit.inputs.items import KINDS, items, makes_batches, singles
from interpretkit.inputs.pillow import of_picture
from interpretkit.inputs.tensors import ONE, checked, described
from interpretkit.results.image import InputImage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import torch

    from interpretkit.results.stored import Stored

_AS_FED = "a tensor is fed to the model as it is; give PIL images, arrays or paths to have them preprocessed"


def handed_over(
    images: Any, *, axes: int, leave_out: Callable[[InputError], None]
) -> Iterator[tuple[InputImage, Stored | torch.Tensor]]:
    """Yield images one at a time, with what is known of each; nothing is taken before it is asked for.

    A tensor is an image as the network is fed, or several; PIL images and arrays of numpy are what a file would hold.
    They come alone, or in a list, an iterator, a `Dataset` or a `DataLoader`; each may be the first of a pair, whose
    second is its label: an index or a name. A mapping holds its image as `pixel_values` or `image`, its label as
    `labels` or `label`. What else is in a pair or a mapping is left alone.

    They get the ids `image0`, `image1`, …, and the hash of their bytes; of 8-bit images, that of their RGB pixels.

    Args:
        images: The images.
        axes: How many axes one image has that the network is fed: 3 for `(channel, y, x)`. A tensor with one more is
            several images, as is every tensor of a `DataLoader` that makes batches.
        leave_out: Told of what is no image, or cannot be had, which is then left out.

    Raises:
        InputError: If nothing there can be images, or there are none.

    Example:
        >>> import torch
        >>> pairs = [(np.zeros((4, 3), np.uint8), "cat"), (torch.zeros(3, 8, 8), 7)]
        >>> for image, values in handed_over(pairs, axes=3, leave_out=print):
        ...     print(image.id, image.source, image.size, image.label)
        image0 array 0 (3, 4) cat
        image1 tensor[1] (8, 8) 7
    """
    position = 0
    batched = makes_batches(images)
    for item in items(images):
        for values, label in _taken_apart(item, axes=axes, batched=batched):
            try:
                image, stored = _known(values, position)
            except InputError as error:
                leave_out(error.at(f"image{position}") if not error.where else error)
            else:
                yield replace(image, label=label, position=position), stored
            position += 1
    if not position:
        raise InputError("no images are given", hint="what is given holds none")


def _taken_apart(item: Any, *, axes: int, batched: bool) -> list[tuple[Any, int | str | None]]:
    """Return the images of an item; in the place of one that cannot be taken apart, why."""
    try:
        return singles(item, axes=axes, batched=batched)
    except InputError as error:
        return [(error, None)]


def _known(values: Any, position: int) -> tuple[InputImage, Stored | torch.Tensor]:
    if isinstance(values, InputError):
        raise values
    if isinstance(values, Image.Image):
        return _of_stored(of_picture(values), position, "PIL image")
    if isinstance(values, np.ndarray):
        return _of_stored(_of_array(values), position, "array")
    if isinstance(values, str | Path):
        raise InputError("is a path among images", hint="give paths alone, or open it: PIL.Image.open(path)")
    if not hasattr(values, "ndim"):
        raise InputError(f"is of type {type(values).__name__}", hint=f"images are paths, {KINDS}")
    tensor = checked(values, axes=ONE, what="is", where=f"image{position}", hint=_AS_FED)
    return described(tensor, position), tensor


def _of_array(values: np.ndarray) -> Stored:
    try:
        return stored_array(values, None)
    except InputError as error:
        hint = "arrays are (y, x) or (y, x, channel); what the model is fed is a tensor: torch.from_numpy(…)"
        raise InputError(error.message, hint=hint) from error.__cause__


def _of_stored(stored: Stored, position: int, kind: str) -> tuple[InputImage, Stored]:
    hashed = stored.as_rgb() if stored.eight_bit else stored
    facts = InputImage(
        id=f"image{position}",
        source=f"{kind} {position}",
        sha256=sha256_bytes(hashed.values.tobytes()),
        size=stored.size,
        conversions=stored.conversions,
        alerts=stored.alerts,
    )
    return facts, stored
