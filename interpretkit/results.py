"""What steps read and leave behind: images, maps, tables, results and figures. Frozen, and without torch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from interpretkit.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from PIL.Image import Image

    from interpretkit.targets import Target

Polarity = Literal["signed", "unsigned"]
Part = TypeVar("Part", "Map", "Table")


@dataclass(frozen=True, slots=True, kw_only=True)
class InputImage:
    """One image of a run.

    Attributes:
        id: Stable, unique within the run, fit for a file name.
        source: Where it came from, as given.
        sha256: Hash of the file, or of the pixels where there is no file.
        size: Width and height of the file's image in pixels.
        conversions: What was done to make an 8-bit RGB image of it, in order.
        label: Its label from the input manifest: a class index or name.
        pixels: `(y, x, 3)` uint8: what the step's model was fed, before normalisation.
        mask: `(y, x)` bool over the same pixels: where the object is, by the mask that the input manifest names. None
            without one, and where the model's preprocessing is not a `Preprocessing`, so that its geometry is unknown.
    """

    id: str
    source: str
    sha256: str
    size: tuple[int, int]
    conversions: tuple[str, ...] = ()
    label: str | None = None
    pixels: np.ndarray = field(default_factory=lambda: np.zeros((1, 1, 3), np.uint8), repr=False, compare=False)
    mask: np.ndarray | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Map:
    """An array with named dims, at the native resolution of its layer, signed and unnormalised.

    Attributes:
        values: The array.
        dims: `(image, channel, y, x)` or `(image, y, x)`; without `image` in a reduction.
        layer: The layer that it belongs to.
        input_size: Its geometry: height and width in pixels of the model input that the `(y, x)` cells tile evenly.
        polarity: `signed` if values below zero have a meaning, else `unsigned`.
    """

    values: np.ndarray
    dims: tuple[str, ...]
    layer: str
    input_size: tuple[int, int]
    polarity: Polarity

    def __post_init__(self) -> None:
        if not isinstance(self.values, np.ndarray):
            raise TypeError(f"map of {self.layer}: values are a {type(self.values).__name__}, not a numpy array")
        if self.values.ndim != len(self.dims):
            raise ValueError(f"map of {self.layer}: dims {self.dims} do not fit shape {self.values.shape}")


@dataclass(frozen=True, slots=True, init=False)
class Table:
    """Columns of equal length by name. A table of a per-image result has a column `image` of image ids.

    Example:
        >>> table = Table(channel=[0, 1], mean=[0.5, 0.25])
        >>> table["mean"].tolist(), len(table)
        ([0.5, 0.25], 2)
    """

    columns: Mapping[str, np.ndarray]

    def __init__(self, columns: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        arrays = {name: np.asarray(values) for name, values in {**(columns or {}), **more}.items()}
        if not all(isinstance(name, str) for name in arrays):
            raise ValueError(f"the columns of a table have names, not {', '.join(map(repr, arrays))}")
        if len({array.shape for array in arrays.values()}) > 1 or any(a.ndim != 1 for a in arrays.values()):
            shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
            raise ValueError(f"the columns of a table are equally long lists, not {shapes}")
        object.__setattr__(self, "columns", arrays)

    @classmethod
    def of_rows(cls, rows: Sequence[Mapping[str, Any]]) -> Table:
        """Return rows, at least one, each its values by column, as a table.

        Example:
            >>> Table.of_rows([{"channel": 0, "mean": 0.5}, {"channel": 1, "mean": 0.25}])["mean"].tolist()
            [0.5, 0.25]
        """
        return cls({column: [row[column] for row in rows] for column in rows[0]})

    @classmethod
    def stacked(cls, tables: Sequence[Table]) -> Table:
        """Return tables, at least one, of the same columns one below the other.

        Example:
            >>> Table.stacked([Table(channel=[0]), Table(channel=[1, 2])])["channel"].tolist()
            [0, 1, 2]
        """
        return cls({name: np.concatenate([table[name] for table in tables]) for name in tables[0].columns})

    def __getitem__(self, column: str) -> np.ndarray:
        return self.columns[column]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Yield the rows as tuples of plain Python values, in the order of the columns."""
        return zip(*(column.tolist() for column in self.columns.values()), strict=True)

    def where(self, column: str, *values: Any) -> Table:
        """Return the rows whose `column` equals one of the values."""
        chosen = np.isin(self.columns[column], values)
        return Table({name: array[chosen] for name, array in self.columns.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Typed arrays and tables of one step: the truth, from which pictures are drawn.

    A visualizer fills `maps` and `tables`; images and targets are added to what it returns.

    Attributes:
        maps: By layer, or by whatever tells them apart.
        tables: By name.
        images: The images that it is about, in the order of the `image` dim.
        targets: What was differentiated, image by image: one for each, or as many as the target asked for the top
            classes; empty without a target.
    """

    maps: Mapping[str, Map] = field(default_factory=dict)
    tables: Mapping[str, Table] = field(default_factory=dict)
    images: tuple[InputImage, ...] = ()
    targets: tuple[Target, ...] = ()

    def targets_of(self, image: str) -> tuple[Target, ...]:
        """Return what was differentiated for the image of this id; empty without a target."""
        each_has = len(self.targets) // max(len(self.images), 1)
        position = next(place for place, each in enumerate(self.images) if each.id == image)
        return self.targets[position * each_has : (position + 1) * each_has]

    def select(self, *ids: str) -> Result:
        """Return the part of a per-image result that is about the images of these ids, in their order.

        Raises:
            InputError: If it is not about one of these images, or is about the whole set.
        """
        positions = {image.id: position for position, image in enumerate(self.images)}
        if missing := [each for each in ids if each not in positions]:
            raise InputError(f"the result is not about image {missing[0]!r}", hint=did_you_mean(missing[0], positions))
        chosen = [positions[each] for each in ids]
        return Result(
            maps={
                name: replace(each, values=_per_image(name, each, each.dims).values[chosen])
                for name, each in self.maps.items()
            },
            tables={
                name: _per_image(name, table, table.columns).where("image", *ids) for name, table in self.tables.items()
            },
            images=tuple(self.images[position] for position in chosen),
            targets=tuple(target for each in ids for target in self.targets_of(each)),
        )


def _per_image(name: str, part: Part, axes: Iterable[str]) -> Part:
    if "image" not in axes:
        raise InputError(f"{name!r} is about the whole set of images, not about each")
    return part


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A finished picture.

    Attributes:
        name: Tells it from the step's other figures of the same image: usually the layer.
        picture: The pixels, with title, colour bar and labels in them.
        caption: What the reader sees, in words: layer, scope of normalisation, how it is drawn.
        alt: The same for those who do not see it: where the maximum is, the range, the target.
    """

    name: str
    picture: Image
    caption: str
    alt: str
