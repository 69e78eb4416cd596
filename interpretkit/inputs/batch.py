"""Preprocess images for every model, and put those of equal shapes together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from interpretkit.digests import sha256_bytes
from interpretkit.errors import InputError
from interpretkit.model.preprocessing import Preprocessing
from interpretkit.results.image import InputImage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import numpy as np
    import torch
    from PIL.Image import Image

    from interpretkit.model.model import Model

_WAITING_BATCHES = 4
_HINT = "a preprocessing turns an RGB PIL image into a float tensor (channel, y, x)"
_TENSOR_HINT = "a tensor is fed to the models as it is; give PIL images or paths to have them preprocessed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Images that go through the models together.

    Attributes:
        images: The images.
        inputs: What each model is fed: `(image, channel, y, x)`, on the CPU; by the model's key.
        pixels: The same as pictures, one `(y, x, 3)` uint8 for each image; by the model's key.
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

    An image waits until its batch is full or the images have ended. When the images that wait would fill four
    batches, although none is full, the one that has waited longest goes with those like it.

    Args:
        images: The images.
        models: The models by key.
        batch_size: Images in a batch, at most.
        unfit: Told of an image that cannot be preprocessed, which is then left out; without it that is raised.

    Raises:
        InputError: If a preprocessing fails, or returns no finite float tensor `(channel, y, x)`.
    """
    waiting: dict[tuple[torch.Size, ...], list[_Waiting]] = {}
    for image, picture in images:
        try:
            inputs = {key: _preprocessed(picture, model, key=key, where=image.source) for key, model in models.items()}
        except InputError as error:
            if unfit is None:
                raise
            unfit(error)
            continue
        masks = {key: _mask(image.mask, model) for key, model in models.items()}
        shapes = tuple(tensor.shape for tensor in inputs.values())
        alike = waiting.setdefault(shapes, [])
        alike.append(_Waiting(replace(image, mask=None), inputs, masks))
        if len(alike) >= batch_size:
            yield _batch(waiting.pop(shapes), models)
        elif sum(map(len, waiting.values())) >= _WAITING_BATCHES * batch_size:
            yield _batch(waiting.pop(next(iter(waiting))), models)
    while waiting:
        yield _batch(waiting.pop(next(iter(waiting))), models)


def tensor_batches(tensor: torch.Tensor, models: Mapping[str, Model], *, batch_size: int) -> Iterator[Batch]:
    """Cut preprocessed images `(image, channel, y, x)` into batches, which every model is fed as they are.

    They get the ids `image0`, `image1`, …, and the hash of their bytes.

    Raises:
        InputError: If it is no such tensor, is empty, or holds NaN or infinity.

    Example:
        >>> import torch
        >>> [len(batch.images) for batch in tensor_batches(torch.zeros(5, 3, 8, 8), {}, batch_size=2)]
        [2, 2, 1]
    """
    import torch

    tensor = _checked(tensor, dims=("image", "channel", "y", "x"), what="the images are", hint=_TENSOR_HINT)
    height, width = tensor.shape[-2:]
    for start in range(0, len(tensor), batch_size):
        rows = tensor[start : start + batch_size]
        images = tuple(
            InputImage(
                id=f"image{index}",
                source=f"tensor[{index}]",
                # numpy has no bfloat16, but its bytes are as good.
                sha256=sha256_bytes(row.contiguous().view(torch.uint8).numpy().tobytes()),
                size=(width, height),
            )
            for index, row in enumerate(rows, start)
        )
        yield Batch(
            images=images,
            inputs=dict.fromkeys(models, rows),
            pixels={key: tuple(map(model.picture, rows)) for key, model in models.items()},
            masks=dict.fromkeys(models, (None,) * len(rows)),
        )


@dataclass(frozen=True, slots=True)
class _Waiting:
    """An image that waits for its batch, with what each model is fed of it and the mask over that."""

    image: InputImage
    inputs: Mapping[str, torch.Tensor]
    masks: Mapping[str, np.ndarray | None]


def _batch(alike: Sequence[_Waiting], models: Mapping[str, Model]) -> Batch:
    import torch

    return Batch(
        images=tuple(each.image for each in alike),
        inputs={key: torch.stack([each.inputs[key] for each in alike]) for key in models},
        pixels={key: tuple(model.picture(each.inputs[key]) for each in alike) for key, model in models.items()},
        masks={key: tuple(each.masks[key] for each in alike) for key in models},
    )


def _mask(mask: np.ndarray | None, model: Model) -> np.ndarray | None:
    """Return an image's mask as it lies on what the model is fed; None where nobody knows where its pixels went."""
    known = model.preprocessing
    return known.mask(mask) if mask is not None and isinstance(known, Preprocessing) else None


def _preprocessed(picture: Image, model: Model, *, key: str, where: str) -> torch.Tensor:
    import torch

    try:
        # A copy: a transform of the user's own may shrink the image or draw on it in place.
        tensor = model.preprocessing(picture.copy())
    except Exception as error:
        cause = f"{type(error).__name__}: {error}"
        raise InputError(f"the preprocessing of model {key!r} failed: {cause}", where=where, hint=_HINT) from error
    what = f"the preprocessing of model {key!r} made"
    return _checked(tensor, dims=("channel", "y", "x"), what=what, where=where, hint=_HINT, dtype=torch.float32)


def _checked(
    tensor: Any,
    *,
    dims: tuple[str, ...],
    what: str,
    hint: str,
    where: str = "",
    dtype: torch.dtype | None = None,
) -> torch.Tensor:
    import torch

    if not isinstance(tensor, torch.Tensor):
        found = f"a {type(tensor).__name__}"
    elif tensor.ndim != len(dims) or not tensor.is_floating_point() or tensor.numel() == 0:
        found = f"{tensor.dtype} of shape {tuple(tensor.shape)}"
    else:
        values: torch.Tensor = tensor.detach().to(device="cpu", dtype=dtype)
        if bool(values.isfinite().all()):
            return values
        found = "NaN or infinity"
    raise InputError(f"{what} {found}, not finite floats ({', '.join(dims)})", where=where, hint=hint)
