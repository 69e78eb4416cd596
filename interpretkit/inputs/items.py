"""What holds images in Python, taken apart into single images with their labels, without a look at any pixel."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from interpretkit import words
from interpretkit.errors import InputError, cause

if TYPE_CHECKING:
    from collections.abc import Sequence

    Label = int | str | None

KINDS = "PIL images, arrays (y, x) or (y, x, channel), or tensors as the model is fed"
"""What an image may be, besides a path."""

_IMAGE_KEYS = ("pixel_values", "image")
_LABEL_KEYS = ("labels", "label")
_AXES_OF_ARRAYS = 4
"""Of several images in one array: image, y, x, channel."""

_AXES_OF_A_PICTURE = 3


def names_images(thing: Any) -> bool:
    """Whether it names images as a recipe does, rather than holding them: a path, or a mapping without pixels.

    Example:
        >>> names_images("a.png"), names_images({"path": "a.png"}), names_images({"image": np.zeros((4, 3))})
        (True, True, False)
    """
    if isinstance(thing, Mapping):
        return not any(key in thing for key in _IMAGE_KEYS) and not any(map(_axes, thing.values()))
    return isinstance(thing, str | Path)


def is_one(images: Any) -> bool:
    """Whether it is an item itself, rather than something that holds items."""
    return _is_pixels(images) or isinstance(images, Mapping) or _is_pair(images)


def makes_batches(images: Any) -> bool:
    """Whether it is a `DataLoader` whose items are batches."""
    return getattr(images, "batch_sampler", None) is not None


def items(images: Any) -> Iterator[Any]:
    """Yield what a list, an iterator, a `Dataset` or a `DataLoader` holds; an item itself is the only one.

    In the place of an item that cannot be had stands an InputError; where items have numbers, others come after it.

    Raises:
        InputError: If it can hold no images.
    """
    if is_one(images):
        yield images
        return
    # A data set of torch may have no end but its length.
    numbered = hasattr(images, "__getitem__") and hasattr(images, "__len__")
    if isinstance(images, str | Path) or not (numbered or isinstance(images, Iterable)):
        raise InputError(f"images are paths, {KINDS}, not {type(images).__name__}")
    held = map(images.__getitem__, range(len(images))) if numbered else iter(images)
    taken = 0
    while True:
        try:
            item = next(held)
        except StopIteration:
            return
        except Exception as error:  # noqa: BLE001 - whatever a data set of the user's may raise
            failure = InputError(f"item {taken} of the {type(images).__name__} cannot be had: {cause(error)}")
            failure.__cause__ = error
            yield failure
            if not numbered:
                return
        else:
            yield item
        taken += 1


def singles(item: Any, *, axes: int, batched: bool) -> list[tuple[Any, Label]]:
    """Return each image of an item, with its label.

    Args:
        item: Pixels; a list of images; a pair of images and labels; a mapping of such.
        axes: How many axes one image has that the network is fed.
        batched: Whether every tensor is several images, however many axes it has.

    Raises:
        InputError: If there is no image in a mapping, or there are not as many labels as images.

    Example:
        >>> [label for _, label in singles((np.zeros((2, 4, 4, 3)), [5, "cat"]), axes=3, batched=False)]
        [5, 'cat']
    """
    if isinstance(item, Mapping):
        images, labels = _of_mapping(item)
    elif _is_pair(item):
        images, labels = item[0], item[1]
    elif isinstance(item, list | tuple):
        return [single for each in item for single in singles(each, axes=axes, batched=False)]
    else:
        images, labels = item, None
    rows = _rows(images, axes=axes, batched=batched)
    if rows is None:
        return [(images, _label(labels))]
    return list(zip(rows, _labels(labels, len(rows)), strict=True))


def counted(images: Any, *, axes: int) -> int:
    """Return how many images there are; 0 where only looking at all of them would tell.

    Example:
        >>> counted([np.zeros((4, 3)), np.zeros((4, 3))], axes=3), counted(iter([]), axes=3)
        (2, 0)
    """
    if hasattr(images, "batch_sampler"):
        return _drawn(images)
    if is_one(images) or isinstance(images, list | tuple):
        held = [images] if is_one(images) else images
        return sum(len(singles(item, axes=axes, batched=False)) for item in held)
    return len(images) if hasattr(images, "__len__") else 0


def _drawn(loader: Any) -> int:
    """Return how many images a `DataLoader` draws; 0 where it does not say."""
    says = loader.batch_size and not loader.drop_last and hasattr(loader.sampler, "__len__")
    return len(loader.sampler) if says else 0


def _is_pixels(thing: Any) -> bool:
    """Whether it is a picture, an array or a tensor."""
    return isinstance(thing, Image.Image) or (hasattr(thing, "ndim") and hasattr(thing, "shape"))


def _is_pair(thing: Any) -> bool:
    """Whether it is images and what belongs to them, rather than several images."""
    if not isinstance(thing, list | tuple) or len(thing) < 2:  # noqa: PLR2004 - a pair
        return False
    first, second, *_ = thing
    axes = _axes(first)
    # Plain numbers and names stand beside images in tuples; a `DataLoader` makes lists, and tensors of numbers.
    plain = second is None or isinstance(second, str | int | float | np.generic)
    if not axes or (plain and isinstance(thing, list)):
        return False
    if _is_pixels(second):
        # Labels of a batch may be vectors, but are no pictures.
        return not isinstance(second, Image.Image) and second.ndim <= max(1, axes - 2)
    if isinstance(second, list | tuple):
        return not any(map(_axes, second))
    return plain or isinstance(second, Mapping)


def _axes(images: Any) -> int:
    """Return how many axes images have, those of a list of them included; 0 of what is none."""
    if isinstance(images, Image.Image):
        return _AXES_OF_A_PICTURE
    if isinstance(images, list | tuple):
        return 1 + max(map(_axes, images), default=0) if images and all(map(_axes, images)) else 0
    return images.ndim if _is_pixels(images) else 0


def _of_mapping(item: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return images and labels of a mapping."""
    for either in (_IMAGE_KEYS, _LABEL_KEYS):
        if all(key in item for key in either):
            raise InputError(f"a mapping has {' and '.join(either)}, and it is not known which is meant")
    found = [item[key] for key in _IMAGE_KEYS if key in item]
    if not found:
        keys = ", ".join(map(str, item)) or "none"
        raise InputError(f"a mapping holds its image as {' or '.join(_IMAGE_KEYS)}, and this one has the keys {keys}")
    labels = [item[key] for key in _LABEL_KEYS if key in item]
    return found[0], next(iter(labels), None)


