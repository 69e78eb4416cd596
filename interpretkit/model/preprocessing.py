"""Preprocessing as data: recorded in every run, applied to every image, undone for every picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from interpretkit.errors import InputError
from interpretkit.results.axes import of_inputs
from interpretkit.results.scaling import scaled
from interpretkit.results.stored import Stored

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from PIL.Image import Image

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

ROWS_OF_A_STRIP = 16
_GREATEST = 255
_LUMA = (0.299, 0.587, 0.114)
"""The grey of red, green and blue, as in Pillow."""

MAX_PIXELS = 2**26
"""How many pixels a resize may make: an image of 1 × 50000 pixels would otherwise fill the memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """The usual preprocessing of a classifier: resize the shorter side, crop the centre, scale to 0 … 1, normalise.

    Attributes:
        resize: Length of the shorter side after resizing, in pixels; or height and width, whatever shape the image has;
            None to keep its size.
        crop: Side of the square cut from the centre, in pixels, or height and width; None to keep the whole image. A
            smaller image is filled up with black.
        mean: Subtracted from each channel.
        std: Divides each channel; its length is the number of channels: 3, or 1 for grey images. Images have no other
            number of channels; tensors may.
        interpolation: Filter of the resize, always antialiased.

    Example:
        >>> from PIL import Image
        >>> Preprocessing()(Image.new("RGB", (300, 280))).shape
        torch.Size([3, 224, 224])
    """

    resize: int | tuple[int, int] | None = 256
    crop: int | tuple[int, int] | None = 224
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    interpolation: Literal["nearest", "bilinear", "bicubic"] = "bilinear"

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            numbers = getattr(self, name)
            if not isinstance(numbers, Sequence):
                raise InputError(f"{name} is a number for each channel, not {numbers!r}", hint=f"{name}=({numbers},)")
        if not all(0 <= number <= 1 for number in self.mean):
            greatest = max(map(abs, self.mean))
            hint = f"{greatest:g} of 255 is {greatest / _GREATEST:.3g}"
            raise InputError(f"mean is subtracted from values of 0 to 1, and is {self.mean}", hint=hint)

    def fills_up(self, size: tuple[int, int]) -> bool:
        """Whether an image of this width and height is smaller than the crop, whose rest is black."""
        if self.crop is None:
            return False
        width, height = size
        sides = _sides(self.resize)
        if len(sides) == 1:
            scale = sides[0] / min(size)
            height, width = int(height * scale), int(width * scale)
        elif sides:
            height, width = sides
        down, across = _sides(self.crop) * 2 if isinstance(self.crop, int) else self.crop
        return height < down or width < across

    def __call__(self, image: Image | Stored) -> torch.Tensor:
        """Return `image` as a tensor `(channel, y, x)`, as the model is fed; of a volume `(channel, z, y, x)`.

        Stored values of other than 8 bits are scaled to 0 … 1 by `scaled`, and resized as floats.

        Raises:
            ValueError: If the image is so narrow that resizing it would make more than `MAX_PIXELS` pixels, or other
                than one or three channels are wanted.
            InputError: If there is no range to scale its values by, or it has two or more than three bands.
        """
        if len(self.std) not in (1, 3):
            raise ValueError(
                f"an image has one or three channels, the model takes {len(self.std)}: give tensors, or a transform of "
                "your own"
            )
        if not isinstance(image, Stored):
            if not image.mode.startswith(("I", "F")):
                return self._of_eight_bits(image)
            image = Stored(values=np.asarray(image))
        return self._of_floats(scaled(image))

    def _of_floats(self, image: Stored) -> torch.Tensor:
        """Return the same of values from 0 to 1."""
        import torch
        from torchvision.transforms.v2 import functional

        planes = _channels_first(image, len(self.std))
        if self.resize is not None:
            _check_resize(image.size, self.resize)
            planes = self._resized(planes)
        tensor = torch.from_numpy(planes)
        if self.crop is not None:
            tensor = functional.center_crop(tensor, _sides(self.crop))
        others = (1,) * (tensor.ndim - 1)
        mean, std = (torch.tensor(values).reshape(-1, *others) for values in (self.mean, self.std))
        return (tensor - mean) / std

    def _resized(self, planes: np.ndarray) -> np.ndarray:
        """Return floats `(…, y, x)` resized, by the filter that 8-bit images get."""
        from PIL import Image
        from torchvision.transforms.v2 import InterpolationMode, functional

        shape = planes.shape[:-2]
        flat = map(Image.fromarray, planes.reshape(-1, *planes.shape[-2:]))
        mode = InterpolationMode(self.interpolation)
        sides = _sides(self.resize)
        made = np.stack([functional.resize(plane, sides, mode, antialias=True) for plane in flat])
        # A cubic filter overshoots; 8-bit images end at 0 and 255.
        return made.reshape(*shape, *made.shape[-2:]).clip(0.0, 1.0)

    def _of_eight_bits(self, image: Image) -> torch.Tensor:
        import torch
        from torchvision.transforms.v2 import InterpolationMode, functional

        image = image.convert("L" if len(self.std) == 1 else "RGB")
        if self.resize is not None:
            _check_resize(image.size, self.resize)
            mode = InterpolationMode(self.interpolation)
            image = functional.resize(image, _sides(self.resize), mode, antialias=True)
        if self.crop is not None:
            image = functional.center_crop(image, _sides(self.crop))
        # Divided as published weights expect it: to_dtype(scale=True) multiplies by 1/255, which rounds differently.
        tensor = functional.pil_to_tensor(image).to(torch.float32) / 255
        normalized: torch.Tensor = functional.normalize(tensor, list(self.mean), list(self.std))
        return normalized

    def mask(self, mask: np.ndarray) -> np.ndarray:
        """Return a mask `(y, x)` bool, resized and cropped as its image is: nearest neighbour, nothing is blended.

        Where the image is smaller than the crop, the border is not in the mask.

        Example:
            >>> Preprocessing(resize=4, crop=2).mask(np.eye(8, dtype=bool)).tolist()
            [[True, False], [False, True]]
        """
        from PIL import Image
        from torchvision.transforms.v2 import InterpolationMode, functional

        image = Image.fromarray(mask.astype(np.uint8))
        if self.resize is not None:
            image = functional.resize(image, _sides(self.resize), InterpolationMode.NEAREST)
        if self.crop is not None:
            image = functional.center_crop(image, _sides(self.crop))
        return np.asarray(image) > 0

    def picture(self, tensor: torch.Tensor) -> np.ndarray:
        """Return a preprocessed `tensor` `(channel, y, x)` as the picture `(y, x, 3)` uint8 that it was made from."""
        values = tensor.detach().cpu().double().numpy()
        others = (1,) * (values.ndim - 1)
        std = np.reshape(self.std, (-1, *others))
        mean = np.reshape(self.mean, (-1, *others))
        return as_picture(values * std + mean)


