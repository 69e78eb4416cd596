"""Preprocess images for every model, and put those of equal shapes together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from operator import itemgetter
from typing import TYPE_CHECKING

from interpretkit.errors import InputError
from interpretkit.inputs.tensors import ONE, SEVERAL, checked, described, shaped
from interpretkit.model.expected import channels_taken, first_convolution
from interpretkit.model.feeding import fed
from interpretkit.model.preprocessing import Preprocessing
from interpretkit.results.stored import Stored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import numpy as np
    import torch

    from interpretkit.model.model import Model
    from interpretkit.results.image import InputImage

    Models = Mapping[str, Model]
    Inputs = Mapping[str, torch.Tensor]

_WAITING_BATCHES = 4

_HINT = "a preprocessing turns an RGB PIL image into a float tensor (channel, y, x)"
_WIDE_HINT = "it was given the stored values; `EightBit(transform)` takes them scaled to an 8-bit RGB PIL image"
_TENSOR_HINT = "a tensor is fed to the models as it is; give PIL images or paths to have them preprocessed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Images that go through the models together.

    Attributes:
        images: The images.
        inputs: What each model is fed: `(image, channel, y, x)`, or with the axes of a signal or a volume, on the CPU;
            by the model's key.
        pixels: The same as pictures, one `(y, x, 3)` uint8 for each image; by the model's key.
        masks: The masks over these pictures, `(y, x)` bool, None for an image without one; by the model's key.
    """

    images: tuple[InputImage, ...]
    inputs: Inputs
    pixels: Mapping[str, tuple[np.ndarray, ...]]
    masks: Mapping[str, tuple[np.ndarray | None, ...]]

    def singles(self) -> Iterator[Batch]:
        """Yield batches of one image each."""
        for position, image in enumerate(self.images):
            one = slice(position, position + 1)
            yield Batch(
                images=(image,),
                inputs={key: fed[one] for key, fed in self.inputs.items()},
                pixels={key: pictures[one] for key, pictures in self.pixels.items()},
                masks={key: masks[one] for key, masks in self.masks.items()},
            )


def batches(
    images: Iterable[tuple[InputImage, Stored | torch.Tensor]],
    models: Models,
    *,
    batch_size: int,
    unfit: Callable[[InputError], None] | None = None,
) -> Iterator[Batch]:
    """Preprocess images for every model, and put those of equal shapes together.

    An image waits until its batch is full or the images have ended. When the images that wait would fill four
    batches, although none is full, the one that has waited longest goes with those like it.

    Args:
        images: The images, as they are stored; or as tensors `(channel, …)`, which every model is fed as they are.
        models: The models by key.
        batch_size: Images in a batch, at most.
        unfit: Told of an image that cannot be preprocessed, which is then left out; without it that is raised.

    Raises:
        InputError: If a preprocessing fails, or returns no finite float tensor `(channel, y, x)`, `(channel, x)` or
            `(channel, z, y, x)`.
    """
    waiting: dict[tuple[tuple[torch.Size, torch.dtype], ...], list[_Waiting]] = {}
    for image, stored in images:
        try:
            one = _ready(image, stored, models)
        except InputError as error:
            if unfit is None:
                raise
            unfit(error)
            continue
        kinds = tuple((tensor.shape, tensor.dtype) for tensor in one.inputs.values())
        alike = waiting.setdefault(kinds, [])
        alike.append(one)
        if len(alike) >= batch_size:
            yield _batch(waiting.pop(kinds), models)
        elif sum(map(len, waiting.values())) >= _WAITING_BATCHES * batch_size:
            yield _batch(waiting.pop(next(iter(waiting))), models)
    while waiting:
        yield _batch(waiting.pop(next(iter(waiting))), models)


