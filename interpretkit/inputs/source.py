"""Where the images of a run come from: files that are found, or what somebody hands over in Python."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from interpretkit.errors import InputError
from interpretkit.inputs.batch import batches, tensor_batches
from interpretkit.inputs.given import handed_over
from interpretkit.inputs.items import counted, names_images
from interpretkit.inputs.read import read_image
from interpretkit.model.expected import first_convolution

if TYPE_CHECKING:
    from collections.abc import Callable

    from interpretkit.inputs.batch import Batch
    from interpretkit.inputs.decode import FileReader
    from interpretkit.inputs.find import Found
    from interpretkit.model.model import Model
    from interpretkit.results.image import InputImage
    from interpretkit.results.stored import Stored


class Source(ABC):
    """Images that go through models, batch by batch."""

    @abstractmethod
    def total(self, models: Mapping[str, Model]) -> int:
        """Return how many images there are, those that cannot be read included; 0 where nobody knows before."""

    @property
    def masked(self) -> bool:
        """Whether any image comes with a mask."""
        return False

    @property
    def remarks(self) -> tuple[str, ...]:
        """What whoever looks at the images must know of where they come from."""
        return ()

    @abstractmethod
    def batches(
        self, models: Mapping[str, Model], *, batch_size: int, leave_out: Callable[[InputError], None]
    ) -> Iterator[Batch]:
        """Yield batches as the models are fed; an image that cannot be read or preprocessed is told to `leave_out`."""


@dataclass(frozen=True, slots=True)
class Files(Source):
    """Images in files.

    Attributes:
        found: The files.
        readers: What reads files of a suffix, in place of Pillow.
    """

    found: Found
    readers: Mapping[str, FileReader] = field(default_factory=dict)

    def total(self, models: Mapping[str, Model]) -> int:  # noqa: ARG002 - a file is an image of every model
        """Return how many files there are."""
        return len(self.found.listed)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What was found beside them."""
        return self.found.remarks

    @property
    def masked(self) -> bool:
        """Whether a manifest names a mask."""
        return any(file.mask is not None for file in self.found.files)

    def batches(
        self, models: Mapping[str, Model], *, batch_size: int, leave_out: Callable[[InputError], None]
    ) -> Iterator[Batch]:
        """Yield batches; one file that cannot be read does not cost the others the run."""
        return batches(self._readable(leave_out), models, batch_size=batch_size, unfit=leave_out)

    def _readable(self, leave_out: Callable[[InputError], None]) -> Iterator[tuple[InputImage, Stored]]:
        for position, file in enumerate(self.found.listed):
            try:
                if isinstance(file, InputError):
                    raise file
                image, stored = read_image(file, readers=self.readers)
                yield replace(image, position=position), stored
            except InputError as error:
                leave_out(error)


@dataclass(frozen=True, slots=True)
class Given(Source):
    """Images handed over in Python.

    Attributes:
        images: A tensor as the models are fed, or whatever else `handed_over` takes.
    """

    images: Any

    def total(self, models: Mapping[str, Model]) -> int:
        """Return how many there are; 0 where that shows only as they come."""
        return counted(self.images, axes=_axes_fed(models))

    def batches(
        self, models: Mapping[str, Model], *, batch_size: int, leave_out: Callable[[InputError], None]
    ) -> Iterator[Batch]:
        """Yield batches, and hold no more images than these need.

        Raises:
            InputError: If what is given holds no images.
        """
        import torch

        if isinstance(self.images, torch.Tensor):
            yield from tensor_batches(self.images, models, batch_size=batch_size)
            return
        images = handed_over(self.images, axes=_axes_fed(models), leave_out=leave_out)
        yield from batches(images, models, batch_size=batch_size, unfit=leave_out)


def named_in(images: Any) -> tuple[list[str | dict[str, Any]] | None, Any]:
    """Return the inputs that images name as those of a recipe do, and the images; None where they name none.

    An iterator is begun to see what it holds, so what is returned stands for it.

    Example:
        >>> from pathlib import Path
        >>> named_in([Path("a.png"), {"path": "scans", "range": [0, 4095]}])[0]
        ['a.png', {'path': 'scans', 'range': [0, 4095]}]
    """
    if isinstance(images, Iterator):
        first = list(islice(images, 1))
        images = chain(first, images)
        if first and names_images(first[0]):
            images = list(images)
    listed = [images] if names_images(images) else images
    if not isinstance(listed, list | tuple) or not all(map(names_images, listed)):
        return None, images
    return [dict(each) if isinstance(each, Mapping) else str(each) for each in listed], images


def _axes_fed(models: Mapping[str, Model]) -> int:
    """Return how many axes one image has that the models are fed; images are taken for what most networks take."""
    convolutions = [first_convolution(model.module) for model in models.values()]
    return max((1 + len(each.kernel_size) for each in convolutions if each is not None), default=3)
