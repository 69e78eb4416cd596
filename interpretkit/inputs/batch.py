"""Preprocess images for every model, and put those of equal shapes together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from interpretkit.digests import sha256_bytes
from interpretkit.errors import InputError
from interpretkit.model.model import first_convolution
from interpretkit.model.preprocessing import Preprocessing
from interpretkit.results.axes import CHANNEL, IMAGE, spatial
from interpretkit.results.image import InputImage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import numpy as np
    import torch
    from PIL.Image import Image

    from interpretkit.model.model import Model

_WAITING_BATCHES = 4
_IMAGES = tuple((CHANNEL, *spatial(count)) for count in (2, 1, 3))
"""The axes that an input of a network may have: those of an image, a signal, a volume."""

_HINT = "a preprocessing turns an RGB PIL image into a float tensor (channel, y, x)"
_TENSOR_HINT = "a tensor is fed to the models as it is; give PIL images or paths to have them preprocessed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Images that go through the models together.

    Attributes:
        images: The images.
        inputs: The tensor that each model is fed, `(image, channel, y, x)`, or with the axes of a signal or a volume,
            on the CPU; by the model's key.
        pixels: The same tensors as pictures, one `(y, x, 3)` uint8 for each image; by the model's key.
        masks: The masks over these pictures, `(y, x)` bool, None for an image without one; by the model's key.
    """

    images: tuple[InputImage, ...]
    inputs: Mapping[str, torch.Tensor]
    pixels: Mapping[str, tuple[np.ndarray, ...]]
    masks: Mapping[str, tuple[np.ndarray | None, ...]]


def batches(
    images: Iterable[tuple[InputImage, Image]],
    models: Mapping[str, Model],
    *,
    batch_size: int,
    unfit: Callable[[InputError], None] | None = None,
) -> Iterator[Batch]:
    """Preprocess images for every model, and put those of equal shapes together.

    An image waits until its batch is full or the images have ended. When as many images wait as would fill four
    batches, the one that has waited longest goes, together with those of the same shapes.

    Args:
        images: The images.
        models: The models by key.
        batch_size: Images in a batch, at most.
        unfit: Called with the error of an image that cannot be preprocessed, and the image is left out; without it, the
            error is raised.

    Raises:
        InputError: If a preprocessing fails, or returns no finite float tensor `(channel, y, x)`, `(channel, x)` or
            `(channel, z, y, x)`.
    """
    waiting: dict[tuple[torch.Size, ...], list[_Waiting]] = {}
    for image, picture in images:
        try:
            ready = _ready(image, picture, models)
        except InputError as error:
            if unfit is None:
                raise
            unfit(error)
            continue
        shapes = tuple(tensor.shape for tensor in ready.inputs.values())
        alike = waiting.setdefault(shapes, [])
        alike.append(ready)
        if len(alike) >= batch_size:
            yield _batch(waiting.pop(shapes), models)
        elif sum(map(len, waiting.values())) >= _WAITING_BATCHES * batch_size:
            yield _batch(_longest_waiting(waiting), models)
    while waiting:
        yield _batch(_longest_waiting(waiting), models)


def _longest_waiting(waiting: dict[tuple[torch.Size, ...], list[_Waiting]]) -> list[_Waiting]:
    """Take out the image that has waited longest, and those like it."""
    first = next(iter(waiting))
    return waiting.pop(first)


def tensor_batches(tensor: torch.Tensor, models: Mapping[str, Model], *, batch_size: int) -> Iterator[Batch]:
    """Cut preprocessed images `(image, channel, y, x)` into batches, which every model is fed as they are.

    Signals `(image, channel, x)` and volumes `(image, channel, z, y, x)` may be given too. All get the ids `image0`,
    `image1`, …, and the hash of their bytes. Their size is width and height, that of a signal its length and 1.

    Raises:
        InputError: If it is no such tensor, is empty, or holds NaN or infinity; or if it is one image that lacks the
            axis `image`.

    Example:
        >>> import torch
        >>> [len(batch.images) for batch in tensor_batches(torch.zeros(5, 3, 8, 8), {}, batch_size=2)]
        [2, 2, 1]
    """
    axes = [(IMAGE, *image) for image in _IMAGES]
    tensor = _checked(tensor, axes=axes, what="the images are", hint=_TENSOR_HINT)
    for key, model in models.items():
        if _fits(model, tensor.shape, channels=tensor.shape[1]):
            what = f"shape {tuple(tensor.shape)} is that of one image as model {key!r} takes them, without axis image"
            raise InputError(what, hint="give images[None]")
    for start in range(0, len(tensor), batch_size):
        rows = tensor[start : start + batch_size]
        no_masks = (None,) * len(rows)
        yield Batch(
            images=tuple(_numbered(row, index) for index, row in enumerate(rows, start)),
            inputs=dict.fromkeys(models, rows),
            pixels={key: tuple(map(model.picture, rows)) for key, model in models.items()},
            masks=dict.fromkeys(models, no_masks),
        )


