"""Writing a run: a hidden draft beside its place, moved there when it is sealed."""

from __future__ import annotations

import os
import secrets
import shutil
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from interpretkit.digests import array_digest, sha256_bytes
from interpretkit.errors import StepError, StorageError
from interpretkit.runs.files import file_name, inside, storage_errors, sync, sync_all, write_new
from interpretkit.runs.journal import (
    JOURNAL,
    Ended,
    FigureKept,
    FileKept,
    ImageKept,
    ResultKept,
    fold,
    read_journal,
    write_entry,
)
from interpretkit.runs.manifest import MANIFEST, manifest_bytes
from interpretkit.runs.maps import check_maps, encode_maps, record_of
from interpretkit.runs.records import FigureRecord, MapRecord, TargetRecord
from interpretkit.runs.run import Run
from interpretkit.runs.tables import GrowingTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from interpretkit.results.axes import Array
    from interpretkit.results.image import InputImage
    from interpretkit.results.result import Result
    from interpretkit.results.table import Table
    from interpretkit.results.targets import Target
    from interpretkit.runs.journal import AnyEntry
    from interpretkit.runs.records import ArrayRecord, ImageRecord, RunRecord, RunStatus

REPORT = "report.html"


def create(parent: Path, name: str) -> Draft:
    """Begin a run of the recipe `name` in the folder `parent`, which is made if need be.

    Raises:
        StorageError: If nothing can be written there.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from interpretkit.runs.journal import Begun
        >>> from interpretkit.runs.manifest import SCHEMA
        >>> from interpretkit.runs.records import RunRecord
        >>> from interpretkit.runs.run import open_run
        >>> from interpretkit.runs.verify import verify
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     draft = create(Path(folder), "demo")
        ...     draft.write_text("recipe.yaml", "name: demo")
        ...     facts = {"schema": SCHEMA, "name": "demo", "id": draft.id, "interpretkit": "0.1.0", "command": ""}
        ...     facts |= {"recipe": {"source": "", "sha256": ""}} | dict.fromkeys(("alerts", "inputs", "steps"), ())
        ...     facts |= dict.fromkeys(("models", "numerics", "environment", "files"), {})
        ...     draft.record(Begun(run=RunRecord.from_facts(**facts)))
        ...     path = draft.seal("complete", lambda run: f"<h1>{run.record.name}</h1>").path
        ...     open_run(path).status, verify(path)
        ('complete', [])
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        while True:
            time = datetime.now(tz=UTC).astimezone()
            draft = Draft(parent, f"{file_name(name)}-{time:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}")
            if _claimed(draft):
                return draft
    except (OSError, ValueError) as error:
        raise StorageError(
            f"cannot make a run directory: {getattr(error, 'strerror', None) or error}",
            where=str(parent),
            hint="give a folder that can be written to",
        ) from error


class Draft:
    """A run that is being written. Every file is written in full or not at all, and none is written twice.

    Attributes:
        id: `<name>-<time>-<6 digits>`: the name of the run directory.
        path: The hidden directory that holds it until it is sealed.
    """

    def __init__(self, parent: Path, name: str) -> None:
        self.id = name
        self.path = parent / f".{name}.partial"
        self._tables: dict[tuple[str, str], GrowingTable] = {}

    def record(self, entry: AnyEntry) -> None:
        """Add an entry to the journal: what is true from now on.

        Raises:
            StorageError: If it cannot be written.
        """
        write_entry(self.path, entry)

    def write_text(self, relative: str, text: str) -> None:
        """Write a text file, in UTF-8 and with the line ends of `text`; `relative` is its path in the run, with `/`.

        Raises:
            StepError: If there is such a file already.
            StorageError: If it cannot be written, or the path leaves the run.
        """
        digest = self._write(relative, text.encode("utf-8", "backslashreplace"))
        self.record(FileKept(file=relative, sha256=digest))

    def write_image(self, image: ImageRecord, pictures: Mapping[str, bytes]) -> None:
        """Write the pictures of an image, by their paths in the run, and what is to say of it.

        Raises:
            StepError: If there is such a file already.
            StorageError: If it cannot be written.
        """
        files = {file: self._write(file, png) for file, png in pictures.items()}
        self.record(ImageKept(image=image, files=files))

    def write_result(self, step: str, result: Result, *, reduction: bool) -> ResultKept:
        """Write what a step returned, and return the record of it.

        Args:
            step: Its id.
            result: Of a batch of images, whose tables go on where the last batch ended; or of the whole set.
            reduction: Whether it is of the whole set.

        Raises:
            StepError: If a map or a table cannot be stored, or was stored before.
            StorageError: If it cannot be written.
        """
        arrays: dict[str, Array] = {**result.maps, **result.arrays}
        check_maps(arrays, images=None if reduction else len(result.images))
        tables = {name: self._table(step, name, table, reduction=reduction) for name, table in result.tables.items()}
        files: dict[str, str] = {}
        written: list[ArrayRecord] = []
        for stem, image, part in _parts(arrays, None if reduction else result.images):
            file = f"results/{file_name(step)}/{stem}.safetensors"
            files[file] = self._write(file, encode_maps(part))
            written += [record_of(each, key=name, file=file, image=image) for name, each in part.items()]
        for name, table in result.tables.items():
            tables[name].add(self.path, table)
            self._tables[step, name] = tables[name]
        kept = ResultKept(
            step=step,
            targets={} if reduction else _targets(result),
            nonfinite=0 if reduction else _nonfinite(result),
            maps=tuple(each for each in written if isinstance(each, MapRecord)),
            arrays=tuple(each for each in written if not isinstance(each, MapRecord)),
            tables=tuple(table.record() for table in tables.values()),
            files=files,
        )
        self.record(kept)
        return kept

    def note_part(self, step: str, result: Result) -> ResultKept:
        """Note that a reduction has taken in a batch, and return the record; the result is written at the end.

        Raises:
            StorageError: If the journal cannot be written.
        """
        kept = ResultKept(step=step, targets=_targets(result), nonfinite=_nonfinite(result))
        self.record(kept)
        return kept

    def write_figure(self, step: str, image: str | None, name: str, png: bytes, *, caption: str, alt: str) -> str:
        """Write a picture of an image, or of the whole set, and return its path in the run.

        Raises:
            StepError: If `name` is unfit to name a file, or the step has such a figure already.
            StorageError: If it cannot be written.
        """
        stem = file_name(name) if image is None else f"{image}--{file_name(name)}"
        file = f"figures/{file_name(step)}/{stem}.png"
        digest = self._write(file, png)
        figure = FigureRecord.from_facts(file=file, image=image, name=name, caption=caption, alt=alt)
        self.record(FigureKept(step=step, figure=figure, sha256=digest))
        return file

    def so_far(self) -> Run:
        """Return the run as it would be if nothing more came."""
        record = fold(read_journal(self.path))
        return Run(self.path, record.as_data(), record)

    def seal(self, status: RunStatus, page: Callable[[Run], str]) -> Run:
        """Fold the journal into the manifest, with the hashes of all files, and move the draft to its place.

        Args:
            status: How the run has ended.
            page: Makes the report of the run as it will be.

        Returns:
            The run.

        Raises:
            StorageError: If the disk refuses; then there is no run.
        """
        self.record(Ended(status=status))
        run = self.so_far()
        record = run.record
        self._drop_unrecorded(record)
        report = page(run).encode("utf-8", "backslashreplace")
        files = {**record.files, REPORT: self._write(REPORT, report)}
        sealed = record.model_copy(update={"files": dict(sorted(files.items()))})
        sync_all(self.path, files)
        write_new(self.path, MANIFEST, manifest_bytes(sealed.as_data()), durable=True)
        final = self.path.with_name(self.id)
        sync(self.path)
        with storage_errors("put the finished run in its place", final):
            self.path.rename(final)
        sync(final.parent)
        return Run(final, sealed.as_data(), sealed)

    def abandon(self) -> None:
        """Remove the draft."""
        # Whatever led here is the error to tell of; a hidden folder that cannot be removed does no harm.
        shutil.rmtree(self.path, ignore_errors=True)

    def _write(self, relative: str, data: bytes) -> str:
        """Write a file, and return its hash."""
        write_new(self.path, relative, data)
        return sha256_bytes(data)

    def _table(self, step: str, name: str, table: Table, *, reduction: bool) -> GrowingTable:
        """Return the table of a step that rows are to be added to, which is one of the run once it has some.

        Raises:
            StepError: If these rows cannot be added.
        """
        if not reduction and "image" not in table.columns:
            raise StepError(f"table {name!r} has no column 'image'", hint="its rows are about images: say which")
        if reduction and (step, name) in self._tables:
            raise StepError(f"table {name!r} of the whole set is stored already")
        file = f"results/{file_name(step)}/{file_name(name)}.csv"
        found = self._tables.get((step, name)) or GrowingTable(name, file)
        found.types_with(table)
        return found

    def _drop_unrecorded(self, record: RunRecord) -> None:
        """Take away what an interrupt has left between a file and its record: it does not count."""
        for path in [each for each in self.path.rglob("*") if not each.is_dir()]:
            relative = path.relative_to(self.path).as_posix()
            if relative not in record.files and relative != JOURNAL:
                with storage_errors("remove", path):
                    path.unlink()
        for table in (each for step in record.steps for each in step.tables):
            with storage_errors("shorten", self.path / table.file):
                if table.bytes is not None:
                    os.truncate(inside(self.path, table.file), table.bytes)


def _parts(
    arrays: Mapping[str, Array], images: Sequence[InputImage] | None
) -> Iterator[tuple[str, str | None, Mapping[str, Array]]]:
    """Yield the arrays that go into one file together, with its stem and the image that they are about."""
    if not arrays:
        return
    if images is None:
        yield "maps", None, arrays
        return
    for index, image in enumerate(images):
        part = slice(index, index + 1)
        yield image.id, image.id, {name: replace(each, values=each.values[part]) for name, each in arrays.items()}


def _target(target: Target) -> TargetRecord:
    """Return what is kept of a target: of the vector that it is compared with, the hash."""
    facts = asdict(target)
    vector = np.array(facts.pop("vector"))
    return TargetRecord.from_facts(**facts, vector_sha256=array_digest(vector) if vector.size else "")


def _targets(result: Result) -> dict[str, tuple[TargetRecord, ...]]:
    if not result.targets:
        return {}
    records = {}
    for image in result.images:
        targets = result.targets_of(image.id)
        records[image.id] = tuple(map(_target, targets))
    return records


def _nonfinite(result: Result) -> int:
    """Return how many cells of the maps are NaN or infinite."""
    return sum(int((~np.isfinite(each.values)).sum()) for each in (*result.maps.values(), *result.arrays.values()))


def _claimed(draft: Draft) -> bool:
    """Make the draft's directory, unless a run of this id is there or on its way."""
    try:
        draft.path.mkdir()
    except FileExistsError:
        return False
    if os.path.lexists(draft.path.with_name(draft.id)):
        draft.path.rmdir()
        return False
    return True