@dataclass(frozen=True, slots=True)
class EightBit:
    """A transform that takes 8-bit RGB images alone: others are scaled to that before it, and the run says so.

    Attributes:
        transform: Turns an 8-bit RGB PIL image into a tensor `(channel, y, x)`.

    Example:
        >>> from PIL import Image
        >>> from torchvision.transforms.functional import to_tensor
        >>> EightBit(to_tensor)(Image.new("RGB", (4, 3))).shape
        torch.Size([3, 3, 4])
    """

    transform: Callable[[Image], torch.Tensor]

    def __call__(self, image: Image) -> torch.Tensor:
        """Return what the transform makes of an image."""
        return self.transform(image)


@dataclass(frozen=True, slots=True)
class Processed:
    """A processor of transformers, as a preprocessing.

    Attributes:
        processor: It returns `pixel_values` for an image, and says what these were normalised with.
    """

    processor: Any

    def __call__(self, image: Image) -> torch.Tensor:
        """Return `image` as a tensor `(channel, y, x)`, as the processor makes it."""
        import torch

        made = self.processor(image)["pixel_values"]
        first = made[0]
        return first if isinstance(first, torch.Tensor) else torch.from_numpy(np.asarray(first))

    @property
    def undone(self) -> Preprocessing | None:
        """What undoes its normalisation; None where it does more than that."""
        processor = self.processor
        scaled = getattr(processor, "do_rescale", True) and not getattr(processor, "rescale_offset", False)
        if not scaled or not getattr(processor, "do_normalize", True):
            return None
        return Preprocessing(mean=tuple(processor.image_mean), std=tuple(processor.image_std))


def is_processor(preprocessing: Any) -> bool:
    """Return whether a preprocessing is a processor of transformers, which returns no tensor but a dictionary."""
    return all(hasattr(preprocessing, name) for name in ("image_mean", "image_std", "preprocess"))