def _numbered(row: torch.Tensor, index: int) -> InputImage:
    """Return the facts of an image in a tensor."""
    import torch

    width, *others = reversed(row.shape[1:])
    height = others[0] if others else 1
    # numpy has no bfloat16, but its bytes are as good.
    content = row.contiguous().view(torch.uint8).numpy().tobytes()
    return InputImage(
        id=f"image{index}",
        source=f"tensor[{index}]",
        sha256=sha256_bytes(content),
        size=(width, height),
    )


@dataclass(frozen=True, slots=True)
class _Waiting:
    """An image that waits for its batch, with the tensor and the mask for each model."""

    image: InputImage
    inputs: Mapping[str, torch.Tensor]
    masks: Mapping[str, np.ndarray | None]


def _ready(image: InputImage, picture: Image, models: Mapping[str, Model]) -> _Waiting:
    inputs = {}
    masks = {}
    for key, model in models.items():
        inputs[key] = _preprocessed(picture, model, key=key, where=image.source)
        masks[key] = _mask(image.mask, model)
    without_mask = replace(image, mask=None)
    return _Waiting(without_mask, inputs, masks)


def _batch(alike: Sequence[_Waiting], models: Mapping[str, Model]) -> Batch:
    import torch

    inputs = {}
    pixels = {}
    masks = {}
    for key, model in models.items():
        tensors = [waiting.inputs[key] for waiting in alike]
        inputs[key] = torch.stack(tensors)
        pixels[key] = tuple(map(model.picture, tensors))
        masks[key] = tuple(waiting.masks[key] for waiting in alike)
    images = tuple(waiting.image for waiting in alike)
    return Batch(images=images, inputs=inputs, pixels=pixels, masks=masks)


def _mask(mask: np.ndarray | None, model: Model) -> np.ndarray | None:
    """Return a mask over the pixels that a model is fed; None where it is not known which pixels these are."""
    preprocessing = model.preprocessing
    if mask is None or not isinstance(preprocessing, Preprocessing):
        return None
    return preprocessing.mask(mask)


def _preprocessed(picture: Image, model: Model, *, key: str, where: str) -> torch.Tensor:
    import torch

    try:
        # A copy: a transform of the user's own may shrink the image or draw on it in place.
        made = model.preprocessing(picture.copy())
    except Exception as error:
        cause = f"{type(error).__name__}: {error}"
        raise InputError(f"the preprocessing of model {key!r} failed: {cause}", where=where, hint=_HINT) from error
    what = f"the preprocessing of model {key!r} made"
    tensor = _checked(made, axes=_IMAGES, what=what, where=where, hint=_HINT, dtype=torch.float32)
    channels, *image = tensor.shape
    if channels == 1 and _fits(model, image, channels=channels):
        shape = tuple(tensor.shape)
        raise InputError(f"{what} {tensor.dtype} of shape {shape}, a batch of one image", where=where, hint=_HINT)
    return tensor


def _fits(model: Model, image: Sequence[int], *, channels: int) -> bool:
    """Whether the first convolution takes one image of the shape `image`, `(channel, …)`, but no other `channels`."""
    first = first_convolution(model.module)
    if first is None or channels == first.in_channels:
        return False
    axes = len(image) - 1
    return image[0] == first.in_channels and axes == len(first.kernel_size)


def _checked(
    tensor: Any,
    *,
    axes: Sequence[tuple[str, ...]],
    what: str,
    hint: str,
    where: str = "",
    dtype: torch.dtype | None = None,
) -> torch.Tensor:
    """Return a finite tensor that has one of these lists of axes, on the CPU; refuse everything else."""
    import torch

    known = [len(names) for names in axes]
    if not isinstance(tensor, torch.Tensor):
        given = f"a {type(tensor).__name__}"
    elif tensor.ndim not in known or not tensor.is_floating_point() or tensor.numel() == 0:
        given = f"{tensor.dtype} of shape {tuple(tensor.shape)}"
    else:
        values: torch.Tensor = tensor.detach().to(device="cpu", dtype=dtype)
        if bool(values.isfinite().all()):
            return values
        given = "NaN or infinity"
    wanted = " or ".join(f"({', '.join(names)})" for names in axes)
    raise InputError(f"{what} {given}, not finite floats {wanted}", where=where, hint=hint)