def _rows(images: Any, *, axes: int, batched: bool) -> Sequence[Any] | None:
    """Return the images of a batch; None of a single image."""
    if isinstance(images, list | tuple):
        return images
    if not _is_pixels(images) or isinstance(images, Image.Image):
        return None
    several = _AXES_OF_ARRAYS if isinstance(images, np.ndarray) else axes + 1
    return list(images) if images.ndim and (batched or images.ndim == several) else None


def _labels(labels: Any, count: int) -> list[Label]:
    """Return the label of each image of a batch."""
    if labels is None or isinstance(labels, Mapping):
        return [None] * count
    listed = [labels] if isinstance(labels, str) or not hasattr(labels, "__len__") else labels
    if len(listed) != count:
        what = f"{words.count(count, 'image')} with {words.count(len(listed), 'label')}"
        raise InputError(what, hint="give one for each image")
    return list(map(_label, listed))


def _label(label: Any) -> Label:
    """Return an index or a name as a label; None of anything else, such as a vector of several."""
    if _is_pixels(label) and not isinstance(label, Image.Image) and math.prod(label.shape) == 1:
        label = label.reshape(-1)[0].item()
    if isinstance(label, bool) or (isinstance(label, float) and label.is_integer()):
        label = int(label)
    return label if isinstance(label, str | int) else None