@dataclass(frozen=True, slots=True)
class Composed:
    """A transform of albumentations, as a preprocessing.

    Attributes:
        transform: It takes an array `(y, x, channel)` by the keyword `image`, and returns a mapping.
    """

    transform: Any

    def __call__(self, image: Image | np.ndarray) -> torch.Tensor:
        """Return `image` as a tensor `(channel, y, x)`, as the transform makes it.

        Raises:
            InputError: If the transform returns an array.
        """
        made: Any = self.transform(image=np.asarray(image))["image"]
        if isinstance(made, np.ndarray):
            what = "the transform returns an array, and the model is fed a tensor (channel, y, x)"
            raise InputError(what, hint="let it end in A.Normalize() and ToTensorV2()")
        return made  # type: ignore[no-any-return]


def is_composed(preprocessing: Any) -> bool:
    """Return whether a preprocessing is a transform of albumentations, which takes arrays by their kind."""
    return "image" in getattr(preprocessing, "available_keys", ())


def check_bands(image: Stored) -> None:
    """Refuse an image whose bands are no grey and no RGB: which of them to show is not guessed.

    Raises:
        InputError: If it has two bands, or more than three.
    """
    if image.bands not in (1, 3):
        raise InputError(f"has {image.bands} bands", hint="choose one or three by `bands:`, such as `bands: [3, 2, 1]`")


def _channels_first(image: Stored, count: int) -> np.ndarray:
    """Return values from 0 to 1 as so many channels, one or three, `(channel, …, y, x)`."""
    check_bands(image)
    bands: np.ndarray = np.moveaxis(image.values, -1, 0) if image.axes[-1] == "channel" else image.values[None]
    if len(bands) == count:
        return np.ascontiguousarray(bands)
    if count == 1:
        return np.tensordot(np.array(_LUMA, np.float32), bands, axes=1)[None]
    return np.repeat(bands, count, axis=0)


def _sides(lengths: int | tuple[int, int] | None) -> list[int]:
    """Return lengths as torchvision takes them: that of one side, or height and width."""
    if lengths is None:
        return []
    return [lengths] if isinstance(lengths, int) else list(lengths)


def _check_resize(size: tuple[int, int], wanted: int | tuple[int, int]) -> None:
    width, height = size
    shorter, longer = (wanted, wanted * max(size) // min(size)) if isinstance(wanted, int) else wanted
    if shorter * longer > MAX_PIXELS:
        resized = f"{shorter} × {longer}"
        raise ValueError(f"{width} × {height} pixels would be resized to {resized}, more than {MAX_PIXELS:,} pixels")


def as_image(tensor: torch.Tensor) -> torch.Tensor:
    """Return what pictures show of a network's input `(channel, y, x)` or `(channel, z, y, x)`: all of it.

    A signal `(channel, x)` becomes a strip of equal rows.

    Example:
        >>> import torch
        >>> as_image(torch.zeros(2, 50)).shape
        torch.Size([2, 16, 50])
    """
    if "y" in of_inputs(1 + tensor.ndim):
        return tensor
    return tensor[:, None].expand(-1, ROWS_OF_A_STRIP, -1)


def stretched(tensor: torch.Tensor) -> np.ndarray:
    """Return an image `(channel, y, x)` of unknown preprocessing as a picture `(y, x, 3)` uint8, least to greatest."""
    values = tensor.detach().cpu().double().numpy()
    low = values.min()
    span = values.max() - low
    return as_picture((values - low) / (span or 1.0))


def shown_channels(channels: int) -> str:
    """Return which channels of an input its picture shows, in words; empty where it shows all.

    Example:
        >>> shown_channels(3), shown_channels(2), shown_channels(6)
        ('', 'channel 1 of 2 alone, in grey', 'channels 1 to 3 of 6 as red, green and blue')
    """
    if channels in (1, 3):
        return ""
    if channels < 3:  # noqa: PLR2004 - red, green and blue
        return f"channel 1 of {channels} alone, in grey"
    return f"channels 1 to 3 of {channels} as red, green and blue"


def as_picture(values: np.ndarray) -> np.ndarray:
    """Return values `(channel, y, x)` between 0 and 1 as a picture `(y, x, 3)` uint8.

    Of one or two channels, the first is shown in grey; of more than three, the first three are shown: `shown_channels`
    says it.
    """
    levels = values.clip(0.0, 1.0) * 255.0
    picture = np.moveaxis(levels.round().astype(np.uint8), 0, -1)
    if picture.shape[-1] < 3:  # noqa: PLR2004 - red, green and blue
        return np.repeat(picture[..., :1], 3, axis=-1)
    return picture[..., :3]
