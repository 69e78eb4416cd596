"""Where the images of a run come from: files that are found, or what somebody hands over in Python."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from interpretkit.errors import InputError
from interpretkit.inputs.batch import batches, tensor_batches
from interpretkit.inputs.read import given_images, read_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from interpretkit.inputs.batch import Batch
    from interpretkit.inputs.decode import FileReader
    from interpretkit.inputs.find import Found
    from interpretkit.model.model import Model
    from interpretkit.results.image import InputImage
    from interpretkit.results.stored import Stored


class Source(ABC):
    """Images that go through models, batch by batch."""

    @property
    @abstractmethod
    def total(self) -> int:
        """How many images there are, those that cannot be read included."""

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

    @property
    def total(self) -> int:
        """How many files there are."""
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
        images: A tensor as the models are fed, or one or several paths or PIL images.
        readers: What reads files of a suffix, in place of Pillow.
    """

    images: Any
    readers: Mapping[str, FileReader] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """How many there are."""
        return len(self.images) if hasattr(self.images, "__len__") else 1

    def batches(
        self,
        models: Mapping[str, Model],
        *,
        batch_size: int,
        leave_out: Callable[[InputError], None],  # noqa: ARG002 - what is handed over is there
    ) -> Iterator[Batch]:
        """Yield batches; what is handed over is there, so the first that is unfit is an error."""
        if hasattr(self.images, "ndim"):
            return tensor_batches(self.images, models, batch_size=batch_size)
        read = enumerate(given_images(self.images, readers=self.readers))
        images = ((replace(image, position=position), stored) for position, (image, stored) in read)
        return batches(images, models, batch_size=batch_size)