def tensor_batches(tensor: torch.Tensor, models: Models, *, batch_size: int) -> Iterator[Batch]:
    """Cut preprocessed images `(image, channel, y, x)` into batches, which every model is fed as they are.

    Signals `(image, channel, x)` and volumes `(image, channel, z, y, x)` are taken alike. All get the ids `image0`,
    `image1`, …, and the hash of their bytes; their size is that of a slice, of a signal its length × 1.

    Raises:
        InputError: If it is no such tensor, is empty, or holds NaN or infinity; or if it is one image that lacks the
            axis `image`.

    Example:
        >>> import torch
        >>> [len(batch.images) for batch in tensor_batches(torch.zeros(5, 3, 8, 8), {}, batch_size=2)]
        [2, 2, 1]
    """
    if tensor.ndim and not len(tensor):
        raise InputError("no images are given", hint=f"the tensor is {shaped(tensor)}")
    tensor = checked(tensor, axes=SEVERAL, what="the images are", hint=_TENSOR_HINT)
    for key, model in models.items():
        if _fits(model, tensor.shape, channels=tensor.shape[1]):
            shape = tuple(tensor.shape)
            what = f"shape {shape} is that of one image as model {key!r} takes them, without axis image"
            raise InputError(what, hint="give images[None]")
    for start in range(0, len(tensor), batch_size):
        rows = tensor[start : start + batch_size]
        inputs = dict.fromkeys(models, rows)
        yield Batch(
            images=tuple(described(row, index) for index, row in enumerate(rows, start)),
            inputs=inputs,
            pixels=_pictures(models, inputs),
            masks=dict.fromkeys(models, (None,) * len(rows)),
        )


@dataclass(frozen=True, slots=True)
class _Waiting:
    """An image that waits for its batch, with what each model is fed of it and the mask over that."""

    image: InputImage
    inputs: Inputs
    masks: Mapping[str, np.ndarray | None]


def _ready(image: InputImage, stored: Stored | torch.Tensor, models: Models) -> _Waiting:
    if not isinstance(stored, Stored):
        return _Waiting(image, dict.fromkeys(models, stored), dict.fromkeys(models))
    inputs = {}
    masks = {}
    # As keys, for what is done for several models alike is said once.
    conversions, alerts = dict.fromkeys(stored.conversions), dict.fromkeys(stored.alerts)
    for key, model in models.items():
        inputs[key], given = _preprocessed(stored, model, key=key, where=image.source)
        masks[key] = _mask(image.mask, model)
        conversions |= dict.fromkeys(given.conversions)
        alerts |= dict.fromkeys(given.alerts)
    without_mask = replace(image, mask=None, conversions=tuple(conversions), alerts=tuple(alerts))
    return _Waiting(without_mask, inputs, masks)


def _batch(alike: Sequence[_Waiting], models: Models) -> Batch:
    import torch

    fed = [each.inputs for each in alike]
    masks = [each.masks for each in alike]
    inputs = {key: torch.stack(list(map(itemgetter(key), fed))) for key in models}
    return Batch(
        images=tuple(each.image for each in alike),
        inputs=inputs,
        pixels=_pictures(models, inputs),
        masks={key: tuple(map(itemgetter(key), masks)) for key in models},
    )


def _pictures(models: Models, inputs: Inputs) -> dict[str, tuple[np.ndarray, ...]]:
    return {key: tuple(map(model.picture, inputs[key])) for key, model in models.items()}


def _mask(mask: np.ndarray | None, model: Model) -> np.ndarray | None:
    """Return an image's mask as it lies on what the model is fed; None where nobody knows where its pixels went."""
    known = model.preprocessing
    if mask is None or not isinstance(known, Preprocessing):
        return None
    return known.mask(mask)


def _preprocessed(stored: Stored, model: Model, *, key: str, where: str) -> tuple[torch.Tensor, Stored]:
    """Return what a model is fed of an image, and what its preprocessing was given."""
    import torch

    try:
        made, given = fed(model.preprocessing, stored)
    except InputError as error:
        raise error.at(where) from error.__cause__
    except Exception as error:
        cause = f"{type(error).__name__}: {error}"
        hint = _HINT if stored.eight_bit else _WIDE_HINT
        raise InputError(f"the preprocessing of model {key!r} failed: {cause}", where=where, hint=hint) from error
    what = f"the preprocessing of model {key!r} made"
    tensor = checked(made, axes=ONE, what=what, where=where, hint=_HINT, dtype=torch.float32)
    channels, *image = tensor.shape
    if channels == 1 and _fits(model, image, channels=channels):
        found = f"{what} {shaped(tensor)}, a batch of one image"
        raise InputError(found, where=where, hint=_HINT)
    return tensor, given


def _fits(model: Model, image: Sequence[int], *, channels: int) -> bool:
    """Whether a shape, read as one image `(channel, …)`, is what the network takes; so many channels not."""
    first = first_convolution(model.module)
    taken = channels_taken(model.module)[0]
    if first is None or channels == taken:
        return False
    read, *grid = image
    return read == taken and len(grid) == len(first.kernel_size)
