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
from interpretkit.results.origin import UNTRAINED, Origin, WeightsInfo
from interpretkit.results.region import Region
from interpretkit.results.result import Result
from interpretkit.results.targets import Target
from interpretkit.runs.files import existing, storage_errors
from interpretkit.runs.journal import EARLIER_JOURNALS, JOURNAL
from interpretkit.runs.manifest import MANIFEST, read_manifest, read_record
from interpretkit.runs.maps import read_map
from interpretkit.runs.pictures import read_picture
from interpretkit.runs.records import MapRecord
from interpretkit.runs.tables import RowsByImage, read_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interpretkit.results.table import Table
    from interpretkit.runs.records import (
        ArrayRecord,
        ExpectationRecord,
        ImageRecord,
        RunRecord,
        StepRecord,
        TableRecord,
        TargetRecord,
    )

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


@dataclass(frozen=True, slots=True)
class Run:
    """A run directory, sealed or about to be.

    Attributes:
        path: The directory.
        manifest: What `manifest.json` says, as plain data.
        record: The same, typed.
    """

    path: Path
    manifest: dict[str, Any]
    record: RunRecord = field(repr=False, compare=False)
    _steps: dict[str, _Step] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def status(self) -> str:
        """`complete`, `failed` or `interrupted`."""
        return self.record.status

    @property
    def expectations(self) -> tuple[ExpectationRecord, ...]:
        """What the recipe expects of the run, and whether it is so, in the order of the recipe."""
        return self.record.expectations

    @property
    def results(self) -> Mapping[str, Result]:
        """Results by step id, in the order of the steps; arrays and tables are loaded when they are looked at."""
        return Lazy({step.id: partial(self._result, step, None) for step in self.record.steps})

    def result(self, step: str, *, image: str | None = None) -> Result:
        """Return the result of a step, or the part of it that is about one image, with an image dim of 1.

        Raises:
            RecipeError: If there is no such step, or it has no result for such an image.
        """
        steps = {each.id: each for each in self.record.steps}
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

    def size(self, file: str) -> int | None:
        """Return the size in bytes of a file of the run; None if there is no such plain file in it."""
        try:
            return existing(self.path, file).stat().st_size
        except StorageError:
            return None

    def _result(self, record: StepRecord, image: str | None) -> Result:
        # The records of a step are sorted by image once, not for each image that is looked at.
        if record.id not in self._steps:
            self._steps[record.id] = _Step(self, record)
        step = self._steps[record.id]
        arrays: Sequence[ArrayRecord]
        if image is None:
            images, arrays = step.images, (*record.maps, *record.arrays)
        elif image in step.images and record.scope != "set":
            images, arrays = {image: step.images[image]}, step.arrays.get(image, [])
        else:
            what = "is about the whole set" if record.scope == "set" else f"has no result for image {image!r}"
            raise RecipeError(f"step {record.id} {what}", where=str(self.path), hint=did_you_mean(image, step.images))
        read = [self._image(each, record.model) for each in images.values()]
        records: dict[str, list[ArrayRecord]] = {}
        for each in arrays:
            records.setdefault(each.key, []).append(each)
        loaders = {key: partial(self._array, record, read, each) for key, each in records.items()}
        maps = {key for key, each in records.items() if isinstance(each[0], MapRecord)}
        origin = self._origin(record)
        return Result(
            maps=Lazy({key: load for key, load in loaders.items() if key in maps}),
            arrays=Lazy({key: load for key, load in loaders.items() if key not in maps}),
            tables=Lazy({each.name: partial(step.table, each, image) for each in record.tables}),
            images=tuple(read),
            targets=tuple(target_of(target) for each in images for target in record.targets.get(each, ())),
            origin=origin,
            alerts=tuple(filter(None, (origin.alert if origin else "", *record.alerts))),
        )

    def _origin(self, step: StepRecord) -> Origin | None:
        model, plugin = self.record.models.get(step.model), step.plugin
        if model is None:
            return None
        weights = WeightsInfo(**model.weights.model_dump(exclude={"state_sha256"}))
        return Origin(
            step=step.id,
            uses=step.uses,
            plugin=f"{plugin.distribution} {plugin.version}" if plugin.distribution else plugin.package,
            options=step.options,
            model=model.name,
            weights=str(weights),
            alert=UNTRAINED if "untrained" in model.notes else weights.alert,
            shown=model.shown,
        )

    def _image(self, record: ImageRecord, model: str) -> InputImage:
        return InputImage(
            id=record.id,
            source=record.source,
            sha256=record.sha256,
            size=record.size,
            conversions=record.conversions,
            alerts=record.alerts,
            label=record.label,
            pixels=partial(_pixels, self.path, record.pictures.get(model)),
        )

    def _array(self, step: StepRecord, images: Sequence[InputImage], records: Sequence[ArrayRecord]) -> Any:
        of_image = {record.image: record for record in records}
        if step.scope == "set" or len(images) == 1:
            return read_map(self.path, records[0])
        layouts = {(*record.shape[1:], str(getattr(record, "extent", ""))) for record in records}
        if len(layouts) > 1 or not all(image.id in of_image for image in images):
            raise StepError(
                f"map {records[0].key!r} is not there in the same shape for all images, so they make no one array",
                where=f"{self.path}, step {step.id}",
                hint=f"take them one by one: run.result({step.id!r}, image={records[0].image!r})",
            )
        parts = [read_map(self.path, of_image[image.id]) for image in images]
        try:
            return replace(parts[0], values=np.concatenate([part.values for part in parts]))
        except (IndexError, ValueError) as error:
            what = f"step {step.id}: the manifest is wrong about the images or shapes of map {records[0].key!r}"
            raise StorageError(what, where=str(self.path), hint="`interpretkit verify` says more") from error


