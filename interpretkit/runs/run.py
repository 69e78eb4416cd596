"""Reading a run: a view of its directory that loads arrays, tables and pictures when they are looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from interpretkit.errors import RecipeError, StepError, StorageError, did_you_mean
from interpretkit.results.image import InputImage
from interpretkit.results.result import Result
from interpretkit.runs.files import existing, storage_errors
from interpretkit.runs.manifest import MANIFEST, read_manifest
from interpretkit.runs.maps import read_map
from interpretkit.runs.tables import RowsByImage, read_table
from interpretkit.runs.targets import target_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interpretkit.results.table import Table
    from interpretkit.results.targets import Target

Record = Mapping[str, Any]
Value = TypeVar("Value")


class Lazy(Mapping[str, Value]):
    """A mapping whose values are loaded each time they are looked at, so that none of them stays in memory.

    Example:
        >>> squares = Lazy({"three": lambda: 9})
        >>> squares["three"], squares
        (9, Lazy(three))
    """

    def __init__(self, loaders: Mapping[str, Callable[[], Value]]) -> None:
        self._loaders = loaders

    def __getitem__(self, name: str) -> Value:
        return self._loaders[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._loaders)

    def __len__(self) -> int:
        return len(self._loaders)

    def __repr__(self) -> str:
        return f"Lazy({', '.join(self)})"


class StoredImage(InputImage):
    """An image of a run, whose pixels are read when they are first looked at."""

    __slots__ = ("_read",)

    def __init__(self, read: Callable[[], np.ndarray], **facts: Any) -> None:
        super().__init__(**facts)
        object.__setattr__(self, "_read", read)
        # Python asks __getattr__ for what is in no slot.
        object.__delattr__(self, "pixels")

    def __getattr__(self, name: str) -> Any:
        if name != "pixels":
            raise AttributeError(name)
        object.__setattr__(self, "pixels", self._read())
        return self.pixels


@dataclass(frozen=True, slots=True)
class Run:
    """A sealed run directory.

    Attributes:
        path: The directory.
        manifest: What `manifest.json` says.
    """

    path: Path
    manifest: dict[str, Any]
    _steps: dict[str, _Step] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def status(self) -> str:
        """`complete`, `failed` or `interrupted`."""
        return str(self.manifest["status"])

    @property
    def results(self) -> Mapping[str, Result]:
        """Results by step id, in the order of the steps; arrays and tables are loaded when they are looked at."""
        return Lazy({step["id"]: partial(self._result, step, None) for step in self.manifest["steps"]})

    def result(self, step: str, *, image: str | None = None) -> Result:
        """Return the result of a step, or the part of it that is about one image, with an image dim of 1.

        Raises:
            RecipeError: If there is no such step, or it has no result for such an image.
        """
        steps = {each["id"]: each for each in self.manifest["steps"]}
        if step not in steps:
            raise RecipeError(f"the run has no step {step!r}", where=str(self.path), hint=did_you_mean(step, steps))
        return self._result(steps[step], image)

    def read(self, file: str) -> bytes:
        """Return the content of a file of the run.

        Raises:
            StorageError: If there is no such plain file in the run, or it cannot be read.
        """
        path = existing(self.path, file)
        with storage_errors("read", path):
            return path.read_bytes()

    def _result(self, record: Record, image: str | None) -> Result:
        # The records of a step are sorted by image once, not for each image that is looked at.
        if record["id"] not in self._steps:
            self._steps[record["id"]] = _Step(self, record)
        step = self._steps[record["id"]]
        if image is None:
            images, maps = step.images, [*record["maps"], *record.get("arrays", ())]
        elif image in step.images and record["scope"] != "set":
            images, maps = {image: step.images[image]}, step.maps.get(image, [])
        else:
            what = "is about the whole set" if record["scope"] == "set" else f"has no result for image {image!r}"
            raise RecipeError(
                f"step {record['id']} {what}", where=str(self.path), hint=did_you_mean(image, step.images)
            )
        read = [self._image(each, record["model"]) for each in images.values()]
        records: dict[str, list[Record]] = {}
        for each in maps:
            records.setdefault(each["key"], []).append(each)
        loaders = {key: partial(self._map, record, read, each) for key, each in records.items()}
        return Result(
            maps=Lazy({key: load for key, load in loaders.items() if "layer" in records[key][0]}),
            arrays=Lazy({key: load for key, load in loaders.items() if "layer" not in records[key][0]}),
            tables=Lazy({each["name"]: partial(step.table, each, image) for each in record["tables"]}),
            images=tuple(read),
            targets=tuple(target for each in images for target in _targets(record["targets"].get(each, []))),
        )

    def _image(self, record: Record, model: str | None) -> InputImage:
        pictures = record["pictures"]
        picture = next(iter(pictures.values()), None) if model is None else pictures.get(model)
        return StoredImage(
            partial(_pixels, self.path, picture),
            id=record["id"],
            source=record["source"],
            sha256=record["sha256"],
            size=tuple(record["size"]),
            conversions=tuple(record["conversions"]),
            label=record["label"],
        )

    def _map(self, step: Record, images: Sequence[InputImage], records: Sequence[Record]) -> Any:
        of_image = {record["image"]: record for record in records}
        if step["scope"] == "set" or len(images) == 1:
            return read_map(self.path, records[0])
        layouts = {(*record["shape"][1:], str(record.get("extent", record.get("input_size")))) for record in records}
        if len(layouts) > 1 or len(of_image) < len(images):
            raise StepError(
                f"map {records[0]['key']!r} is not there in the same shape for all images, so they make no one array",
                where=f"{self.path}, step {step['id']}",
                hint=f"take them one by one: run.result({step['id']!r}, image={records[0]['image']!r})",
            )
        parts = [read_map(self.path, of_image[image.id]) for image in images]
        return replace(parts[0], values=np.concatenate([part.values for part in parts]))


class _Step:
    """What a step has left, sorted by image.

    Attributes:
        images: The records of the images that it is about, by id: all, unless it stopped on the way.
        maps: The records of its maps by image.
    """

    def __init__(self, run: Run, record: Record) -> None:
        self.maps: dict[str, list[Record]] = {}
        for each in [*record["maps"], *record.get("arrays", ())]:
            self.maps.setdefault(each["image"], []).append(each)
        reached = self.maps.keys() or set(record["targets"])
        whole = record["scope"] == "set" or not reached
        self.images = {each["id"]: each for each in run.manifest["inputs"] if whole or each["id"] in reached}
        self._path = run.path
        self._rows: dict[str, RowsByImage] = {}

    def table(self, record: Record, image: str | None) -> Table:
        """Return a table of the step, or its rows about one image."""
        if image is None:
            return read_table(self._path, record)
        if record["name"] not in self._rows:
            self._rows[record["name"]] = RowsByImage(self._path, record)
        return self._rows[record["name"]].of(image)


def open_run(path: str | Path) -> Run:
    """Open a sealed run directory. Nothing but its manifest is read; `verify` says whether the rest is as it was.

    Raises:
        RecipeError: If it is no sealed run, or of a format that only a newer version reads.
        StorageError: If its manifest is damaged.
    """
    path = Path(path)
    if path.name.startswith(".") and path.name.endswith(".partial"):
        raise RecipeError(f"{path} is a run that was never finished", hint="run the recipe again")
    if not (path / MANIFEST).is_file():
        raise RecipeError(f"{path} is no run directory", hint="give the directory that `interpretkit run` printed")
    manifest = read_manifest(path)
    missing = {"status", "inputs", "steps", "files"} - manifest.keys()
    if missing:
        raise StorageError(f"{MANIFEST} does not say its {', '.join(sorted(missing))}", where=str(path))
    return Run(path, manifest)


def _targets(records: Sequence[Record] | Record) -> Iterator[Target]:
    """Yield the targets of an image; the first runs hold one, not a list."""
    for record in [records] if isinstance(records, Mapping) else records:
        yield target_of(record)


def _pixels(run: Path, picture: str | None) -> np.ndarray:
    from PIL import Image

    if picture is None:
        raise StorageError("the run holds no picture of this image", where=str(run))
    path = existing(run, picture)
    try:
        with Image.open(path, formats=["PNG"]) as opened:
            return np.array(opened.convert("RGB"))
    # Pillow tells of a broken PNG with a SyntaxError.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise StorageError(f"{picture} cannot be read as a picture: {error}", where=str(run)) from error