class _Step:
    """What a step has left, sorted by image.

    Attributes:
        images: The records of the images that it is about, by id: all, unless it stopped on the way.
        arrays: The records of its maps and arrays by image.
    """

    def __init__(self, run: Run, record: StepRecord) -> None:
        self.arrays: dict[str | None, list[ArrayRecord]] = {}
        for each in (*record.maps, *record.arrays):
            self.arrays.setdefault(each.image, []).append(each)
        reached = self.arrays.keys() or set(record.targets)
        whole = record.scope == "set" or not reached
        self.images = {each.id: each for each in run.record.inputs if whole or each.id in reached}
        self._path = run.path
        self._rows: dict[str, RowsByImage] = {}

    def table(self, record: TableRecord, image: str | None) -> Table:
        """Return a table of the step, or its rows about one image."""
        if image is None:
            return read_table(self._path, record)
        if record.name not in self._rows:
            self._rows[record.name] = RowsByImage(self._path, record)
        return self._rows[record.name].of(image)


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
    return Run(path, manifest, read_record(manifest, where=path))


def run_around(folder: Path) -> Path | None:
    """Return the run directory that a folder is, or lies in; None if it is in none."""
    folder = folder.resolve()
    for place in (folder, *folder.parents):
        kept = any((place / journal).is_file() for journal in (JOURNAL, *EARLIER_JOURNALS))
        # A report that was exported has a manifest beside it, and no journal.
        if kept and (place / MANIFEST).is_file():
            return place
    return None


def target_of(record: TargetRecord) -> Target:
    """Return the target that a record is about; numbers that are none are NaN."""
    nan = float("nan")
    return Target(
        spec=record.spec,
        label=record.label,
        score=nan if record.score is None else record.score,
        quantity=record.quantity,
        unit=record.unit,
        saturated=record.saturated,
        probability=nan if record.probability is None else record.probability,
        against_label=record.against_label,
        region=None if record.region is None else Region(record.region.size, record.region.runs),
    )


def _pixels(run: Path, picture: str | None) -> np.ndarray:
    if picture is None:
        raise StorageError("the run holds no picture of this image", where=str(run))
    return read_picture(run, picture)
